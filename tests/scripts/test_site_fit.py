"""Weights of company fitted on cases of known truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.data import MammogramError
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from scripts.site_fit import fit_company

SPACING_MM = 0.1
SIDE = 400


def spots(seed: int, *, true_together: bool) -> dict[str, Any]:
    """Twelve calcifications and twelve false marks of the same heights; one kind keeps together, the other does not."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(20, SIDE, 40), np.arange(20, SIDE, 40)), -1).reshape(-1, 2)
    apart = grid[rng.permutation(len(grid))[:12]]
    together = 200 + 20 * np.stack(np.meshgrid(np.arange(4), np.arange(3)), -1).reshape(-1, 2) + 5
    logits, label = np.full((SIDE, SIDE), -9.0), np.zeros((SIDE, SIDE), np.uint8)
    for places, kind in ((together, true_together), (apart, not true_together)):
        for (row, column), height in zip(places, np.linspace(-3, 3, 12), strict=True):
            logits[row, column] = max(logits[row, column], height)
            label[row, column] = kind
    image = np.zeros((SIDE, SIDE), np.float32)
    return {"image": image, "label": label, "logits": logits, "spacing_mm": (SPACING_MM, SPACING_MM)}


def fitted(folder: Path, **options: Any) -> Any:
    views = [spots(seed, **options) for seed in range(4)]
    cases = [Case(str(number), "p", "set", str(number), lambda one=one: one) for number, one in enumerate(views)]  # type: ignore[misc]
    return fit_company(MapSystem("first", lambda view: view["logits"], "1"), cases, KeptMaps(folder))


def test_company_counts_where_calcifications_keep_together_and_never_against_them(tmp_path: Path) -> None:
    clustered, alone = (fitted(tmp_path, true_together=kind) for kind in (True, False))
    assert clustered.weight_neighbours > 1
    assert alone.weight_neighbours == 0
    assert (clustered.weight_score, clustered.threshold) == (0, 0.005)


def test_cases_without_a_calcification_are_one_line(tmp_path: Path) -> None:
    one = spots(0, true_together=True)
    one["label"][:] = 0
    case = Case("a", "p", "set", "a", lambda: one)
    with pytest.raises(MammogramError, match="Expected true and false candidates") as refusal:
        fit_company(MapSystem("first", lambda view: view["logits"], "1"), [case], KeptMaps(tmp_path))
    assert len(str(refusal.value).splitlines()) == 1

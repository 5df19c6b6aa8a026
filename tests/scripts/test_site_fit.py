"""Weights of company fitted on cases of known truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from bundle.data import MammogramError
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from bundle.functional.candidates import candidate_truth
from bundle.functional.evidence import change_of_logits
from bundle.inferers import EvidenceInferer
from scripts.benchmark_systems import view_image
from scripts.site_fit import SHIFT, fit_company

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
    return fit_company(MapSystem("first", lambda view: view["logits"], "1"), cases, KeptMaps(folder), cache=folder)


def test_company_counts_where_calcifications_keep_together_and_never_against_them(tmp_path: Path) -> None:
    clustered, alone = (fitted(tmp_path / str(kind), true_together=kind) for kind in (True, False))
    assert clustered.weight_neighbours > 1
    assert alone.weight_neighbours == 0
    assert (clustered.weight_score, clustered.threshold) == (0, 0.005)


def test_cases_without_a_calcification_are_one_line(tmp_path: Path) -> None:
    one = spots(0, true_together=True)
    one["label"][:] = 0
    case = Case("a", "p", "set", "a", lambda: one)
    with pytest.raises(MammogramError, match="Expected true and false candidates") as refusal:
        fit_company(MapSystem("first", lambda view: view["logits"], "1"), [case], KeptMaps(tmp_path), cache=tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


def test_log_odds_are_raised_by_the_same_for_every_site_and_a_second_fit_is_read(tmp_path: Path) -> None:
    settings = fitted(tmp_path, true_together=True)
    inferer, odds, truth = EvidenceInferer(None, settings=settings), [], []
    for one in (spots(seed, true_together=True) for seed in range(4)):
        logits = torch.from_numpy(one["logits"]).float()[None, None]
        candidates, evidence = inferer.gather_evidence(view_image(one), logits)
        odds += (evidence.logit + change_of_logits(evidence, settings) - SHIFT).tolist()
        truth += candidate_truth(candidates, one["label"][None, None]).tolist()
    # A logistic regression expects as many as there are.
    assert expit(odds).sum() == pytest.approx(sum(truth), rel=0.01)
    (kept,) = tmp_path.glob("company-*.json")
    kept.write_text(kept.read_text().replace('"bias": ', '"max_change": 2.0, "bias": '))
    assert fitted(tmp_path, true_together=True).max_change == 2.0

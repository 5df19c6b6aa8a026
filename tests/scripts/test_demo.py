"""The second half of the demo, and the pieces of the phantom table, with the shipped weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.demo import refine_phantoms
from scripts.phantom_table import fingerprint, load_views, markdown_table, probability_maps

TINY = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 30.0}


@pytest.mark.slow
def test_demo_prints_its_table_and_leaves_pictures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    refine_phantoms(tmp_path, calcified=1, clean=1)
    output = capsys.readouterr().out
    assert "| segmentor |" in output
    assert "| segmentor + TT-GPR |" in output
    for method in ("segmentor", "augmentation", "ttgpr"):
        assert len(list((tmp_path / method).glob("*_overlay.png"))) == 2


def test_views_carry_what_scores_need_and_clean_ones_have_no_label(tmp_path: Path) -> None:
    views = load_views(tmp_path, split="tune", first=60, calcified=1, clean=1, size=TINY)
    assert [view["label"].shape == view["image"].shape == view["breast"].shape for view in views] == [True, True]
    assert views[0]["label"].any()
    assert not views[1]["label"].any()
    assert views[0]["spacing_mm"] == pytest.approx((0.1, 0.1))


def test_maps_are_computed_once(tmp_path: Path) -> None:
    views = [{"image": np.zeros((8, 8), np.float32), "name": f"view{n}"} for n in range(2)]
    calls = []

    def call(image: torch.Tensor) -> torch.Tensor:
        calls.append(image.shape)
        return torch.zeros_like(image)

    for _ in range(2):
        maps = probability_maps(call, views, tmp_path / "maps")
    assert len(calls) == 2
    np.testing.assert_array_equal(maps[0], np.full((8, 8), 0.5, np.float32))


def test_other_weights_have_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"1")
    (tmp_path / "b.pt").write_bytes(b"2")
    assert fingerprint(tmp_path / "a.pt") != fingerprint(tmp_path / "b.pt")
    assert fingerprint(tmp_path / "a.pt", "x") != fingerprint(tmp_path / "a.pt", "y")


def test_table_has_a_row_per_system() -> None:
    scores = {f"{kind}_{name}": 0.5 for kind in ("object", "pixel") for name in ("recall", "precision", "f2", "dice")}
    table = markdown_table({"one": {**scores, "clean_fp_per_cm2": 0.1}, "two": {**scores, "clean_fp_per_cm2": 0.2}})
    assert len(table.splitlines()) == 4
    assert table.splitlines()[3].endswith("| 0.20 |")

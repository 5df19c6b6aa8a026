"""Fitting the evidence's weights on whole views."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bundle.engines.benchmark import Case
from bundle.inferers import WindowedInferer
from scripts import fit_evidence, study_fit
from scripts.benchmark_systems import Networks
from scripts.fit_evidence import whole_cases
from scripts.study_crops import CROPS_PX


class Identity(nn.Module):
    """Logits are what is given."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 4.0 * self.gain * x


def view(number: int) -> dict[str, Any]:
    """True spots in a group of four, false ones as bright but alone; the brighter are more often true."""
    rng = np.random.default_rng(number)
    image, label = np.full((96, 96), -1.0, np.float32), np.zeros((96, 96), np.uint8)
    for row, column in ((20, 20), (20, 28), (28, 20), (28, 28)):
        image[row, column], label[row, column] = rng.uniform(-0.5, 0.5), 1
    for row, column in ((80, 10), (80, 80), (10, 80)):
        image[row, column] = rng.uniform(-0.5, 0.5)
    return {"image": image, "label": label, "breast": np.ones((96, 96), bool), "spacing_mm": (0.2, 0.2)}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    def cases(count: int, directory: Path) -> list[Case]:
        return [Case(f"v{n}", f"v{n}", "fit", f"v{n}", lambda n=n: view(n)) for n in range(count)]

    monkeypatch.setattr(fit_evidence, "whole_cases", cases)
    monkeypatch.setattr(
        fit_evidence, "load_networks", lambda *_, **__: Networks(WindowedInferer(48), None, Identity().eval())
    )


def fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    options = ["--channels", "neighbours", "--views", "6", "--output-dir", str(tmp_path), *words]
    fit_evidence.main(options)
    line = capsys.readouterr().out.strip().splitlines()[-1]
    return {name: float(value) for name, value in (pair.split(": ") for pair in line.split(", "))}


@pytest.mark.parametrize("first_pass", fit_evidence.FIRST_PASSES)
def test_company_that_tells_true_from_false_gets_a_weight(
    first_pass: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fitted(tmp_path, capsys, "--first-pass", first_pass)
    assert set(found) == {"weight_score", "weight_neighbours", "bias"}
    assert found["weight_score"] == 0
    assert found["weight_neighbours"] > 1
    assert found["bias"] < 0


def test_a_second_run_reads_what_the_first_gathered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fitted(tmp_path, capsys)
    monkeypatch.setattr(study_fit, "candidate_truth", None)
    assert fitted(tmp_path, capsys) == first


def test_views_of_one_kind_of_candidates_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="Expected true and false candidates"):
        fitted(tmp_path, capsys, "--threshold", "0.9")
    with pytest.raises(SystemExit, match="threshold to be within"):
        fitted(tmp_path, capsys, "--threshold", "2")


def test_views_are_rendered_whole(tmp_path: Path) -> None:
    (case,) = whole_cases(1, tmp_path)
    loaded = case.load()
    assert loaded["image"].shape == loaded["label"].shape == loaded["breast"].shape
    assert min(loaded["image"].shape) >= CROPS_PX[1]
    assert (loaded["label"] == 1).any()

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bundle.engines.benchmark import Case, View
from bundle.inferers import AugmentedInferer, TTGPRInferer
from scripts import uncertainty as study
from scripts.uncertainty import System, main, passes_of, record_of
from tests.inferers.toys import Generator

SPOTS = ((20, 20), (20, 60), (60, 20), (60, 60))


class Bright(nn.Module):
    """Logits that rise with brightness, and a little to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image - 1.0 + torch.linspace(0, 0.5, image.shape[-1])


def crop(seed: int) -> View:
    """Four spots of any brightness; those of the upper half are true, one of the lower ones is to be ignored."""
    rng = np.random.default_rng(seed)
    image, label = np.full((80, 80), -0.8, np.float32), np.zeros((80, 80), np.uint8)
    for number, (row, column) in enumerate(SPOTS):
        place = (slice(row - 1, row + 2), slice(column - 1, column + 2))
        image[place] = rng.uniform(-0.05, 0.8)
        label[place] = (1, 1, 2, 0)[number]
    return {"image": image, "label": label, "breast": np.ones((80, 80), bool), "spacing_mm": (0.1, 0.1)}


def cases(count: int = 12) -> list[Case]:
    names = [f"crop {number:02d}" for number in range(count)]
    return [Case(name, name, "toy", name, lambda seed=seed: crop(seed)) for seed, name in enumerate(names)]  # type: ignore[misc]


def system(**_: Any) -> System:
    inferer = AugmentedInferer(window_px=32, agreement_threshold=0.5)
    return System(inferer, Bright(), "toy")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "build", lambda method, **options: system())
    monkeypatch.setattr(study, "study_cases", lambda part, count, **options: cases(count))


def test_objects_are_those_found_with_their_truth_and_ignored_ones_are_left_out() -> None:
    record = record_of(system(), cases()[0])
    assert [len(record[kind]) <= 3 for kind in ("candidates", "findings")] == [True, True]
    assert [one["true"] for one in record["candidates"]] == [1, 1, 0]
    assert all(one["peak"] >= 0.5 for one in record["findings"])
    assert all(0 < one["peak_sd"] < 0.5 for one in record["candidates"])
    every, true = (np.array(one) for one in record["pixels"])
    assert (every >= true).all()
    assert (every.sum(), true.sum()) == (27, 18)


def test_a_folder_of_results_and_a_second_run_reads_them(
    toy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["--output-dir", str(tmp_path), "--crops", "12"]
    main(words)
    assert "12 of 12 crops" in capsys.readouterr().out
    text = (tmp_path / "uncertainty.md").read_text()
    assert "python -m scripts.uncertainty --output-dir" in text
    assert "| peak of a candidate | 36, 24 |" in text
    assert (tmp_path / "uncertainty.png").stat().st_size > 1000
    assert len(list((tmp_path / "records").rglob("*.json"))) == 12

    def again(*_: Any) -> None:
        raise AssertionError("made a second time")

    monkeypatch.setattr(study, "record_of", again)
    main(words)
    assert "0 of 12 crops" in capsys.readouterr().out
    assert (tmp_path / "uncertainty.md").read_text() == text


def test_the_price_alone_makes_nothing(toy: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["--output-dir", str(tmp_path), "--crops", "3", "--crop-px", "320", "--price-only"])
    # 320 px in windows of 32 at half overlap: 19 x 19.
    assert f"1083 windows, at most {1083 * 8} network passes" in capsys.readouterr().out
    assert not (tmp_path / "records").exists()


def test_passes_of_both_methods_are_those_they_make() -> None:
    generator, network = Generator(), Bright()
    inferer = TTGPRInferer(generator, window_px=32, gate_threshold=0.0, noise_members=3)
    asked = []
    handle = network.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
    inferer(torch.zeros(1, 1, 32, 32), network)
    handle.remove()
    assert passes_of(System(inferer, network, ""), "ttgpr") == generator.windows + sum(asked)
    assert passes_of(system(), "augmentation") == 8


def test_one_refinement_has_no_spread_to_judge(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="at least 2"):
        main(["--output-dir", str(tmp_path), "--method", "ttgpr", "--noise-members", "1"])


def test_records_are_plain_json(tmp_path: Path) -> None:
    assert json.loads(json.dumps(record_of(system(), cases()[1])))["patient"] == "crop 01"

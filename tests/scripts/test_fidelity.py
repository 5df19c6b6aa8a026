"""The command draws what training draws, and writes its report."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from bundle.data import phantom_datalist, phantom_seed
from bundle.functional.fidelity_pairs import Pair
from scripts.fidelity import CONFIG, main, training_pairs

SMALL = {"spacing_mm": 0.1, "height_mm": 50.0, "width_mm": 40.0, "view": "CC"}
SAMPLES = 6


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("normals")
    phantom_datalist(folder, count=2, first_seed=phantom_seed("tune", 80), calcified=False, **SMALL)
    return folder


@pytest.fixture(scope="module")
def pairs(normals: Path) -> list[Pair]:
    arguments = argparse.Namespace(normals=str(normals), output_dir=normals, phantom_dir=None, phantoms=0, seed=3)
    dataset, _ = training_pairs(arguments)
    return [dataset[n] for n in range(SAMPLES)]  # type: ignore[misc]


def test_pairs_are_the_samples_of_training(pairs: list[Pair], normals: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    parser.update({"dataset_dir": str(normals), "phantom_count": 0, "seed": 3})
    dataset = parser.get_parsed_content("train::dataset")
    for n, pair in enumerate(pairs):
        sample = dataset[n]
        assert torch.equal(torch.as_tensor(sample["image"])[0], torch.from_numpy(pair.image))
        assert torch.equal(torch.as_tensor(sample["label"])[0], torch.from_numpy(pair.label))


def test_twins_differ_by_the_puncta_alone(pairs: list[Pair]) -> None:
    assert {bool(pair.injection.puncta) for pair in pairs} == {True, False}
    for pair in pairs:
        assert (pair.injected >= pair.before).all()
        changed = pair.injected != pair.before
        assert changed.any() == (pair.label > 0)[~pair.screened].any()
        if not pair.injection.puncta:
            np.testing.assert_array_equal(pair.image, pair.clean)
        # Blur and rods reach beyond the label, but no more than a small part of the patch changes.
        assert changed.mean() < 0.15


def test_the_control_differs_everywhere_in_the_breast(pairs: list[Pair]) -> None:
    for pair in pairs:
        tissue = pair.image > -1
        assert np.mean(pair.control[tissue] != pair.image[tissue]) > 0.3


def test_one_command_writes_page_pictures_and_figures(
    normals: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["--output-dir", str(tmp_path), "--normals", str(normals), "--patches", "8"]
    assert main(command) == 0
    assert "fidelity.html" in capsys.readouterr().out
    assert (tmp_path / "fidelity.html").stat().st_size > 100_000
    assert len(list(tmp_path.glob("*.png"))) >= 7
    assert json.loads((tmp_path / "fidelity.json").read_text())["facts"]["Patches"] == "8"


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--output-dir", str(tmp_path), "--normals", str(tmp_path / "nothing")]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("fidelity: ")

"""What the command writes is what the project trains on, it goes on where it stopped, and nnU-Net accepts it."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from bundle.baselines.nnunet_files import case_name
from bundle.data.phantom import phantom_datalist
from scripts import nnunet
from scripts.shipped import ROOT

SMALL = {"spacing_mm": 0.2, "height_mm": 60.0, "width_mm": 48.0}
FOLDER = "Dataset501_Microcalcifications"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    phantom_datalist(folder, count=1, first_seed=3, calcified=False, **SMALL)
    for label in folder.glob("*.png"):
        label.unlink()
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    phantom_datalist(folder, count=1, first_seed=9, **SMALL)
    return folder


def values(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)[..., 0].T  # type: ignore[attr-defined]


def pairs(raw: Path, clean: Path, count: int, *more: str) -> Path:
    options = ["--normals", str(clean), "--phantom-count", "0", "--window-px", "64", *more]
    nnunet.main(["pairs", "--raw", str(raw), "--count", str(count), *options])
    return raw / FOLDER


def test_pairs_are_the_samples_of_a_training_and_an_export_goes_on(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pairs(tmp_path, clean, 1)
    first = (tmp_path / FOLDER / "labelsTr" / "case_00000.nii.gz").stat().st_mtime_ns
    folder = pairs(tmp_path, clean, 2)
    assert (folder / "labelsTr" / "case_00000.nii.gz").stat().st_mtime_ns == first
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2
    assert "nnUNetv2_train 501 2d 0" in capsys.readouterr().out
    parser = ConfigParser(ConfigParser.load_config_file(str(ROOT / "configs" / "train.yaml")))
    parser.update({"dataset_dir": str(clean), "phantom_count": 0, "window_px": 64})
    sample = parser.get_parsed_content("train::dataset")[1]
    assert np.array_equal(values(folder / "imagesTr" / "case_00001_0000.nii.gz"), np.asarray(sample["image"])[0])
    assert np.array_equal(values(folder / "labelsTr" / "case_00001.nii.gz"), np.asarray(sample["label"])[0])
    with pytest.raises(SystemExit, match="take another --number"):
        pairs(tmp_path, clean, 2, "--seed", "1")


def test_masks_come_with_their_whole_views(labelled: Path, tmp_path: Path) -> None:
    nnunet.main(["masks", "--raw", str(tmp_path), "--images", str(labelled), "--masks", str(labelled)])
    label = values(tmp_path / FOLDER / "labelsTr" / "case_00000.nii.gz")
    assert (label == 1).any()
    image = values(tmp_path / FOLDER / "imagesTr" / "case_00000_0000.nii.gz")
    assert image.shape == label.shape
    assert image.min() == -1
    zooms = nib.load(tmp_path / FOLDER / "imagesTr" / "case_00000_0000.nii.gz").header.get_zooms()
    np.testing.assert_allclose(zooms[:2], 0.2)


def test_views_to_predict_are_named_by_their_pixels(clean: Path, tmp_path: Path) -> None:
    nnunet.main(["views", "--input", str(clean), "--output-dir", str(tmp_path / "in")])
    (path,) = (tmp_path / "in").iterdir()
    assert path.name == f"{case_name(values(path))}_0000.nii.gz"


def test_missing_masks_are_one_line(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: "):
        nnunet.main(["masks", "--raw", str(tmp_path), "--images", str(clean), "--masks", str(tmp_path / "none")])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nnunets_own_verification_accepts_it(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setitem(os.environ, name, str(tmp_path))
    integrity = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    nnunet.main(["masks", "--raw", str(tmp_path), "--images", str(labelled), "--masks", str(labelled)])
    integrity.verify_dataset_integrity(str(tmp_path / FOLDER), num_processes=1)

"""What the command writes is what the project trains on, it goes on where it stopped, and nnU-Net accepts it."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from bundle.baselines.nnunet_files import case_name
from bundle.data.phantom import phantom_datalist
from scripts import nnunet
from scripts.compare_systems import read_losses
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


def test_narrow_adds_a_configuration_and_leaves_the_planned_ones(tmp_path: Path) -> None:
    planned = {"network_class_name": "PlainConvUNet", "arch_kwargs": {"n_stages": 8, "conv_bias": True}}
    plans = {"configurations": {"2d": {"patch_size": [512, 512], "batch_size": 12, "architecture": planned}}}
    path = tmp_path / FOLDER / nnunet.PLANS
    path.parent.mkdir()
    path.write_text(json.dumps(plans))
    nnunet.main(["narrow", "--preprocessed", str(tmp_path)])
    written = json.loads(path.read_text())
    narrow = written["configurations"].pop("2d_narrow")
    assert written == plans
    arguments = narrow["architecture"]["arch_kwargs"]
    assert narrow["inherits_from"] == "2d"
    assert arguments["conv_bias"] is True
    sides = 256 / np.cumprod(arguments["strides"], axis=0)[:, 0]
    assert len(sides) == arguments["n_stages"] == len(arguments["features_per_stage"])
    assert sides[-1] == 4  # the least that nnU-Net's planner goes down to
    assert len(arguments["n_conv_per_stage_decoder"]) == arguments["n_stages"] - 1


def test_plans_that_are_missing_or_of_another_program_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="plan_and_preprocess"):
        nnunet.main(["narrow", "--preprocessed", str(tmp_path)])
    path = tmp_path / FOLDER / nnunet.PLANS
    path.parent.mkdir()
    path.write_text(json.dumps({"configurations": {"3d_fullres": {}}}))
    with pytest.raises(SystemExit, match="plan first"):
        nnunet.main(["narrow", "--preprocessed", str(tmp_path)])


def log(folder: Path, name: str, losses: dict[int, float]) -> None:
    stamp = "2026-11-30 02:00:00.000000"
    lines = [
        f"{stamp}: Epoch {epoch} \n{stamp}: train_loss {loss} \n{stamp}: val_loss 9.0 "
        for epoch, loss in losses.items()
    ]
    (folder / name).write_text("\n".join(lines))


def test_losses_are_those_of_the_last_run_of_each_epoch(tmp_path: Path) -> None:
    log(tmp_path, "training_log_2026_9_30_23_00_00.txt", {0: 0.5, 1: -0.125, 2: 7.0})
    log(tmp_path, "training_log_2026_10_1_01_00_00.txt", {2: -0.25})
    nnunet.main(["losses", "--results", str(tmp_path), "--output", str(tmp_path / "losses.csv")])
    assert read_losses(tmp_path / "losses.csv") == (0.5, -0.125, -0.25)


def test_a_folder_without_logs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="train first"):
        nnunet.main(["losses", "--results", str(tmp_path), "--output", str(tmp_path / "losses.csv")])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_model_keeps_what_predicts_and_halves_its_kernels(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results, folder = tmp_path / "results", tmp_path / "model"
    (results / "fold_0").mkdir(parents=True)
    kernel = torch.full((2, 1, 3, 3), 0.1)
    weights = {"conv.weight": kernel, "all.0.weight": kernel, "norm.weight": torch.full((2,), 0.1)}
    trained = {"network_weights": weights, "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1)}
    losses = [np.float64(0.5), np.float32(0.25)]
    trained |= {"init_args": {"configuration": "2d_narrow", "fold": 0}, "logging": {"losses": losses}}
    torch.save(trained, results / "fold_0" / "checkpoint_final.pth")
    for name in ("plans.json", "dataset.json"):
        (results / name).write_text(json.dumps({"name": name}))
    nnunet.main(["model", "--results", str(results), "--output-dir", str(folder)])
    written = folder / "fold_0" / "checkpoint_final.pth"
    assert capsys.readouterr().out == f"{written}\n"
    kept = torch.load(written, weights_only=True)
    assert kept["init_args"] == {"configuration": "2d_narrow"}
    assert "logging" not in kept
    assert kept["trainer_name"] == "nnUNetTrainer"
    assert kept["inference_allowed_mirroring_axes"] == (0, 1)
    halved = kept["network_weights"]
    assert halved["conv.weight"].dtype == torch.float16
    assert torch.equal(halved["norm.weight"], weights["norm.weight"])
    assert halved["all.0.weight"].data_ptr() == halved["conv.weight"].data_ptr()
    assert torch.allclose(halved["conv.weight"].float(), weights["conv.weight"], rtol=1e-3)
    assert json.loads((folder / "plans.json").read_text()) == {"name": "plans.json"}


def test_the_shipped_model_is_plain_data_of_the_narrow_configuration() -> None:
    folder = ROOT / "models" / "compared" / "nnunet"
    trained = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    kernels = {each.data_ptr(): each for each in trained["network_weights"].values() if each.ndim > 1}
    assert 2.0e6 < sum(each.numel() for each in kernels.values()) < 2.2e6
    name = trained["init_args"]["configuration"]
    assert json.loads((folder / "plans.json").read_text())["configurations"][name]["patch_size"] == [256, 256]
    assert len(read_losses(folder / "losses.csv")) == 50


def test_a_training_that_has_not_ended_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"fold_N/checkpoint_final\.pth"):
        nnunet.main(["model", "--results", str(tmp_path), "--output-dir", str(tmp_path / "model")])


def test_nnunets_own_verification_accepts_it(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setitem(os.environ, name, str(tmp_path))
    integrity = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    nnunet.main(["masks", "--raw", str(tmp_path), "--images", str(labelled), "--masks", str(labelled)])
    integrity.verify_dataset_integrity(str(tmp_path / FOLDER), num_processes=1)

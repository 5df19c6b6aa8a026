"""MONAI Label with this bundle, over HTTP against the really started server."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigWorkflow
from numpy.typing import NDArray
from PIL import Image

from bundle.data import MammogramReader, phantom_datalist
from tests.hosts.label_server import NAME, LabelServer, missing

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "-")]
# A view of one window of the network.
SPACING_MM, HEIGHT_MM, WIDTH_MM = 0.2, 50.0, 40.0
MAGNIFICATION = 1.05
# Of views in other formats.
GIVEN = {"default_spacing_mm": SPACING_MM, "method": "segmentor"}
NIFTI_AFFINE = np.array([[-SPACING_MM, 0, 0, 12], [0, -SPACING_MM, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1]])
FILES = {"view_dicom": "view_dicom.dcm", "view_png": "view_png.png", "view_nifti": "view_nifti.nii.gz"}


@pytest.fixture(scope="module")
def label(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """What is true of the one view, (rows, columns)."""
    return np.asarray(Image.open(_phantom(tmp_path_factory.getbasetemp() / "phantom")["label"]))


def _phantom(folder: Path) -> dict[str, Any]:
    (item,) = phantom_datalist(
        folder, count=1, first_seed=7, calcified=True, spacing_mm=SPACING_MM, height_mm=HEIGHT_MM, width_mm=WIDTH_MM
    )
    return item


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom with calcifications as DICOM, PNG and NIfTI, and a file that is none."""
    folder = tmp_path_factory.mktemp("studies")
    item = _phantom(tmp_path_factory.getbasetemp() / "phantom")
    dataset = pydicom.dcmread(item["image"])
    dataset.EstimatedRadiographicMagnificationFactor = str(MAGNIFICATION)
    dataset.save_as(folder / FILES["view_dicom"])
    pixels = MammogramReader().view(item["image"]).pixels
    grey = np.round((pixels - pixels.min()) / np.ptp(pixels) * 30000).astype(np.uint16)
    Image.fromarray(grey).save(folder / FILES["view_png"])
    nib.save(nib.Nifti1Image(grey.T[..., None].astype(np.int16), NIFTI_AFFINE), folder / FILES["view_nifti"])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing of an image")
    return folder


@pytest.fixture(scope="module")
def server(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelServer]:
    served = LabelServer(studies, tmp_path_factory.mktemp("label") / "app")
    yield served
    served.stop()


def _own_mask(file: Path, folder: Path, **options: Any) -> NDArray[np.bool_]:
    """What `python -m monai.bundle run --config_file configs/inference.yaml` writes for a file, (rows, columns)."""
    workflow = ConfigWorkflow(
        str(ROOT / "configs" / "inference.yaml"),
        workflow_type="infer",
        bundle_root=str(ROOT),
        device="cpu",
        input=str(file),
        output_dir=str(folder),
        **options,
    )
    workflow.initialize()
    workflow.run()
    (mask,) = folder.glob("*_mask.png")
    return np.asarray(Image.open(mask)) > 0


def _as_image(answer: bytes, path: Path) -> nib.Nifti1Image:
    path.write_bytes(answer)
    return nib.load(path)  # type: ignore[return-value]


def test_the_server_lists_the_bundle_its_label_and_its_training(server: LabelServer) -> None:
    told = server.get("/info/")
    assert told["labels"] == ["microcalcification"]
    assert told["models"][NAME]["labels"] == {"microcalcification": 1}
    assert (told["models"][NAME]["type"], told["models"][NAME]["dimension"]) == ("segmentation", 2)
    assert told["models"][NAME]["config"]["model_filename"] == ["model.pt", "generator_ema.pt"]
    assert list(told["trainers"]) == [NAME]
    assert told["datastore"]["total"] == len(FILES) + 1


def test_a_dicom_answer_is_the_bundles_own_mask_over_the_file(
    server: LabelServer, studies: Path, tmp_path: Path
) -> None:
    status, answer = server.infer("view_dicom")
    assert status == 200, answer
    image = _as_image(answer, tmp_path / "answer.nii.gz")
    expected = _own_mask(studies / FILES["view_dicom"], tmp_path / "own")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), expected.T[..., None])
    assert expected.any()
    # As viewers show the file, which knows of no magnification.
    spacing = [float(side) for side in pydicom.dcmread(studies / FILES["view_dicom"]).ImagerPixelSpacing]
    np.testing.assert_allclose(image.affine, np.diag([-spacing[1], -spacing[0], 1, 1]), atol=1e-6)


def test_a_nifti_answer_has_shape_and_affine_of_its_image(server: LabelServer, studies: Path, tmp_path: Path) -> None:
    status, answer = server.infer("view_nifti", method="segmentor")
    assert status == 200, answer
    image, source = _as_image(answer, tmp_path / "answer.nii.gz"), nib.load(studies / FILES["view_nifti"])
    assert image.shape == source.shape  # type: ignore[attr-defined]
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-6)  # type: ignore[attr-defined]
    expected = _own_mask(studies / FILES["view_nifti"], tmp_path / "own", method="segmentor")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, expected)
    assert expected.any()


def test_a_png_answer_is_a_png_of_the_same_size(server: LabelServer, studies: Path, tmp_path: Path) -> None:
    status, answer = server.infer("view_png", **GIVEN)
    assert status == 200, answer
    (tmp_path / "answer.png").write_bytes(answer)
    mask = np.asarray(Image.open(tmp_path / "answer.png"))
    expected = _own_mask(studies / FILES["view_png"], tmp_path / "own", **GIVEN)
    np.testing.assert_array_equal(mask, expected)
    assert expected.any()


def test_what_cannot_be_read_is_told_in_one_line_and_the_server_goes_on(server: LabelServer, studies: Path) -> None:
    for answer, line in (
        (server.infer("broken", **GIVEN), "damaged or truncated"),
        (server.infer(file=studies / "broken.png", **GIVEN), "damaged or truncated"),
        (server.infer("view_png"), "Expected a pixel spacing, found none"),
        (server.infer("never heard of".replace(" ", "_")), "Expected an existing file"),
    ):
        assert answer[0] == 422, answer
        told = json.loads(answer[1])["detail"]
        assert line in told
        assert len(told.splitlines()) == 1
    assert server.get("/info/")["datastore"]["total"] == len(FILES) + 1


def test_saved_labels_are_trained_on_and_the_shipped_weights_stay(
    server: LabelServer, label: NDArray[np.uint8], tmp_path: Path
) -> None:
    shipped = (ROOT / "models" / "model.pt").read_bytes()
    affine = np.diag([-SPACING_MM, -SPACING_MM, 1, 1])
    nib.save(nib.Nifti1Image(label.T[..., None], affine), tmp_path / "label.nii.gz")
    assert server.save_label("view_dicom", tmp_path / "label.nii.gz")[0] == 200
    assert server.get("/info/")["datastore"]["completed"] == 1
    status, answer = server.train(max_epochs=1, val_split=0)
    assert status == 200, (answer, server.tail())
    models = server.bundle / "models"
    assert hashlib.sha256((models / "model.pt").read_bytes()).digest() == hashlib.sha256(shipped).digest()
    old, new = (torch.load(models / name, weights_only=True) for name in ("model.pt", "model_labelled.pt"))
    assert list(old) == list(new)
    assert any(not torch.equal(old[key], new[key]) for key in old)
    assert len((server.bundle / "runs" / "labelled" / "losses.csv").read_text().splitlines()) == 1
    status, answer = server.infer("view_nifti", method="segmentor", model_filename="model_labelled.pt")
    assert status == 200, answer

"""A mask lies over the file that was read, whatever its axes are, and whatever the reader does with them."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from bundle.data import LoadMammogramd
from bundle.transforms import MaskInFileGridd
from bundle.transforms.file_grid import suffix_of_answer
from tests.data.mg_dicom import stored_view, write_mg

COLUMNS_FIRST = np.array([[-0.1, 0, 0, 5], [0, -0.08, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
ROWS_FIRST = COLUMNS_FIRST[:, [1, 0, 2, 3]]
STANDING = COLUMNS_FIRST[:, [0, 2, 1, 3]]


def answered(path: Path, **options: Any) -> dict:
    """The file read, with one pixel predicted: the brightest."""
    data = LoadMammogramd(**options)({"image": str(path)})
    image = torch.as_tensor(data["image"])
    pred = torch.where(image == image.max(), 10.0, -10.0)
    return MaskInFileGridd()({**data, "pred": pred, "breast": torch.ones_like(image)})


def volume(shape: tuple[int, ...]) -> np.ndarray:
    """Values of which one is the largest."""
    values = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    values[tuple(size // 3 for size in shape)] = 2
    return values


@pytest.mark.parametrize(
    ("shape", "affine"),
    [((70, 90, 1), COLUMNS_FIRST), ((90, 70, 1), ROWS_FIRST), ((70, 1, 90), STANDING), ((70, 90), COLUMNS_FIRST)],
    ids=["columns first", "rows first", "rows along z", "two axes"],
)
def test_a_nifti_answer_has_its_pixels_where_the_file_has_them(
    tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray
) -> None:
    values = volume(shape)
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "a.nii.gz")
    result = answered(tmp_path / "a.nii.gz")
    mask = np.asarray(result["pred"])[0]
    assert mask.shape == (*shape, 1)[:3]
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask.reshape(shape), values == 2)
    np.testing.assert_array_equal(np.asarray(result["image"])[0].reshape(shape), values)
    np.testing.assert_allclose(result["pred"].affine, affine, atol=1e-6)


def test_what_a_host_restores_is_there(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(volume((70, 90, 1)), COLUMNS_FIRST), tmp_path / "a.nii.gz")
    meta = answered(tmp_path / "a.nii.gz")["image"].meta
    assert list(meta["spatial_shape"]) == [70, 90, 1]
    np.testing.assert_allclose(meta["original_affine"], COLUMNS_FIRST, atol=1e-6)


def test_a_given_pixel_size_leaves_the_grid_of_the_file(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(volume((70, 90, 1)), COLUMNS_FIRST), tmp_path / "a.nii.gz")
    result = answered(tmp_path / "a.nii.gz", spacing_mm=0.05)
    np.testing.assert_allclose(result["pred"].affine, COLUMNS_FIRST, atol=1e-6)


@pytest.mark.train
@pytest.mark.parametrize(
    "header",
    [
        {"ImagerPixelSpacing": [0.1, 0.08]},
        {"ImagerPixelSpacing": [0.1, 0.08], "EstimatedRadiographicMagnificationFactor": "1.07"},
        {"ImagerPixelSpacing": None, "PixelSpacing": [0.1, 0.08]},
        {
            "ImagerPixelSpacing": [0.1, 0.08],
            "ImagePositionPatient": [1, 2, 3],
            "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
        },
    ],
    ids=["plain", "magnified", "pixel spacing alone", "oriented"],
)
def test_the_grid_of_a_dicom_file_is_the_one_that_itk_shows(tmp_path: Path, header: dict) -> None:
    itk = pytest.importorskip("itk")
    path = write_mg(tmp_path / "a.dcm", stored_view(), **header)
    shown = itk.imread(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(shown.GetDirection()) * np.array(itk.spacing(shown))
    affine[:3, 3] = itk.origin(shown)
    result = answered(path)
    np.testing.assert_allclose(result["pred"].affine, np.diag([-1, -1, 1, 1]) @ affine, atol=1e-6)
    assert list(np.asarray(result["pred"]).shape[1:]) == list(itk.size(shown))


def test_a_file_without_a_pixel_size_has_one_of_1_mm_as_viewers_show_it(tmp_path: Path) -> None:
    grey = (volume((90, 70)) * 100).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    result = answered(tmp_path / "a.png", default_spacing_mm=0.1)
    np.testing.assert_array_equal(np.asarray(result["pred"])[0, ..., 0].T, grey == grey.max())
    np.testing.assert_array_equal(result["pred"].affine, np.diag([-1, -1, 1, 1]))


def test_an_answer_is_never_lossy_and_a_wish_is_followed(tmp_path: Path) -> None:
    names = {"a.dcm": ".nii.gz", "1.2.840": ".nii.gz", "a.jpeg": ".png", "a.TIF": ".png", "a.png": "", "a.nii.gz": ""}
    assert {name: suffix_of_answer(name) for name in names} == names
    path = write_mg(tmp_path / "a.dcm", stored_view())
    assert answered(path)["result_extension"] == ".nii.gz"
    data = LoadMammogramd()({"image": str(path), "result_extension": ".nrrd"})
    assert MaskInFileGridd()({**data, "pred": torch.zeros(1, 96, 80)})["result_extension"] == ".nrrd"


def test_an_image_of_unknown_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="read the view with LoadMammogramd"):
        MaskInFileGridd()({"image": torch.zeros(1, 4, 4), "pred": torch.zeros(1, 4, 4)})

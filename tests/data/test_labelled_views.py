from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle.data import MammogramError
from bundle.data.labelled_views import CEILING_COUNT, LoadAnnotationd, ceiling_cases, come_with_labels, labelled_views
from bundle.data.shift_benchmark import CONDITIONS, RANGES, shift_cases


def own(folder: Path, *, masks: bool = True) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 255, (80, 70), dtype=np.uint8)).save(folder / f"{name}.png")
    if masks:
        mask = np.zeros((80, 70), np.uint8)
        mask[10, 12] = 1
        Image.fromarray(mask).save(folder / "a_mask.png")
    return folder


def test_ceiling_views_share_no_seed_with_any_view_of_the_benchmark() -> None:
    tested = [case for condition in CONDITIONS for case in shift_cases("test", condition)]
    used = {case.parameters.seed for case in [*tested, *shift_cases("tuning", "reference")]}
    ours = [case.parameters.seed for case in ceiling_cases(CEILING_COUNT)]
    assert len(set(ours)) == CEILING_COUNT
    assert not used & set(ours)


def test_ceiling_views_are_of_the_kind_that_is_tested_on() -> None:
    low, high = RANGES["test"].thickness_mm
    assert all(low <= case.parameters.breast.outline.thickness_mm <= high for case in ceiling_cases(9))
    assert [case.calcified for case in ceiling_cases(6)] == [True, True, False] * 2


def test_rendered_views_come_with_their_labels(tmp_path: Path) -> None:
    (item,) = labelled_views("", "", ceiling_dir=str(tmp_path), ceiling_count=1)
    assert Path(item["image"]).exists()
    assert (np.asarray(Image.open(item["label"])) == 1).any()


def test_own_views_are_paired_and_clean_ones_have_no_label(tmp_path: Path) -> None:
    folder = str(own(tmp_path))
    views = labelled_views(folder, folder, ceiling_dir="", missing_is_clean=True)
    assert [(Path(v["image"]).name, Path(v["label"]).name) for v in views] == [("a.png", "a_mask.png"), ("b.png", "")]


def test_what_does_not_fit_ends_in_one_line(tmp_path: Path) -> None:
    folder = str(own(tmp_path))
    with pytest.raises(MammogramError, match=r"b\.png: Expected a mask"):
        labelled_views(folder, folder, ceiling_dir="")
    with pytest.raises(MammogramError, match="--masks_dir"):
        labelled_views(folder, "", ceiling_dir="")
    with pytest.raises(ValueError, match="at least 1 rendered view"):
        labelled_views("", "", ceiling_dir="", ceiling_count=0)


def loaded(path: str) -> torch.Tensor:
    image = MetaTensor(torch.zeros(1, 80, 70), meta={"spacing_mm": np.array([0.07, 0.07])})
    return LoadAnnotationd()({"image": image, "label": path})["label"]


def test_a_truth_becomes_a_label_and_none_an_empty_one(tmp_path: Path) -> None:
    label = loaded(str(own(tmp_path) / "a_mask.png"))
    assert (label.shape, label.dtype) == ((1, 80, 70), torch.uint8)
    assert torch.nonzero(label[0]).tolist() == [[10, 12]]
    assert not loaded("").any()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((81, 70), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(MammogramError):
        loaded(str(tmp_path / "x.png"))


def test_views_come_with_labels_if_one_of_them_does() -> None:
    assert not come_with_labels([{"image": "a.png"}, {"image": "b.png"}])
    assert come_with_labels([{"image": "a.png"}, {"image": "b.png", "label": ""}])


def test_a_view_that_brings_no_truth_stays_without_one() -> None:
    view = {"image": MetaTensor(torch.zeros(1, 70, 80), meta={"spacing_mm": np.array([0.1, 0.1])})}
    assert list(LoadAnnotationd()(view)) == ["image"]


@pytest.mark.parametrize(("spacing_mm", "fits"), [(0.095, True), (0.1, True), (1.0, True), (0.08, False)])
def test_a_mask_may_be_in_the_grid_of_the_file_or_of_the_breast(tmp_path: Path, spacing_mm: float, fits: bool) -> None:
    """Viewers know of no magnification, so what they save has the pixel size at the detector."""
    mask = np.zeros((80, 70, 1), np.uint8)
    mask[20, 30] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([-spacing_mm, -spacing_mm, 1, 1])), tmp_path / "mask.nii.gz")
    meta = {"spacing_mm": np.array([0.095, 0.095]), "grid_affine": np.diag([-0.1, -0.1, 1, 1]), "grid_axes": [1, 0]}
    data = {"image": MetaTensor(torch.zeros(1, 70, 80), meta=meta), "label": str(tmp_path / "mask.nii.gz")}
    if fits:
        assert LoadAnnotationd()(data)["label"].nonzero().tolist() == [[0, 30, 20]]
    else:
        with pytest.raises(MammogramError, match=r"Expected the view's pixel spacing 0\.095 x 0\.095 mm, got 0\.08"):
            LoadAnnotationd()(data)

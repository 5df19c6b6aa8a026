"""The breast mask and window as dictionary transforms."""

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose

from bundle.data.errors import MammogramError, root_mammogram_error
from bundle.functional.breast import breast_mask, windowed_view
from bundle.transforms.mammogram import BreastMaskd, MammogramWindowd
from tests.functional.test_breast import SPACING_MM, disc_view

CHAIN = Compose([BreastMaskd(), MammogramWindowd()])


def meta_view(view: np.ndarray, **meta) -> MetaTensor:
    return MetaTensor(torch.from_numpy(view)[None], meta={"spacing_mm": np.asarray(SPACING_MM), **meta})


def test_they_are_the_functions_with_a_channel() -> None:
    view, _ = disc_view()
    result = CHAIN({"image": meta_view(view)})
    mask = breast_mask(view, spacing_mm=SPACING_MM)
    np.testing.assert_array_equal(result["breast"][0].numpy(), mask)
    np.testing.assert_array_equal(result["image"][0].numpy(), windowed_view(view, mask, spacing_mm=SPACING_MM))
    assert result["breast"].dtype == torch.bool
    assert result["image"].dtype == torch.float32


def test_metadata_travel_with_view_and_mask_and_the_input_is_left_alone() -> None:
    view, _ = disc_view()
    data = {"image": meta_view(view, view_position="MLO", affine=torch.diag(torch.tensor([2.0, 3, 1, 1]))), "label": 1}
    result = CHAIN(data)
    for key in ("image", "breast"):
        assert result[key].meta["view_position"] == "MLO"
        assert torch.equal(result[key].affine, data["image"].affine)
    assert result["label"] == 1
    assert set(data) == {"image", "label"}
    np.testing.assert_array_equal(data["image"][0].numpy(), view)


def test_plain_tensors_need_the_spacing_said() -> None:
    view, _ = disc_view()
    data = {"image": torch.from_numpy(view)[None]}
    with pytest.raises(MammogramError, match="spacing_mm"):
        BreastMaskd()(data)
    with_mask = BreastMaskd(spacing_mm=SPACING_MM)(data)
    windowed = MammogramWindowd(spacing_mm=SPACING_MM)(with_mask)["image"]
    assert torch.equal(windowed, CHAIN({"image": meta_view(view)})["image"].as_tensor())


def test_a_black_view_ends_in_one_line_that_names_the_file() -> None:
    black = meta_view(np.zeros((100, 100), np.float32), filename_or_obj="views/black.png")
    with pytest.raises(RuntimeError) as caught:
        CHAIN({"image": black})
    line = str(root_mammogram_error(caught.value))
    assert line.startswith("views/black.png: Expected a view with contrast, got 0")
    assert "\n" not in line


def test_a_constant_breast_and_a_batch_are_refused() -> None:
    view, truth = disc_view()
    constant = {"image": meta_view(np.full_like(view, 3)), "breast": torch.from_numpy(truth)[None]}
    with pytest.raises(MammogramError, match="contrast inside the breast"):
        MammogramWindowd()(constant)
    with pytest.raises(MammogramError, match=r"\(1, rows, columns\)"):
        BreastMaskd()({"image": meta_view(view)[None]})


def test_the_high_end_of_the_window_is_an_option() -> None:
    view, _ = disc_view()
    with_mask = BreastMaskd()({"image": meta_view(view)})
    lower = MammogramWindowd(high_value=0.5)(with_mask)["image"]
    inside = with_mask["breast"].as_tensor()
    assert lower.as_tensor()[inside].quantile(0.9985).item() < 0.5 < lower.max().item()


def test_a_missing_view_is_an_error_unless_allowed() -> None:
    with pytest.raises(KeyError):
        BreastMaskd()({"label": 1})
    assert BreastMaskd(allow_missing_keys=True)({"label": 1}) == {"label": 1}

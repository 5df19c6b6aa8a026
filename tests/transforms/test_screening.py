"""Screened spots on their way from the view into the label of a training pair."""

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor

from bundle.functional.injection import IGNORE, MICROCALCIFICATION
from bundle.transforms import RandBreastCropd, RandInjectMicrocalcificationsd, ScreenBackgroundd


def _view() -> dict:
    """A textured view with three bright spots of 5 px."""
    image = np.random.default_rng(0).normal(-0.3, 0.02, (1, 300, 300)).astype(np.float32)
    for row, column in ((100, 100), (150, 200), (220, 90)):
        image[0, row : row + 5, column : column + 5] += 0.6
    tensor = MetaTensor(torch.from_numpy(image))
    tensor.meta["spacing_mm"] = np.array([0.07, 0.07])
    return {"image": tensor}


def test_spots_are_ignored_and_tissue_is_not() -> None:
    ignore = ScreenBackgroundd()(_view())["ignore"]
    assert ignore.dtype == torch.bool
    assert ignore[0, 102, 102]
    assert not ignore[0, 50, 50]


def test_views_known_to_be_clean_are_not_screened() -> None:
    assert "ignore" not in ScreenBackgroundd()({**_view(), "known_clean": True})


def test_the_mask_follows_crop_scale_flip_and_turn() -> None:
    """Wherever the patch shows a spot, its mask is true: bright pixels and ignored ones coincide."""
    screened = ScreenBackgroundd()(_view())
    seen = 0
    for seed in range(12):
        crop = RandBreastCropd(window_px=128).set_random_state(seed=seed)(screened)
        bright = crop["image"] > 0.05
        assert crop["ignore"].shape == crop["image"].shape
        assert crop["ignore"][bright].all()
        seen += int(bright.sum())
    assert seen > 100


def test_ignored_places_go_into_the_label_and_injected_ones_win() -> None:
    screened = ScreenBackgroundd()(_view())
    transform = RandInjectMicrocalcificationsd(
        ranges={"empty_share": 0.0, "clusters": [2, 2], "puncta": [40, 40], "cnr": [20.0, 30.0]}
    )
    both = 0
    for seed in range(6):
        crop = RandBreastCropd(window_px=128).set_random_state(seed=seed)(screened)
        pair = transform.set_random_state(seed=seed)(crop)
        assert "ignore" not in pair
        label, ignore = pair["label"][0], crop["ignore"][0]
        assert set(label[ignore].unique().tolist()) <= {IGNORE, MICROCALCIFICATION}
        both += int((label[ignore] == MICROCALCIFICATION).sum())
    assert both > 0

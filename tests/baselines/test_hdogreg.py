import numpy as np
import pytest
import torch

from bundle.baselines import (
    HessianDifferenceOfGaussiansInferer,
    HybridInferer,
    NetworkInferer,
    nearest_to_perfect,
)
from bundle.inferers import WindowedInferer
from bundle.losses import SoftDiceLoss
from bundle.transforms import ProximityMapd

SPACING = (0.07, 0.07)


def view() -> torch.Tensor:
    rows, columns = np.indices((96, 96))
    image = np.full((96, 96), -0.4) + np.random.default_rng(0).normal(0, 0.002, (96, 96))
    for row, column in ((30, 30), (70, 70)):
        image += 0.4 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 1.5**2))
    return torch.tensor(image, dtype=torch.float32)[None, None]


def upper_half(windows: torch.Tensor) -> torch.Tensor:
    logits = torch.full_like(windows, -3.0)
    logits[..., :48, :] = 3.0
    return logits


def hybrid(**options: object) -> HybridInferer:
    return HybridInferer(upper_half, windowed=WindowedInferer(96), **options)


def test_it_keeps_whole_blobs_inside_the_region_and_drops_those_outside() -> None:
    pred = torch.sigmoid(hybrid()(view(), spacing_mm=SPACING))[0, 0] >= 0.5
    blobs = HessianDifferenceOfGaussiansInferer()(view(), spacing_mm=SPACING)[0, 0] >= 0
    assert blobs[30, 30]
    assert blobs[70, 70]
    assert torch.equal(pred[:48], blobs[:48])
    assert not pred[60:].any()


def test_the_fpn_row_paints_the_region_itself() -> None:
    pred = torch.sigmoid(NetworkInferer(upper_half, windowed=WindowedInferer(96))(view()))[0, 0] >= 0.5
    assert pred[:48].all()
    assert not pred[48:].any()


def test_a_region_below_its_threshold_keeps_nothing() -> None:
    # sigmoid(3) = 0.953
    assert (torch.sigmoid(hybrid(threshold=0.95)(view(), spacing_mm=SPACING)) >= 0.5).any()
    assert not (torch.sigmoid(hybrid(threshold=0.96)(view(), spacing_mm=SPACING)) >= 0.5).any()


def test_outside_objects_the_logit_is_at_its_limit() -> None:
    logits = hybrid()(view(), spacing_mm=SPACING)
    blobs = HessianDifferenceOfGaussiansInferer()(view(), spacing_mm=SPACING) >= 0
    assert (logits[~blobs] == -12).all()
    assert (logits.dtype, logits.shape) == (torch.float32, (1, 1, 96, 96))


def test_the_operating_point_is_the_nearest_to_the_corner() -> None:
    thresholds = [0.9, 0.7, 0.5, 0.3]
    # Distances to (0, 1): 0.50, 0.32, 0.45, 0.90.
    assert nearest_to_perfect(thresholds, [0.5, 0.75, 0.8, 0.9], [0.05, 0.2, 0.4, 0.9]) == 0.7
    assert nearest_to_perfect(thresholds, [0.5, 0.75, 0.8, 0.9], [0.05, 0.2, 0.4, 0.9], worst_fp_per_cm2=10.0) == 0.3
    with pytest.raises(ValueError, match="as many thresholds"):
        nearest_to_perfect([], [], [])


@pytest.mark.parametrize("drawn", [True, False], ids=["mask", "points"])
def test_training_targets_and_loss_fit_each_other(drawn: bool) -> None:
    label = torch.zeros(1, 40, 40, dtype=torch.uint8)
    label[0, 20 : 23 if drawn else 21, 20 : 23 if drawn else 21] = 1
    label[0, :5] = 2
    target = ProximityMapd(reach_px=10)({"label": label})["label"]
    assert target.shape == (2, 40, 40)
    assert torch.equal(target[0] == 1, label[0] == 1)
    assert torch.equal(target[1] == 0, label[0] == 2)
    perfect = torch.logit(target[:1].clamp(1e-6, 1 - 1e-6))[None]
    loss = SoftDiceLoss()
    assert loss(perfect, target[None]) < loss(torch.zeros(1, 1, 40, 40), target[None])
    ignored = perfect.clone()
    ignored[..., :5, :] = 20.0
    torch.testing.assert_close(loss(ignored, target[None]), loss(perfect, target[None]))
    with pytest.raises(ValueError, match="ProximityMapd"):
        loss(perfect, label[None])

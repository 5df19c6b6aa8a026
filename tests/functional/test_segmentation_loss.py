import math

import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss
from torch.nn import functional

from bundle.functional.segmentation_loss import (
    PIXELS_PER_OBJECT,
    dice_loss,
    focal_tversky_loss,
    object_cross_entropy,
    object_cross_entropy_sums,
    overlap_sums,
)
from bundle.losses import DiceFocalTverskyLoss


def _case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 1, 8, 8, generator=generator), (torch.rand(2, 1, 8, 8, generator=generator) > 0.7).float()


def test_dice_agrees_with_monai() -> None:
    probs, target = _case()
    expected = DiceLoss(batch=True, smooth_nr=1.0, smooth_dr=1.0)(probs, target)
    torch.testing.assert_close(dice_loss(*overlap_sums(probs, target)), expected)


def test_tversky_agrees_with_monai() -> None:
    probs, target = _case()
    expected = TverskyLoss(alpha=0.3, beta=0.7, batch=True, smooth_nr=1.0, smooth_dr=1.0)(probs, target)
    torch.testing.assert_close(focal_tversky_loss(*overlap_sums(probs, target), gamma=1.0), expected)


def test_half_a_tversky_index_gives_the_published_value() -> None:
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    assert focal_tversky_loss(one, zero, one, beta=1.0, alpha=1.0, smooth=0.0) == pytest.approx(0.5946, abs=1e-4)


def test_a_miss_costs_more_than_a_false_alarm() -> None:
    one, two = torch.tensor(5.0), torch.tensor(2.0)
    zero = torch.tensor(0.0)
    assert focal_tversky_loss(one, zero, two) > focal_tversky_loss(one, two, zero)


def test_perfect_prediction_costs_nothing() -> None:
    _, target = _case()
    assert DiceFocalTverskyLoss()(60 * target - 30, target.to(torch.uint8)) < 1e-4


def test_gradient_is_finite_at_perfection() -> None:
    _, target = _case()
    logits = (60 * target - 30).requires_grad_()
    DiceFocalTverskyLoss()(logits, target).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_ignored_pixels_have_no_gradient() -> None:
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    label = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    label[..., 0, :], label[..., 1, :] = 1, 2
    DiceFocalTverskyLoss()(logits, label).backward()
    assert logits.grad is not None
    assert (logits.grad[..., 1, :] == 0).all()
    assert (logits.grad[..., 0, :] < 0).all()
    assert (logits.grad[..., 2:, :] > 0).all()


def test_empty_patch_beside_a_full_one_costs_little() -> None:
    """Sums run over the batch: an empty patch with a near-empty prediction must not score like a miss."""
    label = torch.zeros(2, 1, 16, 16)
    label[0, :, 4:8, 4:8] = 1
    logits = 40 * label - 8.0
    assert DiceFocalTverskyLoss()(logits, label) < 0.15


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        DiceFocalTverskyLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))


def _squares(*corners_and_sides: tuple[int, int, int]) -> torch.Tensor:
    target = torch.zeros(1, 1, 64, 64)
    for row, column, side in corners_and_sides:
        target[..., row : row + side, column : column + side] = 1
    return target


def test_a_small_calcification_counts_for_as_much_as_a_larger_one() -> None:
    # Slopes at zero logits: all that pulls up on an object. Sides of 2 and 5 pixels, both within the window.
    target = _squares((10, 10, 2), (40, 40, 5))
    logits = torch.zeros_like(target).requires_grad_()
    object_cross_entropy(*object_cross_entropy_sums(logits, target)).backward()
    assert logits.grad is not None
    small, large = (-logits.grad[..., r : r + 10, r : r + 10].clamp_max(0).sum() for r in (8, 38))
    torch.testing.assert_close(small, large)
    torch.testing.assert_close(small, torch.tensor(0.5 * PIXELS_PER_OBJECT / (3 * PIXELS_PER_OBJECT)))


def test_cross_entropy_by_objects_is_that_of_torch_with_the_weights_written_out() -> None:
    target = _squares((10, 10, 2))
    logits = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    pixels = functional.binary_cross_entropy_with_logits(
        logits, target, weight=1 + target * (PIXELS_PER_OBJECT / 4 - 1), reduction="sum"
    )
    sums = object_cross_entropy_sums(logits, target)
    torch.testing.assert_close(object_cross_entropy(*sums), pixels / (2 * PIXELS_PER_OBJECT))


def test_a_faint_calcification_below_threshold_is_still_pulled_up_by_the_cross_entropy() -> None:
    # Where p is far below 0.5, the slope of overlap ratios vanishes with p (1 - p); that of the logarithm does not.
    label = _squares((10, 10, 3)).to(torch.uint8)
    slopes = []
    for lambda_objects in (0.0, 1.0):
        logits = torch.full(label.shape, -10.0).requires_grad_()
        DiceFocalTverskyLoss(lambda_objects=lambda_objects)(logits, label).backward()
        assert logits.grad is not None
        slopes.append(float(logits.grad[0, 0, 11, 11].abs()))
    assert slopes[0] < 1e-4 < 0.01 < slopes[1]


def test_cross_entropy_by_objects_leaves_out_what_is_ignored_and_bears_empty_batches() -> None:
    logits = torch.zeros(1, 1, 64, 64).requires_grad_()
    label = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    label[..., :5, :] = 2
    loss = DiceFocalTverskyLoss(lambda_dice=0.0, lambda_tversky=0.0, lambda_objects=1.0)(logits, label)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(math.log(2) * 59 * 64 / PIXELS_PER_OBJECT))
    assert logits.grad is not None
    assert (logits.grad[..., :5, :] == 0).all()

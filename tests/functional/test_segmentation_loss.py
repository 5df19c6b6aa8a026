import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss

from bundle.functional.segmentation_loss import dice_loss, focal_tversky_loss, overlap_sums
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

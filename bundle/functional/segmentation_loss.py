"""Dice and focal Tversky losses (eq. 3), with their sums over the whole batch, and a cross-entropy by objects."""

import torch
from torch import Tensor
from torch.nn import functional

# Pixels that each calcification counts for in the cross-entropy, and the window over which its area is taken: larger
# ones count for more, in proportion to their area over that of the window.
PIXELS_PER_OBJECT = 10.0
OBJECT_WINDOW_PX = 9


def overlap_sums(probs: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Soft true positives, false positives and false negatives, summed over everything.

    Args:
        probs: probabilities in [0, 1], any shape.
        target: 0 or 1, like `probs`.
        weight: 0 where a pixel does not count, like `probs`.

    Returns:
        Three scalars.
    """
    weight = torch.ones_like(probs) if weight is None else weight
    true_positive = (weight * probs * target).sum()
    return true_positive, (weight * probs * (1 - target)).sum(), (weight * (1 - probs) * target).sum()


def dice_loss(true_positive: Tensor, false_positive: Tensor, false_negative: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss, 1 - (2 TP + smooth) / (2 TP + FP + FN + smooth)."""
    return 1 - (2 * true_positive + smooth) / (2 * true_positive + false_positive + false_negative + smooth)


def focal_tversky_loss(
    true_positive: Tensor,
    false_positive: Tensor,
    false_negative: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
) -> Tensor:
    """Focal Tversky loss, (1 - TI)^(1 / gamma), Abraham and Khan 2019.

    Args:
        true_positive: soft count.
        false_positive: soft count, weighted by `alpha`.
        false_negative: soft count, weighted by `beta`.
        alpha: price of a false positive.
        beta: price of a false negative; above `alpha`, misses cost more.
        gamma: focus; 4/3 is an exponent of 0.75.
        smooth: added above and below.

    Returns:
        A scalar in [0, 1].
    """
    index = (true_positive + smooth) / (true_positive + alpha * false_positive + beta * false_negative + smooth)
    # The derivative of a power below one is infinite at zero.
    return (1 - index).clamp_min(1e-7) ** (1 / gamma)


def object_cross_entropy_sums(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cross-entropy in which a calcification of three pixels counts for as much as one of fifty.

    A positive pixel's weight is `PIXELS_PER_OBJECT` over the positive pixels in the window around it, so that the
    weights of an object that fits into the window add up to that number. Overlap ratios saturate where a pixel is
    surely wrong; the logarithm keeps faint calcifications apart from the background below any threshold.

    Args:
        logits: (B, 1, rows, columns).
        target: 0 or 1, like `logits`.
        weight: 0 where a pixel does not count, like `logits`.

    Returns:
        Two scalars, for `object_cross_entropy`: the weighted sum, and the weight of all positives.
    """
    weight = torch.ones_like(logits) if weight is None else weight
    area = functional.avg_pool2d(target, OBJECT_WINDOW_PX, 1, OBJECT_WINDOW_PX // 2, divisor_override=1)
    positive = weight * target * PIXELS_PER_OBJECT / area.clamp_min(1)
    negative = weight * (1 - target)
    total = (positive * functional.softplus(-logits) + negative * functional.softplus(logits)).sum()
    return total, positive.sum()


def object_cross_entropy(total: Tensor, positive: Tensor) -> Tensor:
    """The sum over the weight of all positives and that of one object more: a batch without any stays finite."""
    return total / (positive + PIXELS_PER_OBJECT)

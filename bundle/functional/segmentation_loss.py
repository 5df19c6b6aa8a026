"""Dice and focal Tversky losses (eq. 3), with their sums over the whole batch."""

import torch
from torch import Tensor


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

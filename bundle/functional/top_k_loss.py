"""DeepMiCa's loss: cross-entropy over all positive pixels and the hardest negative ones."""

import torch
from torch import Tensor
from torch.nn import functional as F

NEGATIVES_PER_POSITIVE = 3


def top_k_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor, *, negatives_per_positive: int = NEGATIVES_PER_POSITIVE
) -> Tensor:
    """Mean cross-entropy over every positive pixel and, per image, a multiple of hardest negatives.

    An image without a positive takes no part, so a batch without any has loss 0, with gradient 0.

    Args:
        logits: (B, 1, rows, columns).
        target: likewise, 0 or 1.
        weight: likewise; pixels of weight 0 are neither positive nor negative.
        negatives_per_positive: how many of the negatives with the largest loss count per positive pixel.

    Returns:
        A scalar.
    """
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chosen = []
    for loss, truth, counts in zip(losses, target > 0.5, weight > 0, strict=True):
        positive, negative = loss[truth & counts], loss[~truth & counts]
        k = min(negatives_per_positive * positive.numel(), negative.numel())
        chosen += [positive, negative.topk(k, sorted=False).values]
    every = torch.cat(chosen)
    return every.mean() if every.numel() else 0.0 * logits.sum()

"""DeepMiCa's loss as a module."""

import torch
from torch import Tensor, nn

from ..functional.confusion import IGNORE, MICROCALCIFICATION
from ..functional.top_k_loss import NEGATIVES_PER_POSITIVE, top_k_cross_entropy


class TopKCrossEntropyLoss(nn.Module):
    """Cross-entropy over all positive pixels and the hardest negatives; pixels on "ignore" count nowhere.

    Args:
        negatives_per_positive: how many of the hardest negatives count per positive pixel of an image.
    """

    def __init__(self, *, negatives_per_positive: int = NEGATIVES_PER_POSITIVE) -> None:
        super().__init__()
        self.negatives_per_positive = negatives_per_positive

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: (B, 1, rows, columns).
            label: (B, 1, rows, columns): 0 background, 1 microcalcification, 2 ignore.

        Returns:
            A scalar.

        Raises:
            ValueError: if the shapes differ.
        """
        if logits.shape != label.shape:
            raise ValueError(
                f"Expected logits and label of one shape, got {tuple(logits.shape)} and {tuple(label.shape)}"
            )
        label = torch.as_tensor(label)
        target, weight = (label == MICROCALCIFICATION).float(), (label != IGNORE).float()
        return top_k_cross_entropy(logits.float(), target, weight, negatives_per_positive=self.negatives_per_positive)

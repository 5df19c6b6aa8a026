"""The segmentor's loss (eq. 3) as a module."""

import torch
from torch import Tensor, nn

from ..functional.confusion import IGNORE, MICROCALCIFICATION
from ..functional.ranks import sum_over_ranks
from ..functional.segmentation_loss import (
    dice_loss,
    focal_tversky_loss,
    object_cross_entropy,
    object_cross_entropy_sums,
    overlap_sums,
)


class DiceFocalTverskyLoss(nn.Module):
    """lambda_dice * Dice + lambda_tversky * focal Tversky (eq. 3) + lambda_objects * cross-entropy by objects.

    Sums run over the batch, and over all processes of a distributed training, before the ratio: an empty patch with a
    near-empty prediction would otherwise score a loss near 1.

    Args:
        lambda_dice: weight of the Dice loss.
        lambda_tversky: weight of the focal Tversky loss.
        lambda_objects: weight of `object_cross_entropy`; 0 is the published loss.
        alpha: price of a false positive.
        beta: price of a false negative.
        gamma: focus; the exponent is 1 / gamma.
        smooth: added above and below the ratios.
    """

    def __init__(
        self,
        *,
        lambda_dice: float = 1.0,
        lambda_tversky: float = 1.0,
        lambda_objects: float = 0.0,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        smooth: float = 1.0,
    ) -> None:
        super().__init__()
        self.lambda_dice, self.lambda_tversky, self.lambda_objects = lambda_dice, lambda_tversky, lambda_objects
        self.alpha, self.beta, self.gamma, self.smooth = alpha, beta, gamma, smooth

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
        logits, target, weight = logits.float(), (label == MICROCALCIFICATION).float(), (label != IGNORE).float()
        sums = sum_over_ranks(*overlap_sums(logits.sigmoid(), target, weight))
        tversky = focal_tversky_loss(*sums, alpha=self.alpha, beta=self.beta, gamma=self.gamma, smooth=self.smooth)
        loss = self.lambda_dice * dice_loss(*sums, smooth=self.smooth) + self.lambda_tversky * tversky
        if self.lambda_objects:
            sums = sum_over_ranks(*object_cross_entropy_sums(logits, target, weight))
            loss = loss + self.lambda_objects * object_cross_entropy(*sums)
        return loss

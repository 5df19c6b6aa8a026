"""HDoGReg's loss as a module."""

import torch
from torch import Tensor, nn

from ..functional.proximity import SMOOTH, soft_dice_loss


class SoftDiceLoss(nn.Module):
    """Soft Dice between predicted and true proximity (HDoGReg, eq. 10).

    Args:
        smooth: epsilon of eq. 10.
    """

    def __init__(self, *, smooth: float = SMOOTH) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            logits: of the proximity, (B, 1, rows, columns).
            target: of `ProximityMapd`, (B, 2, rows, columns): proximity, and each pixel's weight.

        Returns:
            A scalar.

        Raises:
            ValueError: if the shapes do not fit.
        """
        if target.ndim != 4 or target.shape[1] != 2 or target[:, :1].shape != logits.shape:
            raise ValueError(
                f"Expected logits (B, 1, ...) and a target (B, 2, ...), got {tuple(logits.shape)} and "
                f"{tuple(target.shape)}; put ProximityMapd behind the label"
            )
        proximity, weight = torch.as_tensor(target).float().split(1, dim=1)
        return soft_dice_loss(logits.float().sigmoid(), proximity, weight, smooth=self.smooth)

"""The generator's loss (eq. 5) as a module."""

import torch
from torch import Tensor, nn

from ..functional.ranks import sum_over_ranks


class FlowMatchingLoss(nn.Module):
    """Weighted mean of (v - (x - z))^2, eq. 5, over the batch and all processes of a distributed training.

    Weights that follow from the state, the time and the condition alone leave the minimum where it is.
    """

    def forward(self, velocity: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            velocity: the generator's output, (B, 1, rows, columns).
            target: (B, 2, rows, columns): x - z, and each pixel's weight.

        Returns:
            A scalar.

        Raises:
            ValueError: if the shapes do not fit.
        """
        if target.ndim != 4 or target.shape[1] != 2 or target[:, :1].shape != velocity.shape:
            raise ValueError(
                "Expected a velocity (B, 1, ...) and a target (B, 2, ...), "
                f"got {tuple(velocity.shape)} and {tuple(target.shape)}"
            )
        expected, weight = torch.as_tensor(target).float().split(1, dim=1)
        total, weights = sum_over_ranks((weight * (velocity.float() - expected).square()).sum(), weight.sum())
        return total / weights

"""What the inpainter is trained with: the reconstruction loss, and pictures of a batch."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.pictures import Batch, Panel

MAX_SAMPLES = 4


class InpaintingLoss(nn.Module):
    """Weighted mean of abs(prediction - image), "reconstruction loss" in the supplement; its kind is ours.

    The absolute error asks for the median, so a calcification that stayed in the training views is not painted.
    """

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, 1, rows, columns).
            target: (B, 2, rows, columns): image, and each pixel's weight, from `RandBlindSpotsd`.

        Returns:
            A scalar; 0 where nothing has weight.

        Raises:
            ValueError: if the shapes do not fit.
        """
        if target.ndim != 4 or target.shape[1] != 2 or target[:, :1].shape != pred.shape:
            raise ValueError(
                f"Expected a prediction (B, 1, ...) and a target (B, 2, ...), got {tuple(pred.shape)} and "
                f"{tuple(target.shape)}"
            )
        image, weight = torch.as_tensor(target).float().split(1, dim=1)
        return (weight * (pred.float() - image).abs()).sum() / weight.sum().clamp(min=1.0)


def inpainter_panels(batch: Batch, output: Batch) -> list[list[Panel]]:
    """Per sample: the image with its blind spots, the image, the prediction there, and what is left.

    Args:
        batch: not looked at; the output holds it all.
        output: of MONAI's engine: image (B, 2, ...), label (B, 2, ...) and pred (B, 1, ...), or decollated.
    """
    sheet = []
    for stacked, pred in zip(_samples(output, "image"), _samples(output, "pred"), strict=True):
        image, hidden = stacked[0], stacked[1] > 0
        breast = image > -1
        low, high = np.percentile(image[breast], [1, 99.8]) if breast.any() else (-1.0, 1.0)
        grey = (float(low), float(max(high, low + 0.05)))
        filled = np.where(hidden, pred[0], image)
        sheet.append(
            [
                Panel("what is seen", np.where(hidden, grey[0], image), grey),
                Panel("prediction where hidden", filled, grey),
                Panel("image", image, grey),
                Panel("image less prediction, +-0.1", np.where(hidden, image - filled, 0), (-0.1, 0.1)),
            ]
        )
    return sheet


def _samples(data: Batch, key: str) -> list[np.ndarray]:
    values = data[key] if isinstance(data, Mapping) else [item[key] for item in data]
    return [torch.as_tensor(value).detach().float().cpu().numpy() for value in values[:MAX_SAMPLES]]

"""A window of a labelled view."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform


class RandLabelledCropd(RandomizableTransform, MapTransform):
    """A square patch of a view and its label around a drawn pixel, with a drawn flip and quarter turn.

    Args:
        image_key: (1, rows, columns) view in [-1, 1], -1 outside the breast; its meta holds `spacing_mm`.
        label_key: (1, rows, columns), 0 background, 1 microcalcification, 2 ignore.
        window_px: side of the patch.
        positive_share: share of the patches that are drawn around a microcalcification, where the view has one; the
            others lie around any pixel of the breast.

    The pixel size is stored under `spacing_mm`; everything else is dropped, so that patches of any view collate.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        *,
        window_px: int = 256,
        positive_share: float = 0.65,
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.label_key, self.window_px, self.positive_share = label_key, window_px, positive_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        rng = np.random.default_rng(self.R.randint(2**31, size=4))
        view, label = data[self.keys[0]], np.asarray(data[self.label_key])[0]
        image = np.asarray(view, np.float32)[0]
        positive = np.flatnonzero(label == 1)
        around = positive if len(positive) and rng.random() < self.positive_share else np.flatnonzero(image > -1)
        if not len(around):
            raise ValueError("Expected a view with a breast, got none; leave it out of the training")
        # Anywhere in the patch, so that microcalcifications do not always lie in its middle.
        centre = np.array(np.unravel_index(rng.choice(around), image.shape))
        corner = centre - rng.integers(0, self.window_px, 2)
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5

        def cut(values: np.ndarray, outside: float) -> torch.Tensor:
            patch = np.rot90(_patch(values, corner, self.window_px, outside), quarters)
            return torch.from_numpy(np.ascontiguousarray(patch[:, ::-1] if mirrored else patch))[None]

        return {
            self.keys[0]: cut(image, -1),
            self.label_key: cut(label, 0),
            "spacing_mm": float(np.asarray(view.meta["spacing_mm"])[0]),
        }


def _patch(values: np.ndarray, corner: np.ndarray, side: int, outside: float) -> np.ndarray:
    """A square of a view, moved inside where it can be; what reaches beyond the view is `outside`."""
    top, left = (int(np.clip(first, 0, max(size - side, 0))) for first, size in zip(corner, values.shape, strict=True))
    patch = values[top : top + side, left : left + side]
    return np.pad(patch, [(0, side - size) for size in patch.shape], constant_values=outside)

"""Candidates of a training pair as patches with a class, for context-sensitive detection."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform

from ..functional.classical import OUTSIDE
from ..functional.csd import CONTEXT_PX, cut_patches, training_candidates


class RandCandidatesd(RandomizableTransform, MapTransform):
    """Turn an image (1, rows, columns) and its label into patches around candidates, half of them positive if possible.

    Candidates whose patch would reach beyond the image are left out, unless the image is smaller than a patch: in a
    whole view tissue goes on there. Where candidates do not suffice, random places with label 0 take their part.

    Args:
        image_key: in [-1, 1], -1 outside the breast.
        label_key: 0 background, 1 microcalcification, 2 ignore.
        count: patches per image; MONAI's DataLoader puts those of all images into one batch.
        side_px: of the patches.

    The pixel size is `data["spacing_mm"]`.

    Returns a list of `count` dictionaries: `image_key`, (1, side_px, side_px); `label_key`, class 0 or 1, int64.
    """

    def __init__(
        self, image_key: str = "image", label_key: str = "label", *, count: int = 8, side_px: int = CONTEXT_PX
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.label_key, self.count, self.side_px = label_key, count, side_px

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:  # type: ignore[override]
        rng = np.random.default_rng(self.R.randint(2**31, size=4))
        image, label = (np.asarray(data[key])[0] for key in (self.keys[0], self.label_key))
        side_mm = float(data["spacing_mm"])
        positions, classes = training_candidates(image, label, spacing_mm=(side_mm, side_mm))
        inner = self._inner(image.shape)
        fits = inner[tuple(positions.T)]
        positions, classes = positions[fits], classes[fits]
        chosen = [rng.permutation(positions[classes == 1])[: self.count // 2]]
        negative = rng.permutation(positions[classes == 0])[: self.count - len(chosen[0])]
        missing = self.count - len(chosen[0]) - len(negative)
        empty = inner & (image > OUTSIDE) & (label == 0)
        chosen += [negative, rng.choice(np.argwhere(empty if empty.any() else label == 0), missing)]
        patches = cut_patches(image, np.concatenate(chosen).astype(np.int64), side_px=self.side_px)
        return [
            {self.keys[0]: torch.from_numpy(patch)[None], self.label_key: torch.tensor(int(n < len(chosen[0])))}
            for n, patch in enumerate(patches)
        ]

    def _inner(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where a patch fits into the image; everywhere if it fits nowhere, bool (rows, columns)."""
        rim = self.side_px // 2
        inner = np.zeros(shape, bool)
        inner[rim : shape[0] - rim, rim : shape[1] - rim] = True
        return inner if min(shape) > 2 * rim else np.ones(shape, bool)

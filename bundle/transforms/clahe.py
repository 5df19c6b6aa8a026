"""Contrast-limited adaptive histogram equalisation as a MONAI dictionary transform."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..functional.clahe import CLIP_LIMIT, TILE_PX, clahe


class Clahed(MapTransform):
    """Equalise a patch (1, rows, columns) in [-1, 1] as DeepMiCa does; see `bundle.functional.clahe`.

    Args:
        keys: of the images.
        clip_limit: of the contrast.
        tile_px: side of the tiles; a patch of that side has one.
        gamma: of the curve that follows.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        clip_limit: float = CLIP_LIMIT,
        tile_px: int = TILE_PX,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(keys)
        self.clip_limit, self.tile_px, self.gamma = clip_limit, tile_px, gamma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            patch = np.asarray(out[key], np.float32)[0]
            equal = clahe(patch, clip_limit=self.clip_limit, tile_px=self.tile_px, gamma=self.gamma)
            out[key] = torch.from_numpy(equal)[None]
        return out

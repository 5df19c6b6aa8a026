"""Screening of the views that backgrounds are cut from."""

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from ..functional.screening import MIN_PEAK, screen_background

logger = logging.getLogger(__name__)


class ScreenBackgroundd(MapTransform):
    """Find what may be an uncalled calcification in a negative view, so that training can leave it out.

    Args:
        image_key: (1, rows, columns) windowed to [-1, 1], -1 outside the breast; its meta holds `spacing_mm`.
        ignore_key: where the mask goes: bool (1, rows, columns).
        min_peak: least peak in local deviations; lower finds more.

    Views with a true `known_clean` (phantoms) pass unchanged: all that looks like a calcification there is none. So do
    those with a `label`, which says what is one.

    The number of spots and the share of the breast that is left out are logged for each view.
    """

    def __init__(self, image_key: str = "image", *, ignore_key: str = "ignore", min_peak: float = MIN_PEAK) -> None:
        super().__init__([image_key])
        self.ignore_key, self.min_peak = ignore_key, min_peak

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        if out.get("known_clean") or "label" in out:
            return out
        image = out[self.keys[0]]
        found = screen_background(np.asarray(image)[0], spacing_mm=image.meta["spacing_mm"], min_peak=self.min_peak)
        out[self.ignore_key] = torch.from_numpy(found.ignore)[None]
        logger.info("screening: %d spots, %.3f %% of the breast left out", found.n_spots, 100 * found.share)
        return out

"""A label as HDoGReg's regression target."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..functional.confusion import IGNORE, MICROCALCIFICATION
from ..functional.proximity import DECAY, REACH_PX, proximity_map


class ProximityMapd(MapTransform):
    """Turn a label (1, rows, columns) of 0, 1 and 2 into (2, rows, columns): proximity (eqs. 7-9), and weight.

    Drawn calcifications and single pixels of point annotations are treated alike. The weight is 0 on "ignore".

    Args:
        keys: of the labels.
        reach_px: xi.
        decay: alpha.
    """

    def __init__(self, keys: KeysCollection = "label", *, reach_px: float = REACH_PX, decay: float = DECAY) -> None:
        super().__init__(keys)
        self.reach_px, self.decay = reach_px, decay

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            label = np.asarray(out[key])[0]
            near = proximity_map(label == MICROCALCIFICATION, reach_px=self.reach_px, decay=self.decay)
            out[key] = torch.from_numpy(np.stack([near, (label != IGNORE).astype(np.float32)]))
        return out

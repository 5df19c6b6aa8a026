"""The generator's training sample: state, time, condition and target velocity (eqs. 4 and 5)."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn.functional import max_pool2d

from ..functional.flow import interpolate, velocity_target
from ..functional.seeds import degrade_seeds, seed_map

SEED_REACH_PX = 4


class RandFlowStated(RandomizableTransform, MapTransform):
    """Draw noise, time and incomplete seeds, so that sample n of the training is the same whoever makes it.

    Args:
        image_key: x, (1, rows, columns) in [-1, 1]; replaced by m_t = t x + (1 - t) z.
        label_key: y, (1, rows, columns); label 2 (ignore) gives no seed.
        target_key: where the velocity x - z goes, (2, rows, columns): the velocity, and each pixel's weight in the
            loss.
        complete_share: share of samples whose seeds are declared complete (second condition channel 1). In the others
            whole components lose their seeds and false ones appear, and the channel is 0: an absent seed means
            "unknown" there.
        max_drop: upper end of the drop probability of a component.
        max_false: largest number of false seeds.
        seed_weight: weight in the loss of pixels within `SEED_REACH_PX` of a seed that is given; 1 elsewhere. It
            follows from the condition alone, so the minimum of eq. 5 stays where it is, and what a seed means is
            learnt sooner: puncta are a few pixels in a thousand. A weight on the puncta themselves would teach to
            invent them.
        time_sigma: above 0, the weight is multiplied by sqrt((1 - t)^2 + time_sigma^2). The error of a velocity grows
            as 1 / (1 - t) towards the data, where only noise is left to guess, and would drown the times in between.

    Adds `t`, a scalar, and `condition`, (2, rows, columns): seed map and completeness.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        target_key: str = "velocity",
        *,
        complete_share: float = 0.5,
        max_drop: float = 0.5,
        max_false: int = 2,
        seed_weight: float = 30.0,
        time_sigma: float = 0.0,
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.label_key, self.target_key = label_key, target_key
        self.complete_share, self.max_drop, self.max_false = complete_share, max_drop, max_false
        self.seed_weight, self.time_sigma = seed_weight, time_sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        rng = np.random.default_rng(self.R.randint(2**31, size=4))
        x = torch.as_tensor(out[self.keys[0]]).float()
        mask = torch.as_tensor(out[self.label_key]) == 1
        seeds = seed_map(mask[None].float())[0, 0].numpy()
        complete = rng.random() < self.complete_share
        drop, false = (0.0, 0) if complete else (self.max_drop, self.max_false)
        seeds = degrade_seeds(seeds, mask[0].numpy(), rng, max_drop=drop, max_false=false)
        t = torch.tensor(rng.random(), dtype=torch.float32)
        z = torch.from_numpy(rng.standard_normal(x.shape, np.float32))
        out[self.keys[0]], out["t"] = interpolate(x, z, t), t
        given = torch.from_numpy(seeds).float()[None]
        near = max_pool2d(given, 2 * SEED_REACH_PX + 1, stride=1, padding=SEED_REACH_PX)
        weight = 1 + (self.seed_weight - 1) * near
        if self.time_sigma > 0:
            weight = weight * torch.hypot(1 - t, torch.tensor(self.time_sigma))
        out[self.target_key] = torch.cat([velocity_target(x, z), weight])
        out["condition"] = torch.cat([given, torch.full_like(given, float(complete))])
        return out

"""SegAI + R:SP1 and R:SP2: the map of a classical detector, weighted by a segmentor's pooled map.

SegAI by itself is a `NetworkInferer` with the U-Net of configs/train_segai.yaml.
"""

import torch
from monai.inferers import Inferer
from torch import Tensor

from ..functional.objects import Spacing
from ..functional.signal_refinement import refine_by_signal
from .classical import LOGIT_LIMIT, ClassicalInferer
from .network import Network, NetworkInferer


class SignalRefinedInferer(Inferer):
    """R:SP1 with a `DifferenceOfGaussiansInferer`, R:SP2 with a `TopHatInferer`.

    Args:
        segmentor: the system that is refined.
        signal: the detector; its probability is the signal map, 0 where its score is.
        threshold: product of both that becomes a probability of 0.5, in (0, 1); tune it.
        pool_px: side of the blocks over which the segmentor's map is averaged; the papers do not say it.

    Raises:
        ValueError: on a threshold out of its range.
    """

    def __init__(
        self, segmentor: NetworkInferer, signal: ClassicalInferer, *, threshold: float = 0.05, pool_px: int = 16
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), got {threshold:g}; tune it on tuning views")
        self.segmentor, self.signal = segmentor, signal
        self.threshold, self.pool_px = threshold, pool_px

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape.

        Raises:
            ValueError: on another shape, without a network, or when no spacing is known.
        """
        found = self.signal(inputs, spacing_mm=spacing_mm)
        # At its lower limit a classical logit stands for a score of 0.
        signal = torch.where(found > -LOGIT_LIMIT, torch.sigmoid(found), 0.0)
        probs = torch.sigmoid(self.segmentor(inputs, network))
        refined = refine_by_signal(probs, signal, pool_px=self.pool_px)
        logits = torch.logit(refined.double()) - torch.logit(torch.tensor(self.threshold, dtype=torch.float64))
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).float()

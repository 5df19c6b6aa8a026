"""Context-sensitive detection (Wang & Yang 2018) behind the inferers' interface."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import NDArray
from torch import Tensor

from ..functional.classical import SKIN_MARGIN_MM
from ..functional.csd import BLOB_RADIUS, CONTEXT_PX, DOG_THRESHOLD, OVERLAP, csd_score, cut_patches
from ..functional.objects import Spacing
from .classical import LOGIT_GAIN, ClassicalInferer
from .network import Network, chosen_network


class ContextSensitiveInferer(Inferer):
    """Candidates, their class by a network, and a disc at each; -12 outside the discs.

    Args:
        network: patches (N, 1, 95, 95) -> logits (N, 2); a network of the call goes first.
        threshold: probability of the network that becomes 0.5, in (0, 1).
        radius: of the discs in sigmas: sqrt(2), or 1 as in the published comparison, which fills half of a blob.
        dog_threshold: least response of a candidate, of the image scaled to [0, 1].
        overlap: share of a blob in another above which the smaller is dropped.
        batch_size: patches per call of the network.
        margin_mm: width left out along the skin.
        spacing_mm: row and column spacing when neither the call nor the image's meta gives one.

    Raises:
        ValueError: on a threshold out of its range.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        threshold: float = 0.5,
        radius: float = BLOB_RADIUS,
        dog_threshold: float = DOG_THRESHOLD,
        overlap: float = OVERLAP,
        batch_size: int = 256,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"Expected a threshold in (0, 1), got {threshold:g}; 0.5 is the likelier class")
        self.network, self.batch_size, self.spacing_mm = network, batch_size, spacing_mm
        # Classical logits are LOGIT_GAIN log(score / threshold), so a score is exp(logit / LOGIT_GAIN).
        self.threshold_score = math.exp(math.log(threshold / (1 - threshold)) / LOGIT_GAIN)
        self.parameters: dict[str, Any] = {
            "radius": radius,
            "dog_threshold": dog_threshold,
            "overlap": overlap,
            "margin_mm": margin_mm,
        }

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape.

        Raises:
            ValueError: on another shape, without a network, or when no spacing is known.
        """
        classify = partial(self._scores, chosen_network(network, self.network), inputs.device)
        detector = ClassicalInferer(
            csd_score,
            threshold=self.threshold_score,
            spacing_mm=self.spacing_mm,
            parameters={"classify": classify, **self.parameters},
        )
        return detector(inputs, spacing_mm=spacing_mm)

    def _scores(
        self, network: Network, device: torch.device, image: NDArray, positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        scores = []
        for start in range(0, len(positions), self.batch_size):
            patches = cut_patches(image, positions[start : start + self.batch_size], side_px=CONTEXT_PX)
            with torch.no_grad():
                classes = network(torch.from_numpy(patches)[:, None].to(device)).float()
            scores.append(torch.exp((classes[:, 1] - classes[:, 0]) / LOGIT_GAIN).cpu().numpy())
        return np.concatenate(scores)

"""HDoGReg's two systems behind the inferers' interface: the thresholded regression, and whole HDoG objects in it."""

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import ArrayLike
from torch import Tensor

from ..functional.hybrid import OVERLAP, hybrid_scores
from ..functional.objects import Spacing
from ..inferers import WindowedInferer
from .classical import LOGIT_LIMIT, HessianDifferenceOfGaussiansInferer
from .network import Network, NetworkInferer


class HybridInferer(Inferer):
    """Whole HDoG objects that overlap the thresholded proximity by more than a share.

    HDoGReg-FPN is the proximity alone, a `NetworkInferer` with p_thr as its threshold.

    Args:
        network: regresses the logit of the proximity; a network of the call goes first.
        windowed: as in `NetworkInferer`, as is
        threshold: p_thr; see `nearest_to_perfect`.
        blobs: the HDoG segmentation; published settings when None.
        overlap: o_thr.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        windowed: WindowedInferer | None = None,
        threshold: float = 0.5,
        blobs: HessianDifferenceOfGaussiansInferer | None = None,
        overlap: float = OVERLAP,
    ) -> None:
        super().__init__()
        self.regression = NetworkInferer(network, windowed=windowed, threshold=threshold)
        self.blobs = HessianDifferenceOfGaussiansInferer() if blobs is None else blobs
        self.overlap = overlap

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape; -12 outside HDoG objects.

        Raises:
            ValueError: on another shape, without a network, or when no spacing is known.
        """
        objects = (self.blobs(inputs, spacing_mm=spacing_mm) >= 0).cpu().numpy()[:, 0]
        probs = torch.sigmoid(self.regression(inputs, network).double())
        scores = [
            hybrid_scores(mask, map_, overlap=self.overlap)
            for mask, map_ in zip(objects, probs[:, 0].cpu().numpy(), strict=True)
        ]
        logits = torch.logit(torch.from_numpy(np.stack(scores)[:, None]).to(probs.device))
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def nearest_to_perfect(
    thresholds: ArrayLike, recall: ArrayLike, fp_per_cm2: ArrayLike, *, worst_fp_per_cm2: float = 1.0
) -> float:
    """The threshold whose point of the FROC curve lies nearest to recall 1 without a false positive (p_thr).

    Args:
        thresholds: (n,).
        recall: (n,), true positive rate at each.
        fp_per_cm2: (n,), false objects per cm2 at each.
        worst_fp_per_cm2: what counts as much as a recall of 0; the paper's curves end at 1.

    Raises:
        ValueError: without a threshold, or on different lengths.
    """
    levels, found, false = (np.asarray(values, np.float64) for values in (thresholds, recall, fp_per_cm2))
    if levels.size == 0 or not levels.shape == found.shape == false.shape:
        raise ValueError(
            f"Expected as many thresholds as points, at least 1, got {levels.shape}, {found.shape}, {false.shape}"
        )
    return float(levels[np.argmin(np.hypot(1 - found, false / worst_fp_per_cm2))])

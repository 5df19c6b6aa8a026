"""SegAI + R:SP1 and R:SP2: the map of a classical detector, weighted by a segmentor's pooled map; and + R:GenAI.

SegAI by itself is a `NetworkInferer` with the U-Net of configs/train_segai.yaml.
"""

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor
from torch.nn import functional as F

from ..functional.objects import Spacing
from ..functional.signal_refinement import refine_by_signal
from ..inferers.windowed import like_inputs, plain_image
from .classical import LOGIT_GAIN, LOGIT_LIMIT, ClassicalInferer, _spacing_per_view
from .network import Network, NetworkInferer
from .virtual_normal import VirtualNormalInferer, noise_deviation

NORMALISE = ("deviation", "distribution")


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


class GenerativeRefinedInferer(Inferer):
    """SegAI + R:GenAI: what an inpainter did not expect where a segmentor is sure, in local standard deviations.

    The segmentor's map is binarised and grown, the virtual normal made of it, and the map is
    max(0, view - virtual normal) / local deviation inside. Rows by the `hide` of the virtual normal:

    - "mask", row segai-genai: what the segmentor marks is hidden and replaced, as published;
    - "nothing", row unmasked-grid: the network sees what it predicts and can copy it;
    - "grid": every pixel predicted while hidden; without a segmentor it is the comparison of the supplement's Table 2.

    Args:
        virtual_normal: makes the virtual normal.
        segmentor: whose map is the mask; None looks everywhere, unless the mask is what is hidden.
        threshold: score that becomes a probability of 0.5, > 0; tune it.
        binarise: probability of the segmentor from which a pixel is in the mask, in (0, 1).
        grow_px: by how much the mask is grown to all sides, so that blind spots are larger than calcifications.
        normalise: "deviation", a scale that does not move with the content; "distribution", divided by the sum over
            the view, as printed.
        spacing_mm: row and column spacing when neither the call nor the image's meta gives one.

    Raises:
        ValueError: on an option out of its range.
    """

    def __init__(
        self,
        virtual_normal: VirtualNormalInferer,
        segmentor: NetworkInferer | None = None,
        *,
        threshold: float = 3.0,
        binarise: float = 0.5,
        grow_px: int = 3,
        normalise: str = "deviation",
        spacing_mm: Spacing | None = None,
    ) -> None:
        super().__init__()
        if not (threshold > 0 and 0 < binarise < 1 and grow_px >= 0):
            raise ValueError(
                "Expected threshold > 0, binarise in (0, 1) and grow_px >= 0, "
                f"got {threshold:g}, {binarise:g} and {grow_px}; 3, 0.5 and 3 are the defaults"
            )
        if normalise not in NORMALISE:
            raise ValueError(f"Expected normalise among {NORMALISE}, got {normalise!r}; deviation is the default")
        if segmentor is None and virtual_normal.hide == "mask":
            raise ValueError("Expected a segmentor whose map is hidden, got none; pass one, or hide a grid")
        self.virtual_normal, self.segmentor = virtual_normal, segmentor
        self.threshold, self.binarise, self.grow_px = float(threshold), binarise, grow_px
        self.normalise, self.spacing_mm = normalise, spacing_mm

    def __call__(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape; -12 outside the mask.

        Args:
            inputs: the views.
            network: the segmentor's, if there is one; goes before its own.
            spacing_mm: row and column spacing, else that of the images' meta.

        Raises:
            ValueError: on another shape, without a network, or when no spacing is known.
        """
        scores = self.scores(inputs, network, spacing_mm=spacing_mm)
        logits = LOGIT_GAIN * torch.log(scores.clamp(min=1e-30) / self.threshold)
        return like_inputs(logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT), inputs)

    def scores(self, inputs: Tensor, network: Network | None = None, *, spacing_mm: Spacing | None = None) -> Tensor:
        """The map before it becomes a logit, (B, 1, rows, columns) >= 0; arguments are those of the call."""
        spacings = _spacing_per_view(inputs, spacing_mm if spacing_mm is not None else self.spacing_mm)
        mask = self._mask(inputs, network)
        hidden = mask if self.virtual_normal.hide == "mask" else None
        found = torch.where(mask, plain_image(self.virtual_normal.residual(inputs, hidden=hidden)), 0.0)
        if self.normalise == "distribution":
            return found / found.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        image = plain_image(inputs)
        seen = (image > -1) & ~mask if self.segmentor is not None else image > -1
        deviation = [
            noise_deviation(view, inside, spacing_mm=spacing)
            for view, inside, spacing in zip(image.cpu().numpy()[:, 0], seen.cpu().numpy()[:, 0], spacings, strict=True)
        ]
        return found / torch.from_numpy(np.stack(deviation)[:, None]).to(found.device)

    def _mask(self, inputs: Tensor, network: Network | None) -> Tensor:
        """Bool (B, 1, rows, columns): where the map may be above 0."""
        breast = plain_image(inputs) > -1
        if self.segmentor is None:
            return breast
        sure = plain_image(torch.sigmoid(self.segmentor(inputs, network))) >= self.binarise
        grown = F.max_pool2d(sure.float(), 2 * self.grow_px + 1, stride=1, padding=self.grow_px) > 0
        return grown & breast

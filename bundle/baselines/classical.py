"""The classical detectors behind the inferers' interface: a windowed view in, logits out.

logits = gain * log(score / threshold), so sigmoid(logits) >= 0.5 exactly where score >= threshold, and probabilities
still order every score for a sweep of thresholds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import NDArray
from torch import Tensor

from ..functional.classical import (
    DISC_DIAMETER_MM,
    DOG_INNER_MM,
    DOG_OUTER_MM,
    HIGH_PASS_SIGMAS_MM,
    LOCAL_DEVIATION_MM,
    SKIN_MARGIN_MM,
    difference_of_gaussians_score,
    high_pass_score,
    top_hat_score,
)
from ..functional.hdog import (
    DOG_THRESHOLD,
    HESSIAN_THRESHOLD,
    OVERLAP,
    SCALE_RATIO,
    SIGMA_MAX_MM,
    SIGMA_MIN_MM,
    hdog_score,
)
from ..functional.objects import Spacing

# Two logits per factor of e in score: a tenth of the threshold is a probability of 0.01, ten times it 0.99.
LOGIT_GAIN = 2.0
LOGIT_LIMIT = 12.0


class ClassicalInferer(Inferer):
    """A score function and a threshold as a MONAI inferer; `network` is accepted and not used.

    Args:
        score: function of an image (rows, columns), with keyword `spacing_mm`, to a score >= 0 of the same shape.
        threshold: score at which the probability is 0.5, > 0.
        spacing_mm: row and column spacing when neither the call nor the image's meta gives one.
        parameters: further keywords of the score function.
    """

    def __init__(
        self,
        score: Callable[..., NDArray],
        *,
        threshold: float,
        spacing_mm: Spacing | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not threshold > 0:
            raise ValueError(f"Expected a score threshold > 0, got {threshold:g}; tune it with tune_classical")
        self.score = score
        self.threshold = float(threshold)
        self.spacing_mm = spacing_mm
        self.parameters = dict(parameters or {})

    def __call__(
        self,
        inputs: Tensor,
        network: Callable[..., Any] | None = None,
        *,
        spacing_mm: Spacing | None = None,
    ) -> Tensor:
        """Return logits (B, 1, rows, columns), float32, for windowed views of that shape.

        Raises:
            ValueError: on another shape, or when no spacing is known.
        """
        if inputs.ndim != 4 or inputs.shape[1] != 1:
            raise ValueError(f"Expected views of shape (B, 1, rows, columns), got {tuple(inputs.shape)}")
        spacings = _spacing_per_view(inputs, spacing_mm if spacing_mm is not None else self.spacing_mm)
        images = torch.as_tensor(inputs).detach().cpu().numpy()[:, 0]
        logits = [self._logits(image, spacing) for image, spacing in zip(images, spacings, strict=True)]
        return torch.from_numpy(np.stack(logits)[:, None]).to(inputs.device)

    def _logits(self, image: NDArray, spacing_mm: Spacing) -> NDArray[np.float32]:
        ratio = self.score(image, spacing_mm=spacing_mm, **self.parameters) / np.float32(self.threshold)
        # exp(-limit / gain) is where the logit reaches its lower limit, so the logarithm of 0 is never taken.
        floor = np.float32(np.exp(-LOGIT_LIMIT / LOGIT_GAIN))
        return np.clip(LOGIT_GAIN * np.log(np.maximum(ratio, floor)), -LOGIT_LIMIT, LOGIT_LIMIT).astype(np.float32)


class TopHatInferer(ClassicalInferer):
    """White top-hat (SP2); the score is in units of the windowed image."""

    def __init__(
        self,
        *,
        threshold: float = 0.15,
        diameter_mm: float = DISC_DIAMETER_MM,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        parameters = {"diameter_mm": diameter_mm, "margin_mm": margin_mm}
        super().__init__(top_hat_score, threshold=threshold, spacing_mm=spacing_mm, parameters=parameters)


class DifferenceOfGaussiansInferer(ClassicalInferer):
    """Difference of Gaussians (SP1); the score is in units of the windowed image."""

    def __init__(
        self,
        *,
        threshold: float = 0.05,
        inner_mm: float = DOG_INNER_MM,
        outer_mm: float = DOG_OUTER_MM,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        parameters = {"inner_mm": inner_mm, "outer_mm": outer_mm, "margin_mm": margin_mm}
        super().__init__(
            difference_of_gaussians_score, threshold=threshold, spacing_mm=spacing_mm, parameters=parameters
        )


class HighPassInferer(ClassicalInferer):
    """Multi-scale signed high-pass x - G * x; the score is in local standard deviations."""

    def __init__(
        self,
        *,
        threshold: float = 4.0,
        sigmas_mm: Sequence[float] = HIGH_PASS_SIGMAS_MM,
        deviation_mm: float = LOCAL_DEVIATION_MM,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        parameters = {"sigmas_mm": tuple(sigmas_mm), "deviation_mm": deviation_mm, "margin_mm": margin_mm}
        super().__init__(high_pass_score, threshold=threshold, spacing_mm=spacing_mm, parameters=parameters)


class HessianDifferenceOfGaussiansInferer(ClassicalInferer):
    """Blob segmentation of HDoGReg; the threshold is T_DoG, the options are published (see `hdog_score`)."""

    def __init__(
        self,
        *,
        threshold: float = DOG_THRESHOLD,
        sigma_min_mm: float = SIGMA_MIN_MM,
        sigma_max_mm: float = SIGMA_MAX_MM,
        ratio: float = SCALE_RATIO,
        hessian_threshold: float = HESSIAN_THRESHOLD,
        overlap: float = OVERLAP,
        margin_mm: float = SKIN_MARGIN_MM,
        spacing_mm: Spacing | None = None,
    ) -> None:
        parameters = {
            "sigma_min_mm": sigma_min_mm,
            "sigma_max_mm": sigma_max_mm,
            "ratio": ratio,
            "hessian_threshold": hessian_threshold,
            "overlap": overlap,
            "margin_mm": margin_mm,
        }
        super().__init__(hdog_score, threshold=threshold, spacing_mm=spacing_mm, parameters=parameters)


def _spacing_per_view(inputs: Tensor, given: Spacing | None) -> NDArray[np.float64]:
    """Spacing (B, 2) in mm: the given one, or that of the images' meta."""
    if given is None:
        given = getattr(inputs, "meta", {}).get("spacing_mm")
    if given is None:
        raise ValueError("Expected a pixel spacing for a classical detector, got none; pass spacing_mm=(row, column)")
    spacing = np.asarray(given, np.float64)
    if spacing.shape not in ((2,), (len(inputs), 2)):
        raise ValueError(f"Expected spacing_mm as (row, column) or one pair per view, got shape {spacing.shape}")
    return np.broadcast_to(spacing, (len(inputs), 2))

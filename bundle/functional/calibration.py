"""Calibration without a label: injected calcifications say what is found, clean tissue what is made up."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .confusion import IGNORE, MICROCALCIFICATION, f2_score
from .froc import froc_counts
from .injection import InjectionRanges, inject, sample_injection, tissue_density
from .objects import Spacing
from .statistics import FloatArray, Pooled, divide, ratio_of_sums

# What training draws, but never nothing.
RANGES = InjectionRanges(empty_share=0.0)
# Draws until one has a calcification that can be seen.
TRIES = 20


def injected_view(
    image: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    spacing_mm: float,
    breast: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Put calcifications of training's own kind into a view: at least one that can be seen.

    Args:
        image: (rows, columns), in [-1, 1].
        rng: source of randomness.
        spacing_mm: pixel size.
        breast: (rows, columns), where tissue is.

    Returns:
        The image, and the label: 0 background, 1 microcalcification, 2 ignore (below the visibility floor).

    Raises:
        ValueError: if the view has no place for one.
    """
    extent_mm = (image.shape[0] * spacing_mm, image.shape[1] * spacing_mm)
    density = tissue_density(np.where(breast, image, np.float32(-1)))
    for _ in range(TRIES):
        injection = sample_injection(rng, extent_mm=extent_mm, ranges=RANGES, density=density)
        injected, label = inject(image, injection, spacing_mm=spacing_mm, region=breast)
        label[~breast] = 0
        if (label == MICROCALCIFICATION).any():
            return np.where(breast, injected, image), label
    raise ValueError(f"Expected breast with room for a calcification, found none in {TRIES} draws; take another view")


def with_ignored(label: NDArray[np.uint8], ignore: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The label with 2 where it is to be ignored; calcifications that are known stay."""
    return np.where(ignore & (label != MICROCALCIFICATION), np.uint8(IGNORE), label)


def counts_at(
    thresholds: ArrayLike, probs: NDArray, label: NDArray, *, spacing_mm: Spacing, breast: NDArray[np.bool_]
) -> FloatArray:
    """True, false and missed objects of one view at each threshold, (thresholds, 3)."""
    counts = froc_counts(thresholds, probs, label, spacing_mm=spacing_mm, region=breast)
    return np.array([count[:3] for count in counts], np.float64)


def f2_of_counts(counts: FloatArray) -> FloatArray:
    """F2 of counts (..., 3); 0 where there is nothing."""
    return f2_score(counts[..., 0], counts[..., 1], counts[..., 2], zero_division=0.0)


def best_index(values: FloatArray) -> int:
    """Place of the largest value (n,); the middle one where several are largest."""
    best = np.flatnonzero(values == values.max())
    return int(best[(len(best) - 1) // 2])


def f2_at(counts: FloatArray, index: int) -> Pooled:
    """F2 of objects over views at one threshold, clean views included.

    Args:
        counts: (views, thresholds, 3).
        index: of the threshold.
    """
    tp, fp, fn = counts[:, index].T
    return ratio_of_sums(5 * tp, 5 * tp + 4 * fn + fp)


def fp_rate_at(counts: FloatArray, index: int, *, clean: NDArray[np.bool_], area_cm2: FloatArray) -> Pooled:
    """False objects per cm2 of clean views at one threshold.

    Args:
        counts: (views, thresholds, 3).
        index: of the threshold.
        clean: bool (views,), views without a true calcification.
        area_cm2: (views,).
    """
    return ratio_of_sums(counts[:, index, 1] * clean, area_cm2 * clean)


def share_closed(counts: FloatArray, *, default: int, chosen: int) -> Pooled:
    """How much of the way in F2 from the default threshold to the best one a chosen threshold goes.

    1 is the best threshold of these very views, 0 the default, below 0 worse than that; nan where the default is best.
    A resample has its own best threshold.

    Args:
        counts: (views, thresholds, 3).
        default: place of the default threshold.
        chosen: place of the chosen one.
    """
    views, levels, _ = counts.shape

    def function(sums: FloatArray) -> FloatArray:
        f2 = f2_of_counts(sums[..., : 3 * levels].reshape(*sums.shape[:-1], levels, 3))
        gap = f2.max(axis=-1) - f2[..., default]
        return divide(f2[..., chosen] - f2[..., default], gap)

    # The last column counts views: every patient carries information.
    return Pooled(np.column_stack([counts.reshape(views, 3 * levels), np.ones(views)]), function, needs=(3 * levels,))

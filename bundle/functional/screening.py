"""Screening of "negative" views: what may be a calcification that nobody called is found, and left out of training.

A benign calcification in a background teaches the segmentor that its like is no calcification. Whether a spot is one
cannot be known here, so it becomes neither positive nor negative but "ignore".
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, maximum_position
from skimage.measure import regionprops

from .breast import Spacing
from .classical import high_pass_score
from .components import EIGHT_CONNECTED

# In local deviations of the high-passed image.
MIN_PEAK = 7.0
# Half-maximum area of a spot; a crossing of fibres is larger and star-shaped, so not solid.
MAX_AREA_MM2 = 0.6
# A digital disc of three pixels radius has 0.78.
MIN_SOLIDITY = 0.75
MAX_ELONGATION = 2.5
NEARBY_MM = 1.4
MARGIN_MM = 0.4


class Screened(NamedTuple):
    """What was found in one view.

    Attributes:
        ignore: bool (rows, columns), the spots with a margin around them.
        n_spots: number of spots.
        share: share of the breast that is left out.
    """

    ignore: NDArray[np.bool_]
    n_spots: int
    share: float


def screen_background(
    image: NDArray[np.floating], *, spacing_mm: Spacing, min_peak: float = MIN_PEAK, margin_mm: float = MARGIN_MM
) -> Screened:
    """Find small solid spots that stand far above the texture around them.

    Args:
        image: (rows, columns) windowed to [-1, 1], -1 outside the breast.
        spacing_mm: row and column spacing.
        min_peak: least peak of the multi-scale high-pass, in local deviations.
        margin_mm: width left out around a spot.
    """
    score = high_pass_score(image, spacing_mm=spacing_mm)
    candidates, n = label(score >= min_peak, structure=EIGHT_CONNECTED)
    pixel_mm2 = float(spacing_mm[0]) * float(spacing_mm[1])
    found = np.zeros(image.shape, bool)
    count = 0
    for row, column in maximum_position(score, candidates, range(1, n + 1)) if n else ():
        corner, spot = _half_maximum(image, (row, column), reach_px=round(NEARBY_MM / math.sqrt(pixel_mm2)))
        if _is_compact(spot, pixel_mm2=pixel_mm2):
            found[corner[0] : corner[0] + spot.shape[0], corner[1] : corner[1] + spot.shape[1]] |= spot
            count += 1
    steps = max(1, round(margin_mm / math.sqrt(pixel_mm2)))
    ignore = binary_dilation(found, iterations=steps) & (image > -1) if count else found
    return Screened(ignore, count, float(ignore.sum() / max((image > -1).sum(), 1)))


def _is_compact(spot: NDArray[np.bool_], *, pixel_mm2: float) -> bool:
    (measured,) = regionprops(spot.astype(np.uint8))
    elongation = measured.axis_major_length / max(measured.axis_minor_length, 1.0)
    return bool(
        measured.area * pixel_mm2 <= MAX_AREA_MM2 and elongation <= MAX_ELONGATION and measured.solidity >= MIN_SOLIDITY
    )


def _half_maximum(
    image: NDArray[np.floating], peak: tuple[int, int], *, reach_px: int
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The object around a peak at half its height over its surroundings, and the corner of its tile in the view."""
    top, left = max(peak[0] - reach_px, 0), max(peak[1] - reach_px, 0)
    tile = image[top : peak[0] + reach_px + 1, left : peak[1] + reach_px + 1]
    level = (float(np.median(tile[tile > -1])) + float(image[peak])) / 2
    objects, _ = label(tile >= min(level, float(image[peak])), structure=EIGHT_CONNECTED)
    return (top, left), objects == objects[peak[0] - top, peak[1] - left]

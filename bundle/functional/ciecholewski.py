"""Ciecholewski's morphological segmentation: a close-open pyramid finds the places, a marker watershed the outlines.

1. Residue: what the image exceeds its expanded close-open pyramid by; a microcalcification has 10/256 of it somewhere.
2. Extended maxima of height 5 of 255 that hold such a residue (morphological reconstruction of it under them).
3. Watershed of the morphological gradient of the close-open image. Inner markers: its maxima that meet 2. Outer
   markers: the watershed lines between all its maxima.

Each inner marker lies in a zone of its own between the lines, so its outline does not depend on the others (but for
plateaus of the gradient), and a map of residues whose pixels at or above T are the segmentation at T serves all T.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed
from skimage.transform import pyramid_expand, pyramid_reduce

from .classical import SKIN_MARGIN_MM, Image, Mask, score_inside
from .objects import EIGHT_CONNECTED, Spacing

RESIDUE_THRESHOLD = 10 / 256
"""On an image in [0, 1], as published."""
HEIGHT = 5
"""Of the extended maxima, in grey levels of 255."""
LEVELS = 2
MAX_AREA_PX = 5000
GREY_LEVELS = 255
SIDE_PX = 3


def ciecholewski_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    height: int = HEIGHT,
    levels: int = LEVELS,
    max_area_px: int = MAX_AREA_PX,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """Segment at every residue threshold: each object has the largest residue of the extended maxima it grew from.

    Sizes are in pixels, as published; the spacing sets the margin alone.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); where the image is above -1 when None.
        height: of the extended maxima, in grey levels of 255, at least 1.
        levels: of the pyramid, at least 1.
        max_area_px: objects of more pixels are left out.
        margin_mm: width left out along the skin.

    Returns:
        float32 (rows, columns), in units of the image scaled to [0, 1]; 0 outside the objects.

    Raises:
        ValueError: on a height or a number of levels below 1.
    """
    if height < 1 or levels < 1:
        raise ValueError(f"Expected a height and levels of at least 1, got {height} and {levels}; 5 and 2 are usual")

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        scaled = np.where(inside, (values + 1) / 2, 0).astype(np.float32)
        grey = np.rint(GREY_LEVELS * scaled)
        domes, count = ndimage.label(extended_maxima(grey, height) & kept, structure=EIGHT_CONNECTED)
        residue = pyramid_residue(scaled, levels=levels)
        strength = np.zeros(count + 1, np.float32)
        np.maximum.at(strength, domes.ravel(), residue.ravel())
        strength[0] = 0
        return watershed_scores(close_open(grey), strength[domes], max_area_px=max_area_px)

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def close_open(values: Image) -> Image:
    """Closing, then opening, by a square of 3 x 3 pixels: removes dark, then bright details smaller than that."""
    return ndimage.grey_opening(ndimage.grey_closing(values, size=SIDE_PX), size=SIDE_PX)


def pyramid_residue(scaled: Image, *, levels: int) -> Image:
    """The largest over levels of max(0, x - level expanded to the size of x), float32 (rows, columns) >= 0.

    Args:
        scaled: float (rows, columns) in [0, 1].
        levels: each is the close-open of the one before, reduced to half its size.
    """
    # A size that halves evenly at every level, or the levels would not lie on each other.
    beyond = [(0, -size % 2**levels) for size in scaled.shape]
    level = np.pad(scaled, beyond, mode="edge")
    lowest = np.full(scaled.shape, np.inf, np.float32)
    for number in range(1, levels + 1):
        level = pyramid_reduce(close_open(level))
        expanded = pyramid_expand(level, upscale=2**number)
        np.minimum(lowest, expanded[: scaled.shape[0], : scaled.shape[1]], out=lowest)
    return np.maximum(scaled - lowest, 0).astype(np.float32)


def extended_maxima(grey: Image, height: int) -> Mask:
    """Regional maxima of the h-maxima transform, bool (rows, columns): tops of domes that rise by more than `height`.

    Args:
        grey: whole grey levels (rows, columns).
        height: in grey levels.
    """
    flattened = reconstruction(grey - height, grey, method="dilation")
    # A flat image is one maximum for scikit-image; what rises above nothing is none here.
    return local_maxima(flattened, allow_borders=True) & (flattened > grey.min())


def watershed_scores(smooth: Image, strength: Image, *, max_area_px: int) -> Image:
    """Outline the maxima of an image and give each object the strength that its maximum meets.

    Args:
        smooth: (rows, columns), whole grey levels, close-open filtered.
        strength: (rows, columns) >= 0; maxima that meet none are background.
        max_area_px: larger objects are left out.

    Returns:
        float32 (rows, columns), 0 in the background.
    """
    peaks, count = ndimage.label(local_maxima(smooth), structure=EIGHT_CONNECTED)
    score = np.zeros(count + 2, np.float32)
    np.maximum.at(score, peaks.ravel(), strength.ravel())
    score[0] = 0
    if not score.any():
        return np.zeros(smooth.shape, np.float32)
    zone_scores = score[watershed(-smooth, peaks, watershed_line=True)]
    # Tissue with a single maximum has no line; the border of the image is always one.
    zone_scores[[0, -1], :] = zone_scores[:, [0, -1]] = 0
    markers = np.where(zone_scores > 0, peaks, count + 1)
    gradient = ndimage.morphological_gradient(smooth, size=SIDE_PX)
    objects: NDArray[np.int32] = watershed(gradient, markers)
    area_px = np.bincount(objects.ravel(), minlength=count + 2)
    score[area_px > max_area_px] = 0
    return score[objects]

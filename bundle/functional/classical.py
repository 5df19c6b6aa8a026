"""Classical detectors of small bright spots: white top-hat (SP2), difference of Gaussians (SP1), multi-scale high-pass.

HDoG has a module of its own. Each maps a windowed view, float (rows, columns) in [-1, 1] with -1 outside the breast,
to a score map of the same shape, float32 >= 0, zero outside the eroded breast. Sizes are in mm and become pixels by the
spacing. Pixels outside the breast take no part in any average or extremum, so the step at the skin leaves no trace.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .objects import Spacing

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Filter = Callable[[Image], Image]

OUTSIDE = -1.0
DISC_DIAMETER_MM = 0.8
DOG_INNER_MM, DOG_OUTER_MM = 0.10, 0.25
HIGH_PASS_SIGMAS_MM = (0.10, 0.18, 0.32)
LOCAL_DEVIATION_MM = 4.0
# The mask follows the skin line with some slack, and the skin itself is bright and sharp.
SKIN_MARGIN_MM = 2.0
# The local deviation never falls below this share of its median, or the smoothest fat would score highest.
DEVIATION_FLOOR = 0.25
# One grey level of 14 bits: nothing below it is a signal, only rounding.
SMALLEST_DEVIATION = 2.0 / 2**14
# Standard deviation over mean magnitude, for Gaussian noise.
MAGNITUDE_TO_DEVIATION = float(np.sqrt(np.pi / 2))
GAUSSIAN_REACH = 4.0


def top_hat_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    diameter_mm: float = DISC_DIAMETER_MM,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """White top-hat (SP2): image minus its opening by a disc, which removes what the disc does not fit into.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); where the image is above -1 when None.
        diameter_mm: of the disc; larger than the calcifications sought.
        margin_mm: width left out along the skin.
    """
    radius_px = in_px(diameter_mm / 2, spacing_mm, "disc diameter")

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        eroded = _disc_extremum(np.where(inside, values, np.inf).astype(np.float32), radius_px, largest=False)
        opened = _disc_extremum(np.where(inside, eroded, -np.inf).astype(np.float32), radius_px, largest=True)
        return np.where(inside, values - opened, 0)

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def difference_of_gaussians_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    inner_mm: float = DOG_INNER_MM,
    outer_mm: float = DOG_OUTER_MM,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """Difference of Gaussians (SP1), max(0, G_inner * x - G_outer * x): positive on bright blobs.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); where the image is above -1 when None.
        inner_mm: standard deviation of the narrow Gaussian,
        outer_mm: and of the wide one, larger.
        margin_mm: width left out along the skin.

    Raises:
        ValueError: unless 0 < inner_mm < outer_mm.
    """
    if not 0 < inner_mm < outer_mm:
        raise ValueError(
            f"Expected 0 < inner < outer standard deviation, got {inner_mm:g} and {outer_mm:g} mm; swap them"
        )
    inner_px, outer_px = (in_px(sigma, spacing_mm, "sigma") for sigma in (inner_mm, outer_mm))

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        return local_mean(values, inside, gaussian(inner_px)) - local_mean(values, inside, gaussian(outer_px))

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def high_pass_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    sigmas_mm: Sequence[float] = HIGH_PASS_SIGMAS_MM,
    deviation_mm: float = LOCAL_DEVIATION_MM,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """Multi-scale signed high-pass: the largest over sigma of (x - G_sigma * x) / local standard deviation, at least 0.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); where the image is above -1 when None.
        sigmas_mm: standard deviations of the Gaussians.
        deviation_mm: side of the square in which the standard deviation is taken, 2 to 5 mm.
        margin_mm: width left out along the skin.

    Returns:
        Score in local standard deviations of the high-passed image.
    """
    if len(sigmas_mm) == 0:
        raise ValueError("Expected at least one sigma in mm for the high-pass, got none")
    side_px = in_px(deviation_mm, spacing_mm, "deviation window")

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        best = np.zeros_like(values)
        for sigma_mm in sigmas_mm:
            sigma_px = in_px(sigma_mm, spacing_mm, "sigma")
            high = np.where(inside, values - local_mean(values, inside, gaussian(sigma_px)), 0)
            np.maximum(best, high / _local_deviation(high, inside, side_px), out=best)
        return best

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def eroded_breast(breast: ArrayLike, *, spacing_mm: Spacing, margin_mm: float = SKIN_MARGIN_MM) -> Mask:
    """Remove a margin along the skin, but not along the image border, where the breast goes on (chest wall).

    The margin is measured along rows and columns (a square window), which is fast and at least as wide as asked for.
    """
    mask = np.asarray(breast, bool).astype(np.uint8)
    margin_px = np.floor(margin_mm / _checked_spacing(spacing_mm) + 1e-9).astype(int)
    for axis in (0, 1):
        if margin_px[axis] > 0:
            mask = ndimage.minimum_filter1d(mask, 2 * margin_px[axis] + 1, axis=axis, mode="nearest")
    return mask.astype(bool)


def score_inside(
    image: ArrayLike,
    breast: ArrayLike | None,
    response: Callable[[Image, Mask, Mask], Image],
    *,
    spacing_mm: Spacing,
    margin_mm: float,
) -> Image:
    """Apply a response in the box around the breast and keep its positive part inside the eroded breast.

    Args:
        image: float (rows, columns) in [-1, 1].
        breast: bool (rows, columns); where the image is above -1 when None.
        response: function of the image, the breast and the eroded breast, all cut to the box.
        spacing_mm: row and column spacing.
        margin_mm: width left out along the skin.
    """
    values = np.asarray(image, np.float32)
    inside = values > OUTSIDE if breast is None else np.asarray(breast, bool)
    if values.ndim != 2 or inside.shape != values.shape:
        raise ValueError(f"Expected image and breast of one 2-D shape, got {values.shape} and {inside.shape}")
    score = np.zeros(values.shape, np.float32)
    found = ndimage.find_objects(inside.astype(np.uint8))
    if found:
        box = found[0]
        kept = eroded_breast(inside, spacing_mm=spacing_mm, margin_mm=margin_mm)[box]
        score[box] = np.where(kept, np.maximum(response(values[box], inside[box], kept), 0), 0)
    return score


def in_px(size_mm: float, spacing_mm: Spacing, name: str) -> NDArray[np.float64]:
    """A size in pixels along rows and columns; `name` is what an error calls it."""
    if not size_mm > 0:
        raise ValueError(f"Expected a {name} > 0 mm, got {size_mm:g}")
    return size_mm / _checked_spacing(spacing_mm)


def _checked_spacing(spacing_mm: Spacing) -> NDArray[np.float64]:
    spacing = np.asarray(spacing_mm, np.float64)
    if spacing.shape != (2,) or not np.all(spacing > 0):
        raise ValueError(
            f"Expected pixel spacing > 0 mm for row and column, got {spacing.tolist()}; pass the view's own"
        )
    return spacing


def gaussian(sigma_px: NDArray) -> Filter:
    """Gaussian filter with one standard deviation per axis; zero beyond the image."""
    return lambda values: ndimage.gaussian_filter(values, sigma_px, mode="constant", truncate=GAUSSIAN_REACH)


def local_mean(values: Image, inside: Mask, smooth: Filter) -> Image:
    """Normalised convolution: the weighted mean over the pixels inside only; 0 outside."""
    weight = smooth(inside.astype(np.float32))
    total = smooth(np.where(inside, values, 0).astype(np.float32))
    return np.divide(total, weight, out=np.zeros_like(total), where=inside)


def _local_deviation(high: Image, inside: Mask, side_px: NDArray) -> Image:
    """Local standard deviation of a zero-mean map from its mean magnitude, floored; > 0.

    The mean magnitude feels a few bright spots far less than the mean square: a cluster must not hide itself.
    """
    size = [2 * int(side // 2) + 1 for side in side_px]
    magnitude = local_mean(np.abs(high), inside, lambda v: ndimage.uniform_filter(v, size, mode="constant"))
    deviation = MAGNITUDE_TO_DEVIATION * magnitude
    floor = DEVIATION_FLOOR * float(np.median(deviation[inside]))
    return np.maximum(deviation, max(floor, SMALLEST_DEVIATION))


def _disc_extremum(values: Image, radius_px: NDArray, *, largest: bool) -> Image:
    """Minimum or maximum over a disc (an ellipse in pixels), row of the disc by row of the disc.

    A disc is a stack of horizontal runs and a running extremum costs the same for any length, so this is exact and
    fast.
    """
    run = ndimage.maximum_filter1d if largest else ndimage.minimum_filter1d
    merge = np.maximum if largest else np.minimum
    row_radius, column_radius = float(radius_px[0]), float(radius_px[1])
    result = np.full_like(values, -np.inf if largest else np.inf)
    edge = float(result.flat[0])
    rows = len(values)
    for offset in range(min(int(row_radius), rows - 1) + 1):
        half = int(column_radius * np.sqrt(max(0.0, 1 - (offset / row_radius) ** 2)) + 1e-9)
        line = run(values, 2 * half + 1, axis=1, mode="constant", cval=edge)
        merge(result[: rows - offset], line[offset:], out=result[: rows - offset])
        merge(result[offset:], line[: rows - offset], out=result[offset:])
    return result

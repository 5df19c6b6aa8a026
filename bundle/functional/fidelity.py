"""What synthetic calcifications are like: size, contrast, spacing, edges, blobs, and an independent renderer."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, label
from scipy.spatial import cKDTree
from scipy.special import erf
from scipy.stats import ks_2samp, wasserstein_distance

from .components import EIGHT_CONNECTED
from .hdog import DOG_THRESHOLD, SIGMA_MAX_MM, SIGMA_MIN_MM, dog_stack, find_blobs, scales_mm
from .injection import VISIBILITY_FLOOR, Injection, local_contrast
from .puncta import REFERENCE_MM, Array, render_punctum

Values = NDArray[np.float64]

OUTLINE_STEP_MM = 0.01
OVERSAMPLING = 8
# Finer than the published 1.6, so that the scale of a blob is a measurement.
BLOB_RATIO = 1.25
BLOB_MARGIN_MM = 1.0
PROFILE_STEP_MM = 0.02
PROFILE_REACH_MM = 0.8


class DrawnPuncta(NamedTuple):
    """Puncta of a patch whose centre lies in tissue, as they were drawn, each (n,) but `position_mm` (n, 2).

    Attributes:
        position_mm: row and column of the centre.
        diameter_mm: of the disc of equal area as the outline.
        elongation: longer over shorter axis of the outline.
        cnr: peak after blur over the local deviation of the high-passed background.
        visible: at or above the visibility floor.
        pieces: objects that the label of this punctum falls into.
    """

    position_mm: Values
    diameter_mm: Values
    elongation: Values
    cnr: Values
    visible: NDArray[np.bool_]
    pieces: NDArray[np.int64]


def drawn_puncta(background: Array, injection: Injection, *, spacing_mm: float) -> DrawnPuncta:
    """What `bundle.functional.injection.inject` makes of each punctum.

    Args:
        background: (rows, columns), in [-1, 1], as it was before the injection.
        injection: what was injected.
        spacing_mm: pixel size.
    """
    contrast = local_contrast(background, spacing_mm=spacing_mm)
    region = background > -1
    typical = float(np.median(contrast[region])) if region.any() else 0.0
    rows = []
    for punctum in injection.puncta:
        pixel = int(punctum.row_mm / spacing_mm), int(punctum.column_mm / spacing_mm)
        if not all(0 <= place < size for place, size in zip(pixel, background.shape, strict=True)) or not region[pixel]:
            continue
        picture = render_punctum(punctum, spacing_mm=spacing_mm, blur_sigma_mm=injection.blur_sigma_mm)
        share = typical * picture.peak_mm / REFERENCE_MM / float(contrast[pixel]) if injection.by_thickness else 1.0
        cnr = punctum.cnr * share
        visible = cnr * math.sqrt(picture.half_px) >= VISIBILITY_FLOOR
        pieces = label(picture.support, structure=EIGHT_CONNECTED)[1]
        rows.append((punctum.row_mm, punctum.column_mm, *outline(punctum.parts), cnr, visible, pieces))
    table = np.array(rows, np.float64).reshape(-1, 7)
    diameter, elongation, peak, seen, count = table[:, 2:].T
    return DrawnPuncta(table[:, :2], diameter, elongation, peak, seen > 0, count.astype(np.int64))


def outline(parts: Values) -> tuple[float, float]:
    """Equivalent diameter in mm and elongation of the union of ellipses that (n, 5) `Punctum.parts` project to."""
    reach = float((np.hypot(parts[:, 0], parts[:, 1]) + parts[:, 2:4].max(axis=1)).max())
    axis = np.arange(-reach, reach + OUTLINE_STEP_MM, OUTLINE_STEP_MM)
    rows, columns = axis[:, None], axis[None, :]
    inside = np.zeros((len(axis), len(axis)), bool)
    for row, column, major, minor, angle in parts:
        along = (columns - column) * math.cos(angle) + (rows - row) * math.sin(angle)
        across = (rows - row) * math.cos(angle) - (columns - column) * math.sin(angle)
        inside |= (along / major) ** 2 + (across / minor) ** 2 <= 1
    variances = np.linalg.eigvalsh(np.cov(np.argwhere(inside).T))
    area_mm2 = float(np.count_nonzero(inside)) * OUTLINE_STEP_MM**2
    return 2 * math.sqrt(area_mm2 / math.pi), math.sqrt(float(variances[1] / variances[0]))


def nearest_neighbour_mm(positions_mm: Values) -> Values:
    """Distance of each of (n, 2) positions to its nearest neighbour, (n,); inf for a single one."""
    if len(positions_mm) < 2:
        return np.full(len(positions_mm), np.inf)
    return cKDTree(positions_mm).query(positions_mm, k=2)[0][:, 1]


def reference_sphere(
    diameter_mm: float, *, spacing_mm: float, blur_sigma_mm: float, offset_px: tuple[float, float] = (0.0, 0.0)
) -> Values:
    """Thickness in mm of a sphere after blur and pixel integration, rendered eight times finer than the pixels.

    It shares nothing with `render_punctum`: the kernel is the integral of a Gaussian over each step, applied as a
    matrix along rows and columns.

    Args:
        diameter_mm: of the sphere.
        spacing_mm: pixel size.
        blur_sigma_mm: standard deviation of the detector blur.
        offset_px: row and column of the centre from the middle of the central pixel.

    Returns:
        (rows, columns), odd sides.
    """
    half = math.ceil((diameter_mm / 2 + 5 * blur_sigma_mm) / spacing_mm) + 1
    step = spacing_mm / OVERSAMPLING
    place = (np.arange((2 * half + 1) * OVERSAMPLING) + 0.5) * step - (half + 0.5) * spacing_mm
    rows, columns = (place - offset * spacing_mm for offset in offset_px)
    squared = (diameter_mm / 2) ** 2 - rows[:, None] ** 2 - columns[None, :] ** 2
    thickness = 2 * np.sqrt(np.maximum(squared, 0.0))
    # From fine steps to the mean over each pixel, with the blur in between.
    gaps = (place[:, None] - place[None, :]) / (math.sqrt(2) * blur_sigma_mm)
    reach = step / 2 / (math.sqrt(2) * blur_sigma_mm)
    kernel = (erf(gaps + reach) - erf(gaps - reach)) / 2
    onto_pixels = kernel.reshape(2 * half + 1, OVERSAMPLING, -1).mean(axis=1)
    return onto_pixels @ thickness @ onto_pixels.T


def radial_samples(
    picture: NDArray[np.floating], centre_px: Sequence[float], *, spacing_mm: float
) -> tuple[Values, Values]:
    """Distance in mm of each pixel near a centre, and its value as a share of the largest of them.

    Args:
        picture: (rows, columns), a punctum alone: the image less its background.
        centre_px: row and column, 0 at the upper edge of the first pixel.
        spacing_mm: pixel size.
    """
    reach = math.ceil(PROFILE_REACH_MM / spacing_mm)
    first = [max(int(place) - reach, 0) for place in centre_px]
    tile = picture[first[0] : int(centre_px[0]) + reach + 1, first[1] : int(centre_px[1]) + reach + 1]
    rows, columns = np.indices(tile.shape) + 0.5
    distance = np.hypot(rows + first[0] - centre_px[0], columns + first[1] - centre_px[1]) * spacing_mm
    shares = np.asarray(tile, np.float64) / float(tile.max())
    return np.asarray(distance.ravel(), np.float64), shares.ravel()


def radial_profile(distance_mm: Values, values: Values) -> tuple[Values, Values]:
    """Mean value in rings of `PROFILE_STEP_MM`: middle of each ring that holds a pixel, and its mean."""
    ring = (distance_mm / PROFILE_STEP_MM).astype(int)
    counts = np.bincount(ring)
    kept = np.flatnonzero((counts > 0) & (np.arange(len(counts)) * PROFILE_STEP_MM < PROFILE_REACH_MM))
    means = np.bincount(ring, weights=values)[kept] / counts[kept]
    middle = (kept + 0.5) * PROFILE_STEP_MM
    return np.asarray(middle, np.float64), np.asarray(means, np.float64)


def edge_width_mm(radius_mm: Values, profile: Values) -> float:
    """Distance over which a falling profile goes from 90 to 10 % of its largest value; nan where it does not."""
    scaled, width = profile / profile.max(), []
    for level in (0.1, 0.9):
        below = np.flatnonzero((scaled < level) & (np.arange(len(scaled)) > scaled.argmax()))
        if not below.size:
            return math.nan
        after = int(below[0])
        share = (scaled[after - 1] - level) / (scaled[after - 1] - scaled[after])
        width.append(radius_mm[after - 1] + share * (radius_mm[after] - radius_mm[after - 1]))
    return float(width[0] - width[1])


class Blobs(NamedTuple):
    """HDoG blobs of one image, each (n,) but `position_px` (n, 2).

    Attributes:
        position_px: row and column.
        scale_mm: standard deviation of the Gaussian that fits best.
        contrast: normalised DoG response, in units of the image scaled to [0, 1].
        roundness: smaller over larger curvature, 1 for a round blob, 0 for a ridge.
    """

    position_px: NDArray[np.int64]
    scale_mm: Values
    contrast: Values
    roundness: Values


def measure_blobs(image: Array, *, spacing_mm: float, least: float = DOG_THRESHOLD) -> Blobs:
    """Find the blobs of HDoG and measure them.

    Args:
        image: (rows, columns), in [-1, 1], -1 outside the breast.
        spacing_mm: pixel size.
        least: smallest DoG response that counts.
    """
    inside = image > -1
    kept = binary_erosion(inside, iterations=max(1, round(BLOB_MARGIN_MM / spacing_mm)))
    sigmas = scales_mm(SIGMA_MIN_MM, SIGMA_MAX_MM, ratio=BLOB_RATIO)
    stack = dog_stack((image + 1) / np.float32(2), inside, sigmas_mm=sigmas, spacing_mm=(spacing_mm, spacing_mm))
    blobs = find_blobs(np.where(kept, stack, 0))
    blobs = blobs[stack[tuple(blobs.T)] >= least]
    layer, row, column = blobs.T
    return Blobs(blobs[:, 1:], sigmas[layer], stack[layer, row, column].astype(float), _roundness(stack, blobs))


def _roundness(stack: Array, blobs: NDArray[np.int64]) -> Values:
    """Ratio of the curvatures at each blob; the erosion keeps blobs off the border."""
    layer, row, column = blobs.T

    def at(rows: int, columns: int) -> Values:
        return stack[layer, row + rows, column + columns].astype(np.float64)

    down, across = at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)
    mixed = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    middle, spread = (down + across) / 2, np.hypot((down - across) / 2, mixed)
    return np.clip((middle + spread) / np.minimum(middle - spread, -1e-12), 0.0, 1.0)


class Distance(NamedTuple):
    """How far two samples are apart: Kolmogorov-Smirnov in [0, 1], and Wasserstein in deviations of the second."""

    ks: float
    wasserstein: float


def sample_distance(first: Values, second: Values) -> Distance:
    """Distances of two samples, (n,) and (m,); nan where one is empty."""
    if not (len(first) and len(second)):
        return Distance(math.nan, math.nan)
    spread = max(float(np.std(second)), 1e-12)
    return Distance(float(ks_2samp(first, second).statistic), float(wasserstein_distance(first, second)) / spread)

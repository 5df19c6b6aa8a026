"""Puncta: the shape of one calcification and its picture after detector blur (the term h conv a_s of eq. 2)."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]

# Reported mean diameters run from 188 um (benign) to 324 um (comedo) with a second mode at 500-700 um.
DIAMETER_MEDIAN_MM = 0.2
DIAMETER_SIGMA_LOG = 0.45
SECOND_MODE_MM = 0.6
SECOND_MODE_SIGMA_LOG = 0.15
SECOND_MODE_SHARE = 0.12
DIAMETER_RANGE_MM = (0.1, 1.0)
# Points per pixel along each axis; small puncta need more of them.
OVERSAMPLING, FINE_OVERSAMPLING = 3, 6
FINE_REACH_PX = 1.5
# Where contrast follows the thickness, this one has the contrast that is drawn.
REFERENCE_MM = 0.25


@dataclass(frozen=True)
class Punctum:
    """One calcification as a union of ellipsoids, in mm.

    Attributes:
        row_mm: centre, from the patch's upper edge.
        column_mm: centre, from the patch's left edge.
        parts: (n, 5) ellipsoids: row and column offset from the centre, the two half-axes, all in mm, and the angle
            in radians.
        cnr: peak after blur over the local standard deviation of the high-passed background; what it would be for a
            thickness of `REFERENCE_MM`, where contrast follows the thickness (see `inject`).
    """

    row_mm: float
    column_mm: float
    parts: NDArray[np.float64]
    cnr: float

    @property
    def reach_mm(self) -> float:
        """Radius of a disc around the centre that holds the whole shape."""
        return float((np.hypot(self.parts[:, 0], self.parts[:, 1]) + self.parts[:, 2:4].max(axis=1)).max())


def sample_diameter_mm(rng: np.random.Generator) -> float:
    """Draw a diameter in mm: lognormal, with a second mode near 0.6 mm, clipped to 0.1-1.0 mm."""
    if rng.random() < SECOND_MODE_SHARE:
        diameter = rng.lognormal(math.log(SECOND_MODE_MM), SECOND_MODE_SIGMA_LOG)
    else:
        diameter = rng.lognormal(math.log(DIAMETER_MEDIAN_MM), DIAMETER_SIGMA_LOG)
    return float(np.clip(diameter, *DIAMETER_RANGE_MM))


def sample_parts(rng: np.random.Generator, diameter_mm: float, *, shape: str) -> NDArray[np.float64]:
    """Draw the ellipsoids of a shape.

    Args:
        rng: source of randomness.
        diameter_mm: diameter of a disc of about the same area; the width, for a rod.
        shape: "oval", "irregular" (2-5 overlapping ellipsoids), "rod" (a bent, possibly branching cast) or "amorphous"
            (a cloud of dots without a clear outline, half as wide again).

    Returns:
        (n, 5) as in `Punctum.parts`.

    Raises:
        ValueError: if the shape is unknown.
    """
    radius = diameter_mm / 2
    if shape == "oval":
        aspect = math.sqrt(rng.uniform(1.0, 2.0))
        return np.array([[0.0, 0.0, radius * aspect, radius / aspect, rng.uniform(0, math.pi)]])
    if shape == "irregular":
        count = int(rng.integers(2, 6))
        offsets = rng.normal(0.0, 0.45 * radius, (count, 2))
        half_axes = radius * rng.uniform(0.35, 0.85, (count, 2))
        return np.column_stack([offsets - offsets.mean(axis=0), half_axes, rng.uniform(0, math.pi, count)])
    if shape == "rod":
        return _sample_rod(rng, width_mm=0.7 * diameter_mm)
    if shape == "amorphous":
        count = int(rng.integers(5, 13))
        offsets = rng.normal(0.0, 0.6 * radius, (count, 2)).clip(-1.2 * radius, 1.2 * radius)
        half_axes = radius * rng.uniform(0.35, 0.6, (count, 2))
        return np.column_stack([offsets - offsets.mean(axis=0), half_axes, rng.uniform(0, math.pi, count)])
    raise ValueError(f"Expected shape oval, irregular, rod or amorphous, got {shape!r}")


def _sample_rod(rng: np.random.Generator, *, width_mm: float) -> NDArray[np.float64]:
    """A chain of overlapping beads along a bent line, one time in three with a branch."""
    angle = rng.uniform(0, 2 * math.pi)
    position = np.zeros(2)
    beads = []
    length = int(rng.integers(3, 9))
    for bead in range(length):
        angle += rng.normal(0.0, 0.25)
        half = width_mm / 2 * rng.uniform(0.7, 1.2)
        beads.append([*position, 1.4 * half, half, angle])
        if bead == length // 2 and rng.random() < 1 / 3:
            fork = angle + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0)
            for step in range(1, 4):
                beads.append(
                    [
                        *(position + step * 0.9 * width_mm * np.array([math.sin(fork), math.cos(fork)])),
                        1.3 * half,
                        half,
                        fork,
                    ]
                )
        position = position + 0.9 * width_mm * np.array([math.sin(angle), math.cos(angle)])
    parts = np.array(beads)
    parts[:, :2] -= parts[:, :2].mean(axis=0)
    return parts


class Rendered(NamedTuple):
    """One punctum on the pixel grid.

    Attributes:
        first: (row, column) of the tile's first pixel on the patch's grid; it may lie outside the patch.
        tile: float32, the blurred picture with a peak of 1.
        support: bool, where the thickness before blur is at least half the peak of one of the parts (at least one
            pixel): a thin part of a large calcification belongs to it.
        half_px: number of pixels at or above half the blurred peak.
        peak_mm: thickness at the blurred peak.
    """

    first: tuple[int, int]
    tile: Array
    support: NDArray[np.bool_]
    half_px: int
    peak_mm: float


def render_punctum(punctum: Punctum, *, spacing_mm: float, blur_sigma_mm: float) -> Rendered:
    """Picture of one punctum on the pixel grid: the term h conv a_s of eq. 2, with a peak of 1.

    The projected thickness of the union is sampled on a finer grid, blurred by the detector (Gaussian,
    `blur_sigma_mm`) and integrated over each pixel.

    Args:
        punctum: the shape; its `cnr` is not used here.
        spacing_mm: pixel size.
        blur_sigma_mm: standard deviation of the detector blur.
    """
    reach_px = punctum.reach_mm / spacing_mm
    half = math.ceil(reach_px + 3.5 * blur_sigma_mm / spacing_mm) + 1
    row, column = punctum.row_mm / spacing_mm, punctum.column_mm / spacing_mm
    first = (math.floor(row) - half, math.floor(column) - half)
    side = 2 * half + 1
    points = FINE_OVERSAMPLING if reach_px < FINE_REACH_PX else OVERSAMPLING
    fine = (np.arange(side * points) + 0.5) / points
    rows = ((fine + first[0] - row) * spacing_mm)[:, None]
    columns = ((fine + first[1] - column) * spacing_mm)[None, :]
    thickness = np.zeros((side * points, side * points))
    relative = np.zeros_like(thickness)
    # A part finer than the grid would fall between its points.
    least = 0.75 * spacing_mm / points
    for part_row, part_column, major, minor, angle in punctum.parts:
        major, minor = max(major, least), max(minor, least)
        # Only the box around the part: a long rod has many parts, each a small share of its tile.
        reach = max(major, minor)
        row_box = slice(*np.searchsorted(rows[:, 0], (part_row - reach, part_row + reach)))
        column_box = slice(*np.searchsorted(columns[0], (part_column - reach, part_column + reach)))
        along = (columns[:, column_box] - part_column) * math.cos(angle) + (rows[row_box] - part_row) * math.sin(angle)
        across = (rows[row_box] - part_row) * math.cos(angle) - (columns[:, column_box] - part_column) * math.sin(angle)
        height = np.sqrt(np.maximum(1.0 - (along / major) ** 2 - (across / minor) ** 2, 0.0))
        box = (row_box, column_box)
        relative[box] = np.maximum(relative[box], height)
        # As deep along the beam as it is narrow across it.
        thickness[box] = np.maximum(thickness[box], 2 * min(major, minor) * height)
    share = _integrate_pixels(relative, side, points)
    support = share >= 0.5 * min(1.0, share.max())
    sigma = blur_sigma_mm / spacing_mm * points
    blurred = _integrate_pixels(gaussian_filter(thickness, sigma, mode="constant", truncate=3.5), side, points)
    peak_mm = float(blurred.max())
    tile = (blurred / peak_mm).astype(np.float32)
    return Rendered(first, tile, support, int((tile >= 0.5).sum()), peak_mm)


def _integrate_pixels(fine: NDArray[np.float64], side: int, points: int) -> NDArray[np.float64]:
    """Mean over each pixel of the oversampled grid."""
    return fine.reshape(side, points, side, points).mean(axis=(1, 3))

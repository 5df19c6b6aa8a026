"""Twenty-four figures of a cluster of calcifications: its size, its shape, its density, and the size of its members.

HDoGReg (section V-C) standardises 24 "expert-defined features describing each cluster's size, shape, and density", and
leaves their definitions to a supplement that is not at hand; these are this project's own. All but the last four use
positions alone (centroids, mm). The major axis is that of largest variance through the mean position; `along` and
`across` are a member's coordinates on it and on the minor axis, from the mean position. No figure depends on where the
cluster lies or how it is turned or mirrored. Standard deviations divide by n. A quotient whose denominator is 0 is 0.

| feature | definition |
|---|---|
| count | members, n |
| hull_area_mm2 | area A of the convex hull |
| hull_perimeter_mm | its perimeter P; twice the length if all members lie on a line |
| max_distance_mm | largest distance of two members |
| length_mm | largest less smallest `along` |
| width_mm | largest less smallest `across` |
| rms_radius_mm | root of the mean squared distance from the mean position |
| axis_ratio | standard deviation of `across` over that of `along`, 0 (line) to 1 (as wide as long) |
| circularity | 4 pi A / P^2, 0 (line) to 1 (disc) |
| rectangularity | A / (length x width) |
| curve_residual_mm | root of the mean squared distance, in `across`, from the best parabola over `along` |
| taper | absolute correlation of abs(`across`) with `along`: 0 without a narrower end |
| skewness | absolute third over second central moment^1.5 of `along`: 0 without a fuller end |
| density_per_cm2 | n over the area A + P r + pi r^2 of the hull grown by r = 1 mm (so that a line has one) |
| nearest_mean_mm | mean distance to the nearest other member |
| nearest_sd_mm | standard deviation of that distance |
| distance_mean_mm | mean distance over all pairs |
| tree_mean_mm | mean edge of the minimum spanning tree |
| tree_max_mm | its longest edge: the widest gap |
| clark_evans | nearest_mean_mm times 2 sqrt(density per mm2): about 1 if random, below if clumped, above if even |
| diameter_mean_mm | mean diameter of the members |
| diameter_sd_mm | standard deviation of the diameters |
| diameter_max_mm | largest diameter |
| member_area_mm2 | sum of the areas of discs of these diameters |
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.distance import pdist

from .cluster_scores import MAX_FINDINGS

Positions = NDArray[np.float64]

FEATURES = (
    "count", "hull_area_mm2", "hull_perimeter_mm", "max_distance_mm", "length_mm", "width_mm", "rms_radius_mm",
    "axis_ratio", "circularity", "rectangularity", "curve_residual_mm", "taper", "skewness",
    "density_per_cm2", "nearest_mean_mm", "nearest_sd_mm", "distance_mean_mm", "tree_mean_mm", "tree_max_mm",
    "clark_evans",
    "diameter_mean_mm", "diameter_sd_mm", "diameter_max_mm", "member_area_mm2",
)  # fmt: skip
MIN_MEMBERS = 3
GROWN_MM = 1.0


class Hull(NamedTuple):
    """Area, perimeter and largest distance of two points of a convex hull."""

    area_mm2: float
    perimeter_mm: float
    max_distance_mm: float


def cluster_features(positions_mm: ArrayLike, diameters_mm: ArrayLike) -> dict[str, float]:
    """Compute the features of the module's table, in the order of FEATURES.

    Time and memory grow with the square of the number of members.

    Args:
        positions_mm: (n, 2), row and column, n from 3 to MAX_FINDINGS.
        diameters_mm: (n,), each > 0.

    Raises:
        ValueError: on another number of members, on positions that are not finite, or diameters that do not fit them.
    """
    positions, diameters = np.asarray(positions_mm, np.float64), np.asarray(diameters_mm, np.float64)
    _check(positions, diameters)
    values = {"count": float(len(positions)), **_shape(positions), **_density(positions), **_members(diameters)}
    return {name: float(values[name]) for name in FEATURES}


def _check(positions: Positions, diameters: NDArray) -> None:
    if positions.ndim != 2 or positions.shape[1] != 2 or not MIN_MEMBERS <= len(positions) <= MAX_FINDINGS:
        raise ValueError(
            f"Expected {MIN_MEMBERS} to {MAX_FINDINGS} positions (n, 2), got {positions.shape}; raise the threshold of "
            "a flooded view, leave out smaller groups"
        )
    if diameters.shape != positions.shape[:1] or not (np.all(diameters > 0) and np.isfinite(positions).all()):
        raise ValueError("Expected finite positions, each with a diameter > 0 mm, got others; pass the findings' own")


def convex_hull(positions: Positions) -> Hull:
    """Hull of positions (n, 2) in mm; members on a line have a perimeter of twice their length and no area."""
    try:
        hull = ConvexHull(positions)
    except QhullError:
        # Fewer than three, or all on a line: the ends are the extremes along it.
        along = principal_axes(positions)[0]
        length = float(np.ptp(along)) if len(along) else 0.0
        return Hull(0.0, 2 * length, length)
    # Qhull calls the measure of the boundary "area", whatever the dimension.
    return Hull(float(hull.volume), float(hull.area), float(pdist(positions[hull.vertices]).max()))


def principal_axes(positions: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of positions (n, 2) on the major and the minor axis, from the mean position, (n,) each."""
    if not len(positions):
        return np.zeros(0), np.zeros(0)
    centred = positions - positions.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, 1], centred @ vectors[:, 0]


def curve_residual_mm(along: NDArray, across: NDArray) -> float:
    """Root mean square of what the best parabola across = a + b along + c along^2 leaves, (n,) each in mm."""
    # Along in units of its own reach: the fit's condition is then that of the shape, not of the unit.
    place = along / max(float(np.abs(along).max()), np.finfo(float).tiny)
    terms = np.stack([np.ones_like(place), place, place**2], axis=1)
    return math.sqrt(float(np.mean((across - terms @ np.linalg.lstsq(terms, across, rcond=None)[0]) ** 2)))


def correlation(first: NDArray, second: NDArray) -> float:
    """Pearson's correlation of two (n,), 0 where one of them does not vary."""
    a, b = first - first.mean(), second - second.mean()
    return _quotient(float(a @ b), math.sqrt(float((a @ a) * (b @ b))))


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else 0.0


def _shape(positions: Positions) -> dict[str, float]:
    hull, (along, across) = convex_hull(positions), principal_axes(positions)
    length, width = float(np.ptp(along)), float(np.ptp(across))
    return {
        "hull_area_mm2": hull.area_mm2,
        "hull_perimeter_mm": hull.perimeter_mm,
        "max_distance_mm": hull.max_distance_mm,
        "length_mm": length,
        "width_mm": width,
        "rms_radius_mm": math.hypot(along.std(), across.std()),
        "axis_ratio": _quotient(float(across.std()), float(along.std())),
        "circularity": _quotient(4 * math.pi * hull.area_mm2, hull.perimeter_mm**2),
        "rectangularity": _quotient(hull.area_mm2, length * width),
        "curve_residual_mm": curve_residual_mm(along, across),
        "taper": abs(correlation(np.abs(across), along)),
        "skewness": abs(_quotient(float(np.mean(along**3)), float(np.mean(along**2)) ** 1.5)),
    }


def _density(positions: Positions) -> dict[str, float]:
    hull, distances = convex_hull(positions), pdist(positions)
    grown_mm2 = hull.area_mm2 + hull.perimeter_mm * GROWN_MM + math.pi * GROWN_MM**2
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
    # Single linkage joins along the edges of the minimum spanning tree, coincident members included.
    edges = linkage(distances, "single")[:, 2]
    return {
        "density_per_cm2": 100 * len(positions) / grown_mm2,
        "nearest_mean_mm": nearest.mean(),
        "nearest_sd_mm": nearest.std(),
        "distance_mean_mm": distances.mean(),
        "tree_mean_mm": edges.mean(),
        "tree_max_mm": edges.max(),
        "clark_evans": nearest.mean() * 2 * math.sqrt(len(positions) / grown_mm2),
    }


def _members(diameters: NDArray) -> dict[str, float]:
    return {
        "diameter_mean_mm": diameters.mean(),
        "diameter_sd_mm": diameters.std(),
        "diameter_max_mm": diameters.max(),
        "member_area_mm2": math.pi / 4 * np.sum(diameters**2),
    }

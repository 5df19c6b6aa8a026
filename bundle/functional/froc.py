"""Object counts over a sweep of thresholds: false positives per cm2 and the free-response (FROC) curve.

A pixel is positive where the probability is at or above the threshold.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from .objects import HIT_DISTANCE_MM, HIT_IOU, ObjectCounts, Spacing, count_objects, region_area_cm2


def count_components_at(
    probs: ArrayLike, thresholds: ArrayLike, *, region: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Count the 8-connected objects of `probs >= threshold` for many thresholds in one pass.

    The number of trees in a forest is vertices minus edges; one spanning forest whose edges keep the higher of the
    two levels as long as possible therefore answers every threshold at once.

    Args:
        probs: float (rows, columns).
        thresholds: (n,), increasing.
        region: bool (rows, columns); pixels outside are not counted.
    """
    levels = np.asarray(thresholds, np.float64)
    if levels.ndim != 1 or np.any(np.diff(levels) <= 0):
        raise ValueError("Expected thresholds that increase strictly, got others; sort them and remove duplicates")
    # Comparing as float64 keeps `>=` the same as everywhere else; a level is the number of thresholds reached.
    height = np.searchsorted(levels, np.asarray(probs, np.float64), side="right")
    if region is not None:
        height = np.where(np.asarray(region, bool), height, 0)
    vertices = np.flatnonzero(height)
    number = np.full(height.shape, -1)
    number.flat[vertices] = np.arange(len(vertices))
    tree = minimum_spanning_tree(_neighbour_graph(number, height, count=len(vertices), top=len(levels) + 1))
    edge_height = len(levels) + 1 - tree.data.astype(int)
    bins = len(levels) + 1
    change = np.bincount(height.ravel()[vertices], minlength=bins) - np.bincount(edge_height, minlength=bins)
    return np.cumsum(change[::-1])[::-1][1:]


def _neighbour_graph(number: NDArray, height: NDArray, *, count: int, top: int) -> coo_matrix:
    """Edges between 8-neighbours, weighted top - min(height), so that a minimal forest prefers high edges."""
    rows, columns = height.shape
    heads, tails, weights = [], [], []
    for first, second in (
        ((slice(0, rows), slice(0, columns - 1)), (slice(0, rows), slice(1, columns))),
        ((slice(0, rows - 1), slice(0, columns)), (slice(1, rows), slice(0, columns))),
        ((slice(0, rows - 1), slice(0, columns - 1)), (slice(1, rows), slice(1, columns))),
        ((slice(0, rows - 1), slice(1, columns)), (slice(1, rows), slice(0, columns - 1))),
    ):
        both = (number[first] >= 0) & (number[second] >= 0)
        heads.append(number[first][both])
        tails.append(number[second][both])
        weights.append(top - np.minimum(height[first][both], height[second][both]))
    edges = (np.concatenate(heads), np.concatenate(tails))
    return coo_matrix((np.concatenate(weights).astype(np.float64), edges), shape=(count, count))


def fp_per_cm2_curve(
    thresholds: ArrayLike,
    probs: Iterable[ArrayLike],
    breast: Iterable[ArrayLike],
    *,
    spacing_mm: Iterable[Spacing],
) -> NDArray[np.float64]:
    """Objects per cm2 of breast at each threshold, pooled over views without microcalcifications.

    Args:
        thresholds: (n,), increasing, in (0, 1].
        probs: one float (rows, columns) per view.
        breast: one bool (rows, columns) per view.
        spacing_mm: row and column spacing of each view.

    Returns:
        float (n,), per cm2.
    """
    found, area = np.zeros(np.size(thresholds), np.int64), 0.0
    for view_probs, view_breast, view_spacing in zip(probs, breast, spacing_mm, strict=True):
        found += count_components_at(view_probs, thresholds, region=view_breast)
        area += region_area_cm2(view_breast, spacing_mm=view_spacing)
    if area == 0:
        raise ValueError("Expected some breast area to measure false positives on, got 0 cm2; pass views with a breast")
    return found / area


def froc_counts(
    thresholds: ArrayLike,
    probs: ArrayLike,
    label: ArrayLike,
    *,
    spacing_mm: Spacing,
    region: ArrayLike | None = None,
    distance_mm: float = HIT_DISTANCE_MM,
    min_iou: float = HIT_IOU,
) -> list[ObjectCounts]:
    """Object counts of one view at each threshold; add them over views for a free-response (FROC) curve.

    Args:
        thresholds: (n,).
        probs: float (rows, columns).
        label: (rows, columns), 0, 1 or 2 (ignore).
        spacing_mm: row and column spacing.
        region: bool (rows, columns); the whole image when None.
        distance_mm: as in `count_objects`.
        min_iou: as in `count_objects`.
    """
    values = np.asarray(probs, np.float64)
    return [
        count_objects(
            values >= t, label, spacing_mm=spacing_mm, region=region, distance_mm=distance_mm, min_iou=min_iou
        )
        for t in np.atleast_1d(thresholds)
    ]

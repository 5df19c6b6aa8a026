"""Object counts over a sweep of thresholds: false positives per cm2 and the free-response (FROC) curve.

A pixel is positive where the probability is at or above the threshold.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from .objects import (
    HIT_DISTANCE_MM,
    HIT_IOU,
    ObjectCounts,
    Spacing,
    find_reference,
    match_objects,
    region_area_cm2,
)

# Thresholds beyond a logit of 14, where a probability is 1: networks trained by an overlap alone may be as sure as that
# of what is false, and a curve that ends before reads too low.
FAR_LOGITS = np.geomspace(16.0, 1000.0, 24)
Counted = TypeVar("Counted")


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
    reference = find_reference(label, spacing_mm=spacing_mm, region=region)

    def count(mask: NDArray[np.bool_]) -> ObjectCounts:
        return match_objects(mask, reference, distance_mm=distance_mm, min_iou=min_iou).counts(reference)

    return sweep(thresholds, probs, count)


def sweep(thresholds: ArrayLike, probs: ArrayLike, count: Callable[[NDArray[np.bool_]], Counted]) -> list[Counted]:
    """Apply `count` to the mask of each threshold, once per different mask.

    Args:
        thresholds: (n,).
        probs: float (rows, columns).
        count: takes a bool (rows, columns) mask.
    """
    values = np.asarray(probs, np.float64)
    highest = values.max(initial=-np.inf)
    by_positives: dict[int, Counted] = {}
    results = []
    for threshold in np.atleast_1d(np.asarray(thresholds, np.float64)):
        mask = values >= threshold if threshold <= highest else np.zeros(values.shape, bool)
        # Masks of one map are nested, so as many positives are the same positives.
        positives = int(np.count_nonzero(mask))
        if positives not in by_positives:
            by_positives[positives] = count(mask)
        results.append(by_positives[positives])
    return results


def usable_curve(fp_per_cm2: ArrayLike, tpr: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn rates measured at increasing thresholds into a curve that rises from (0, 0).

    At low thresholds objects run together and false positives become fewer again; one blob over everything may even
    hit. That branch, below the lowest threshold with the most false positives, is not read. On the rest, every
    measured point can be had at its own false-positive rate or any higher one, so the sensitivity is the largest so
    far. (0, 0), predicting nothing, can always be had.

    Args:
        fp_per_cm2: (n,), at increasing thresholds.
        tpr: (n,), in [0, 1], at the same thresholds; nan (nothing to find) stays nan.

    Returns:
        False positives, increasing strictly from 0 except for a rise at 0, and sensitivities, not decreasing.

    Raises:
        ValueError: on curves of differing length, without points or with values out of range.
    """
    rate, found = np.asarray(fp_per_cm2, np.float64), np.asarray(tpr, np.float64)
    if rate.ndim != 1 or rate.shape != found.shape or not len(rate):
        raise ValueError(f"Expected one sensitivity per false-positive rate, got {rate.shape} and {found.shape}")
    if not (np.all(np.isfinite(rate)) and np.all(rate >= 0) and not np.any((found < 0) | (found > 1))):
        raise ValueError("Expected finite false positives >= 0 and sensitivities in [0, 1]; count objects again")
    top = int(np.argmax(rate))
    rate, found = rate[top:], found[top:]
    order = np.argsort(rate, kind="stable")
    best = np.maximum.accumulate(found[order])
    last_of_rate = np.append(np.diff(rate[order]) > 0, True)
    return np.append(0.0, rate[order][last_of_rate]), np.append(0.0, best[last_of_rate])


def tpr_at(fp_per_cm2: ArrayLike, tpr: ArrayLike, rate: float = 0.4) -> float:
    """Sensitivity at a false-positive rate (per cm2, > 0): linear between the points of `usable_curve`.

    Between two operating points any mixture can be had by drawing one of them per case. Beyond the last point the
    curve goes on flat: nothing better was measured.
    """
    if not rate > 0:
        raise ValueError(f"Expected a rate > 0 false positives per cm2, got {rate:g}")
    curve_rate, curve_found = usable_curve(fp_per_cm2, tpr)
    return float(np.interp(rate, curve_rate, curve_found))


def froc_pauc(fp_per_cm2: ArrayLike, tpr: ArrayLike, *, limit: float = 1.0) -> float:
    """Area under the FROC curve from 0 to `limit` false positives per cm2, over `limit`: 0 to 1.

    The curve is that of `tpr_at`: straight from (0, 0) to the first point, linear between points, flat after the last.
    """
    if not limit > 0:
        raise ValueError(f"Expected a limit > 0 false positives per cm2, got {limit:g}")
    rate, found = usable_curve(fp_per_cm2, tpr)
    end = np.interp(limit, rate, found)
    rate, found = np.append(rate[rate < limit], limit), np.append(found[rate < limit], end)
    return float(np.sum(np.diff(rate) * (found[1:] + found[:-1]) / 2) / limit)

"""Objects (8-connected components) of a mask or probability map, and their one-to-one matching with the truth.

A pixel is positive where the probability is at or above the threshold. Positions are (row, column).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from .confusion import IGNORE, MICROCALCIFICATION

EIGHT_CONNECTED = np.ones((3, 3), int)
HIT_DISTANCE_MM = 0.35
HIT_IOU = 0.3
# A prediction with at least this share of its pixels on "ignore" says nothing about anything else.
IGNORED_SHARE = 0.5

Spacing = Sequence[float] | NDArray


@dataclass(frozen=True)
class Components:
    """The objects of one view, numbered 1..n in `label_map` and 0..n-1 in the arrays.

    Attributes:
        label_map: int (rows, columns), 0 is background.
        centroid_px: float (n, 2), row and column of the mean pixel position.
        area_px: int (n,).
        peak: float (n,), highest score in the object.
        mean: float (n,), mean score in the object.
        box_px: int (n, 4), first row, first column, and one past the last row and column.
    """

    label_map: NDArray[np.int32]
    centroid_px: NDArray[np.float64]
    area_px: NDArray[np.int64]
    peak: NDArray[np.float64]
    mean: NDArray[np.float64]
    box_px: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)


def find_components(mask: ArrayLike, *, scores: ArrayLike | None = None) -> Components:
    """Label the 8-connected objects of a bool (rows, columns) mask and measure them.

    Args:
        mask: bool (rows, columns).
        scores: float (rows, columns), e.g. probabilities; 1 everywhere when None.
    """
    mask = np.asarray(mask, bool)
    label_map, count = ndimage.label(mask, structure=EIGHT_CONNECTED, output=np.int32)
    rows, columns = np.nonzero(label_map)
    index = label_map[rows, columns] - 1
    values = np.ones(len(rows)) if scores is None else np.asarray(scores)[rows, columns].astype(np.float64)
    area = np.bincount(index, minlength=count)

    def mean_of(value: NDArray) -> NDArray[np.float64]:
        return np.bincount(index, weights=value, minlength=count) / area

    peak = np.full(count, -np.inf)
    np.maximum.at(peak, index, values)
    boxes = [[r.start, c.start, r.stop, c.stop] for r, c in ndimage.find_objects(label_map)]
    centroid = np.stack([mean_of(rows), mean_of(columns)], axis=1)
    return Components(label_map, centroid, area, peak, mean_of(values), np.array(boxes, np.int64).reshape(count, 4))


def region_area_cm2(region: ArrayLike, *, spacing_mm: Spacing) -> float:
    """Area of a bool (rows, columns) region in cm2."""
    row_mm, column_mm = (float(side) for side in spacing_mm)
    if not (row_mm > 0 and column_mm > 0):
        raise ValueError(f"Expected pixel spacing > 0 mm, got {row_mm:g} x {column_mm:g}; pass the spacing of the view")
    return float(np.count_nonzero(region)) * row_mm * column_mm / 100.0


def _overlaps(first: Components, second: Components) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs of overlapping objects (indices from 0) and their intersections over unions."""
    both = (first.label_map > 0) & (second.label_map > 0)
    codes = first.label_map[both].astype(np.int64) * (len(second) + 1) + second.label_map[both]
    pairs, shared = np.unique(codes, return_counts=True)
    i, j = pairs // (len(second) + 1) - 1, pairs % (len(second) + 1) - 1
    return i, j, shared / (first.area_px[i] + second.area_px[j] - shared)


def hits(
    first: Components,
    second: Components,
    *,
    spacing_mm: Spacing,
    distance_mm: float = HIT_DISTANCE_MM,
    min_iou: float = HIT_IOU,
) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs that may be matched: centroids at most `distance_mm` apart, or mask IoU of at least `min_iou`.

    Returns:
        Object indices in `first` and `second`, both (m,), and a closeness in [0, 1] per pair that prefers overlap,
        then nearness.
    """
    if not (len(first) and len(second)):
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    scale = np.asarray(spacing_mm, np.float64)
    near = cKDTree(first.centroid_px * scale).sparse_distance_matrix(
        cKDTree(second.centroid_px * scale), distance_mm, output_type="ndarray"
    )
    i, j, iou = _overlaps(first, second)
    closeness: dict[tuple[int, int], float] = {
        (int(a), int(b)): 0.5 * (1 - d / distance_mm) if distance_mm > 0 else 0.5
        for a, b, d in zip(near["i"], near["j"], near["v"], strict=True)
    }
    for a, b, overlap in zip(i.tolist(), j.tolist(), iou.tolist(), strict=True):
        if overlap >= min_iou or (a, b) in closeness:
            closeness[a, b] = closeness.get((a, b), 0.0) + 0.5 * overlap
    pairs = np.array(sorted(closeness), int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], np.array([closeness[a, b] for a, b in pairs.tolist()])


def match_one_to_one(i: NDArray, j: NDArray, closeness: NDArray) -> NDArray:
    """Choose as many admissible pairs as possible with every object in at most one; among those, the closest.

    Greedy choice by score can block a pair that would have saved another, hence an optimal assignment.

    Args:
        i: object indices on one side, (m,).
        j: object indices on the other, (m,).
        closeness: (m,), in [0, 1].

    Returns:
        Chosen pairs, int (k, 2).
    """
    if len(i) == 0:
        return np.zeros((0, 2), int)
    first, row = np.unique(i, return_inverse=True)
    second, column = np.unique(j, return_inverse=True)
    benefit = np.zeros((len(first), len(second)))
    # The closeness of all pairs together stays below one pair, so the number of pairs always decides first.
    benefit[row, column] = 1 + closeness / (min(benefit.shape) + 1)
    chosen_row, chosen_column = linear_sum_assignment(benefit, maximize=True)
    admissible = benefit[chosen_row, chosen_column] > 0
    return np.stack([first[chosen_row[admissible]], second[chosen_column[admissible]]], axis=1)


class ObjectCounts(NamedTuple):
    """Objects of one view, or summed over views, and the area they were counted in."""

    tp: float
    fp: float
    fn: float
    area_cm2: float

    @property
    def fp_per_cm2(self) -> float:
        """False objects per cm2 of region; nan without a region."""
        return self.fp / self.area_cm2 if self.area_cm2 > 0 else float("nan")


def count_objects(
    pred_mask: ArrayLike,
    label: ArrayLike,
    *,
    spacing_mm: Spacing,
    region: ArrayLike | None = None,
    distance_mm: float = HIT_DISTANCE_MM,
    min_iou: float = HIT_IOU,
) -> ObjectCounts:
    """Match predicted with true objects, one to one, inside a region; objects are cut at its border.

    A prediction lying on "ignore" counts nowhere: with half its pixels or more there it is left out before the
    matching, and an unmatched one that hits an ignored object is left out after it.

    Args:
        pred_mask: bool (rows, columns).
        label: (rows, columns), 0 background, 1 microcalcification, 2 ignore.
        spacing_mm: row and column spacing.
        region: bool (rows, columns), e.g. the breast; the whole image when None.
        distance_mm: a hit has centroids at most this far apart,
        min_iou: or masks that overlap at least this much.
    """
    truth_map = np.asarray(label)
    inside = np.ones(truth_map.shape, bool) if region is None else np.asarray(region, bool)
    if not np.shape(pred_mask) == truth_map.shape == inside.shape:
        raise ValueError(
            f"Expected prediction, label and region of one shape, "
            f"got {np.shape(pred_mask)}, {truth_map.shape} and {inside.shape}"
        )
    ignored_mask = (truth_map == IGNORE) & inside
    pred = find_components(np.asarray(pred_mask, bool) & inside, scores=ignored_mask)
    truth = find_components((truth_map == MICROCALCIFICATION) & inside)
    on_ignored = pred.mean >= IGNORED_SHARE
    i, j, closeness = hits(pred, truth, spacing_mm=spacing_mm, distance_mm=distance_mm, min_iou=min_iou)
    free = ~on_ignored[i]
    pairs = match_one_to_one(i[free], j[free], closeness[free])
    excused = on_ignored.copy()
    near_ignored, _, _ = hits(
        pred, find_components(ignored_mask), spacing_mm=spacing_mm, distance_mm=distance_mm, min_iou=min_iou
    )
    excused[near_ignored] = True
    excused[pairs[:, 0]] = False
    tp, fp = len(pairs), len(pred) - len(pairs) - np.count_nonzero(excused)
    return ObjectCounts(float(tp), float(fp), float(len(truth) - tp), region_area_cm2(inside, spacing_mm=spacing_mm))


def add_counts(counts: Iterable[ObjectCounts]) -> ObjectCounts:
    """Sum counts and areas over views."""
    totals = np.sum([tuple(count) for count in counts], axis=0)
    return ObjectCounts(*(float(total) for total in np.broadcast_to(totals, 4)))

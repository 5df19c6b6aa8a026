"""Objects of a prediction and their one-to-one matching with the truth.

A pixel is positive where the probability is at or above the threshold. Positions are (row, column).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from .components import EIGHT_CONNECTED as EIGHT_CONNECTED
from .components import Components, find_components, overlaps
from .confusion import IGNORE, MICROCALCIFICATION

HIT_DISTANCE_MM = 0.35
HIT_IOU = 0.3
# Five pixels of 0.07 mm are 0.35 mm, though not in binary.
ROUNDING_MM = 1e-9
# A prediction with at least this share of its pixels on "ignore" says nothing about anything else.
IGNORED_SHARE = 0.5

Spacing = Sequence[float] | NDArray


def region_area_cm2(region: ArrayLike, *, spacing_mm: Spacing) -> float:
    """Area of a bool (rows, columns) region in cm2."""
    row_mm, column_mm = (float(side) for side in spacing_mm)
    if not (row_mm > 0 and column_mm > 0):
        raise ValueError(f"Expected pixel spacing > 0 mm, got {row_mm:g} x {column_mm:g}; pass the spacing of the view")
    return float(np.count_nonzero(region)) * row_mm * column_mm / 100.0


def hits(
    first: Components,
    second: Components,
    *,
    spacing_mm: Spacing,
    distance_mm: float = HIT_DISTANCE_MM,
    min_iou: float = HIT_IOU,
    first_area_px: NDArray | None = None,
) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs that may be matched: centroids at most `distance_mm` apart, or mask IoU of at least `min_iou`.

    `first_area_px` is as in `overlaps`.

    Returns:
        Object indices in `first` and `second`, both (m,), and a closeness in [0, 1] per pair that prefers overlap,
        then nearness.
    """
    if not (len(first) and len(second)):
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    scale = np.asarray(spacing_mm, np.float64)
    near = cKDTree(first.centroid_px * scale).sparse_distance_matrix(
        cKDTree(second.centroid_px * scale), distance_mm + ROUNDING_MM, output_type="ndarray"
    )
    i, j, iou = overlaps(first, second, first_area_px=first_area_px)
    closeness: dict[tuple[int, int], float] = {
        (int(a), int(b)): 0.5 * max(1 - d / distance_mm, 0.0) if distance_mm > 0 else 0.5
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


@dataclass(frozen=True)
class Reference:
    """What the predictions of one view are matched with: made once, used at every threshold.

    Attributes:
        true: labelled 1, cut at the border of the region.
        ignored: labelled 2, likewise.
        ignored_mask: bool (rows, columns).
        inside: the region, bool (rows, columns).
        area_cm2: of the region.
        spacing_mm: row and column spacing.
    """

    true: Components
    ignored: Components
    ignored_mask: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    area_cm2: float
    spacing_mm: Spacing


def find_reference(label: ArrayLike, *, spacing_mm: Spacing, region: ArrayLike | None = None) -> Reference:
    """Find the true and ignored objects of a (rows, columns) label 0/1/2 inside a region (None: the whole image)."""
    truth = np.asarray(label)
    inside = np.ones(truth.shape, bool) if region is None else np.asarray(region, bool)
    if truth.ndim != 2 or truth.shape != inside.shape:
        raise ValueError(f"Expected label and region of one shape (rows, columns), got {truth.shape}, {inside.shape}")
    ignored_mask = (truth == IGNORE) & inside
    return Reference(
        true=find_components((truth == MICROCALCIFICATION) & inside),
        ignored=find_components(ignored_mask),
        ignored_mask=ignored_mask,
        inside=inside,
        area_cm2=region_area_cm2(inside, spacing_mm=spacing_mm),
        spacing_mm=spacing_mm,
    )


class ObjectMatch(NamedTuple):
    """Predictions of one view beside its reference.

    Attributes:
        pred: the predicted objects; `mean` is their share on "ignore".
        pairs: int (k, 2), predicted and true object of each match.
        excused: bool (n,), predictions on "ignore", which count nowhere.
    """

    pred: Components
    pairs: NDArray[np.int64]
    excused: NDArray[np.bool_]

    @property
    def false(self) -> NDArray[np.bool_]:
        """Predictions that are neither matched nor excused, bool (n,)."""
        false = ~self.excused
        false[self.pairs[:, 0]] = False
        return false

    def counts(self, reference: Reference) -> ObjectCounts:
        """TP, FP and FN of mask annotations, with the area of the region."""
        tp, fp = len(self.pairs), np.count_nonzero(self.false)
        return ObjectCounts(float(tp), float(fp), float(len(reference.true) - tp), reference.area_cm2)


def predicted_objects(pred_mask: ArrayLike, reference: Reference) -> Components:
    """Objects of a bool (rows, columns) prediction inside the region, with their share on "ignore" as `mean`."""
    mask = np.asarray(pred_mask, bool)
    if mask.shape != reference.inside.shape:
        raise ValueError(
            f"Expected prediction, label and region of one shape, got {mask.shape} and {reference.inside.shape}"
        )
    return find_components(mask & reference.inside, scores=reference.ignored_mask)


def counted_area_px(pred: Components) -> NDArray[np.int64]:
    """Pixels of predicted objects that are not on "ignore", (n,)."""
    return pred.area_px - np.rint(pred.mean * pred.area_px).astype(np.int64)


def assign(
    pred: Components,
    admissible: tuple[NDArray, NDArray, NDArray],
    reference: Reference,
    *,
    distance_mm: float = HIT_DISTANCE_MM,
    min_iou: float = HIT_IOU,
) -> ObjectMatch:
    """Match one to one, and excuse predictions on "ignore".

    With at least half its pixels on "ignore" a prediction is left out before the matching; an unmatched one that hits
    an ignored object is left out after it.

    Args:
        pred: from `predicted_objects`.
        admissible: predicted object, true object and closeness in [0, 1] of each pair that may be matched.
        reference: what was ignored.
        distance_mm: as in `hits`, as is
        min_iou: this.
    """
    on_ignored = pred.mean >= IGNORED_SHARE
    i, j, closeness = admissible
    free = ~on_ignored[i]
    pairs = match_one_to_one(i[free], j[free], closeness[free])
    near_ignored, _, _ = hits(
        pred, reference.ignored, spacing_mm=reference.spacing_mm, distance_mm=distance_mm, min_iou=min_iou
    )
    excused = on_ignored.copy()
    excused[near_ignored] = True
    excused[pairs[:, 0]] = False
    return ObjectMatch(pred, pairs, excused)


def match_objects(
    pred_mask: ArrayLike, reference: Reference, *, distance_mm: float = HIT_DISTANCE_MM, min_iou: float = HIT_IOU
) -> ObjectMatch:
    """Match the objects of a bool (rows, columns) prediction with the true ones; see `count_objects`."""
    pred = predicted_objects(pred_mask, reference)
    admissible = hits(
        pred,
        reference.true,
        spacing_mm=reference.spacing_mm,
        distance_mm=distance_mm,
        min_iou=min_iou,
        first_area_px=counted_area_px(pred),
    )
    return assign(pred, admissible, reference, distance_mm=distance_mm, min_iou=min_iou)


def best_iou(pred: Components, reference: Reference) -> NDArray[np.float64]:
    """Object IoU: of each true object with the prediction that overlaps it best, 0 without one, (n_true,).

    Several true objects may have the same best prediction: this is no matching. Pixels on "ignore" are in no union,
    and predictions that lie mostly there are left out.
    """
    best = np.zeros(len(reference.true))
    i, j, iou = overlaps(pred, reference.true, first_area_px=counted_area_px(pred))
    kept = pred.mean[i] < IGNORED_SHARE
    np.maximum.at(best, j[kept], iou[kept])
    return best


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

    A prediction lying on "ignore" counts nowhere: see `assign`. Pixels on "ignore" are in no IoU.

    Args:
        pred_mask: bool (rows, columns).
        label: (rows, columns), 0 background, 1 microcalcification, 2 ignore.
        spacing_mm: row and column spacing.
        region: bool (rows, columns), e.g. the breast; the whole image when None.
        distance_mm: a hit has centroids at most this far apart,
        min_iou: or masks that overlap at least this much.
    """
    reference = find_reference(label, spacing_mm=spacing_mm, region=region)
    return match_objects(pred_mask, reference, distance_mm=distance_mm, min_iou=min_iou).counts(reference)


def add_counts(counts: Iterable[ObjectCounts]) -> ObjectCounts:
    """Sum counts and areas over views."""
    totals = np.sum([tuple(count) for count in counts], axis=0)
    return ObjectCounts(*(float(total) for total in np.broadcast_to(totals, 4)))

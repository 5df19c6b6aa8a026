"""Pixel- and object-level ratios of confusion counts (eqs. 17-24), with an explicit policy for 0/0.

Every ratio takes counts (scalars or arrays of one shape, at least 0) and returns float64 of that shape. Where
numerator and denominator are both 0 the ratio does not exist and `zero_division` is returned: nan by default, so
that a case that cannot be scored is left out of a mean instead of raising or lowering it. See docs/metrics.md for
every corner case.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

BACKGROUND, MICROCALCIFICATION, IGNORE = 0, 1, 2


class ConfusionCounts(NamedTuple):
    """Counts of one case, in pixels or objects, as floats."""

    tp: float
    fp: float
    fn: float
    tn: float


def _ratio(numerator: ArrayLike, denominator: ArrayLike, zero_division: float) -> FloatArray:
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    empty = np.full(top.shape, zero_division, np.float64)
    return np.divide(top, bottom, out=empty, where=bottom != 0)


def _counts(*counts: ArrayLike) -> list[FloatArray]:
    arrays = [np.asarray(count, np.float64) for count in counts]
    for array in arrays:
        if np.any(array < 0):
            raise ValueError(f"Expected counts >= 0, got {array.min():g}; count pixels or objects, not differences")
    return arrays


def dice(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 17: 2 TP / (2 TP + FP + FN), in [0, 1]; 0/0 when truth and prediction are both empty."""
    tp_, fp_, fn_ = _counts(tp, fp, fn)
    return _ratio(2 * tp_, 2 * tp_ + fp_ + fn_, zero_division)


def recall(tp: ArrayLike, fn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 18: TP / (TP + FN), in [0, 1]; 0/0 when the truth is empty."""
    tp_, fn_ = _counts(tp, fn)
    return _ratio(tp_, tp_ + fn_, zero_division)


def false_negative_rate(tp: ArrayLike, fn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 19: FN / (FN + TP) = 1 - recall, in [0, 1]; 0/0 when the truth is empty."""
    tp_, fn_ = _counts(tp, fn)
    return _ratio(fn_, tp_ + fn_, zero_division)


def true_negative_rate(fp: ArrayLike, tn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 20, specificity: TN / (TN + FP), in [0, 1]; 0/0 when the truth fills the region."""
    fp_, tn_ = _counts(fp, tn)
    return _ratio(tn_, tn_ + fp_, zero_division)


def balanced_accuracy(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike, *, zero_division: float = np.nan
) -> FloatArray:
    """Eq. 21: (recall + TNR) / 2, in [0, 1]; a missing half takes `zero_division` before the mean."""
    return (recall(tp, fn, zero_division=zero_division) + true_negative_rate(fp, tn, zero_division=zero_division)) / 2


def g_mean(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 22: sqrt(recall * TNR), in [0, 1]; a missing factor takes `zero_division` before the product."""
    return np.sqrt(
        recall(tp, fn, zero_division=zero_division) * true_negative_rate(fp, tn, zero_division=zero_division)
    )


def precision(tp: ArrayLike, fp: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 23: TP / (TP + FP), in [0, 1]; 0/0 when the prediction is empty."""
    tp_, fp_ = _counts(tp, fp)
    return _ratio(tp_, tp_ + fp_, zero_division)


def f2_score(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Eq. 24, 5 P R / (4 P + R), in [0, 1], in its count form 5 TP / (5 TP + 4 FN + FP).

    The two forms agree wherever the printed one exists. That is 0/0 as soon as TP = 0, where the count form gives 0
    unless FP and FN are 0 too: a prediction that misses everything is worth nothing, not undefined.
    """
    tp_, fp_, fn_ = _counts(tp, fp, fn)
    return _ratio(5 * tp_, 5 * tp_ + 4 * fn_ + fp_, zero_division)


def foreground_iou(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, *, zero_division: float = np.nan) -> FloatArray:
    """Intersection over union of the microcalcifications, TP / (TP + FP + FN), in [0, 1]."""
    tp_, fp_, fn_ = _counts(tp, fp, fn)
    return _ratio(tp_, tp_ + fp_ + fn_, zero_division)


def two_class_iou(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike, *, zero_division: float = np.nan
) -> FloatArray:
    """Mean of foreground and background IoU, as HDoGReg reports it: about (1 + foreground IoU) / 2 on sparse masks."""
    foreground = foreground_iou(tp, fp, fn, zero_division=zero_division)
    background = foreground_iou(tn, fn, fp, zero_division=zero_division)
    return (foreground + background) / 2


def confusion_counts(pred_mask: ArrayLike, label: ArrayLike, *, region: ArrayLike | None = None) -> ConfusionCounts:
    """Count pixels of one case; pixels labelled 2 (ignore) or outside the region count nowhere.

    Args:
        pred_mask: 0/1 or bool, any shape.
        label: same shape; 0 background, 1 microcalcification, 2 ignore.
        region: bool, same shape, e.g. the breast; the whole image when None.

    Raises:
        ValueError: on differing shapes, a prediction that is no mask, or a label outside 0, 1, 2.
    """
    pred, truth = np.asarray(pred_mask), np.asarray(label)
    inside = np.ones(truth.shape, bool) if region is None else np.asarray(region, bool)
    if not pred.shape == truth.shape == inside.shape:
        raise ValueError(
            f"Expected prediction, label and region of one shape, got {pred.shape}, {truth.shape} and {inside.shape}"
        )
    _require_values(pred, (0, 1), "prediction", "threshold probabilities first")
    _require_values(truth, (BACKGROUND, MICROCALCIFICATION, IGNORE), "label", "use 0, 1 and 2 (ignore)")
    positive, true = pred.astype(bool), truth == MICROCALCIFICATION
    counted = inside & (truth != IGNORE)
    n_true, n_positive = np.count_nonzero(true & counted), np.count_nonzero(positive & counted)
    tp = np.count_nonzero(positive & true & counted)
    fp, fn = n_positive - tp, n_true - tp
    return ConfusionCounts(float(tp), float(fp), float(fn), float(np.count_nonzero(counted) - tp - fp - fn))


def _require_values(array: NDArray, allowed: tuple[int, ...], name: str, remedy: str) -> None:
    valid = np.zeros(array.shape, bool)
    for value in allowed:
        valid |= array == value
    if not valid.all():
        raise ValueError(f"Expected a {name} with values {allowed}, got {array[~valid].flat[0]}; {remedy}")


def all_ratios(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike, *, zero_division: float = np.nan
) -> dict[str, FloatArray]:
    """Return every ratio of this module by name: eqs. 17-24 and the two IoUs."""
    return {
        "dice": dice(tp, fp, fn, zero_division=zero_division),
        "recall": recall(tp, fn, zero_division=zero_division),
        "fnr": false_negative_rate(tp, fn, zero_division=zero_division),
        "tnr": true_negative_rate(fp, tn, zero_division=zero_division),
        "balanced_accuracy": balanced_accuracy(tp, fp, fn, tn, zero_division=zero_division),
        "g_mean": g_mean(tp, fp, fn, tn, zero_division=zero_division),
        "precision": precision(tp, fp, zero_division=zero_division),
        "f2": f2_score(tp, fp, fn, zero_division=zero_division),
        "iou": foreground_iou(tp, fp, fn, zero_division=zero_division),
        "two_class_iou": two_class_iou(tp, fp, fn, tn, zero_division=zero_division),
    }


class CaseSummary(NamedTuple):
    """Mean and standard deviation (n - 1) over the cases that have a value, and how many those are."""

    mean: float
    sd: float
    n_cases: int


def summarise_cases(values: ArrayLike) -> CaseSummary:
    """Summarise one value per case; nan marks a case without a value. Fewer than 1 (mean) or 2 (sd) cases give nan."""
    array = np.asarray(values, np.float64).ravel()
    kept = array[~np.isnan(array)]
    mean = float(kept.mean()) if kept.size else float("nan")
    return CaseSummary(mean, float(kept.std(ddof=1)) if kept.size > 1 else float("nan"), int(kept.size))

"""The FROC curve of `bundle.functional.froc.usable_curve`, for many resamples at once.

Every function takes rates (..., thresholds) at increasing thresholds; a curve with a nan in it gives nan.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .statistics import FloatArray


class Curves(NamedTuple):
    """Points (..., thresholds + 1) from (0, 0) on, by false positives; equal ones share the highest sensitivity."""

    fp_rate: FloatArray
    tpr: FloatArray


def usable_curves(fp_rate: ArrayLike, tpr: ArrayLike) -> Curves:
    """Leave out the branch below the threshold with most false positives, sort, keep the best sensitivity so far."""
    rate, found = np.broadcast_arrays(np.asarray(fp_rate, np.float64), np.asarray(tpr, np.float64))
    count = rate.shape[-1]
    most = rate.max(axis=-1, keepdims=True)
    read = np.arange(count) >= np.argmax(rate, axis=-1)[..., None]
    # What is not read becomes a point of no use at the far end, so that all curves keep one length.
    rate, found = np.where(read, rate, most), np.where(read, found, 0.0)
    order = np.argsort(rate, axis=-1, kind="stable")
    rate = np.take_along_axis(rate, order, axis=-1)
    best = np.maximum.accumulate(np.take_along_axis(found, order, axis=-1), axis=-1)
    last_of_rate = np.diff(rate, axis=-1, append=np.inf) > 0
    shared = np.minimum.accumulate(np.where(last_of_rate, best, np.inf)[..., ::-1], axis=-1)[..., ::-1]
    missing = np.isnan(most) | np.isnan(found).any(axis=-1, keepdims=True)
    start = np.zeros((*rate.shape[:-1], 1))
    points = np.concatenate([start, shared], axis=-1)
    return Curves(np.concatenate([start, rate], axis=-1), np.where(missing, np.nan, points))


def tpr_at_rates(curves: Curves, rates: ArrayLike) -> FloatArray:
    """Sensitivity at each false-positive rate, linear between points and flat after the last.

    Args:
        curves: from `usable_curves`.
        rates: any shape, at least 0.

    Returns:
        Shape of the curves' leading axes, then of `rates`.
    """
    wanted = np.asarray(rates, np.float64)
    if np.any(wanted < 0):
        raise ValueError(f"Expected false-positive rates >= 0, got {wanted.min():g}")
    found = [_tpr_at(curves, float(rate)) for rate in wanted.ravel()]
    return np.stack(found, axis=-1).reshape(curves.tpr.shape[:-1] + wanted.shape)


def partial_areas(curves: Curves, *, limit: float = 1.0) -> FloatArray:
    """Mean sensitivity over false-positive rates from 0 to `limit`."""
    end = _tpr_at(curves, limit)[..., None]
    inside = curves.fp_rate < limit
    rate = np.concatenate([np.where(inside, curves.fp_rate, limit), np.full(end.shape, limit)], axis=-1)
    found = np.concatenate([np.where(inside, curves.tpr, end), end], axis=-1)
    return np.sum(np.diff(rate, axis=-1) * (found[..., 1:] + found[..., :-1]) / 2, axis=-1) / limit


def _tpr_at(curves: Curves, rate: float) -> FloatArray:
    last = curves.fp_rate.shape[-1] - 1
    after = np.count_nonzero(curves.fp_rate <= rate, axis=-1)[..., None]
    ends = [np.minimum(index, last) for index in (np.maximum(after - 1, 0), after)]
    (r0, r1), (t0, t1) = ([np.take_along_axis(values, end, axis=-1)[..., 0] for end in ends] for values in curves)
    width = r1 - r0
    return t0 + (t1 - t0) * np.divide(rate - r0, width, out=np.zeros_like(width), where=width > 0)

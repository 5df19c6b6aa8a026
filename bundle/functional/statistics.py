"""Intervals and tests for figures over patients: bootstrap, Wilcoxon's signed-rank test, Holm's correction.

Views of one patient resemble each other, so patients are what is resampled and what is paired. Every figure here is a
function of sums over cases (`Pooled`): a resample is then one weighted sum, and 2,000 of them one matrix product.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import PermutationMethod, wilcoxon

FloatArray = NDArray[np.float64]

N_RESAMPLES = 2000
LEVEL = 0.95
# Differences of ratios of counts are equal or further apart than this; less is rounding, and would break ties.
DECIMALS = 12
# Up to here scipy goes through all 2^n signs, so the exact p-value of tied differences involves no chance.
EXHAUSTIVE_N = 13


@dataclass(frozen=True)
class Pooled:
    """A figure that depends on its cases through sums alone.

    Attributes:
        columns: float (cases, k), what each case adds to the k sums; finite.
        function: sums (..., k) to the figure (...), or to a curve (..., points).
        needs: columns whose sums are denominators; patients that add nothing to one of them carry no information.
    """

    columns: FloatArray
    function: Callable[[FloatArray], FloatArray]
    needs: tuple[int, ...]


class Estimate(NamedTuple):
    """A figure of all cases and its interval; the interval is nan where fewer than two patients contribute."""

    value: FloatArray
    low: FloatArray
    high: FloatArray
    n_patients: int


class Resamples(NamedTuple):
    """How often each patient (sorted) occurs in each resample, float (resamples, patients)."""

    patients: tuple[str, ...]
    weights: FloatArray


def ratio_of_sums(numerators: ArrayLike, denominators: ArrayLike) -> Pooled:
    """Sum of the numerators over sum of the denominators; nan where the latter is 0.

    Args:
        numerators: (cases,), at least 0.
        denominators: (cases,), at least 0.
    """
    columns = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)], axis=-1)
    return Pooled(columns, lambda sums: divide(sums[..., 0], sums[..., 1]), needs=(1,))


def mean_of_cases(values: ArrayLike) -> Pooled:
    """Mean over the cases that have a value.

    Args:
        values: (cases,), nan where a case has none.
    """
    array = np.asarray(values, np.float64)
    present = ~np.isnan(array)
    return ratio_of_sums(np.where(present, array, 0.0), present)


def divide(numerator: ArrayLike, denominator: ArrayLike) -> FloatArray:
    """Quotient of two broadcastable arrays, nan where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def draw_resamples(
    patients: Sequence[str],
    *,
    rng: np.random.Generator,
    strata: Sequence[Hashable] | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Resamples:
    """Draw patients with replacement, as many as there are; once, for all systems and figures of a dataset.

    Args:
        patients: (cases,), the patient of each case; the order makes no difference.
        rng: the only source of randomness.
        strata: (cases,), equal for all cases of a patient. Patients are drawn within their stratum, so that the share
            of patients without calcifications, a choice of the dataset, stays as it is.
        n_resamples: number of resamples.

    Raises:
        ValueError: without a patient, without a resample, or when a patient lies in two strata.
    """
    if not len(patients) or n_resamples < 1:
        raise ValueError(
            f"Expected at least one patient and one resample, got {len(patients)} and {n_resamples}; pass some cases"
        )
    stratum = dict(zip(patients, strata if strata is not None else [0] * len(patients), strict=True))
    if strata is not None and any(stratum[p] != s for p, s in zip(patients, strata, strict=True)):
        raise ValueError("Expected each patient in one stratum, got one in two; give a patient's cases one stratum")
    names = tuple(sorted(stratum))
    weights = np.empty((n_resamples, len(names)))
    for value in sorted(set(stratum.values()), key=str):
        members = [index for index, name in enumerate(names) if stratum[name] == value]
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=n_resamples)
    return Resamples(names, weights)


def bootstrap(pooled: Pooled, patients: Sequence[str], resamples: Resamples, *, level: float = LEVEL) -> Estimate:
    """Point estimate and percentile interval; resamples without a value are left out.

    Args:
        pooled: the figure of the cases.
        patients: (cases,), the patient of each case, all of them in `resamples`.
        resamples: from `draw_resamples`.
        level: coverage of the interval, in (0, 1).
    """
    sums = _sums_by_patient(pooled, patients, resamples.patients)
    draws = pooled.function(resamples.weights @ sums)
    return _estimate(pooled.function(sums.sum(axis=0)), draws, _contributing(sums, pooled.needs), level)


def bootstrap_difference(
    first: Pooled, second: Pooled, patients: Sequence[str], resamples: Resamples, *, level: float = LEVEL
) -> Estimate:
    """First minus second with its percentile interval, each resample serving both.

    Args:
        first: a figure of one system,
        second: and of another, on the same cases in the same order.
        patients: as in `bootstrap`.
        resamples: as in `bootstrap`.
        level: as in `bootstrap`.
    """
    sums = [_sums_by_patient(pooled, patients, resamples.patients) for pooled in (first, second)]
    draws = first.function(resamples.weights @ sums[0]) - second.function(resamples.weights @ sums[1])
    value = first.function(sums[0].sum(axis=0)) - second.function(sums[1].sum(axis=0))
    n_patients = min(_contributing(sums[0], first.needs), _contributing(sums[1], second.needs))
    return _estimate(value, draws, n_patients, level)


def patient_values(pooled: Pooled, patients: Sequence[str]) -> FloatArray:
    """The figure of each patient alone (sorted by name); nan where it does not exist."""
    return pooled.function(_sums_by_patient(pooled, patients, tuple(sorted(set(patients)))))


def wilcoxon_p(first: ArrayLike, second: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's paired signed-rank test.

    Pairs with a nan are left out, and pairs without a difference too (Wilcoxon's own rule); if no difference is left,
    p is 1. Exact without ties up to 50 pairs and with ties up to 13; scipy's normal approximation beyond.

    Args:
        first: (n,), one value per patient.
        second: (n,), of the same patients.

    Returns:
        p in (0, 1], or nan without a single pair.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"Expected pairs of values, got shapes {one.shape} and {two.shape}; pass the same patients")
    paired = np.round((one - two)[~np.isnan(one - two)], DECIMALS)
    if not paired.size:
        return float("nan")
    changes = paired[paired != 0]
    if not changes.size:
        return 1.0
    tied = len(np.unique(np.abs(changes))) < len(changes)
    method = PermutationMethod() if tied and len(changes) <= EXHAUSTIVE_N else "auto"
    return float(wilcoxon(changes, method=method).pvalue)


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values for their number by Holm's step-down rule: the largest (m - rank + 1) p so far, at most 1.

    Args:
        p_values: (m,), in [0, 1]; a nan stays nan and does not count as a test.
    """
    raw = np.asarray(p_values, np.float64)
    adjusted = np.full(raw.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(raw))
    if np.any((raw[tested] < 0) | (raw[tested] > 1)):
        raise ValueError(f"Expected p-values in [0, 1], got {raw[tested].min():g} to {raw[tested].max():g}")
    order = tested[np.argsort(raw[tested], kind="stable")]
    scaled = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _sums_by_patient(pooled: Pooled, patients: Sequence[str], order: tuple[str, ...]) -> FloatArray:
    """Float (patients, k) in the given order of patients; a patient without a case adds nothing."""
    if len(pooled.columns) != len(patients):
        raise ValueError(f"Expected one patient per case, got {len(patients)} for {len(pooled.columns)} cases")
    place = {name: index for index, name in enumerate(order)}
    unknown = sorted(set(patients) - set(place))
    if unknown:
        raise ValueError(
            f"Expected patients that were resampled, got {unknown[0]!r}; draw from all cases of the dataset"
        )
    sums = np.zeros((len(order), pooled.columns.shape[1]))
    np.add.at(sums, [place[name] for name in patients], pooled.columns)
    return sums


def _contributing(sums: FloatArray, needs: tuple[int, ...]) -> int:
    return min(int(np.count_nonzero(sums[:, need])) for need in needs)


def _estimate(value: FloatArray, draws: FloatArray, n_patients: int, level: float) -> Estimate:
    if not 0 < level < 1:
        raise ValueError(f"Expected a level in (0, 1), got {level:g}; 0.95 is usual")
    low, high = np.full(np.shape(value), np.nan), np.full(np.shape(value), np.nan)
    # nanquantile warns about a column of nan alone, which is a legitimate outcome here.
    known = ~np.isnan(draws).all(axis=0) & (n_patients >= 2)
    if known.any():
        tail = (1 - level) / 2
        low[known], high[known] = np.nanquantile(
            draws[..., known] if draws.ndim > 1 else draws, [tail, 1 - tail], axis=0
        )
    return Estimate(np.asarray(value), low, high, n_patients)

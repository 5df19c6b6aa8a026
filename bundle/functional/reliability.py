"""Whether probabilities hold: bins of equal mass, calibration error, rescaling, and the ranking of what is false."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evidence import fit_logistic
from .statistics import Estimate, FloatArray, Pooled, Resamples, divide

BINS = 8
CALIBRATED_DRAWS = 2000


def equal_mass_edges(probs: ArrayLike, *, bins: int = BINS, weights: ArrayLike | None = None) -> FloatArray:
    """Edges of bins that hold about equally many values each; fewer bins where many values are equal.

    Args:
        probs: (n,), in [0, 1], at least one.
        bins: at most so many.
        weights: (n,), how often each occurs; once when None.

    Returns:
        Increasing, from 0 to 1, (bins + 1,) or fewer.
    """
    values = np.asarray(probs, np.float64)
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)[order])
    inner = values[order][np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins)]
    # A value on an edge belongs to the bin above it: an edge at the lowest value would leave a bin empty.
    return np.unique(np.concatenate([[0.0], inner[inner > values.min()], [1.0]]))


def reliability_columns(
    probs: ArrayLike,
    truth: ArrayLike,
    cases: ArrayLike,
    *,
    edges: FloatArray,
    count: int,
    weights: ArrayLike | None = None,
) -> FloatArray:
    """What each case adds to each bin: number of values, their sum, how many are true; and its number of values.

    Args:
        probs: (n,), in [0, 1].
        truth: (n,), whether each is true, or how many of its weight are.
        cases: int (n,), number of the case of each.
        edges: from `equal_mass_edges`.
        count: of the cases.
        weights: (n,), how often each occurs; once when None.

    Returns:
        (count, 3 x bins + 1).
    """
    values = np.asarray(probs, np.float64)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    columns = np.zeros((count, 3, len(edges) - 1))
    place = np.searchsorted(edges[1:-1], values, side="right")
    for number, amount in enumerate((weight, weight * values, np.asarray(truth, np.float64))):
        np.add.at(columns[:, number], (np.asarray(cases), place), amount)
    return np.concatenate([columns.reshape(count, -1), columns[:, 0].sum(axis=1, keepdims=True)], axis=1)


def calibration_error(columns: FloatArray) -> Pooled:
    """Expected calibration error: mean over bins, by mass, of how far the share of true ones is from the mean value.

    Args:
        columns: from `reliability_columns`.
    """

    def function(sums: FloatArray) -> FloatArray:
        _, total, true = _bins(sums)
        return divide(np.abs(total - true).sum(axis=-1), sums[..., -1])

    return Pooled(columns, function, needs=(columns.shape[1] - 1,))


def shares_true(columns: FloatArray) -> Pooled:
    """Share of true ones in each bin, (bins,); arguments as for `calibration_error`."""

    def function(sums: FloatArray) -> FloatArray:
        count, _, true = _bins(sums)
        return divide(true, count)

    return Pooled(columns, function, needs=(columns.shape[1] - 1,))


def mean_values(columns: FloatArray) -> FloatArray:
    """Mean value in each bin, (bins,); arguments as for `calibration_error`."""
    count, total, _ = _bins(columns.sum(axis=0))
    return divide(total, count)


def _bins(sums: FloatArray) -> FloatArray:
    """Count, sum of values and number of true ones by bin, (3, ..., bins)."""
    return np.moveaxis(sums[..., :-1].reshape(*sums.shape[:-1], 3, -1), -2, 0)


def calibrated_error(probs: ArrayLike, *, edges: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Mean and 95 % quantile of the calibration error that so many values show even if every one of them holds.

    Args:
        probs: (n,), each taken as the chance to be true, independent of the others.
        edges: from `equal_mass_edges`.
        rng: the only source of randomness.
    """
    values = np.asarray(probs, np.float64)
    place = np.searchsorted(edges[1:-1], values, side="right")
    member = (place[:, None] == np.arange(len(edges) - 1)).astype(np.float64)
    truth = rng.random((CALIBRATED_DRAWS, len(values))) < values
    errors = np.abs((truth - values) @ member).sum(axis=1) / len(values)
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def crossed_probability(
    features: FloatArray, truth: ArrayLike, half: ArrayLike, *, penalty: float = 1e-2
) -> FloatArray:
    """Probability of truth by logistic regressions: each half by weights fitted on the other one.

    Args:
        features: (n, k); one column of logits makes it Platt's rescaling.
        truth: bool (n,); each half has true and false ones.
        half: bool (n,).
        penalty: on squared weights of standardised features, above 0: a half that can be told apart stays finite.

    Raises:
        ValueError: a half of one kind only.
    """
    label, first = np.asarray(truth, np.float64), np.asarray(half, bool)
    probs = np.empty(len(label))
    for fitted in (first, ~first):
        if not 0 < label[fitted].sum() < fitted.sum():
            raise ValueError("Expected true and false ones in both halves, got one kind; add cases")
        mean, scale = features[fitted].mean(axis=0), np.maximum(features[fitted].std(axis=0), 1e-12)
        standard = (features - mean) / scale
        free = [False] * features.shape[1]
        weights, bias = fit_logistic(standard[fitted], label[fitted], free, penalty, np.zeros(int(fitted.sum())))
        probs[~fitted] = 1 / (1 + np.exp(-(standard[~fitted] @ weights + bias)))
    return probs


def auroc(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Chance that a positive has a higher score than a negative, equal ones counting half.

    Args:
        scores: (n,).
        positive: bool (n,).
        weights: (..., n), how often each occurs; once when None.

    Returns:
        (...), nan without a pair.
    """
    values, mine = np.asarray(scores, np.float64), np.asarray(positive, bool)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    first, second = values[mine][:, None], values[~mine][None]
    above = (first > second) + 0.5 * (first == second)
    up, down = weight[..., mine], weight[..., ~mine]
    return divide(((up @ above) * down).sum(axis=-1), up.sum(axis=-1) * down.sum(axis=-1))


def bootstrap_auroc(
    scores: Sequence[ArrayLike], positive: ArrayLike, patients: Sequence[str], resamples: Resamples
) -> list[Estimate]:
    """AUROC of each score with its 95 % interval, and of the last less the first, each resample serving all.

    Args:
        scores: (n,) each.
        positive: bool (n,).
        patients: (n,), all of them in `resamples`.
        resamples: from `draw_resamples`.
    """
    place = {name: index for index, name in enumerate(resamples.patients)}
    weights = resamples.weights[:, [place[name] for name in patients]]
    values = [auroc(score, positive) for score in scores]
    draws = [auroc(score, positive, weights) for score in scores]
    pairs = [*zip(values, draws, strict=True), (values[-1] - values[0], draws[-1] - draws[0])]
    tails = [np.nanquantile(draw, [0.025, 0.975]) for _, draw in pairs]
    count = len(set(patients))
    return [Estimate(value, low, high, count) for (value, _), (low, high) in zip(pairs, tails, strict=True)]


def halves(patients: Sequence[str]) -> NDArray[np.bool_]:
    """Every second patient by name, bool (n,): all of a patient lies in one half."""
    order = {name: index for index, name in enumerate(sorted(set(patients)))}
    return np.array([order[name] % 2 == 0 for name in patients], bool)

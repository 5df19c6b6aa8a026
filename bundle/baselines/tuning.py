"""Choice of a classical detector's scales and threshold, or of any system's threshold, on tuning views by pooled F2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..functional.confusion import IGNORE, MICROCALCIFICATION, f2_score
from ..functional.froc import froc_counts
from ..functional.objects import add_counts
from .classical import (
    ClassicalInferer,
    DifferenceOfGaussiansInferer,
    HessianDifferenceOfGaussiansInferer,
    HighPassInferer,
    TopHatInferer,
)

Objective = Literal["object", "pixel"]

# Scales to try. Calcifications are 0.1 to 1 mm wide.
GRIDS: dict[type[ClassicalInferer], dict[str, Sequence[Any]]] = {
    TopHatInferer: {"diameter_mm": (0.5, 0.8, 1.2)},
    DifferenceOfGaussiansInferer: {"inner_mm": (0.06, 0.10, 0.14), "outer_mm": (0.20, 0.30, 0.45)},
    HighPassInferer: {
        "sigmas_mm": ((0.10,), (0.18,), (0.10, 0.18, 0.32), (0.18, 0.32, 0.56)),
        "deviation_mm": (2.5, 5.0),
    },
    # The published scales (1.18 to 3.1 px of 0.07 mm) and some for coarse calcifications; the published h_thr, at which
    # objects run together along tubes, and blobs alone.
    HessianDifferenceOfGaussiansInferer: {
        "sigma_max_mm": (0.217, 0.35),
        "hessian_threshold": (0.0, 0.1, 1.4),
    },
}
# Thresholds to try mark these shares of the breast as positive, in geometric steps.
POSITIVE_SHARES = np.geomspace(3e-6, 3e-2, 24)


@dataclass(frozen=True)
class Tuned:
    """The best setting of one detector.

    Attributes:
        inferer: ready to use.
        parameters: constructor arguments that were chosen, threshold included.
        f2: pooled F2 on the tuning views.
        trials: (parameters, best F2) of every setting tried.
    """

    inferer: ClassicalInferer
    parameters: dict[str, Any]
    f2: float
    trials: tuple[tuple[dict[str, Any], float], ...]


def tune_classical(
    inferer_class: type[ClassicalInferer],
    views: Sequence[Mapping[str, Any]],
    *,
    objective: Objective = "object",
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> Tuned:
    """Search scales and threshold for the highest F2 pooled over views; views without truth only add false positives.

    Args:
        inferer_class: one of the keys of `GRIDS`.
        views: each with `image` (rows, columns) in [-1, 1], `label` (rows, columns) 0/1/2 and `spacing_mm`,
            optionally `breast`.
        objective: count matched objects, or pixels.
        grid: values to try per constructor argument (one value fixes it); `GRIDS` when None.

    Raises:
        ValueError: when no view holds a calcification.
    """
    if not any(np.any(np.asarray(view["label"]) == MICROCALCIFICATION) for view in views):
        raise ValueError("Expected at least one tuning view with a microcalcification, got none; pass labelled views")
    trials = []
    for setting in _settings(GRIDS[inferer_class] if grid is None else grid):
        detector = inferer_class(threshold=1.0, **setting)
        threshold, f2 = _tuned_threshold(detector, views, objective)
        trials.append(({**setting, "threshold": threshold}, f2))
    parameters, f2 = max(trials, key=lambda trial: trial[1])
    return Tuned(inferer_class(**parameters), parameters, f2, tuple(trials))


def _settings(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def best_threshold(
    scores: Sequence[NDArray],
    views: Sequence[Mapping[str, Any]],
    thresholds: NDArray,
    *,
    objective: Objective = "object",
) -> tuple[float, float]:
    """The threshold with the highest F2 pooled over views, and that F2; the middle one where several are best.

    Args:
        scores: one map (rows, columns) per view, scores or probabilities.
        views: as in `tune_classical`.
        thresholds: (n,), increasing.
        objective: count matched objects, or pixels.
    """
    levels = np.asarray(thresholds, np.float64)
    f2 = (_object_f2 if objective == "object" else _pixel_f2)(scores, views, levels)
    best = np.flatnonzero(f2 == f2.max())
    chosen = int(best[(len(best) - 1) // 2])
    return float(levels[chosen]), float(f2[chosen])


def _tuned_threshold(
    detector: ClassicalInferer, views: Sequence[Mapping[str, Any]], objective: Objective
) -> tuple[float, float]:
    scores = [
        detector.score(view["image"], spacing_mm=view["spacing_mm"], **detector.parameters).astype(np.float64)
        for view in views
    ]
    thresholds = _candidate_thresholds(scores, [_region(view) for view in views])
    return best_threshold(scores, views, thresholds, objective=objective)


def _region(view: Mapping[str, Any]) -> NDArray[np.bool_]:
    breast = view.get("breast")
    return np.asarray(view["image"]) > -1 if breast is None else np.asarray(breast, bool)


def _candidate_thresholds(scores: Sequence[NDArray], regions: Sequence[NDArray]) -> NDArray[np.float64]:
    inside = np.concatenate([score[region] for score, region in zip(scores, regions, strict=True)])
    candidates = np.unique(np.quantile(inside, 1 - POSITIVE_SHARES))
    candidates = candidates[candidates > 0]
    if candidates.size == 0:
        raise ValueError("Expected a detector that responds somewhere, got 0; check spacing, scales and margin")
    return candidates


def _object_f2(scores: Sequence[NDArray], views: Sequence[Mapping[str, Any]], thresholds: NDArray) -> NDArray:
    per_view = [
        froc_counts(thresholds, score, view["label"], spacing_mm=view["spacing_mm"], region=_region(view))
        for score, view in zip(scores, views, strict=True)
    ]
    totals = [add_counts(at_threshold) for at_threshold in zip(*per_view, strict=True)]
    return np.array([f2_score(total.tp, total.fp, total.fn, zero_division=0.0) for total in totals])


def _pixel_f2(scores: Sequence[NDArray], views: Sequence[Mapping[str, Any]], thresholds: NDArray) -> NDArray:
    positives, negatives = [], []
    for score, view in zip(scores, views, strict=True):
        label = np.asarray(view["label"])
        counted = _region(view) & (label != IGNORE)
        positives.append(score[counted & (label == MICROCALCIFICATION)])
        negatives.append(score[counted & (label != MICROCALCIFICATION)])
    true, false = np.sort(np.concatenate(positives)), np.sort(np.concatenate(negatives))
    tp = len(true) - np.searchsorted(true, thresholds)
    fp = len(false) - np.searchsorted(false, thresholds)
    return f2_score(tp, fp, len(true) - tp, zero_division=0.0)

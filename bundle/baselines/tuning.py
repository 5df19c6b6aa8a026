"""Choice of a classical detector's scales and threshold, or of any system's threshold, on tuning views by pooled F2."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..functional.confusion import IGNORE, MICROCALCIFICATION, f2_score
from ..functional.froc import froc_counts
from .ciecholewski import CiecholewskiInferer
from .classical import (
    ClassicalInferer,
    DifferenceOfGaussiansInferer,
    HessianDifferenceOfGaussiansInferer,
    HighPassInferer,
    TopHatInferer,
)

Objective = Literal["object", "pixel"]
View = Mapping[str, Any]

# Scales to try. Calcifications are 0.1 to 1 mm wide.
GRIDS: dict[type[ClassicalInferer], dict[str, Sequence[Any]]] = {
    TopHatInferer: {"diameter_mm": (0.35, 0.5, 0.8, 1.2)},
    DifferenceOfGaussiansInferer: {"inner_mm": (0.04, 0.06, 0.10), "outer_mm": (0.11, 0.15, 0.20, 0.30, 0.45)},
    HighPassInferer: {
        "sigmas_mm": ((0.10,), (0.18,), (0.32,), (0.10, 0.18, 0.32), (0.18, 0.32, 0.56)),
        "deviation_mm": (2.5, 5.0),
    },
    # The published scales (1.18 to 3.1 px of 0.07 mm) and some for coarse calcifications; the published h_thr, at which
    # objects run together along tubes, and blobs alone.
    HessianDifferenceOfGaussiansInferer: {
        "sigma_max_mm": (0.217, 0.35),
        "hessian_threshold": (0.0, 0.1, 1.4),
    },
    # The published settings, flatter and steeper domes, and one level more for coarse calcifications; the residue is
    # the threshold.
    CiecholewskiInferer: {"height": (2, 5, 10), "levels": (2, 3)},
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


@dataclass(frozen=True)
class Sweep:
    """Counts of every setting of one detector, at every threshold, on every view.

    Attributes:
        inferer_class: the detector.
        settings: constructor arguments but the threshold.
        thresholds: per setting, (n,) increasing.
        counts: per setting, (views, n, 3): true positives, false positives, misses.
    """

    inferer_class: type[ClassicalInferer]
    settings: tuple[dict[str, Any], ...]
    thresholds: tuple[NDArray[np.float64], ...]
    counts: tuple[NDArray[np.float64], ...]

    def best(self, keep: NDArray[np.bool_] | None = None) -> Tuned:
        """Choose scales and threshold by the F2 pooled over views.

        Args:
            keep: bool (views,), those that count, e.g. all but a held-out exam; all when None.

        Raises:
            ValueError: when no view that counts holds a calcification.
        """
        trials = []
        for setting, thresholds, counts in zip(self.settings, self.thresholds, self.counts, strict=True):
            threshold, f2 = _best(thresholds, counts if keep is None else counts[keep])
            trials.append(({**setting, "threshold": threshold}, f2))
        parameters, f2 = max(trials, key=lambda trial: trial[1])
        return Tuned(self.inferer_class(**parameters), parameters, f2, tuple(trials))


def tune_classical(
    inferer_class: type[ClassicalInferer],
    views: Sequence[View],
    *,
    objective: Objective = "object",
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> Tuned:
    """Search scales and threshold for the highest F2 pooled over views; arguments as in `sweep_classical`."""
    return sweep_classical(inferer_class, views, objective=objective, grid=grid).best()


def sweep_classical(
    inferer_class: type[ClassicalInferer],
    views: Sequence[View],
    *,
    objective: Objective = "object",
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> Sweep:
    """Count what every setting finds; views without truth only add false positives.

    The thresholds tried mark the same shares of all views as positive, whichever of them count later.

    Args:
        inferer_class: one of the keys of `GRIDS`.
        views: each with `image` (rows, columns) in [-1, 1], `label` (rows, columns) 0/1/2 and `spacing_mm`,
            optionally `breast`.
        objective: count matched objects, or pixels.
        grid: values to try per constructor argument (one value fixes it); `GRIDS` when None.
    """
    settings = tuple(_settings(GRIDS[inferer_class] if grid is None else grid))
    thresholds, counts = [], []
    for setting in settings:
        detector = inferer_class(threshold=1.0, **setting)
        scores = [detector.score(v["image"], spacing_mm=v["spacing_mm"], **detector.parameters) for v in views]
        thresholds.append(_candidate_thresholds(scores, [_region(view) for view in views]))
        counts.append(_counts(scores, views, thresholds[-1], objective))
    return Sweep(inferer_class, settings, tuple(thresholds), tuple(counts))


def best_threshold(
    scores: Sequence[NDArray], views: Sequence[View], thresholds: ArrayLike, *, objective: Objective = "object"
) -> tuple[float, float]:
    """The threshold with the highest F2 pooled over views, and that F2; the middle one where several are best.

    Args:
        scores: one map (rows, columns) per view, scores or probabilities.
        views: as in `sweep_classical`.
        thresholds: (n,), increasing.
        objective: count matched objects, or pixels.

    Raises:
        ValueError: when no view holds a calcification.
    """
    levels = np.asarray(thresholds, np.float64)
    return _best(levels, _counts(scores, views, levels, objective))


def _best(thresholds: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    tp, fp, fn = counts.sum(axis=0).T
    if not np.any(tp + fn):
        raise ValueError("Expected at least one tuning view with a microcalcification, got none; pass labelled views")
    f2 = f2_score(tp, fp, fn, zero_division=0.0)
    best = np.flatnonzero(f2 == f2.max())
    chosen = int(best[(len(best) - 1) // 2])
    return float(thresholds[chosen]), float(f2[chosen])


def _settings(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _region(view: View) -> NDArray[np.bool_]:
    breast = view.get("breast")
    return np.asarray(view["image"]) > -1 if breast is None else np.asarray(breast, bool)


def _candidate_thresholds(scores: Sequence[NDArray], regions: Sequence[NDArray]) -> NDArray[np.float64]:
    # As float64, so that `>=` means the same here and in the counts.
    inside = np.concatenate([score[region] for score, region in zip(scores, regions, strict=True)]).astype(np.float64)
    candidates = np.unique(np.quantile(inside, 1 - POSITIVE_SHARES))
    candidates = candidates[candidates > 0]
    if candidates.size == 0:
        raise ValueError("Expected a detector that responds somewhere, got 0; check spacing, scales and margin")
    return candidates


def _counts(
    scores: Sequence[NDArray], views: Sequence[View], thresholds: NDArray[np.float64], objective: Objective
) -> NDArray[np.float64]:
    """(views, thresholds, 3): true positives, false positives, misses."""
    count = _object_counts if objective == "object" else _pixel_counts
    return np.stack([count(score, view, thresholds) for score, view in zip(scores, views, strict=True)])


def _object_counts(score: NDArray, view: View, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = froc_counts(thresholds, score, view["label"], spacing_mm=view["spacing_mm"], region=_region(view))
    return np.array([count[:3] for count in counts])


def _pixel_counts(score: NDArray, view: View, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    label = np.asarray(view["label"])
    counted = _region(view) & (label != IGNORE)
    true, false = (
        np.sort(score[counted & mask]) for mask in (label == MICROCALCIFICATION, label != MICROCALCIFICATION)
    )
    tp, fp = (len(values) - np.searchsorted(values, thresholds) for values in (true, false))
    return np.stack([tp, fp, len(true) - tp], axis=1).astype(np.float64)

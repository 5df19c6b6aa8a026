"""From a wanted number of false positives per cm2 to a threshold, by figures measured on views without calcifications.

The table is JSON-ready: {"segmentor": {"thresholds": [...], "fp_per_cm2": [...]}, "ttgpr": {...}, "made_by": "..."}.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Thresholds are rounded up to this step: an operating point is never laxer than asked for.
THRESHOLD_STEP = 1e-4


def operating_table(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, made_by: str
) -> dict[str, dict[str, list[float]] | str]:
    """Build the table from (thresholds, FP per cm2) per method, checking each curve."""
    table: dict[str, dict[str, list[float]] | str] = {}
    for method, (thresholds, fp_per_cm2) in curves.items():
        levels, rates = _curve(thresholds, fp_per_cm2)
        table[method] = {"thresholds": levels.tolist(), "fp_per_cm2": rates.tolist()}
    return {**table, "made_by": made_by}


def operating_threshold(table: Mapping[str, Any], method: str, *, fp_per_cm2: float) -> float:
    """Look the threshold of one method up in a table; see `threshold_for_fp_rate`.

    Raises:
        ValueError: when the method was not measured, or the rate is out of the measured range.
    """
    measured = sorted(name for name, curve in table.items() if isinstance(curve, Mapping))
    if method not in measured:
        raise ValueError(f"Expected a method with a measured operating curve ({', '.join(measured)}), got {method!r}")
    return threshold_for_fp_rate(table[method]["thresholds"], table[method]["fp_per_cm2"], wanted=fp_per_cm2)


def threshold_for_fp_rate(thresholds: ArrayLike, fp_per_cm2: ArrayLike, *, wanted: float) -> float:
    """Return the lowest threshold from which on the rate stays at or below the wanted one.

    At low thresholds objects run together and their number falls again, so only the branch that falls towards high
    thresholds is read. Between two measured thresholds log rate is linear in the logit of the threshold; next to a
    rate of 0 nothing is interpolated. The result is rounded up.

    Args:
        thresholds: (n,), n >= 2, strictly increasing, in (0, 1).
        fp_per_cm2: (n,), >= 0, measured at those thresholds.
        wanted: false positives per cm2, > 0.

    Raises:
        ValueError: when `wanted` is outside the measured range, or the curve is malformed.
    """
    levels, rates = _curve(thresholds, fp_per_cm2)
    ceiling = np.maximum.accumulate(rates[::-1])[::-1]
    low, high = float(ceiling[-1]), float(ceiling[0])
    if not (wanted > 0 and low <= wanted <= high):
        raise ValueError(
            f"Expected false positives per cm2 within the measured {low:g} to {high:g} and above 0, got {wanted:g}; "
            "choose a rate within it or give a threshold"
        )
    index = int(np.argmax(ceiling <= wanted))
    if index == 0 or ceiling[index] == 0:
        return float(levels[index])
    share = math.log(ceiling[index - 1] / wanted) / math.log(ceiling[index - 1] / ceiling[index])
    before, after = _logit(levels[index - 1]), _logit(levels[index])
    between = 1 / (1 + math.exp(-(before + share * (after - before))))
    return float(min(math.ceil(between / THRESHOLD_STEP) * THRESHOLD_STEP, levels[index]))


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _curve(thresholds: ArrayLike, fp_per_cm2: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    levels, rates = np.asarray(thresholds, np.float64), np.asarray(fp_per_cm2, np.float64)
    if levels.ndim != 1 or levels.shape != rates.shape or len(levels) < 2:
        raise ValueError(
            f"Expected at least two thresholds with one rate each, got {levels.shape} and {rates.shape}; measure again"
        )
    if not (np.all(np.diff(levels) > 0) and levels[0] > 0 and levels[-1] < 1):
        raise ValueError("Expected thresholds that increase strictly within (0, 1), got others; sort and clip them")
    if not (np.all(np.isfinite(rates)) and np.all(rates >= 0)):
        raise ValueError("Expected finite false positives per cm2 >= 0, got others; measure the curve again")
    return levels, rates

"""Whether a quantity of a long run stays where it was: its first and last part, and its slope."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Flatness(NamedTuple):
    """How a quantity moved over a run.

    Attributes:
        first: median of its first fifth, after the warm-up.
        last: median of its last fifth.
        slope: of a robust line, per unit of the abscissa.
        largest: over the whole run.
    """

    first: float
    last: float
    slope: float
    largest: float


def flatness(places: Sequence[float], values: Sequence[float], *, warm_up: float = 0.1) -> Flatness:
    """Compare the end of a run with its beginning.

    The slope is Theil's: the median slope of lines through pairs of points, so that single peaks do not move it.

    Args:
        places: where in the run, e.g. number of views done; any order.
        values: of the quantity there.
        warm_up: share of the run to leave out, in [0, 1).

    Raises:
        ValueError: fewer than five values after the warm-up.
    """
    order = np.argsort(places, kind="stable")
    x, y = np.asarray(places, float)[order], np.asarray(values, float)[order]
    kept = x >= x.min(initial=0.0) + warm_up * np.ptp(x) if len(x) else np.zeros(0, bool)
    if kept.sum() < 5:
        raise ValueError(f"Expected at least 5 values after the warm-up, got {kept.sum()}; let the run go on")
    fifth = max(1, int(kept.sum()) // 5)
    late_x, late_y = x[kept], y[kept]
    # Pairs half a run apart: as many as there are points, not their square.
    half = len(late_x) // 2
    steps = late_x[half:] - late_x[: len(late_x) - half]
    rises = late_y[half:] - late_y[: len(late_y) - half]
    slope = float(np.median(rises[steps > 0] / steps[steps > 0])) if (steps > 0).any() else 0.0
    return Flatness(float(np.median(late_y[:fifth])), float(np.median(late_y[-fifth:])), slope, float(y.max()))

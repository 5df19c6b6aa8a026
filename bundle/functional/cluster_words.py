"""A word of the BI-RADS distributions (atlas, 5th edition) for a cluster of calcifications, from positions alone.

The first rule that holds gives the word; lengths are those of `cluster_features`:

1. unknown: fewer than 5 members.
2. linear: the members lie on a line, straight or bent: what the best parabola leaves, sqrt(n / (n - 3)) times
   `curve_residual_mm` (three of n degrees of freedom are the parabola's), is at most 0.08 of `length_mm`. Unknown
   instead with fewer than 6 members, which often lie so by chance.
3. segmental, **only where the nipple is known**: a wedge that points to it. With axes through the mean position, the
   first one leading away from the nipple: members spread more along that axis than across, and the more across the
   further they are from the nipple (correlation of at least 0.2). Unknown instead with fewer than 10 members.
4. grouped, regional or diffuse by the largest distance of two members: up to 20 mm (the atlas), up to 50 mm (halfway,
   in logarithm, between what `distributions` draws as regional and as diffuse), above.

The atlas also asks how much of the breast is covered, which ducts are followed, and what the other view shows; the
rules do not look. Without the nipple a segment is called by its size. 0.08, 0.2 and the numbers of members were
chosen on draws of seeds 1 and 2; `word_agreement` measures the words on others.
"""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .benchmark_clusters import sample_positions_mm
from .cluster_features import Positions, convex_hull, correlation, curve_residual_mm, principal_axes
from .clusters import MIN_COUNT, cluster_findings
from .distributions import DISTRIBUTIONS, sample_offsets_mm

UNKNOWN = "unknown"
WORDS = (*DISTRIBUTIONS, UNKNOWN)
NO_CLUSTER = "no cluster"
LINE_RESIDUAL = 0.08
LINE_MEMBERS = 6
WEDGE_TAPER = 0.2
WEDGE_MEMBERS = 10
GROUPED_MM = 20.0
REGIONAL_MM = 50.0
HELD_OUT_SEED = 1000


def distribution_word(positions_mm: ArrayLike, *, nipple_mm: tuple[float, float] | None = None) -> str:
    """Say how the members of one cluster are distributed.

    Args:
        positions_mm: (n, 2), row and column.
        nipple_mm: row and column of the nipple in the same frame, None if not known; "segmental" is then never said.

    Returns:
        "grouped", "linear", "segmental", "regional", "diffuse" or "unknown".
    """
    positions = np.asarray(positions_mm, np.float64).reshape(-1, 2)
    if len(positions) < MIN_COUNT:
        return UNKNOWN
    if _is_line(positions):
        return "linear" if len(positions) >= LINE_MEMBERS else UNKNOWN
    if nipple_mm is not None and _points_to(positions, np.asarray(nipple_mm, np.float64)):
        return "segmental" if len(positions) >= WEDGE_MEMBERS else UNKNOWN
    extent = convex_hull(positions).max_distance_mm
    return "grouped" if extent <= GROUPED_MM else "regional" if extent <= REGIONAL_MM else "diffuse"


def _is_line(positions: Positions) -> bool:
    along, across = principal_axes(positions)
    residual = curve_residual_mm(along, across) * math.sqrt(len(positions) / (len(positions) - 3))
    return bool(residual <= LINE_RESIDUAL * np.ptp(along)) and bool(np.ptp(along) > 0)


def _points_to(positions: Positions, nipple: NDArray[np.float64]) -> bool:
    centre = positions.mean(axis=0)
    distance = float(np.hypot(*(centre - nipple)))
    if distance == 0:
        return False
    away = (centre - nipple) / distance
    along, across = (positions - centre) @ away, (positions - centre) @ np.array([-away[1], away[0]])
    return bool(along.std() >= across.std()) and correlation(np.abs(across), along) >= WEDGE_TAPER


def drawn_cluster(rng: np.random.Generator, distribution: str) -> Positions:
    """5 to 40 members as training draws them, (n, 2) mm about their centre."""
    return sample_offsets_mm(rng, distribution, count=int(rng.integers(MIN_COUNT, 41)))


def drawn_benchmark_cluster(rng: np.random.Generator, distribution: str) -> Positions:
    """3 to 40 members (more if diffuse) as the benchmark draws them, (n, 2) mm from the nipple, 60 mm away."""
    return sample_positions_mm(rng, distribution, nipple_mm=(0.0, 0.0), centre_mm=np.array([0.0, 60.0]))


def word_agreement(
    draw: Callable[[np.random.Generator, str], Positions],
    *,
    rng: np.random.Generator,
    draws: int,
    found: bool,
    nipple_mm: tuple[float, float] | None = None,
) -> dict[str, Counter[str]]:
    """Count the words said of drawn clusters, by the distribution they were drawn from.

    Args:
        draw: from a generator and the name of a distribution to positions (n, 2) in mm.
        rng: source of randomness.
        draws: clusters per distribution.
        found: give a word to the largest cluster that `cluster_findings` makes of the members, as the findings do
            (NO_CLUSTER if none), instead of to all members.
        nipple_mm: as in `distribution_word`.
    """
    said: dict[str, Counter[str]] = {distribution: Counter() for distribution in DISTRIBUTIONS}
    for distribution, counts in said.items():
        for _ in range(draws):
            members = draw(rng, distribution)
            if found:
                members = members[cluster_findings(members) == 0]
            none = found and not len(members)
            counts[NO_CLUSTER if none else distribution_word(members, nipple_mm=nipple_mm)] += 1
    return said

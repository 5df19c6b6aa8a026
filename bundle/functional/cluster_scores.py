"""Clusters hit and clusters falsely shown: predicted against true clusters, one to one.

Both sides are grouped by `cluster_findings`. A predicted cluster may be matched with a true one if its centroid (mean
position of its findings) lies in the convex hull of the true cluster's calcifications, dilated by a margin. The
literature knows no agreed criterion, and figures move with it (Kallergi, Carney and Gaviria, Med. Phys. 26, 1999);
this is the one of a centroid in the marked region, with the region made from the calcifications themselves.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .clusters import cluster_findings
from .objects import match_one_to_one

MARGIN_MM = 2.0
# Beyond this the view is flooded: grouping would cost memory without limit, and says nothing any more.
MAX_FINDINGS = 5000
# Half-planes that bound a hull; with 720 a hull 20 mm long is too large by less than 0.1 mm.
DIRECTIONS = 720


class ClusterCounts(NamedTuple):
    """Clusters of one view: how many are true, how many of them were hit, how many predicted ones are false."""

    true: int
    hit: int
    false: int


def score_clusters(pred_mm: ArrayLike, true_mm: ArrayLike, *, margin_mm: float = MARGIN_MM) -> ClusterCounts:
    """Group predicted and true calcifications into clusters and match those one to one.

    More than MAX_FINDINGS predictions count as one false cluster that hits nothing.

    Args:
        pred_mm: (n, 2), row and column of predictions, those on "ignore" left out.
        true_mm: (m, 2), row and column of true calcifications.
        margin_mm: dilation of a true cluster's hull, >= 0.
    """
    if not margin_mm >= 0:
        raise ValueError(f"Expected a margin >= 0 mm around clusters, got {margin_mm:g}")
    true = _groups(true_mm)
    if len(np.asarray(pred_mm)) > MAX_FINDINGS:
        return ClusterCounts(len(true), 0, 1)
    pred = _groups(pred_mm)
    centroids = np.array([group.mean(axis=0) for group in pred]).reshape(-1, 2)
    inside = [hull_excess_mm(centroids, group) <= margin_mm for group in true]
    j, i = np.nonzero(np.reshape(inside, (len(true), len(pred))))
    # Only their number is wanted, so all pairs are equally close.
    pairs = match_one_to_one(i, j, np.ones(len(i)))
    return ClusterCounts(len(true), len(pairs), len(pred) - len(pairs))


def _groups(positions_mm: ArrayLike) -> list[NDArray[np.float64]]:
    positions = np.asarray(positions_mm, np.float64).reshape(-1, 2)
    number = cluster_findings(positions)
    return [positions[number == cluster] for cluster in range(number.max(initial=-1) + 1)]


def hull_excess_mm(points_mm: ArrayLike, members_mm: ArrayLike) -> NDArray[np.float64]:
    """Distance of each point (n, 2) from the convex hull of members (m, 2), at most 0 inside, (n,).

    A point is within a margin of a hull if no direction leads further to it than to the hull plus the margin; this
    holds for hulls without area too, such as those of calcifications in a line.
    """
    angle = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    direction = np.stack([np.sin(angle), np.cos(angle)])
    reach = (np.asarray(members_mm, np.float64).reshape(-1, 2) @ direction).max(axis=0)
    return (np.asarray(points_mm, np.float64).reshape(-1, 2) @ direction - reach).max(axis=1)

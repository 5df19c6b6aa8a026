"""Clusters of findings: the clinical ">= 5 calcifications within 1 cm", as a density-based grouping (DBSCAN).

- A finding is a *core* when at least `min_count` findings, itself included, lie within `distance_mm` of it.
- Cores at most `distance_mm` apart belong to one cluster.
- Any other finding within `distance_mm` of a core joins the cluster of its nearest core; the rest are isolated.
- A group left with fewer than `min_count` findings (its border went to a nearer neighbour) is no cluster.

So any five findings that fit in a circle of 1 cm diameter, or are pairwise within 1 cm, are always in one cluster. A
chain of dense groups is one cluster, which may be longer than 1 cm, as segmental and linear distributions are.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

MIN_COUNT = 5
DISTANCE_MM = 10.0
ISOLATED = -1


def cluster_findings(
    positions_mm: ArrayLike, *, distance_mm: float = DISTANCE_MM, min_count: int = MIN_COUNT
) -> NDArray[np.int64]:
    """Give each finding the number of its cluster.

    Args:
        positions_mm: (n, 2), row and column.
        distance_mm: neighbourhood radius, > 0.
        min_count: findings needed, >= 1.

    Returns:
        int (n,): 0, 1, ... from the largest cluster to the smallest (ties: topmost, then leftmost finding first), -1
        if isolated.
    """
    positions = np.asarray(positions_mm, np.float64).reshape(-1, 2)
    if not distance_mm > 0 or min_count < 1:
        raise ValueError(
            f"Expected a distance > 0 mm and at least 1 finding per cluster, got {distance_mm:g} mm and {min_count}"
        )
    cluster = np.full(len(positions), ISOLATED)
    tree = cKDTree(positions) if len(positions) else None
    if tree is None:
        return cluster
    is_core = tree.query_ball_point(positions, distance_mm, return_length=True) >= min_count
    if not is_core.any():
        return cluster
    core_tree = cKDTree(positions[is_core])
    core_cluster = _linked_groups(core_tree, distance_mm)
    distance, nearest = core_tree.query(positions)
    near = distance <= distance_mm
    cluster[near] = core_cluster[nearest[near]]
    # A core's nearest core may be a coincident one, which is in the same group; any other core is its own nearest.
    return _renumber(cluster, positions, min_count)


def _linked_groups(tree: cKDTree, distance_mm: float) -> NDArray:
    pairs = tree.query_pairs(distance_mm, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(tree.n, tree.n))
    return connected_components(links, directed=False)[1]


def _renumber(cluster: NDArray, positions: NDArray, min_count: int) -> NDArray[np.int64]:
    """Drop groups below `min_count` and number the rest by size."""
    result = np.full(len(cluster), ISOLATED)
    kept = []
    for group in np.unique(cluster[cluster != ISOLATED]):
        members = cluster == group
        count = int(np.count_nonzero(members))
        if count >= min_count:
            kept.append((-count, tuple(min(positions[members].tolist())), members))
    for number, (_, _, members) in enumerate(sorted(kept, key=lambda entry: entry[:2])):
        result[members] = number
    return result

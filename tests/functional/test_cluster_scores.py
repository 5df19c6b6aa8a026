import numpy as np
import pytest
from scipy.spatial import Delaunay

from bundle.functional.cluster_scores import MARGIN_MM, MAX_FINDINGS, hull_excess_mm, score_clusters


def group(row: float, column: float, *, count: int = 6, radius: float = 4.0) -> np.ndarray:
    angle = np.arange(count) * 2 * np.pi / count
    return np.stack([row + radius * np.sin(angle), column + radius * np.cos(angle)], axis=1)


NOTHING = np.zeros((0, 2))
THREE = np.concatenate([group(20, 20), group(60, 20), group(60, 80)])


def test_corner_cases_are_as_documented() -> None:
    one = group(20, 20)
    assert score_clusters(NOTHING, NOTHING) == (0, 0, 0)
    assert score_clusters(NOTHING, one) == (1, 0, 0)
    assert score_clusters(one, NOTHING) == (0, 0, 1)
    assert score_clusters(one, one) == (1, 1, 0)
    assert score_clusters(one[:4], one[:4]) == (0, 0, 0)
    assert score_clusters(one[:4], one) == (1, 0, 0)


def test_hand_worked_case() -> None:
    """Three true clusters; one found, one found by half, one missed, and a false one elsewhere."""
    found = np.concatenate([group(20, 20), group(60, 20)[:5], group(20, 80)])
    assert score_clusters(found, THREE) == (3, 2, 1)


def test_two_predictions_in_one_true_cluster_are_one_hit_and_one_false() -> None:
    line = np.stack([np.full(23, 50.0), np.arange(23) * 4.0], axis=1)
    halves = np.concatenate([line[:9], line[14:]])
    assert score_clusters(halves, line) == (1, 1, 1)


def test_one_prediction_over_two_true_clusters_hits_at_most_one() -> None:
    apart = np.concatenate([group(50, 20, radius=2), group(50, 44, radius=2)])
    bridge = np.stack([np.full(9, 50.0), np.linspace(24, 40, 9)], axis=1)
    assert score_clusters(apart, apart) == (2, 2, 0)
    assert score_clusters(np.concatenate([apart, bridge]), apart) == (2, 0, 1)


@pytest.mark.parametrize(("gap", "hit"), [(MARGIN_MM - 0.01, 1), (MARGIN_MM + 0.01, 0)])
def test_centroid_may_lie_a_margin_outside_the_hull(gap: float, hit: int) -> None:
    square = np.array([[0, 0], [0, 6], [6, 0], [6, 6], [3, 3.0]])
    beside = np.full((5, 2), [3.0, 6 + gap])
    assert score_clusters(beside, square) == (1, hit, 1 - hit)


def test_calcifications_in_a_line_have_a_hull_too() -> None:
    line = np.stack([np.full(6, 5.0), np.arange(6) * 3.0], axis=1)
    assert hull_excess_mm([[5, 7], [5, 16], [6.5, 7]], line) == pytest.approx([0, 1, 1.5], abs=0.02)


def test_hull_holds_the_points_that_its_triangles_hold() -> None:
    rng = np.random.default_rng(0)
    members, points = rng.normal(0, 5, (12, 2)), rng.normal(0, 8, (400, 2))
    excess = hull_excess_mm(points, members)
    clear = np.abs(excess) > 0.1
    inside = Delaunay(members).find_simplex(points) >= 0
    assert 50 < np.count_nonzero(inside) < 350
    np.testing.assert_array_equal(excess[clear] <= 0, inside[clear])


def test_excess_is_the_distance_from_the_nearest_point_of_the_hull() -> None:
    rng = np.random.default_rng(1)
    members, points = rng.normal(0, 5, (8, 2)), rng.normal(0, 12, (60, 2))
    share = np.linspace(0, 1, 400)[:, None]
    edges = np.concatenate([a + share * (b - a) for a in members for b in members])
    nearest = np.hypot(*(points[:, None] - edges).transpose(2, 0, 1)).min(axis=1)
    outside = Delaunay(members).find_simplex(points) < 0
    np.testing.assert_allclose(hull_excess_mm(points, members)[outside], nearest[outside], atol=0.1)


def test_order_of_the_findings_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    found = np.concatenate([THREE + rng.normal(0, 0.5, THREE.shape), rng.uniform(0, 90, (40, 2))])
    assert score_clusters(rng.permutation(found), rng.permutation(THREE)) == score_clusters(found, THREE)


def test_a_flooded_view_is_one_false_cluster() -> None:
    flood = np.random.default_rng(3).uniform(0, 100, (MAX_FINDINGS + 1, 2))
    assert score_clusters(flood, THREE) == (3, 0, 1)


def test_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        score_clusters(THREE, THREE, margin_mm=-1.0)

import numpy as np
import pytest

from bundle.functional.clusters import cluster_findings


def ring(count: int, radius_mm: float, centre: tuple[float, float] = (50.0, 50.0)) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1) * radius_mm + centre


def test_five_in_a_circle_of_one_centimetre_are_a_cluster_and_four_are_not() -> None:
    assert cluster_findings(ring(5, 4.99)).tolist() == [0] * 5
    assert cluster_findings(ring(4, 4.99)).tolist() == [-1] * 4


def test_any_five_in_a_circle_of_one_centimetre_share_a_cluster_whatever_surrounds_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        radius, angle = 5 * np.sqrt(rng.random(5)), 2 * np.pi * rng.random(5)
        inside = np.stack([np.sin(angle), np.cos(angle)], axis=1) * radius[:, None] + 50
        around = rng.uniform(0, 100, (rng.integers(0, 40), 2))
        assert len(set(cluster_findings(np.concatenate([inside, around]))[:5].tolist()) - {-1}) == 1
        assert -1 not in cluster_findings(np.concatenate([inside, around]))[:5]


def test_no_findings_and_one_finding_make_no_cluster() -> None:
    assert cluster_findings(np.zeros((0, 2))).tolist() == []
    assert cluster_findings([[1.0, 2.0]]).tolist() == [-1]


def test_coincident_findings_count_each() -> None:
    assert cluster_findings(np.zeros((5, 2))).tolist() == [0] * 5


def test_distant_groups_are_numbered_by_size_then_from_the_top() -> None:
    positions = np.concatenate([ring(5, 2, (10, 90)), ring(7, 2, (80, 10)), ring(5, 2, (10, 10)), [[200.0, 200.0]]])
    assert cluster_findings(positions).tolist() == [2] * 5 + [0] * 7 + [1] * 5 + [-1]


def test_equal_groups_at_one_height_are_numbered_from_the_left() -> None:
    square = np.array([[0.0, 0.0], [0, 1], [1, 0], [1, 1], [0.5, 0.5]])
    positions = np.concatenate([square + np.array([5, 70]), square + np.array([5, 10])])
    assert cluster_findings(positions).tolist() == [1] * 5 + [0] * 5


def test_every_cluster_has_at_least_the_minimum() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        cluster = cluster_findings(rng.uniform(0, 60, (rng.integers(1, 40), 2)))
        sizes = np.bincount(cluster[cluster >= 0])
        assert sizes.size == 0 or sizes.min() >= 5


def test_order_of_the_findings_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    positions = rng.uniform(0, 80, (60, 2))
    order = rng.permutation(60)
    np.testing.assert_array_equal(cluster_findings(positions)[order], cluster_findings(positions[order]))


def test_scaling_positions_and_distance_changes_nothing() -> None:
    positions = np.random.default_rng(3).uniform(0, 80, (60, 2))
    np.testing.assert_array_equal(cluster_findings(positions), cluster_findings(3 * positions, distance_mm=30))


def test_finding_beyond_the_distance_of_every_core_is_isolated() -> None:
    near, far = np.array([[50.0, 62.9]]), np.array([[50.0, 63.1]])
    group = ring(8, 3)
    assert cluster_findings(np.concatenate([group, near]))[-1] == 0
    assert cluster_findings(np.concatenate([group, far]))[-1] == -1


@pytest.mark.train
def test_groups_are_those_of_dbscan() -> None:
    cluster_module = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(4)
    compared = 0
    for _ in range(30):
        positions = rng.uniform(0, 90, (50, 2))
        reference = cluster_module.DBSCAN(eps=10.0, min_samples=5).fit(positions)
        ours, cores = cluster_findings(positions), reference.core_sample_indices_
        assert np.all(ours[reference.labels_ == -1] == -1)
        kept = cores[ours[cores] >= 0]
        pairs = {(int(a), int(b)) for a, b in zip(ours[kept], reference.labels_[kept], strict=True)}
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        compared += len(pairs)
    assert compared > 30


@pytest.mark.parametrize(("distance", "count"), [(0.0, 5), (-1.0, 5), (10.0, 0)])
def test_senseless_options_are_refused(distance: float, count: int) -> None:
    with pytest.raises(ValueError, match="distance > 0 mm and at least 1"):
        cluster_findings(np.zeros((3, 2)), distance_mm=distance, min_count=count)

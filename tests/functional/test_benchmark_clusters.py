"""Clusters of the shift benchmark: published sizes, five distributions, members that do not touch."""

import itertools
import math

import numpy as np
import pytest

from bundle.functional.benchmark_clusters import (
    DISTRIBUTIONS,
    GAP_MM,
    ISOLATED,
    sample_cluster,
    sample_diameters_mm,
    sample_positions_mm,
    without_contact,
)

NIPPLE = (30.0, 40.0)
CENTRE = np.array([30.0, 20.0])


def positions(distribution: str, seed: int) -> np.ndarray:
    return sample_positions_mm(np.random.default_rng(seed), distribution, nipple_mm=NIPPLE, centre_mm=CENTRE)


def extent_mm(points: np.ndarray) -> float:
    return float(np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)).max())


def test_diameters_are_the_published_ones() -> None:
    diameters = sample_diameters_mm(np.random.default_rng(0), 20_000)
    assert diameters.min() >= 0.1
    assert diameters.max() <= 1.0
    fine = diameters[(diameters > 0.1) & (diameters < 0.4)]
    assert np.median(fine) == pytest.approx(0.21, abs=0.02)
    assert 0.12 < (diameters > 0.45).mean() < 0.18  # 12 % in the second mode, the rest from the tail of the first


@pytest.mark.parametrize("distribution", ["grouped", "linear", "segmental"])
def test_clusters_hold_3_to_40_within_20_mm(distribution: str) -> None:
    drawn = [positions(distribution, seed) for seed in range(60)]
    assert all(3 <= len(points) <= 40 for points in drawn)
    assert max(extent_mm(points) for points in drawn) <= 22.0


@pytest.mark.parametrize(("distribution", "least_mm"), [("regional", 14.0), ("diffuse", 35.0)])
def test_regional_and_diffuse_ones_are_wide(distribution: str, least_mm: float) -> None:
    assert min(extent_mm(positions(distribution, seed)) for seed in range(20)) > least_mm


def test_lines_are_much_longer_than_wide() -> None:
    ratios = []
    for seed in range(30):
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(positions("linear", seed).T)))
        ratios.append(spread[1] / spread[0])
    assert np.median(ratios) > 4.0


def test_segments_narrow_towards_the_nipple() -> None:
    toward = (np.array(NIPPLE) - CENTRE) / math.dist(NIPPLE, CENTRE)
    near, far = [], []
    for seed in range(60):
        offset = positions("segmental", seed) - CENTRE
        along, across = offset @ toward, np.abs(offset @ np.array([-toward[1], toward[0]]))
        near += list(across[along > np.median(along)])
        far += list(across[along <= np.median(along)])
    assert np.mean(near) < 0.6 * np.mean(far)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_members_carry_their_cluster(distribution: str) -> None:
    rng = np.random.default_rng(1)
    members = sample_cluster(rng, distribution, number=2, nipple_mm=NIPPLE, centre_mm=CENTRE)
    assert {one.cluster for one in members} == {2}
    assert {one.distribution for one in members} == {distribution}
    assert all(0.1 <= one.diameter_mm <= 1.0 for one in members)


def test_an_isolated_one_is_alone_and_in_no_cluster() -> None:
    (one,) = sample_cluster(np.random.default_rng(1), ISOLATED, number=2, nipple_mm=NIPPLE, centre_mm=CENTRE)
    assert one.cluster == -1
    assert (one.row_mm, one.column_mm) == tuple(CENTRE)


def test_what_touches_is_left_out_and_nothing_else() -> None:
    members = sample_cluster(np.random.default_rng(3), "grouped", number=0, nipple_mm=NIPPLE, centre_mm=CENTRE)
    kept = without_contact(members)

    def gap(one, other) -> float:
        apart = math.hypot(one.row_mm - other.row_mm, one.column_mm - other.column_mm)
        return apart - one.reach_mm - other.reach_mm

    assert all(gap(one, other) >= GAP_MM for one, other in itertools.combinations(kept, 2))
    for left_out in (one for one in members if one not in kept):
        assert min(gap(left_out, other) for other in kept) < GAP_MM


def test_an_unknown_distribution_is_named() -> None:
    with pytest.raises(ValueError, match="segmental"):
        positions("round", 0)

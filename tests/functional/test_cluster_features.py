import math
import re

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist, squareform
from scipy.stats import pearsonr, skew
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from bundle.functional import cluster_features as module
from bundle.functional.cluster_features import FEATURES, cluster_features, convex_hull, principal_axes
from bundle.functional.cluster_scores import MAX_FINDINGS
from bundle.functional.distributions import DISTRIBUTIONS, sample_offsets_mm

# The corners of 4 x 3 mm and their middle, its long side along the rows.
RECTANGLE = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [4.0, 3.0], [2.0, 1.5]])
DIAMETERS = np.array([0.1, 0.1, 0.2, 0.3, 0.3])
# How a feature grows when every length is doubled; two depend on the 1 mm that the hull is grown by.
POWERS = {"mm": 1, "mm2": 2}
UNSCALED = {"density_per_cm2", "clark_evans"}


def drawn(distribution: str = "grouped", count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return sample_offsets_mm(rng, distribution, count=count), rng.uniform(0.1, 0.8, count)


def test_a_rectangle_worked_by_hand() -> None:
    grown_mm2 = 12 + 14 + math.pi
    assert cluster_features(RECTANGLE, DIAMETERS) == pytest.approx(
        {
            "count": 5,
            "hull_area_mm2": 12,
            "hull_perimeter_mm": 14,
            "max_distance_mm": 5,
            "length_mm": 4,
            "width_mm": 3,
            "rms_radius_mm": math.sqrt(4 * 2.5**2 / 5),
            "axis_ratio": 3 / 4,
            "circularity": 4 * math.pi * 12 / 14**2,
            "rectangularity": 1,
            # No parabola bends towards both sides, so the best one is the axis.
            "curve_residual_mm": math.sqrt(4 * 1.5**2 / 5),
            "taper": 0,
            "skewness": 0,
            "density_per_cm2": 500 / grown_mm2,
            "nearest_mean_mm": 2.5,
            "nearest_sd_mm": 0,
            "distance_mean_mm": (2 * 3 + 2 * 4 + 2 * 5 + 4 * 2.5) / 10,
            "tree_mean_mm": 2.5,
            "tree_max_mm": 2.5,
            "clark_evans": 2.5 * 2 * math.sqrt(5 / grown_mm2),
            "diameter_mean_mm": 0.2,
            "diameter_sd_mm": math.sqrt((2 * 0.1**2 + 2 * 0.1**2) / 5),
            "diameter_max_mm": 0.3,
            "member_area_mm2": math.pi / 4 * (2 * 0.01 + 0.04 + 2 * 0.09),
        },
        abs=1e-9,
    )


def test_a_line_worked_by_hand() -> None:
    """0, 1, 2 and 6 mm along a diagonal of 3 and 4."""
    made = cluster_features(np.outer([0.0, 1.0, 2.0, 6.0], [0.6, 0.8]), np.full(4, 0.2))
    expected = {
        "hull_area_mm2": 0, "hull_perimeter_mm": 12, "max_distance_mm": 6, "length_mm": 6, "circularity": 0,
        "curve_residual_mm": 0, "density_per_cm2": 400 / (12 + math.pi), "nearest_mean_mm": 7 / 4, "tree_mean_mm": 2,
        "tree_max_mm": 4, "rms_radius_mm": math.sqrt(41 / 4 - (9 / 4) ** 2),
    }  # fmt: skip
    assert {name: made[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert made["axis_ratio"] < 1e-6


def test_a_parabola_leaves_no_residual_and_a_wave_does() -> None:
    along = np.linspace(-5, 5, 21)
    bent = cluster_features(np.stack([along, 0.05 * along**2], axis=1), np.ones(21))
    wave = cluster_features(np.stack([along, np.sin(along)], axis=1), np.ones(21))
    assert bent["curve_residual_mm"] < 1e-9
    assert wave["curve_residual_mm"] > 0.3


def test_there_are_24_and_the_table_defines_each_once_in_order() -> None:
    assert len(set(FEATURES)) == len(FEATURES) == 24
    rows = re.findall(r"^\| (\w+) \| .+ \|$", module.__doc__ or "", re.MULTILINE)
    assert tuple(rows[1:]) == tuple(cluster_features(RECTANGLE, DIAMETERS)) == FEATURES


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_against_other_libraries(distribution: str) -> None:
    positions, diameters = drawn(distribution)
    made = cluster_features(positions, diameters)
    along, across = PCA(n_components=2).fit_transform(positions).T
    tree = minimum_spanning_tree(squareform(pdist(positions))).data
    nearest = NearestNeighbors(n_neighbors=2).fit(positions).kneighbors()[0][:, 0]
    bent = np.polynomial.Polynomial.fit(along, across, 2)
    assert made["axis_ratio"] == pytest.approx(across.std() / along.std())
    assert made["length_mm"] == pytest.approx(np.ptp(along))
    assert made["taper"] == pytest.approx(abs(pearsonr(np.abs(across), along)[0]))
    assert made["skewness"] == pytest.approx(abs(skew(along)))
    assert made["curve_residual_mm"] == pytest.approx(np.sqrt(np.mean((across - bent(along)) ** 2)))
    assert (made["tree_mean_mm"], made["tree_max_mm"]) == pytest.approx((tree.mean(), tree.max()))
    assert (made["nearest_mean_mm"], made["nearest_sd_mm"]) == pytest.approx((nearest.mean(), nearest.std()))
    assert made["max_distance_mm"] == pytest.approx(cdist(positions, positions).max())


def test_place_turn_mirror_and_order_change_nothing() -> None:
    positions, diameters = drawn("segmental")
    turn = np.array([[math.cos(1.1), -math.sin(1.1)], [math.sin(1.1), math.cos(1.1)]])
    order = np.random.default_rng(0).permutation(len(positions))
    moved = (positions @ turn * [-1, 1] + [120.0, -7.0])[order]
    assert cluster_features(moved, diameters[order]) == pytest.approx(cluster_features(positions, diameters), rel=1e-6)


def test_doubling_lengths_follows_the_unit_in_the_name() -> None:
    positions, diameters = drawn()
    once, twice = cluster_features(positions, diameters), cluster_features(2 * positions, 2 * diameters)
    for name in set(FEATURES) - UNSCALED:
        assert twice[name] == pytest.approx(2 ** POWERS.get(name.rsplit("_", 1)[-1], 0) * once[name]), name


def test_random_scatter_has_a_clark_evans_ratio_of_one_and_a_grid_of_two() -> None:
    rng = np.random.default_rng(0)
    scattered = cluster_features(rng.uniform(0, 60, (2000, 2)), np.ones(2000))
    grid = cluster_features(np.stack(np.mgrid[:45, :45], axis=-1).reshape(-1, 2), np.ones(2025))
    assert scattered["clark_evans"] == pytest.approx(1, abs=0.05)
    assert grid["clark_evans"] == pytest.approx(2, abs=0.1)


def test_coincident_members_have_no_extent_and_no_nan() -> None:
    made = cluster_features(np.full((6, 2), 3.7), np.ones(6))
    assert all(math.isfinite(value) for value in made.values())
    assert made["length_mm"] == made["axis_ratio"] == made["taper"] == made["hull_perimeter_mm"] == 0


def test_hull_of_one_and_of_two() -> None:
    assert convex_hull(np.array([[1.0, 2.0]])) == (0, 0, 0)
    assert convex_hull(np.array([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx((0, 10, 5))


def test_axes_keep_distances() -> None:
    positions, _ = drawn()
    assert pdist(np.stack(principal_axes(positions), axis=1)) == pytest.approx(pdist(positions))


@pytest.mark.parametrize(
    ("positions", "diameters", "message"),
    [
        (np.zeros((2, 2)), np.ones(2), "Expected 3 to"),
        (np.zeros((MAX_FINDINGS + 1, 2)), np.ones(MAX_FINDINGS + 1), "raise the threshold"),
        (np.zeros((4, 3)), np.ones(4), r"positions \(n, 2\)"),
        (RECTANGLE, np.ones(4), "each with a diameter"),
        (RECTANGLE, np.zeros(5), "diameter > 0 mm"),
        (np.full((5, 2), np.nan), np.ones(5), "finite positions"),
    ],
)
def test_wrong_input_is_named(positions: np.ndarray, diameters: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_features(positions, diameters)

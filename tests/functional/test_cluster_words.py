import math

import numpy as np
import pytest

from bundle.functional.cluster_words import (
    HELD_OUT_SEED,
    NO_CLUSTER,
    WORDS,
    distribution_word,
    drawn_benchmark_cluster,
    drawn_cluster,
    word_agreement,
)
from bundle.functional.distributions import DISTRIBUTIONS

# 16 members over 4 x 4 mm.
GRID = np.stack(np.mgrid[:4, :4], axis=-1).reshape(-1, 2) * 4.0 / 3.0


def line(count: int, *, bow_mm: float = 0.0, length_mm: float = 12.0) -> np.ndarray:
    along = np.linspace(-0.5, 0.5, count)
    return np.stack([along * length_mm, bow_mm * (1 - 4 * along**2)], axis=1)


def wedge(count: int = 30) -> np.ndarray:
    """Even over a triangle 30 mm long, its tip at the origin, its base (24 mm) at row 30."""
    rng = np.random.default_rng(3)
    along = 30 * np.sqrt(rng.random(count))
    return np.stack([along, 0.4 * along * rng.uniform(-1, 1, count)], axis=1)


@pytest.mark.parametrize(
    ("side_mm", "word"), [(14.0, "grouped"), (14.2, "regional"), (35.3, "regional"), (35.4, "diffuse")]
)
def test_size_decides_between_grouped_regional_and_diffuse(side_mm: float, word: str) -> None:
    """The diagonal of the square: 19.80, 20.08, 49.92 and 50.06 mm."""
    assert distribution_word(GRID * side_mm / 4) == word


@pytest.mark.parametrize("bow_mm", [0.0, 2.0])
def test_a_line_straight_or_bent_is_linear_however_long(bow_mm: float) -> None:
    for length_mm in (6.0, 30.0, 70.0):
        assert distribution_word(line(12, bow_mm=bow_mm * length_mm / 12, length_mm=length_mm)) == "linear"


@pytest.mark.parametrize(("swing_mm", "word"), [(0.450, "linear"), (0.457, "grouped")])
def test_how_far_off_a_line_worked_by_hand(swing_mm: float, word: str) -> None:
    """Eight members 1 mm apart, a to either side. The parabola takes 8^2 / 168 of the sum of squares 8 a^2.

    sqrt(7.619 / 8) sqrt(8 / 5) a = 1.234 a is at most 0.08 x 7 mm up to a = 0.4537 mm.
    """
    across = swing_mm * np.array([1, -1, -1, 1, 1, -1, -1, 1])
    assert distribution_word(np.stack([np.arange(8.0), across], axis=1)) == word


def test_few_members_are_unknown_rather_than_guessed() -> None:
    assert [distribution_word(line(count)) for count in (0, 1, 4, 5, 6)] == ["unknown"] * 4 + ["linear"]
    assert distribution_word(GRID[:4]) == "unknown"
    assert distribution_word(np.array([[0, 0], [0, 3], [3, 0], [3, 3], [1.5, 1.5]])) == "grouped"


def test_a_wedge_is_segmental_only_if_it_points_to_the_nipple() -> None:
    assert distribution_word(wedge(), nipple_mm=(-30.0, 0.0)) == "segmental"
    assert distribution_word(wedge(), nipple_mm=(60.0, 0.0)) == "regional"
    assert distribution_word(wedge(), nipple_mm=(20.0, 80.0)) == "regional"
    assert distribution_word(wedge()) == "regional"


def test_a_wedge_of_few_is_unknown() -> None:
    """Nine members with the shape of a wedge; with a tenth at their mean position it is one."""
    few = np.array([[0, 0], [5, 1], [5, -1], [10, 2.5], [10, -2.5], [15, 4], [15, -4], [20, 6], [20, -6]], float)
    assert distribution_word(few, nipple_mm=(-20.0, 0.0)) == "unknown"
    assert distribution_word([*few, few.mean(axis=0)], nipple_mm=(-20.0, 0.0)) == "segmental"


def test_a_grid_about_the_nipple_points_nowhere() -> None:
    assert distribution_word(GRID, nipple_mm=tuple(GRID.mean(axis=0))) == "grouped"
    assert distribution_word(GRID, nipple_mm=(2.0, 60.0)) == "grouped"


def test_coincident_members_are_grouped() -> None:
    assert distribution_word(np.full((7, 2), 1.3), nipple_mm=(0.0, 0.0)) == "grouped"


@pytest.mark.parametrize("draw", range(20))
def test_place_turn_and_order_change_no_word(draw: int) -> None:
    rng = np.random.default_rng(draw)
    members = drawn_benchmark_cluster(rng, list(DISTRIBUTIONS)[draw % 5])
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = rng.uniform(-50, 150, 2)
    moved = rng.permutation(members @ turn + shift)
    assert distribution_word(moved, nipple_mm=tuple(shift)) == distribution_word(members, nipple_mm=(0.0, 0.0))


def test_agreement_on_draws_that_chose_nothing() -> None:
    """What docs/clusters.md states, to within the chance of fewer draws."""
    said = word_agreement(drawn_cluster, rng=np.random.default_rng(HELD_OUT_SEED + 1), draws=60, found=False)
    assert all(counts.total() == 60 and set(counts) <= set(WORDS) for counts in said.values())
    for name, least in (("grouped", 0.85), ("linear", 0.85), ("regional", 0.7), ("diffuse", 0.9)):
        assert said[name][name] >= least * 60, name
    assert not any(counts["segmental"] for counts in said.values())


def test_most_diffuse_draws_of_few_members_are_no_cluster_of_the_findings() -> None:
    said = word_agreement(drawn_cluster, rng=np.random.default_rng(HELD_OUT_SEED + 1), draws=60, found=True)
    assert said["diffuse"][NO_CLUSTER] > 30
    assert said["grouped"][NO_CLUSTER] < 3


def test_agreement_with_the_nipple() -> None:
    said = word_agreement(
        drawn_benchmark_cluster,
        rng=np.random.default_rng(HELD_OUT_SEED + 1),
        draws=60,
        found=True,
        nipple_mm=(0.0, 0.0),
    )
    assert said["segmental"]["segmental"] >= 36
    assert sum(counts["segmental"] for name, counts in said.items() if name != "segmental") <= 24

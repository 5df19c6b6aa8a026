"""Where the calcifications of the shift benchmark lie and how large they are.

Five distributions (BI-RADS) and isolated ones; sizes as published (METHOD.md section 2).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .benchmark_shapes import Solid, sample_solid

DISTRIBUTIONS = ("grouped", "linear", "segmental", "regional", "diffuse")
ISOLATED = "isolated"
DIAMETER_MEDIAN_MM, DIAMETER_SIGMA_LOG = 0.22, 0.45
COARSE_MEDIAN_MM, COARSE_SIGMA_LOG, COARSE_SHARE = 0.6, 0.2, 0.12
DIAMETER_RANGE_MM = (0.1, 1.0)
GAP_MM = 0.25
"""Least clear distance between the discs of two calcifications: closer ones would be one object in the label."""
HABITS = (
    ("pleomorphic", (0.45, 0.40, 0.05, 0.10)),
    ("amorphous", (0.10, 0.70, 0.00, 0.20)),
    ("casting", (0.15, 0.15, 0.65, 0.05)),
    ("punctate", (0.15, 0.15, 0.00, 0.70)),
)
"""Shares of crystals, stones, casts and round ones in a cluster."""


@dataclass(frozen=True)
class Calcification:
    """One calcification.

    Attributes:
        row_mm: centre, from the upper edge of the field.
        column_mm: centre, from the chest wall.
        diameter_mm: diameter of the sphere of equal volume.
        kind: crystal, stone, cast or round.
        solid: its shape at diameter 1.
        cluster: number of its cluster in the view, -1 for an isolated one.
        distribution: one of DISTRIBUTIONS or ISOLATED.
    """

    row_mm: float
    column_mm: float
    diameter_mm: float
    kind: str
    solid: Solid
    cluster: int
    distribution: str

    @property
    def reach_mm(self) -> float:
        """Radius of a disc that holds its projection."""
        return self.diameter_mm * self.solid.reach


def sample_diameters_mm(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Diameters (count,): lognormal about 0.22 mm, 12 % in a second mode at 0.6 mm, clipped to 0.1-1.0 mm."""
    fine = rng.lognormal(math.log(DIAMETER_MEDIAN_MM), DIAMETER_SIGMA_LOG, count)
    coarse = rng.lognormal(math.log(COARSE_MEDIAN_MM), COARSE_SIGMA_LOG, count)
    return np.clip(np.where(rng.random(count) < COARSE_SHARE, coarse, fine), *DIAMETER_RANGE_MM)


def sample_positions_mm(
    rng: np.random.Generator, distribution: str, *, nipple_mm: tuple[float, float], centre_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw the positions of one cluster, (n, 2) mm: rows and columns.

    Args:
        rng: source of randomness.
        distribution: one of DISTRIBUTIONS.
        nipple_mm: where segments point to.
        centre_mm: (2,) middle of the cluster; a diffuse one surrounds it over the whole field.

    Raises:
        ValueError: if the distribution is unknown.
    """
    count = int(np.clip(round(math.exp(rng.normal(math.log(16.0), 0.6))), 3, 40))
    size = float(np.clip(math.exp(rng.normal(math.log(8.0), 0.5)), 3.0, 20.0))
    turn = rng.uniform(0.0, 2.0 * math.pi)
    if distribution == "grouped":
        return centre_mm + _turn(_disc(rng, count) * (0.5 * size) * (1.0, rng.uniform(0.5, 1.0)), turn)
    if distribution == "linear":
        along = rng.uniform(-0.5, 0.5, count) * size
        bow = rng.uniform(-0.12, 0.12) * size * (1.0 - (2.0 * along / size) ** 2)
        return centre_mm + _turn(np.column_stack([along, bow + rng.normal(0.0, 0.3, count)]), turn)
    if distribution == "segmental":
        # A wedge with its tip towards the nipple, as one duct's branches fill it.
        toward = np.asarray(nipple_mm) - centre_mm
        along = size * (np.sqrt(rng.random(count)) - 0.5)
        across = rng.uniform(-1.0, 1.0, count) * 0.35 * (along + 0.5 * size)
        return centre_mm + _turn(np.column_stack([-along, across]), math.atan2(toward[1], toward[0]))
    if distribution == "regional":
        return centre_mm + _turn(_disc(rng, max(count, 20)) * (rng.uniform(10.5, 15.0), rng.uniform(8.0, 11.0)), turn)
    if distribution == "diffuse":
        return centre_mm + rng.uniform(-1.0, 1.0, (max(2 * count, 40), 2)) * (30.0, 22.0)
    known = ", ".join(DISTRIBUTIONS)
    raise ValueError(f"Expected a distribution among {known}, got {distribution!r}; pass one of these")


def sample_cluster(
    rng: np.random.Generator,
    distribution: str,
    *,
    number: int,
    nipple_mm: tuple[float, float],
    centre_mm: NDArray[np.float64],
) -> list[Calcification]:
    """Draw one cluster: one habit of shapes, members that may still touch or lie outside.

    Args:
        rng: source of randomness.
        distribution: one of DISTRIBUTIONS, or ISOLATED for one calcification.
        number: number of the cluster in the view.
        nipple_mm: where segments point to.
        centre_mm: (2,) middle of the cluster.
    """
    if distribution == ISOLATED:
        positions, number = centre_mm[None], -1
    else:
        positions = sample_positions_mm(rng, distribution, nipple_mm=nipple_mm, centre_mm=centre_mm)
    shares = (0.2, 0.2, 0.6, 0.0) if distribution == "linear" else HABITS[int(rng.integers(len(HABITS)))][1]
    kinds = rng.choice(("crystal", "stone", "cast", "round"), len(positions), p=shares)
    # Casts are the coarse ones: comedo calcifications have their mode at 0.5-0.7 mm, at the same volume.
    coarse = np.clip(rng.lognormal(math.log(0.45), 0.25, len(positions)), *DIAMETER_RANGE_MM)
    diameters = np.where(kinds == "cast", coarse, sample_diameters_mm(rng, len(positions)))
    return [
        Calcification(float(row), float(column), float(size), str(kind), sample_solid(rng, kind), number, distribution)
        for (row, column), size, kind in zip(positions, diameters, kinds, strict=True)
    ]


def without_contact(calcifications: list[Calcification]) -> list[Calcification]:
    """Leave out each calcification that touches an earlier one, or comes within GAP_MM of it."""
    kept: list[Calcification] = []
    for one in calcifications:
        gaps = (
            math.hypot(one.row_mm - other.row_mm, one.column_mm - other.column_mm) - one.reach_mm - other.reach_mm
            for other in kept
        )
        if all(gap >= GAP_MM for gap in gaps):
            kept.append(one)
    return kept


def _disc(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Points (count, 2) in the unit disc, denser in its middle."""
    radius, turn = rng.random(count) ** 0.7, rng.uniform(0.0, 2.0 * math.pi, count)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])


def _turn(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Points (n, 2) turned: the first axis comes to lie at `angle` from the row axis."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.column_stack([points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos])

"""The five BI-RADS distributions of calcifications: where the members of a group lie about its centre."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.float64]


def _disc(rng: np.random.Generator, count: int, extent_mm: float) -> Offsets:
    """Evenly over a disc."""
    radius, angle = extent_mm / 2 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * math.pi, count)
    return np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])


def _grouped(rng: np.random.Generator, count: int, extent_mm: float) -> Offsets:
    """A few in a small, slightly elongated heap."""
    return _turned(rng, rng.normal(0.0, extent_mm / 4, (count, 2)) * rng.uniform(0.6, 1.0, 2))


def _linear(rng: np.random.Generator, count: int, extent_mm: float) -> Offsets:
    """Along a bent line, as in a duct."""
    along = rng.uniform(-0.5, 0.5, count)
    bow = rng.uniform(-0.25, 0.25) * (1 - (2 * along) ** 2)
    across = bow * extent_mm + rng.normal(0.0, 0.03 * extent_mm + 0.1, count)
    return _turned(rng, np.column_stack([along * extent_mm, across]))


def _segmental(rng: np.random.Generator, count: int, extent_mm: float) -> Offsets:
    """In a wedge that narrows towards the nipple: a duct and its branches."""
    along = np.sqrt(rng.random(count))
    opening = math.tan(rng.uniform(0.2, 0.5))
    across = along * opening * rng.uniform(-1.0, 1.0, count)
    return _turned(rng, extent_mm * np.column_stack([along - 2 / 3, across]))


def _turned(rng: np.random.Generator, offsets: Offsets) -> Offsets:
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return offsets @ turn


# Extent in mm as a range, relative to nothing: "diffuse" and "regional" are wider than a training window, which then
# shows a part of them.
DISTRIBUTIONS: dict[str, tuple[Callable[[np.random.Generator, int, float], Offsets], tuple[float, float]]] = {
    "grouped": (_grouped, (3.0, 20.0)),
    "linear": (_linear, (5.0, 20.0)),
    "segmental": (_segmental, (12.0, 30.0)),
    "regional": (_disc, (20.0, 40.0)),
    "diffuse": (_disc, (60.0, 100.0)),
}


def sample_offsets_mm(rng: np.random.Generator, distribution: str, *, count: int) -> Offsets:
    """Draw the members of one group.

    Args:
        rng: source of randomness.
        distribution: "diffuse", "regional", "grouped", "linear" or "segmental" (BI-RADS atlas, 5th edition).
        count: members.

    Returns:
        (count, 2) row and column offsets from the group's centre, in mm.

    Raises:
        ValueError: if the distribution is unknown.
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"Expected a distribution among {', '.join(DISTRIBUTIONS)}, got {distribution!r}")
    sample, (least, most) = DISTRIBUTIONS[distribution]
    return sample(rng, count, float(np.exp(rng.uniform(math.log(least), math.log(most)))))

"""Fibres and vessels of the shift benchmark: tubes about random walks in three dimensions, as projected thickness.

They are bright, thin and normal: what a detector may take for a calcification where they cross, end or point along the
beam.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

STEP_MM = 0.1
"""Distance between the points of an axis: below the radius of all but the finest fibres, which are drawn wider."""
LEAST_RADIUS_PX = 1.25
"""Samples at pixel centres keep the cross-section of a tube of this radius within 12 %, wherever it lies."""


@dataclass(frozen=True)
class Tube:
    """One tube.

    Attributes:
        points_mm: (n, 2) rows and columns of its axis, mm.
        radius_mm: (n,) outer radius.
        wall_mm: thickness of a dense wall; 0 for a fibre.
        density: thickness of glandular tissue with the attenuation of 1 mm of the solid tube.
        wall_density: the same, for the wall on top.
    """

    points_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    wall_mm: float
    density: float
    wall_density: float


def random_walk(
    rng: np.random.Generator, *, start_mm: NDArray[np.float64], length_mm: float, persistence_mm: float
) -> NDArray[np.float64]:
    """A smooth walk in three dimensions, (n, 3) mm: its direction turns by a smoothed diffusion.

    Args:
        rng: source of randomness.
        start_mm: (3,) first point: row, column, depth.
        length_mm: length of the walk.
        persistence_mm: length over which the direction is forgotten.
    """
    count = max(2, math.ceil(length_mm / STEP_MM))
    turns = rng.normal(0.0, math.sqrt(STEP_MM / persistence_mm), (count, 3))
    width = max(1, round(0.2 * persistence_mm / STEP_MM))
    kernel = np.hanning(width + 2)[1:-1]
    kernel /= kernel.sum()
    turns = np.stack([np.convolve(turn, kernel, mode="same") for turn in turns.T], axis=1)
    direction = rng.normal(0.0, 1.0, 3) * (1.0, 1.0, 0.5)
    directions = direction / np.linalg.norm(direction) + np.cumsum(turns, axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return start_mm + STEP_MM * np.cumsum(directions, axis=0)


def sample_fibre(rng: np.random.Generator, *, size_mm: tuple[float, float]) -> Tube:
    """Draw a fibre or septum: 0.1-0.5 mm wide, 4-30 mm long, tapering to both ends."""
    start = np.array([*rng.uniform((0.0, 0.0), size_mm), 0.0])
    length = math.exp(rng.uniform(math.log(4.0), math.log(30.0)))
    walk = random_walk(rng, start_mm=start, length_mm=length, persistence_mm=rng.uniform(30.0, 200.0))
    width = math.exp(rng.uniform(math.log(0.12), math.log(0.7)))
    taper = np.sin(np.linspace(0.15, math.pi - 0.15, len(walk))) ** 0.5
    return Tube(walk[:, :2], 0.5 * width * taper, 0.0, math.exp(rng.uniform(0.0, 2.0)), 0.0)


def sample_vessel(rng: np.random.Generator, *, size_mm: tuple[float, float]) -> Tube:
    """Draw a vessel: 0.6-1.6 mm wide, crossing the view, one in three with walls that show as tram-tracks."""
    start = np.array([*rng.uniform((0.0, 0.0), size_mm), 0.0])
    walk = random_walk(rng, start_mm=start, length_mm=60.0, persistence_mm=rng.uniform(60.0, 200.0))
    width = rng.uniform(0.6, 1.6)
    radius = 0.5 * width * np.linspace(1.0, rng.uniform(0.6, 0.9), len(walk))
    tram = rng.random() < 1 / 3
    return Tube(walk[:, :2], radius, 0.12 if tram else 0.0, rng.uniform(0.6, 1.4), rng.uniform(1.5, 3.0) if tram else 0)


def add_tube(total: Array, tube: Tube, *, spacing_mm: float) -> None:
    """Add a tube, and its wall, to a map of glandular thickness, (rows, columns) mm, in place.

    Args:
        total: the map.
        tube: the tube.
        spacing_mm: pixel size.
    """
    reach_mm = float(tube.radius_mm.max()) + 2.0 * spacing_mm
    first = np.maximum(np.floor((tube.points_mm.min(axis=0) - reach_mm) / spacing_mm).astype(int), 0)
    last = np.minimum(np.ceil((tube.points_mm.max(axis=0) + reach_mm) / spacing_mm).astype(int), total.shape)
    if (first >= last).any():
        return
    shape = (int(last[0] - first[0]), int(last[1] - first[1]))
    local_mm = tube.points_mm - first * spacing_mm
    outer = tube_thickness_mm(local_mm, tube.radius_mm, shape, spacing_mm=spacing_mm)
    added = np.float32(tube.density) * outer
    if tube.wall_mm > 0:
        lumen = np.maximum(tube.radius_mm - tube.wall_mm, 0.0)
        hollow = outer - tube_thickness_mm(local_mm, lumen, shape, spacing_mm=spacing_mm)
        added += np.float32(tube.wall_density) * hollow
    total[first[0] : last[0], first[1] : last[1]] += added


def tube_thickness_mm(
    points_mm: NDArray[np.float64], radius_mm: NDArray[np.float64], shape: tuple[int, int], *, spacing_mm: float
) -> Array:
    """Chord of a tube along the beam, (rows, columns) mm: the union of spheres about its axis.

    Thinner spheres than LEAST_RADIUS_PX are drawn that wide with the same cross-section, so that none falls between
    pixels.

    Args:
        points_mm: (n, 2) rows and columns of the axis.
        radius_mm: (n,) radius.
        shape: (rows, columns).
        spacing_mm: pixel size.
    """
    drawn = np.maximum(radius_mm, LEAST_RADIUS_PX * spacing_mm)
    peak = 2.0 * radius_mm**2 / drawn
    reach = math.ceil(float(drawn.max()) / spacing_mm) + 1
    offset = np.arange(-reach, reach + 1)
    row, column = (np.floor(points_mm[:, axis, None] / spacing_mm).astype(np.int64) + offset for axis in (0, 1))
    row2, column2 = (
        ((index + 0.5) * spacing_mm - points_mm[:, axis, None]) ** 2 for axis, index in enumerate((row, column))
    )
    inside = 1.0 - (row2[:, :, None] + column2[:, None, :]) / drawn[:, None, None] ** 2
    in_rows, in_columns = (row >= 0) & (row < shape[0]), (column >= 0) & (column < shape[1])
    keep = in_rows[:, :, None] & in_columns[:, None, :] & (inside > 0)
    flat = (row[:, :, None] * shape[1] + column[:, None, :])[keep]
    chord = (peak[:, None, None] * np.sqrt(np.maximum(inside, 0.0)))[keep]
    thickness = np.zeros(shape[0] * shape[1], np.float32)
    np.maximum.at(thickness, flat, chord.astype(np.float32))
    return thickness.reshape(shape)


def curves_mm(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    size_mm: tuple[float, float],
    spacing_mm: float,
    fibres_per_cm2: float,
    vessels: int,
) -> Array:
    """Fibres and vessels of a view as equivalent thickness of glandular tissue, (rows, columns) mm.

    Args:
        rng: source of randomness; what is drawn does not depend on the pixel size.
        shape: (rows, columns).
        size_mm: rows and columns of the field, mm.
        spacing_mm: pixel size.
        fibres_per_cm2: mean number of fibres.
        vessels: number of vessels.
    """
    fibres = rng.poisson(fibres_per_cm2 * size_mm[0] * size_mm[1] / 100.0)
    total = np.zeros(shape, np.float32)
    for index in range(fibres + vessels):
        draw = sample_fibre if index < fibres else sample_vessel
        add_tube(total, draw(rng, size_mm=size_mm), spacing_mm=spacing_mm)
    return total

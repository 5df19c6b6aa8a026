"""Calcifications of the shift benchmark as solids in three dimensions, and their thickness along the beam.

Crystals are convex hulls of random points, stones level sets of a smooth random field in an ellipsoid, casts tubes
about branching random curves, the rest is round. Every shape comes with the volume of a sphere of diameter 1, so that
one factor gives it any size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

Array = NDArray[np.float32]

UNIT_VOLUME = math.pi / 6.0
KINDS = ("crystal", "stone", "cast", "round")
STONE_SIDE = 36
"""Voxels along each side of a stone; its edge is resolved to about 3 % of its diameter."""


@dataclass(frozen=True)
class Crystal:
    """A convex polyhedron.

    Attributes:
        faces: (n, 4) outward normals (row, column, depth) and offsets: normal . x + offset <= 0 inside.
        reach: radius of a disc that holds its projection.
    """

    faces: NDArray[np.float64]
    reach: float

    def thickness(self, row: Array, column: Array) -> Array:
        """Length along the beam between the nearest faces above and below; rows and columns are broadcast."""
        upper, lower = np.float32(np.inf), np.float32(-np.inf)
        for normal_row, normal_column, normal_depth, offset in self.faces.astype(np.float32):
            # A face along the beam becomes an almost parallel one: it cuts off nothing inside and everything outside.
            depth = normal_depth if abs(normal_depth) > 1e-6 else np.float32(1e-6)
            plane = -(offset + normal_row * row + normal_column * column) / depth
            if depth > 0:
                upper = np.minimum(upper, plane)
            else:
                lower = np.maximum(lower, plane)
        return np.maximum(upper - lower, np.float32(0.0))


@dataclass(frozen=True)
class Stone:
    """A solid given by its projection.

    Attributes:
        projection: (STONE_SIDE, STONE_SIDE) thickness at the centres of a square grid about the middle.
        reach: half the side of that grid.
    """

    projection: Array
    reach: float

    def thickness(self, row: Array, column: Array) -> Array:
        """Linear interpolation in the projection; rows and columns are broadcast."""
        scale = STONE_SIDE / (2.0 * self.reach)
        places = [(axis + self.reach) * scale - 0.5 for axis in np.broadcast_arrays(row, column)]
        return ndimage.map_coordinates(self.projection, places, order=1, mode="constant", output=np.float32)


@dataclass(frozen=True)
class Cast:
    """Tubes as unions of spheres; each branch is connected, so its extent along the beam is its thickness.

    Attributes:
        branches: each (n, 4): row, column, depth and radius of the spheres.
        reach: radius of a disc that holds the projection.
    """

    branches: tuple[NDArray[np.float64], ...]
    reach: float

    def thickness(self, row: Array, column: Array) -> Array:
        """Union of the branches' extents along the beam; rows and columns are broadcast."""
        shape = np.broadcast_shapes(row.shape, column.shape)
        total, covered_low, covered_high = np.zeros(shape, np.float32), np.full(shape, np.inf), np.full(shape, -np.inf)
        for branch in self.branches:
            low, high = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
            for ball_row, ball_column, depth, radius in branch.astype(np.float32):
                inside = radius**2 - (row - ball_row) ** 2 - (column - ball_column) ** 2
                half = np.sqrt(np.maximum(inside, 0.0))
                low = np.where(inside > 0, np.minimum(low, depth - half), low)
                high = np.where(inside > 0, np.maximum(high, depth + half), high)
            overlap = np.minimum(high, covered_high) - np.maximum(low, covered_low)
            total += np.where(high > low, high - low - np.maximum(overlap, 0.0), 0.0).astype(np.float32)
            covered_low, covered_high = np.minimum(covered_low, low), np.maximum(covered_high, high)
        return total


@dataclass(frozen=True)
class Ball:
    """An ellipsoid with its axes along rows, columns and beam.

    Attributes:
        radii: half-axes (row, column, depth).
    """

    radii: tuple[float, float, float]

    @property
    def reach(self) -> float:
        """Radius of a disc that holds the projection."""
        return max(self.radii[:2])

    def thickness(self, row: Array, column: Array) -> Array:
        """Chord; rows and columns are broadcast."""
        inside = 1.0 - (row / np.float32(self.radii[0])) ** 2 - (column / np.float32(self.radii[1])) ** 2
        return (2.0 * self.radii[2] * np.sqrt(np.maximum(inside, 0.0))).astype(np.float32)


Solid = Crystal | Stone | Cast | Ball


def sphere() -> Ball:
    """The sphere of diameter 1."""
    return Ball((0.5, 0.5, 0.5))


def sample_crystal(rng: np.random.Generator) -> Crystal:
    """Draw a crystal: the hull of 7-14 points on an ellipsoid in a random direction."""
    points = rng.normal(0.0, 1.0, (rng.integers(7, 15), 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= (1.0, rng.uniform(0.45, 1.0), rng.uniform(0.45, 1.0))
    points = points @ _turned(rng)
    hull = ConvexHull(points - points.mean(axis=0))
    factor = (UNIT_VOLUME / hull.volume) ** (1 / 3)
    faces = hull.equations * (1.0, 1.0, 1.0, factor)
    return Crystal(faces, factor * float(np.hypot(*hull.points[:, :2].T).max()))


def sample_stone(rng: np.random.Generator) -> Stone:
    """Draw a stone: where an ellipsoid's bowl plus a smooth random field is positive, holes and notches included."""
    axis = ((np.arange(STONE_SIDE) + 0.5) / STONE_SIDE * 2.0 - 1.0).astype(np.float32)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) @ _turned(rng).astype(np.float32)
    bowl = 1.0 - ((grid / (0.75 * np.array([1.0, *rng.uniform(0.5, 1.0, 2)], np.float32))) ** 2).sum(axis=-1)
    noise = ndimage.gaussian_filter(rng.standard_normal(bowl.shape, np.float32), rng.uniform(2.0, 4.0), truncate=2.5)
    field = bowl + rng.uniform(0.3, 0.6) * noise / noise.std()
    # Soft at the surface over one voxel, so that the projection does not show steps.
    solid = np.clip(field / 0.2 + 0.5, 0.0, 1.0)
    parts, count = ndimage.label(solid >= 0.5)
    if count > 1:
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        solid *= ndimage.binary_dilation(parts == largest)
    reach = 1.0
    voxel = 2.0 / STONE_SIDE
    factor = (UNIT_VOLUME / (float(solid.sum()) * voxel**3)) ** (1 / 3)
    return Stone((solid.sum(axis=2) * voxel * factor).astype(np.float32), reach * factor)


def sample_cast(rng: np.random.Generator) -> Cast:
    """Draw a cast: a bent tube 3.5-8 times as long as wide, in half of the cases with a branch."""
    length = rng.uniform(3.5, 8.0)
    trunk = _bent_line(rng, np.zeros(3), rng.normal(0.0, 1.0, 3) * (1.0, 1.0, 0.4), length=length)
    branches = [trunk]
    if rng.random() < 0.5:
        fork = len(trunk) * int(rng.integers(3, 7)) // 10
        heading = trunk[fork, :3] - trunk[fork - 1, :3]
        side = heading / np.linalg.norm(heading) + rng.normal(0.0, 0.6, 3) * (1.0, 1.0, 0.4)
        branches.append(_bent_line(rng, trunk[fork, :3], side, length=length * rng.uniform(0.25, 0.5)))
    middle = np.append(trunk[:, :3].mean(axis=0), 0.0)
    cast = _cast_of([branch - middle for branch in branches], 1.0)
    axis = np.linspace(-cast.reach, cast.reach, 96, dtype=np.float32)
    volume = float(cast.thickness(axis[:, None], axis[None, :]).sum()) * float(axis[1] - axis[0]) ** 2
    return _cast_of(list(cast.branches), (UNIT_VOLUME / volume) ** (1 / 3))


def sample_ball(rng: np.random.Generator) -> Ball:
    """Draw a round one: axes within 20 % of each other."""
    radii = rng.uniform(0.8, 1.0, 3)
    radii *= 0.5 / radii.prod() ** (1 / 3)
    return Ball((float(radii[0]), float(radii[1]), float(radii[2])))


def sample_solid(rng: np.random.Generator, kind: str) -> Solid:
    """Draw a shape with the volume of a sphere of diameter 1.

    Args:
        rng: source of randomness.
        kind: one of KINDS.

    Raises:
        ValueError: if the kind is unknown.
    """
    draw: dict[str, Callable[[np.random.Generator], Solid]] = {
        "crystal": sample_crystal,
        "stone": sample_stone,
        "cast": sample_cast,
        "round": sample_ball,
    }
    if kind not in draw:
        raise ValueError(f"Expected a kind among {', '.join(KINDS)}, got {kind!r}; pass one of these")
    return draw[kind](rng)


def _turned(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation, (3, 3)."""
    rotation, triangle = np.linalg.qr(rng.normal(0.0, 1.0, (3, 3)))
    return rotation * np.sign(np.diag(triangle))


def _bent_line(
    rng: np.random.Generator, start: NDArray[np.float64], heading: NDArray[np.float64], *, length: float
) -> NDArray[np.float64]:
    """Spheres (n, 4) along a bent line, about one unit wide and uneven."""
    count = max(4, math.ceil(length / 0.25))
    turn = np.cumsum(rng.normal(0.0, 0.12, (count, 3)), axis=0)
    steps = heading / np.linalg.norm(heading) + turn
    steps *= 0.25 / np.linalg.norm(steps, axis=1, keepdims=True)
    wave = np.sin(np.linspace(0.0, rng.uniform(4.0, 12.0), count) + rng.uniform(0.0, 6.0))
    radius = 0.5 * (1.0 + 0.25 * wave) * np.clip(np.linspace(1.2, rng.uniform(0.6, 1.0), count), 0.0, 1.0)
    return np.column_stack([start + np.cumsum(steps, axis=0), radius])


def _cast_of(branches: list[NDArray[np.float64]], factor: float) -> Cast:
    scaled = tuple(branch * factor for branch in branches)
    reach = max(float((np.hypot(branch[:, 0], branch[:, 1]) + branch[:, 3]).max()) for branch in scaled)
    return Cast(scaled, reach)

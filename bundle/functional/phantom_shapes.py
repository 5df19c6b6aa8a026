"""Shapes of calcifications in three dimensions and their projected thickness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

KINDS = ("round", "irregular", "rod", "branching")


@dataclass(frozen=True)
class Ellipsoid:
    """One part of a calcification, mm: centre relative to the punctum, half axes, in-plane rotation.

    Attributes:
        row_mm: Centre, rows.
        column_mm: Centre, columns.
        depth_mm: Centre along the beam.
        long_mm: Half axis along `angle`.
        short_mm: Half axis across it in the plane.
        beam_mm: Half axis along the beam.
        angle: Radians from the column axis towards growing rows.
    """

    row_mm: float
    column_mm: float
    depth_mm: float
    long_mm: float
    short_mm: float
    beam_mm: float
    angle: float


def sphere(diameter_mm: float) -> tuple[Ellipsoid, ...]:
    """A sphere at the origin as the one part of a punctum."""
    half = diameter_mm / 2.0
    return (Ellipsoid(0.0, 0.0, 0.0, half, half, half, 0.0),)


def _unit_parts(rng: np.random.Generator, kind: str) -> list[tuple[float, ...]]:
    """Parts of about unit size for a kind, as tuples in the order of Ellipsoid's fields."""
    angle = rng.uniform(0.0, np.pi)
    if kind == "round":
        half = rng.uniform(0.85, 1.0, 3)
        return [(0.0, 0.0, 0.0, half[0], half[1], half[2], angle)]
    if kind == "irregular":
        centre = rng.normal(0.0, 0.38, (rng.integers(3, 7), 3))
        half = rng.uniform(0.3, 0.75, centre.shape)
        return [(*c, *h, rng.uniform(0.0, np.pi)) for c, h in zip(centre, half, strict=True)]
    if kind == "rod":
        bend = rng.normal(0.0, 0.25)
        offset = rng.uniform(0.7, 1.1)
        return [
            (
                s * offset * np.sin(angle + s * bend),
                s * offset * np.cos(angle + s * bend),
                0.0,
                1.1,
                0.38,
                0.4,
                angle + s * bend,
            )
            for s in (-1.0, 1.0)
        ]
    arms = angle + np.array([0.0, np.pi - rng.uniform(0.3, 0.7), np.pi + rng.uniform(0.3, 0.7)])
    length = rng.uniform(0.8, 1.5, 3)
    return [
        (0.9 * n * np.sin(a), 0.9 * n * np.cos(a), 0.0, n, 0.34, 0.36, a) for a, n in zip(arms, length, strict=True)
    ]


def _scaled(parts: list[tuple[float, ...]], factor: float) -> tuple[Ellipsoid, ...]:
    scaled = [[float(value) * factor for value in part[:6]] + [float(part[6])] for part in parts]
    return tuple(Ellipsoid(*values) for values in scaled)


def sample_parts(rng: np.random.Generator, *, kind: str, diameter_mm: float) -> tuple[Ellipsoid, ...]:
    """Draw a shape whose volume is that of a sphere of this diameter.

    Args:
        rng: Source of randomness.
        kind: One of KINDS.
        diameter_mm: Diameter of the sphere of equal volume, > 0.

    Raises:
        ValueError: If kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a kind among {', '.join(KINDS)}, got {kind!r}; pass one of these.")
    parts = _unit_parts(rng, kind)
    axis = np.linspace(-3.0, 3.0, 61, dtype=np.float32)
    step = float(axis[1] - axis[0])
    volume = (
        float(union_thickness_mm(_scaled(parts, 1.0), row_mm=axis[:, None], column_mm=axis[None, :]).sum()) * step**2
    )
    return _scaled(parts, float((np.pi / 6.0 * diameter_mm**3 / volume) ** (1.0 / 3.0)))


def union_thickness_mm(parts: tuple[Ellipsoid, ...], *, row_mm: Array, column_mm: Array) -> Array:
    """Path length along the beam through a union of ellipsoids, (rows, columns) float32 mm.

    Overlaps count once: chords are sorted by their start and merged.

    Args:
        parts: The ellipsoids.
        row_mm: (rows, 1) coordinates relative to the punctum.
        column_mm: (1, columns) coordinates relative to the punctum.
    """
    lows, highs = [], []
    for part in parts:
        row, column = row_mm - part.row_mm, column_mm - part.column_mm
        cos, sin = np.cos(part.angle), np.sin(part.angle)
        along, across = (column * cos + row * sin) / part.long_mm, (row * cos - column * sin) / part.short_mm
        half = part.beam_mm * np.sqrt(np.clip(1.0 - along**2 - across**2, 0.0, None))
        lows.append(part.depth_mm - half)
        highs.append(part.depth_mm + half)
    low, high = np.stack(lows), np.stack(highs)
    order = np.argsort(low, axis=0)
    low, high = np.take_along_axis(low, order, axis=0), np.take_along_axis(high, order, axis=0)
    covered = np.maximum.accumulate(np.concatenate([low[:1], high[:-1]]), axis=0)
    return np.clip(high - np.maximum(low, covered), 0.0, None).sum(axis=0).astype(np.float32)

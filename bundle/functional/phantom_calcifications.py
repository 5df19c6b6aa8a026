"""Calcifications of a phantom: shapes in three dimensions, their projected thickness, clusters and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DIAMETER_MEDIAN_MM = 0.22
DIAMETER_SIGMA_LOG = 0.45
COARSE_MEDIAN_MM = 0.6
COARSE_SHARE = 0.12
DIAMETER_RANGE_MM = (0.1, 1.0)
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


@dataclass(frozen=True)
class Punctum:
    """One calcification.

    Attributes:
        row_mm: Centre on the canonical left breast.
        column_mm: Centre on the canonical left breast.
        diameter_mm: Diameter of the sphere of equal volume.
        kind: One of KINDS.
        parts: The union of these is the calcification.
    """

    row_mm: float
    column_mm: float
    diameter_mm: float
    kind: str
    parts: tuple[Ellipsoid, ...]


@dataclass(frozen=True)
class Cluster:
    """Calcifications that belong together.

    Attributes:
        distribution: "grouped", "linear" or "isolated".
        row_mm: Centre on the canonical left breast.
        column_mm: Centre on the canonical left breast.
        extent_mm: Largest extent.
        puncta: Its members.
    """

    distribution: str
    row_mm: float
    column_mm: float
    extent_mm: float
    puncta: tuple[Punctum, ...]


def sample_diameters_mm(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Diameters (count,) mm: lognormal, median 0.22, sigma_log 0.45, 12 % around 0.6, clipped to 0.1-1.0."""
    coarse = rng.random(count) < COARSE_SHARE
    fine_mm = DIAMETER_MEDIAN_MM * np.exp(DIAMETER_SIGMA_LOG * rng.standard_normal(count))
    coarse_mm = COARSE_MEDIAN_MM * np.exp(0.2 * rng.standard_normal(count))
    return np.clip(np.where(coarse, coarse_mm, fine_mm), *DIAMETER_RANGE_MM)


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


@dataclass(frozen=True)
class Stamp:
    """Thickness of one punctum on the pixel grid.

    Attributes:
        first_row: Row of the patch's first pixel in the view.
        first_column: Column of the patch's first pixel in the view.
        thickness_mm: (rows, columns) mean thickness over each pixel's aperture, mm.
    """

    first_row: int
    first_column: int
    thickness_mm: Array

    @property
    def region(self) -> tuple[slice, slice]:
        """Where the patch lies in the view."""
        rows, columns = self.thickness_mm.shape
        return slice(self.first_row, self.first_row + rows), slice(self.first_column, self.first_column + columns)


def stamp_punctum(punctum: Punctum, *, spacing_mm: float, shape: tuple[int, int]) -> Stamp | None:
    """Project one punctum, oversampled so that a pixel holds the mean over its aperture.

    Args:
        punctum: The calcification, in the coordinates of the pixel grid.
        spacing_mm: Pixel side.
        shape: (rows, columns) of the view.

    Returns:
        The patch, or None if the punctum lies outside the view or touches its edge.
    """
    reach_mm = max(np.hypot(p.row_mm, p.column_mm) + max(p.long_mm, p.short_mm) for p in punctum.parts)
    thinnest_mm = min(min(p.long_mm, p.short_mm) for p in punctum.parts)
    samples = int(np.clip(np.ceil(5.0 * spacing_mm / thinnest_mm), 4, 32))
    first = [int(np.floor((c - reach_mm) / spacing_mm)) - 1 for c in (punctum.row_mm, punctum.column_mm)]
    last = [int(np.ceil((c + reach_mm) / spacing_mm)) + 1 for c in (punctum.row_mm, punctum.column_mm)]
    if min(first) < 0 or last[0] > shape[0] or last[1] > shape[1]:
        return None
    axes = [
        ((np.arange((b - a) * samples) + 0.5) / samples + a) * spacing_mm - centre
        for a, b, centre in zip(first, last, (punctum.row_mm, punctum.column_mm), strict=True)
    ]
    fine = union_thickness_mm(
        punctum.parts, row_mm=axes[0].astype(np.float32)[:, None], column_mm=axes[1].astype(np.float32)[None, :]
    )
    rows, columns = last[0] - first[0], last[1] - first[1]
    return Stamp(first[0], first[1], fine.reshape(rows, samples, columns, samples).mean(axis=(1, 3)))


def primary_contrast(thickness_mm: Array, *, delta_mu_per_mm: float) -> Array:
    """Contrast of the primary beam before blur and scatter, 1 - exp(-delta_mu t), 0..1."""
    return -np.expm1(-delta_mu_per_mm * thickness_mm)


def half_peak_support(thickness_mm: Array) -> NDArray[np.bool_]:
    """Pixels at or above half of the peak: the mask of METHOD.md section 2, at least one pixel if anything is there."""
    peak = float(thickness_mm.max(initial=0.0))
    return (thickness_mm >= 0.5 * peak) & (thickness_mm > 0.0)


def _scatter_centres(
    rng: np.random.Generator, *, distribution: str, count: int, extent_mm: float
) -> NDArray[np.float64]:
    """Positions (count, 2) mm around 0: a tilted ellipse, or a wavy line."""
    angle = rng.uniform(0.0, np.pi)
    if distribution == "linear":
        along = rng.uniform(-0.5, 0.5, count) * extent_mm
        across = 0.06 * extent_mm * np.sin(3.0 * along / extent_mm + rng.uniform(0, 6.3)) + rng.normal(0.0, 0.25, count)
    else:
        radius, turn = 0.5 * extent_mm * rng.random(count) ** 0.6, rng.uniform(0.0, 2.0 * np.pi, count)
        along, across = radius * np.cos(turn), rng.uniform(0.5, 1.0) * radius * np.sin(turn)
    return np.stack(
        [along * np.sin(angle) + across * np.cos(angle), along * np.cos(angle) - across * np.sin(angle)], axis=1
    )


def sample_cluster(
    rng: np.random.Generator, *, distribution: str, row_mm: float, column_mm: float, count: int, extent_mm: float
) -> Cluster:
    """Draw a cluster: one habit of shapes and sizes, members that do not touch.

    Args:
        rng: Source of randomness.
        distribution: "grouped", "linear" or "isolated".
        row_mm: Centre.
        column_mm: Centre.
        count: Wanted members, >= 1; those that would touch another are left out.
        extent_mm: Largest extent.
    """
    habit = rng.dirichlet([3.0, 5.0, 1.2, 0.8] if distribution != "linear" else [1.5, 4.0, 3.0, 2.0])
    kinds = rng.choice(KINDS, count, p=habit)
    diameters_mm = np.clip(sample_diameters_mm(rng, count) * np.exp(0.15 * rng.standard_normal()), *DIAMETER_RANGE_MM)
    centres = _scatter_centres(rng, distribution=distribution, count=count, extent_mm=extent_mm)
    centres += np.array([row_mm, column_mm])
    puncta: list[Punctum] = []
    for kind, diameter_mm, centre in zip(kinds, diameters_mm, centres, strict=True):
        gaps = [np.hypot(*(centre - (p.row_mm, p.column_mm))) - 0.7 * (p.diameter_mm + diameter_mm) for p in puncta]
        if min(gaps, default=1.0) > 0.15:
            parts = sample_parts(rng, kind=str(kind), diameter_mm=float(diameter_mm))
            puncta.append(Punctum(float(centre[0]), float(centre[1]), float(diameter_mm), str(kind), parts))
    return Cluster(distribution, float(row_mm), float(column_mm), float(extent_mm), tuple(puncta))

"""Calcifications of a phantom: sizes, clusters, their thickness on the pixel grid, contrast and visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .phantom_shapes import KINDS, Array, Ellipsoid, sample_parts, union_thickness_mm

DIAMETER_MEDIAN_MM = 0.22
DIAMETER_SIGMA_LOG = 0.45
COARSE_MEDIAN_MM = 0.6
COARSE_SHARE = 0.12
DIAMETER_RANGE_MM = (0.1, 1.0)


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


def contrast_to_noise(signal: Array, background: Array, *, stamp: Stamp, spacing_mm: float) -> tuple[float, int]:
    """Peak of one calcification over the high-passed background nearby, and its pixels at half maximum.

    Args:
        signal: View with less view without calcifications, same noise, (rows, columns).
        background: View without calcifications, (rows, columns).
        stamp: Where the calcification is.
        spacing_mm: Pixel side.
    """
    rows, columns = stamp.region
    own = np.where(stamp.thickness_mm > 0.0, signal[rows, columns], 0.0)
    peak = float(own.max())
    reach = round(2.5 / spacing_mm)
    near = background[
        max(rows.start - reach, 0) : rows.stop + reach, max(columns.start - reach, 0) : columns.stop + reach
    ].astype(np.float32)
    high_pass = near - gaussian_filter(near, 0.5 / spacing_mm, truncate=2.5)
    return peak / max(float(high_pass.std()), 1.0), int((own >= 0.5 * peak).sum()) if peak > 0.0 else 0

"""Two families of mammographic texture for the shift benchmark, neither of them used in training.

`clustered_lumpy` is the clustered lumpy background of Bochud, Abbey and Eckstein (Opt. Express 4, 33-43, 1999);
`adipose_compartments` projects ellipsoidal compartments with fibrous shells, in the manner of Bakic et al. (Med. Phys.
29, 2131-2139, 2002). Both return fields of mean 0 and standard deviation 1; what they mean in mm of tissue is decided
where the breast is put together.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Array = NDArray[np.float32]

ORIENTATIONS = 8
"""Directions that a cluster of blobs may have; blobs look the same after half a turn."""
MARGIN_MM = 12.0
"""Border of the torus that is thrown away, so that opposite edges of a view do not match."""


@dataclass(frozen=True)
class Lumps:
    """A clustered lumpy background; lengths in units of `unit_mm`, the published pixel.

    Attributes:
        unit_mm: length that one pixel of the published images stands for, mm.
        clusters: mean number of clusters in 128 x 128 units (published: 150).
        blobs: mean number of blobs in a cluster (published: 20).
        long: characteristic length along a blob (published: 5).
        short: characteristic length across a blob (published: 2).
        alpha: rate of a blob's fall (published: 2.1).
        beta: exponent of a blob's fall (published: 0.5).
        spread: standard deviation of the blobs about their cluster (published: 12).
        fine: weight of a second, finer background of the same kind.
        fine_ratio: its unit over `unit_mm`.
    """

    unit_mm: float
    clusters: float
    blobs: float
    long: float
    short: float
    alpha: float
    beta: float
    spread: float
    fine: float
    fine_ratio: float


@dataclass(frozen=True)
class Compartments:
    """Fat compartments between fibrous walls.

    Attributes:
        axis_mm: least and largest half-axis, mm; volumes between them are equally filled.
        wall_mm: median thickness of the walls, mm; each has its own, and its own density, and fades to one side.
        filling: volume of all compartments over the volume of the slab; they may overlap.
        fat: contrast of what a compartment holds, relative to its wall.
        warp_mm: amplitude of the bending that makes ellipsoids irregular, mm.
    """

    axis_mm: tuple[float, float]
    wall_mm: float
    filling: float
    fat: float
    warp_mm: float


@dataclass(frozen=True)
class Ellipsoid:
    """One compartment.

    Attributes:
        centre_mm: (2,) row and column.
        axes_mm: (3,) half-axes: long, short, along the beam.
        angle: direction of the long axis, radians from the column axis towards growing rows.
        wall_mm: thickness of its wall.
        density: density of its wall.
        fade: direction in which the wall is densest, radians from the long axis.
    """

    centre_mm: NDArray[np.float64]
    axes_mm: NDArray[np.float64]
    angle: float
    wall_mm: float
    density: float
    fade: float


def standardised(field: NDArray[np.floating]) -> Array:
    """The field with mean 0 and standard deviation 1, float32.

    Raises:
        ValueError: if the field is constant.
    """
    deviation = float(field.std())
    if not deviation > 0:
        raise ValueError("Expected a field with contrast, got a constant one; draw more lumps or compartments")
    return ((field - field.mean()) / deviation).astype(np.float32)


def blob(row: Array, column: Array, *, angle: float, lumps: Lumps) -> Array:
    """One blob, exp(-alpha r^beta / L), peak 1; L is the radius of the ellipse (long, short) in the blob's direction.

    Args:
        row: rows relative to the blob's centre, in units, broadcast against `column`.
        column: columns relative to the blob's centre, in units.
        angle: direction of the long axis, radians from the column axis towards growing rows.
        lumps: the shape.
    """
    along = column * math.cos(angle) + row * math.sin(angle)
    across = row * math.cos(angle) - column * math.sin(angle)
    radius = np.hypot(along, across)
    # At the centre the direction is undefined and without consequence: there the blob is 1.
    span = np.maximum(np.hypot(lumps.short * along, lumps.long * across), np.float32(1e-6))
    length = np.maximum(lumps.long * lumps.short * radius / span, np.float32(1e-6))
    return np.exp(-lumps.alpha * radius**lumps.beta / length).astype(np.float32)


def lumpy_texture(rng: np.random.Generator, shape: tuple[int, int], *, spacing_mm: float, lumps: Lumps) -> Array:
    """A clustered lumpy background and a finer one on top, (rows, columns), mean 0, standard deviation 1.

    Args:
        rng: source of randomness.
        shape: (rows, columns).
        spacing_mm: pixel size.
        lumps: parameters.
    """
    coarse = clustered_lumpy(rng, shape, spacing_mm=spacing_mm, lumps=lumps)
    finer = replace(lumps, unit_mm=lumps.unit_mm * lumps.fine_ratio)
    return standardised(coarse + lumps.fine * clustered_lumpy(rng, shape, spacing_mm=spacing_mm, lumps=finer))


def clustered_lumpy(rng: np.random.Generator, shape: tuple[int, int], *, spacing_mm: float, lumps: Lumps) -> Array:
    """One clustered lumpy background, (rows, columns), mean 0, standard deviation 1.

    Cluster centres are uniform, blobs normal about them, both counts Poisson, one direction per cluster. The sum runs
    over a torus by Fourier transform, one direction at a time.

    Args:
        rng: source of randomness.
        shape: (rows, columns).
        spacing_mm: pixel size.
        lumps: parameters.
    """
    rows, columns = (fft.next_fast_len(side + math.ceil(MARGIN_MM / spacing_mm), real=True) for side in shape)
    unit_px = lumps.unit_mm / spacing_mm
    area = rows * columns / (128.0 * unit_px) ** 2
    centres = rng.uniform((0, 0), (rows, columns), (rng.poisson(lumps.clusters * area), 2))
    members = rng.poisson(lumps.blobs, len(centres))
    direction = np.repeat(rng.integers(0, ORIENTATIONS, len(centres)), members)
    places = np.repeat(centres, members, axis=0) + rng.normal(0.0, lumps.spread * unit_px, (members.sum(), 2))
    pixel = np.rint(places).astype(np.int64) % (rows, columns)
    flat = pixel[:, 0] * columns + pixel[:, 1]
    row = (fft.fftfreq(rows, 1.0 / rows) / unit_px).astype(np.float32)[:, None]
    column = (fft.fftfreq(columns, 1.0 / columns) / unit_px).astype(np.float32)[None, :]
    spectrum = np.zeros((rows, columns // 2 + 1), np.complex64)
    for index in range(ORIENTATIONS):
        impulses = np.bincount(flat[direction == index], minlength=rows * columns).reshape(rows, columns)
        kernel = blob(row, column, angle=math.pi * index / ORIENTATIONS, lumps=lumps)
        spectrum += fft.rfft2(impulses.astype(np.float32)) * fft.rfft2(kernel)
    field = fft.irfft2(spectrum, s=(rows, columns))
    return standardised(field[: shape[0], : shape[1]])


def adipose_compartments(
    rng: np.random.Generator, shape: tuple[int, int], *, spacing_mm: float, depth_mm: float, compartments: Compartments
) -> Array:
    """Projected fat compartments with fibrous walls, (rows, columns), mean 0, standard deviation 1.

    Chords of ellipsoids at random places and in random directions, less their contents, then gently bent.

    Args:
        rng: source of randomness.
        shape: (rows, columns).
        spacing_mm: pixel size.
        depth_mm: thickness of the slab that is filled.
        compartments: parameters.
    """
    low, high = compartments.axis_mm
    size_mm = np.array(shape) * spacing_mm + 2 * high
    # Equal volumes in every range of sizes: density of half-axes ~ a^-3 per unit of log size.
    mean_volume = 4.0 * math.pi * math.log(high / low) / (low**-3 - high**-3)
    count = rng.poisson(compartments.filling * size_mm.prod() * depth_mm / mean_volume)
    share = rng.random(count)
    axis_mm = (low**-3 - share * (low**-3 - high**-3)) ** (-1 / 3)
    centres = rng.uniform(-high, size_mm - high, (count, 2))
    aspects = rng.uniform(0.55, 1.0, (count, 2))
    angles = rng.uniform(0.0, math.pi, count)
    field = np.zeros(shape, np.float32)
    walls = compartments.wall_mm * rng.lognormal(0.0, 0.4, count)
    for centre, axis, aspect, angle, wall in zip(centres, axis_mm, aspects, angles, walls, strict=True):
        axes = np.array([axis, axis * aspect[0], axis * aspect[1]])
        ellipsoid = Ellipsoid(centre, axes, float(angle), float(wall), rng.lognormal(0.0, 0.35), rng.uniform(0, 6.28))
        _add_compartment(field, ellipsoid, spacing_mm=spacing_mm, fat=compartments.fat)
    return standardised(_bent(rng, field, spacing_mm=spacing_mm, warp_mm=compartments.warp_mm))


def _add_compartment(field: Array, one: Ellipsoid, *, spacing_mm: float, fat: float) -> None:
    """Add the wall of one compartment, less its contents."""
    first = np.maximum(np.floor((one.centre_mm - one.axes_mm[0]) / spacing_mm).astype(int), 0)
    last = np.minimum(np.ceil((one.centre_mm + one.axes_mm[0]) / spacing_mm).astype(int), field.shape)
    if (first >= last).any():
        return
    row, column = (
        ((np.arange(first[axis], last[axis]) + 0.5) * spacing_mm - one.centre_mm[axis]).astype(np.float32)
        for axis in (0, 1)
    )
    cos, sin = math.cos(one.angle), math.sin(one.angle)
    along, across = column * cos + row[:, None] * sin, row[:, None] * cos - column * sin
    chords = []
    for inset in (0.0, one.wall_mm):
        long, short, beam = np.maximum(one.axes_mm - inset, 0.05).astype(np.float32)
        chords.append(2.0 * beam * np.sqrt(np.maximum(1.0 - (along / long) ** 2 - (across / short) ** 2, 0.0)))
    lit = (along * math.cos(one.fade) + across * math.sin(one.fade)) / np.float32(one.axes_mm[0])
    wall = (chords[0] - chords[1]) * np.float32(one.density) * np.clip(0.5 + 0.8 * lit, 0.0, 1.0)
    field[first[0] : last[0], first[1] : last[1]] += wall - np.float32(fat) * chords[1]


def _bent(rng: np.random.Generator, field: Array, *, spacing_mm: float, warp_mm: float) -> Array:
    """The field on a grid that waves slowly: three plane waves of 8-25 mm along each axis."""
    row_mm = (np.arange(field.shape[0], dtype=np.float32) * np.float32(spacing_mm))[:, None]
    column_mm = (np.arange(field.shape[1], dtype=np.float32) * np.float32(spacing_mm))[None, :]
    places = []
    for axis_mm in (row_mm, column_mm):
        shift = np.zeros(field.shape, np.float32)
        for _ in range(3):
            turn, phase = rng.uniform(0.0, 2.0 * math.pi, 2)
            rate = 2.0 * math.pi / rng.uniform(8.0, 25.0)
            shift += np.sin(rate * (row_mm * math.sin(turn) + column_mm * math.cos(turn)) + phase).astype(np.float32)
        places.append((axis_mm + warp_mm / 3.0 * shift) / spacing_mm)
    return ndimage.map_coordinates(field, np.stack(places), order=1, mode="reflect", output=np.float32)

"""Random fields and curves from which the tissue of a phantom is woven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]


def radial_frequency(shape: tuple[int, int], *, spacing_mm: float) -> Array:
    """Spatial frequency of each rfft2 bin, (rows, columns // 2 + 1) float32, cycles per mm."""
    row = np.fft.fftfreq(shape[0], spacing_mm).astype(np.float32)[:, None]
    column = np.fft.rfftfreq(shape[1], spacing_mm).astype(np.float32)[None, :]
    return np.hypot(row, column)


def _filtered_noise(rng: np.random.Generator, shape: tuple[int, int], amplitude: Array) -> Array:
    """White noise of this shape through an rfft2 amplitude, scaled to mean 0 and standard deviation 1."""
    fast = amplitude.shape[0], 2 * (amplitude.shape[1] - 1)
    white = rng.standard_normal(fast, dtype=np.float32)
    spectrum = fft.rfft2(white)
    spectrum *= amplitude
    field = fft.irfft2(spectrum, s=fast)[: shape[0], : shape[1]]
    field -= field.mean()
    field /= max(float(field.std()), 1e-12)
    return field.astype(np.float32)


def _fast_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The next shape that transforms fast, with an even number of columns."""
    return fft.next_fast_len(shape[0], real=False), 2 * fft.next_fast_len((shape[1] + 1) // 2, real=False)


def power_law_field(
    rng: np.random.Generator, shape: tuple[int, int], *, beta: float, spacing_mm: float, largest_mm: float = 40.0
) -> Array:
    """Gaussian field whose power spectrum falls as f^-beta, (rows, columns) float32, mean 0, standard deviation 1.

    Mammograms have beta near 3. Below 1 / largest_mm the spectrum is flat, so that a view has no random tilt.

    Args:
        rng: Source of randomness.
        shape: (rows, columns).
        beta: Exponent of the power spectrum, >= 0.
        spacing_mm: Pixel side.
        largest_mm: Wavelength above which the spectrum stays flat.
    """
    frequency = radial_frequency(_fast_shape(shape), spacing_mm=spacing_mm)
    amplitude = np.maximum(frequency, 1.0 / largest_mm) ** (-0.5 * beta)
    amplitude[0, 0] = 0.0
    return _filtered_noise(rng, shape, amplitude.astype(np.float32))


def band_field(rng: np.random.Generator, shape: tuple[int, int], *, period_mm: float, spacing_mm: float) -> Array:
    """Gaussian field with structure around one period, mean 0, standard deviation 1, (rows, columns) float32."""
    relative = radial_frequency(_fast_shape(shape), spacing_mm=spacing_mm) * period_mm
    amplitude = relative * np.exp(-(relative**2))
    return _filtered_noise(rng, shape, amplitude.astype(np.float32))


def septa_layer(
    rng: np.random.Generator, shape: tuple[int, int], *, lobule_mm: float, width_mm: float, spacing_mm: float
) -> Array:
    """Thin walls between fat lobules: zero lines of a band field, 0..1, (rows, columns) float32.

    |n| / |grad n| is the distance to the zero line to first order, which keeps the walls equally thin. A second field
    fades them, as only walls that stand along the beam show.
    """
    field = band_field(rng, shape, period_mm=2.0 * lobule_mm, spacing_mm=spacing_mm)
    fade = band_field(rng, shape, period_mm=2.5 * lobule_mm, spacing_mm=spacing_mm)
    row_slope, column_slope = np.gradient(field, spacing_mm)
    slope = np.hypot(row_slope, column_slope) + 0.15 / lobule_mm
    wall = np.exp(-((field / (slope * width_mm)) ** 2))
    return (wall * np.clip(fade + 0.2, 0.0, 2.0) / 2.0).astype(np.float32)


def draw_strands(
    shape: tuple[int, int],
    *,
    row_mm: NDArray[np.float64],
    column_mm: NDArray[np.float64],
    weight: NDArray[np.float64],
    width_mm: float,
    spacing_mm: float,
) -> Array:
    """Curves as smooth ridges, (rows, columns) float32; a straight strand of weight 1 has peak 1.

    Args:
        shape: (rows, columns) of the result.
        row_mm: (strands, points) rows of evenly sampled curves, points at most about width_mm apart.
        column_mm: The same for columns.
        weight: (strands, points) height of the ridge.
        width_mm: Full width at half maximum, drawn as a Gaussian of at least 0.45 pixels.
        spacing_mm: Pixel side.
    """
    row = (row_mm / spacing_mm - 0.5).ravel()
    column = (column_mm / spacing_mm - 0.5).ravel()
    step_px = np.hypot(np.diff(row_mm, axis=1), np.diff(column_mm, axis=1)) / spacing_mm
    length = np.concatenate([step_px, step_px[:, -1:]], axis=1)
    mass = (weight * length).ravel()
    i, j = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    keep = (i >= 0) & (j >= 0) & (i < shape[0] - 1) & (j < shape[1] - 1)
    i, j, mass = i[keep], j[keep], mass[keep]
    u, v = row[keep] - i, column[keep] - j
    impulses = np.zeros(shape[0] * shape[1])
    for down, right, share in ((0, 0, (1 - u) * (1 - v)), (1, 0, u * (1 - v)), (0, 1, (1 - u) * v), (1, 1, u * v)):
        impulses += np.bincount((i + down) * shape[1] + j + right, mass * share, minlength=impulses.size)
    sigma_px = max(width_mm / 2.355 / spacing_mm, 0.45)
    ridge = gaussian_filter(impulses.reshape(shape).astype(np.float32), sigma_px, truncate=3.0)
    return (ridge * np.float32(np.sqrt(2.0 * np.pi) * sigma_px)).astype(np.float32)


def wandering_strands(
    rng: np.random.Generator,
    *,
    start_mm: NDArray[np.float64],
    heading: NDArray[np.float64],
    length_mm: NDArray[np.float64],
    step_mm: float,
    curl: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Smoothly bending curves that start in given directions.

    Args:
        rng: Source of randomness.
        start_mm: (n, 2) first points (row, column).
        heading: (n,) first directions, radians from the column axis towards growing rows.
        length_mm: (n,) lengths.
        step_mm: Largest distance between points.
        curl: Standard deviation of the bend over a whole curve, radians.

    Returns:
        Rows and columns (n, points) mm, and the position along each curve (n, points), 0..1.
    """
    count = len(start_mm)
    points = max(int(np.ceil(length_mm.max(initial=step_mm) / step_mm)), 8)
    along = np.broadcast_to(np.linspace(0.0, 1.0, points), (count, points))
    bend = rng.normal(0.0, curl, (count, 3))
    wave = bend[:, :1] * along + bend[:, 1:2] * np.sin(np.pi * along) + 0.4 * bend[:, 2:] * np.sin(3 * np.pi * along)
    angle = heading[:, None] + wave
    step = (length_mm / points)[:, None]
    row_mm = start_mm[:, :1] + np.cumsum(np.sin(angle) * step, axis=1)
    column_mm = start_mm[:, 1:] + np.cumsum(np.cos(angle) * step, axis=1)
    return row_mm, column_mm, along


def resample_linear(field: Array, *, spacing_mm: float, shape: tuple[int, int], to_spacing_mm: float) -> Array:
    """Linear interpolation between two pixel grids that share their upper left corner, (rows, columns) float32."""
    if field.shape == shape and spacing_mm == to_spacing_mm:
        return field
    result = field
    for axis, size in enumerate(shape):
        position = np.clip((np.arange(size) + 0.5) * to_spacing_mm / spacing_mm - 0.5, 0, field.shape[axis] - 1)
        first = np.minimum(position.astype(np.int64), max(field.shape[axis] - 2, 0))
        share = (position - first).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        low = np.take(result, first, axis=axis)
        high = np.take(result, np.minimum(first + 1, field.shape[axis] - 1), axis=axis)
        result = low + share * (high - low)
    return result.astype(np.float32)

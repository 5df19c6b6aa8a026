"""What looks like a calcification and is none: each function adds one kind to a patch, whose mask stays empty there."""

import math
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from .breast import INSIDE_FLOOR
from .injection import local_contrast
from .puncta import Array


def add_hard_negatives(
    background: Array, rng: np.random.Generator, *, spacing_mm: float, shares: dict[str, float]
) -> Array:
    """Add each kind of hard negative with its own probability.

    Args:
        background: (rows, columns), in [-1, 1].
        rng: source of randomness.
        spacing_mm: pixel size.
        shares: probability of each kind of `HARD_NEGATIVES`; a kind that is not named is off.

    Returns:
        (rows, columns), in [-1, 1]; -1 stays -1 (outside the breast).

    Raises:
        ValueError: if a kind is unknown.
    """
    if unknown := set(shares) - set(HARD_NEGATIVES):
        raise ValueError(f"Expected hard negatives from {sorted(HARD_NEGATIVES)}, got {sorted(unknown)}")
    contrast = local_contrast(background, spacing_mm=spacing_mm)
    added = np.zeros_like(background)
    for kind, add in HARD_NEGATIVES.items():
        # Drawn for every kind, so that switching one off leaves the others as they were.
        kind_rng = np.random.default_rng(rng.integers(2**63))
        if kind_rng.random() < shares.get(kind, 0.0):
            added += add(background.shape, kind_rng, spacing_mm) * contrast
    return np.where(background > -1, np.clip(background + added, INSIDE_FLOOR, 1.0), background).astype(np.float32)


def _line(
    shape: tuple[int, int],
    rng: np.random.Generator,
    centre_px: np.ndarray,
    length_px: float,
    width_px: float,
    *,
    angle: float | None = None,
) -> Array:
    """A bent line with a Gaussian profile, fading at its ends, peak 1; its angle is drawn when None."""
    drawn, bow = rng.uniform(0, math.pi), rng.uniform(-0.2, 0.2) * length_px
    angle = drawn if angle is None else angle
    steps = np.linspace(-1.0, 1.0, max(8, int(2 * length_px)))
    along, across = steps * length_px / 2, bow * (1 - steps**2)
    rows = centre_px[0] + along * math.sin(angle) + across * math.cos(angle)
    columns = centre_px[1] + along * math.cos(angle) - across * math.sin(angle)
    canvas = np.zeros(shape, np.float32)
    inside = (rows >= 0) & (rows <= shape[0] - 1) & (columns >= 0) & (columns <= shape[1] - 1)
    if not inside.any():
        return canvas
    fade = np.cos(steps * math.pi / 2) ** 0.5
    canvas[rows[inside].round().astype(int), columns[inside].round().astype(int)] = fade[inside]
    canvas = gaussian_filter(canvas, max(0.5, width_px / 2.355))
    return canvas / max(float(canvas.max()), 1e-6)


def _fibres(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """Fibres that cross near one point: where they overlap, brightness adds up to a dot."""
    centre = rng.uniform((0, 0), shape)
    added = np.zeros(shape, np.float32)
    for _ in range(rng.integers(1, 5)):
        position = centre + rng.normal(0.0, 1.0 / spacing_mm, 2)
        added += rng.uniform(0.7, 3.0) * _line(
            shape, rng, position, rng.uniform(3, 15) / spacing_mm, rng.uniform(0.1, 0.4) / spacing_mm
        )
    return added


def _strands(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """A bundle of short strands side by side, as in ligaments: where they meet, a bright streak is left over."""
    centre, angle = rng.uniform((0, 0), shape), rng.uniform(0, math.pi)
    along = np.array([math.sin(angle), math.cos(angle)])
    across = np.array([math.cos(angle), -math.sin(angle)])
    added = np.zeros(shape, np.float32)
    for _ in range(rng.integers(3, 10)):
        place = centre + (rng.normal(0.0, 2.0) * along + rng.normal(0.0, 0.4) * across) / spacing_mm
        line = _line(
            shape,
            rng,
            place,
            rng.uniform(1, 6) / spacing_mm,
            rng.uniform(0.12, 0.45) / spacing_mm,
            angle=angle + rng.normal(0.0, 0.12),
        )
        added += rng.uniform(0.7, 3.0) * line
    return added


def _vessel(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """Two parallel bright walls (tram-track) or one broad band."""
    position, state = rng.uniform((0, 0), shape), rng.integers(2**63)
    length, width, gap = (
        rng.uniform(8, 25) / spacing_mm,
        rng.uniform(0.12, 0.3) / spacing_mm,
        rng.uniform(0.6, 2.0) / spacing_mm,
    )
    # `_line` draws its angle first; the second wall lies beside the first, not along it.
    angle = np.random.default_rng(state).uniform(0, math.pi)
    side = gap * np.array([math.cos(angle), -math.sin(angle)])
    first = _line(shape, np.random.default_rng(state), position, length, width)
    second = _line(shape, np.random.default_rng(state), position + side, length, width)
    return np.float32(rng.uniform(1.0, 4.0)) * np.maximum(first, second)


def _blob(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """A broad soft nodule of 1.5-5 mm."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    centre, sigma = rng.uniform((0, 0), shape), rng.uniform(1.5, 5.0, 2) / 2.355 / spacing_mm
    squared = ((rows - centre[0]) / sigma[0]) ** 2 + ((columns - centre[1]) / sigma[1]) ** 2
    return (rng.uniform(1.0, 6.0) * np.exp(-squared / 2)).astype(np.float32)


def _rim(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """A ring with a lucent centre (skin or rim calcification), 1.2-4 mm."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    centre, radius = rng.uniform((0, 0), shape), rng.uniform(0.6, 2.0) / spacing_mm
    distance = np.hypot(rows - centre[0], (columns - centre[1]) * rng.uniform(0.8, 1.25))
    wall = rng.uniform(0.1, 0.25) / spacing_mm
    return (rng.uniform(2.0, 8.0) * np.exp(-(((distance - radius) / wall) ** 2) / 2)).astype(np.float32)


def _dust(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """Single hot or dead pixels: not blurred by the detector, so sharper than any calcification can be."""
    added = np.zeros(shape, np.float32)
    count = int(rng.integers(1, 9))
    added[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = rng.uniform(
        3.0, 20.0, count
    ) * rng.choice([1, -1], count, p=[0.8, 0.2])
    return added


def _marker(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """A metal clip or marker: a saturated bar of 2-6 mm with sharp edges."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    centre, angle = rng.uniform((0, 0), shape), rng.uniform(0, math.pi)
    along = (columns - centre[1]) * math.cos(angle) + (rows - centre[0]) * math.sin(angle)
    across = (rows - centre[0]) * math.cos(angle) - (columns - centre[1]) * math.sin(angle)
    bar = (np.abs(along) < rng.uniform(1, 3) / spacing_mm) & (np.abs(across) < rng.uniform(0.3, 0.9) / spacing_mm)
    return 60.0 * gaussian_filter(bar.astype(np.float32), 0.6)


def _grain(shape: tuple[int, int], rng: np.random.Generator, spacing_mm: float) -> Array:
    """A spot of stronger, short-range correlated noise: many faint specks, none of them a calcification."""
    noise = gaussian_filter(rng.standard_normal(shape).astype(np.float32), rng.uniform(0.5, 1.3))
    envelope = map_coordinates(
        rng.random((5, 5)),
        np.mgrid[0 : 4 : shape[0] * 1j, 0 : 4 : shape[1] * 1j],
        order=1,  # type: ignore[misc]
    )
    return (rng.uniform(0.5, 1.5) * noise / noise.std() * envelope).astype(np.float32)


HARD_NEGATIVES: dict[str, Callable[[tuple[int, int], np.random.Generator, float], Array]] = {
    "fibres": _fibres,
    "strands": _strands,
    "vessel": _vessel,
    "blob": _blob,
    "rim": _rim,
    "dust": _dust,
    "marker": _marker,
    "grain": _grain,
}

"""The inside of a phantom: glandular tissue, fat lobules, ligaments, ducts, vessels and benign masses.

Every function returns a length in mm of fibroglandular tissue along the beam, which replaces as much fat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .phantom_anatomy import Array, BreastShape, Grid
from .phantom_texture import band_field, draw_strands, power_law_field, septa_layer, wandering_strands

DENSITIES = ("A", "B", "C", "D")
GLAND_SHARE = {"A": 0.05, "B": 0.16, "C": 0.34, "D": 0.55}
GLAND_REACH = {"A": 0.55, "B": 0.65, "C": 0.85, "D": 1.1}


@dataclass(frozen=True)
class Mass:
    """A smooth oval of dense tissue (cyst, fibroadenoma, lymph node), mm on the canonical breast.

    Attributes:
        row_mm: Centre.
        column_mm: Centre.
        long_mm: Half axis.
        short_mm: Half axis across it, also along the beam.
        angle: Radians from the column axis.
        hilum: Share of the middle that is fat again (lymph node), 0..1.
    """

    row_mm: float
    column_mm: float
    long_mm: float
    short_mm: float
    angle: float
    hilum: float


@dataclass(frozen=True)
class Tissue:
    """What fills the breast.

    Attributes:
        density: BI-RADS density, "A" (fatty) to "D" (extremely dense).
        gland_share: Glandular share of the thickness in the middle of the gland, 0..1.
        gland_reach: Size of the gland relative to the breast.
        gland_tilt: Turn of the gland's axis, radians, > 0 towards the axilla.
        beta: Exponent of the power spectrum of its texture.
        lobule_mm: Size of fat lobules.
        septa_mm: Path length in a septum.
        fibres_per_cm2: Density of thin fibres.
        ligaments: Number of Cooper ligaments.
        ducts: Number of ducts that meet at the nipple.
        vessels: Number of vessels.
        masses: Ovals.
    """

    density: str
    gland_share: float
    gland_reach: float
    gland_tilt: float
    beta: float
    lobule_mm: float
    septa_mm: float
    fibres_per_cm2: float
    ligaments: int
    ducts: int
    vessels: int
    masses: tuple[Mass, ...]


def sample_tissue(rng: np.random.Generator, *, shape: BreastShape, density: str | None = None) -> Tissue:
    """Draw the tissue of a breast; density None draws A, B, C, D with 0.15, 0.4, 0.35, 0.1."""
    density = density or str(rng.choice(DENSITIES, p=[0.15, 0.4, 0.35, 0.1]))
    masses = []
    for _ in range(int(rng.poisson(0.6))):
        long_mm = rng.uniform(2.5, 6.0)
        masses.append(
            Mass(
                row_mm=float(shape.nipple_row_mm + shape.bottom_mm * rng.uniform(-0.7, 0.5)),
                column_mm=float(shape.depth_mm * rng.uniform(0.1, 0.75)),
                long_mm=float(long_mm),
                short_mm=float(long_mm * rng.uniform(0.5, 0.9)),
                angle=float(rng.uniform(0.0, np.pi)),
                hilum=float(rng.choice([0.0, rng.uniform(0.4, 0.7)])),
            )
        )
    area_scale = (shape.depth_mm / 110.0) ** 2
    return Tissue(
        density=density,
        gland_share=float(GLAND_SHARE[density] * rng.uniform(0.75, 1.3)),
        gland_reach=float(GLAND_REACH[density] * rng.uniform(0.85, 1.15)),
        gland_tilt=float(rng.uniform(0.1, 0.5) if shape.view == "MLO" else rng.uniform(-0.25, 0.25)),
        beta=float(rng.uniform(2.5, 3.5)),
        lobule_mm=float(rng.uniform(4.0, 8.0)),
        septa_mm=float(rng.uniform(2.5, 4.5)),
        fibres_per_cm2=float(rng.uniform(12.0, 30.0)),
        ligaments=int(rng.uniform(30, 70) * area_scale) + 6,
        ducts=int(rng.integers(8, 18)),
        vessels=int(rng.integers(2, 6)),
        masses=tuple(masses),
    )


def gland_region(tissue: Tissue, shape: BreastShape, grid: Grid) -> Array:
    """Where glandular tissue may lie: a fan behind the nipple, 1 in its middle to far below 0 outside, float32."""
    row_mm, column_mm = grid.axes_mm()
    back = shape.depth_mm - column_mm
    down = row_mm - shape.nipple_row_mm
    cos, sin = np.cos(tissue.gland_tilt), np.sin(tissue.gland_tilt)
    behind = (back * cos - down * sin) / (shape.depth_mm * tissue.gland_reach)
    beside = (down * cos + back * sin) / (0.62 * shape.bottom_mm * tissue.gland_reach)
    fan = (beside / np.clip(0.35 + 0.9 * behind, 0.2, None)) ** 2
    return (1.0 - fan - ((behind - 0.42) / 0.5) ** 2).astype(np.float32)


def gland_path_mm(rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid, path_mm: Array) -> Array:
    """Glandular tissue as overlaid slices, each with soft-edged lobes from thresholded power-law noise, mm float32."""
    region = gland_region(tissue, shape, grid)
    fan = np.clip(region, -2.0, 0.6) * 1.6 - 0.9
    slices = 7
    total = np.zeros_like(path_mm)
    for _ in range(slices):
        lobes = power_law_field(rng, path_mm.shape, beta=tissue.beta + 0.2, spacing_mm=grid.spacing_mm, largest_mm=25.0)
        total += 1.0 / (1.0 + np.exp(-np.clip((lobes + fan) / 0.16, -30.0, 30.0)))
    return (total * (path_mm * (tissue.gland_share * 1.5 / slices))).astype(np.float32)


def lumpy_path_mm(rng: np.random.Generator, *, tissue: Tissue, grid: Grid, path_mm: Array) -> Array:
    """Fat lobules between septa at several scales, and a clustered lumpy haze, mm float32."""
    total = np.zeros_like(path_mm)
    for scale, width_mm in ((2.2, 0.45), (1.5, 0.35), (1.0, 0.3), (1.0, 0.25), (0.7, 0.22), (0.5, 0.2)):
        wall = septa_layer(
            rng, path_mm.shape, lobule_mm=tissue.lobule_mm * scale, width_mm=width_mm, spacing_mm=grid.spacing_mm
        )
        total += wall * tissue.septa_mm * scale**0.5 * 0.5
    haze = np.exp(0.7 * power_law_field(rng, path_mm.shape, beta=tissue.beta, spacing_mm=grid.spacing_mm))
    clusters = np.exp(0.5 * band_field(rng, path_mm.shape, period_mm=14.0, spacing_mm=grid.spacing_mm))
    return ((total + 0.9 * haze) * clusters * np.sqrt(path_mm / 50.0)).astype(np.float32)


def _towards_nipple(shape: BreastShape, start_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction from points (n, 2) to the nipple, radians from the column axis towards growing rows."""
    return np.arctan2(shape.nipple_row_mm - start_mm[:, 0], shape.depth_mm + 5.0 - start_mm[:, 1])


def _scattered(rng: np.random.Generator, count: int, shape: BreastShape, grid: Grid) -> NDArray[np.float64]:
    """Random points (count, 2) mm over the part of the field that the breast may cover."""
    rows = rng.uniform(0.0, grid.rows * grid.spacing_mm, count)
    return np.stack([rows, rng.uniform(-5.0, shape.depth_mm, count)], axis=1)


def fibre_path_mm(rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid) -> Array:
    """Thin fibres, mostly along the way to the nipple, some across: their crossings are bright and not calcified."""
    area_cm2 = grid.rows * grid.spacing_mm * shape.depth_mm / 100.0
    total = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for width_mm, share, height_mm in ((0.2, 0.6, 0.9), (0.35, 0.3, 1.2), (0.6, 0.1, 1.5)):
        count = max(int(area_cm2 * tissue.fibres_per_cm2 * share), 1)
        start = _scattered(rng, count, shape, grid)
        heading = _towards_nipple(shape, start) + rng.normal(0.0, 0.7, count)
        length_mm = rng.gamma(2.0, 4.0 + 8.0 * width_mm, count).clip(2.0, 40.0)
        row, column, along = wandering_strands(
            rng, start_mm=start, heading=heading, length_mm=length_mm, step_mm=0.35, curl=0.5
        )
        weight = np.sin(np.pi * along) ** 0.5 * rng.gamma(1.6, height_mm / 1.6, (count, 1))
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=weight, width_mm=width_mm, spacing_mm=grid.spacing_mm
        )
    return total


def ligament_path_mm(rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid) -> Array:
    """Cooper ligaments (long bright arcs) and ducts that converge on the nipple, mm float32."""
    total = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for width_mm, share, height_mm in ((0.5, 0.6, 2.0), (0.9, 0.3, 3.0), (1.6, 0.1, 3.5)):
        count = max(int(tissue.ligaments * share), 1)
        start = _scattered(rng, count, shape, grid)
        heading = _towards_nipple(shape, start) + rng.normal(0.0, 0.55, count)
        row, column, along = wandering_strands(
            rng, start_mm=start, heading=heading, length_mm=rng.uniform(10.0, 45.0, count), step_mm=0.4, curl=0.8
        )
        weight = np.sin(np.pi * along) * rng.gamma(2.0, height_mm / 2.0, (count, 1))
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=weight, width_mm=width_mm, spacing_mm=grid.spacing_mm
        )
    nipple = np.tile([shape.nipple_row_mm, shape.depth_mm - 1.0], (tissue.ducts, 1)) + rng.normal(
        0, 1.5, (tissue.ducts, 2)
    )
    row, column, along = wandering_strands(
        rng,
        start_mm=nipple,
        heading=np.pi + rng.uniform(-1.0, 1.0, tissue.ducts),
        length_mm=shape.depth_mm * rng.uniform(0.15, 0.5, tissue.ducts),
        step_mm=0.4,
        curl=0.6,
    )
    weight = (1.0 - along) ** 0.7 * rng.uniform(0.8, 2.5, (tissue.ducts, 1))
    return total + draw_strands(
        total.shape, row_mm=row, column_mm=column, weight=weight, width_mm=0.9, spacing_mm=grid.spacing_mm
    )


def vessel_path_mm(rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid) -> Array:
    """Branching vessels, 1-2.5 mm wide, long and smooth, mm float32."""
    total = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for _ in range(tissue.vessels):
        width_mm = rng.uniform(1.0, 2.4)
        start = np.array(
            [[shape.nipple_row_mm + shape.bottom_mm * rng.uniform(-1.0, 0.6), rng.uniform(0.0, 0.5) * shape.depth_mm]]
        )
        heading = _towards_nipple(shape, start) + rng.normal(0.0, 0.5, 1)
        row, column, along = wandering_strands(
            rng,
            start_mm=start,
            heading=heading,
            length_mm=np.array([shape.depth_mm * rng.uniform(0.5, 1.0)]),
            step_mm=0.4,
            curl=0.9,
        )
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=np.full(row.shape, 0.9 * width_mm) * np.sqrt(1.0 - along),
            width_mm=width_mm, spacing_mm=grid.spacing_mm,
        )  # fmt: skip
        fork = int(row.shape[1] * rng.uniform(0.3, 0.7))
        turn = heading + rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 0.8)
        row, column, along = wandering_strands(
            rng, start_mm=np.array([[row[0, fork], column[0, fork]]]), heading=turn,
            length_mm=np.array([shape.depth_mm * rng.uniform(0.2, 0.5)]), step_mm=0.4, curl=0.7,
        )  # fmt: skip
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=np.full(row.shape, 0.6 * width_mm) * np.sqrt(1.0 - along),
            width_mm=0.7 * width_mm, spacing_mm=grid.spacing_mm,
        )  # fmt: skip
    return total


def mass_path_mm(masses: tuple[Mass, ...], grid: Grid) -> Array:
    """Ovals: chord of an ellipsoid, less a fatty hilum, mm float32."""
    row_mm, column_mm = grid.axes_mm()
    total = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for mass in masses:
        row, column = row_mm - mass.row_mm, column_mm - mass.column_mm
        cos, sin = np.cos(mass.angle), np.sin(mass.angle)
        radius2 = ((column * cos + row * sin) / mass.long_mm) ** 2 + ((row * cos - column * sin) / mass.short_mm) ** 2
        chord = np.sqrt(np.clip(1.0 - radius2, 0.0, None))
        total += (2.0 * mass.short_mm * chord * (1.0 - mass.hilum * np.exp(-3.0 * radius2))).astype(np.float32)
    return total

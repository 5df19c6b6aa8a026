"""The inside of a phantom: what is drawn for it, glandular tissue, fat lobules and benign masses.

Every function returns a length in mm of fibroglandular tissue along the beam, which replaces as much fat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from .phantom_anatomy import Array, BreastShape, Grid
from .phantom_texture import band_field, power_law_field, septa_layer

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
        ligaments=int(rng.uniform(20, 50) * area_scale) + 6,
        ducts=int(rng.integers(8, 18)),
        vessels=int(rng.integers(2, 6)) if shape.depth_mm > 60.0 else 1,
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


@dataclass(frozen=True)
class Fan:
    """Coordinates that run from the nipple: noise drawn in them stretches along the ducts.

    Attributes:
        shape: Rows and columns of a noise field in fan coordinates.
        points: (2, rows, columns) float32, where each pixel of the view lies in such a field.
    """

    shape: tuple[int, int]
    points: Array

    def spread(self, field: Array) -> Array:
        """A field in fan coordinates, laid over the view."""
        return map_coordinates(field, self.points, order=1, mode="reflect", output=np.float32)


def nipple_fan(rng: np.random.Generator, *, shape: BreastShape, grid: Grid, stretch: float = 1.5) -> Fan:
    """Fan coordinates of a breast: along the radius shortened by `stretch`, across it by angle, and gently warped.

    Args:
        rng: Source of the warp.
        shape: Geometry.
        grid: Raster of the view.
        stretch: How much longer than wide structures become at half the depth of the breast.
    """
    row_mm, column_mm = grid.axes_mm()
    across = row_mm - shape.nipple_row_mm
    along = shape.depth_mm + 25.0 - column_mm
    radius, angle = np.hypot(across, along), np.arctan2(across, along)
    warp = [
        3.0 * power_law_field(rng, radius.shape, beta=5.0, spacing_mm=grid.spacing_mm, largest_mm=50.0)
        for _ in range(2)
    ]
    points = np.stack([radius / stretch + warp[0], angle * (0.5 * shape.depth_mm + 25.0) + warp[1]])
    points -= points.reshape(2, -1).min(axis=1)[:, None, None]
    points /= grid.spacing_mm
    rows, columns = (int(points[axis].max()) + 2 for axis in (0, 1))
    return Fan((rows, columns), points.astype(np.float32))


def gland_path_mm(
    rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid, fan: Fan, path_mm: Array
) -> Array:
    """Glandular tissue as overlaid slices: lobes of power-law noise, walls around fat lobules, mm float32."""
    inside = np.clip(gland_region(tissue, shape, grid), -2.0, 0.5) * 1.7 - 0.95
    slices = 7
    total = np.zeros_like(path_mm)
    for index in range(slices):
        size = path_mm.shape if index % 3 == 0 else fan.shape
        lobes = power_law_field(rng, size, beta=tissue.beta, spacing_mm=grid.spacing_mm, largest_mm=30.0)
        period_mm = tissue.lobule_mm * (1.2 + 0.5 * (index % 3))
        walls = 1.0 - np.abs(band_field(rng, size, period_mm=2.0 * period_mm, spacing_mm=grid.spacing_mm))
        field = (0.8 * lobes + 0.55 * walls).astype(np.float32)
        total += _soft_step((field if index % 3 == 0 else fan.spread(field)) + inside, width=0.25)
    return (total * (path_mm * (tissue.gland_share * 1.5 / slices))).astype(np.float32)


def _soft_step(field: Array, *, width: float) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(field / width, -30.0, 30.0)))


def lumpy_path_mm(rng: np.random.Generator, *, tissue: Tissue, grid: Grid, fan: Fan, path_mm: Array) -> Array:
    """Fat lobules between septa at several scales and a lumpy haze, mm float32; every second scale follows the fan."""
    total = np.zeros_like(path_mm)
    scales = ((2.2, 0.6), (1.6, 0.5), (1.2, 0.45), (1.0, 0.4), (0.8, 0.35), (0.6, 0.32), (0.45, 0.3))
    for index, (scale, width_mm) in enumerate(scales):
        wall = septa_layer(
            rng,
            fan.shape if index % 2 else path_mm.shape,
            lobule_mm=tissue.lobule_mm * scale,
            width_mm=width_mm,
            spacing_mm=grid.spacing_mm,
        )
        total += (fan.spread(wall) if index % 2 else wall) * tissue.septa_mm * scale**0.6
    haze = np.exp(0.45 * power_law_field(rng, path_mm.shape, beta=tissue.beta, spacing_mm=grid.spacing_mm))
    lumps = np.exp(0.35 * power_law_field(rng, path_mm.shape, beta=3.0, spacing_mm=grid.spacing_mm, largest_mm=25.0))
    return ((0.75 * total * lumps + 2.2 * haze) * np.sqrt(path_mm / 50.0)).astype(np.float32)


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

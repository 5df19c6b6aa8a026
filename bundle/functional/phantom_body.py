"""The body of a phantom: skin, tissue and muscle put together into the attenuation of a whole view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .phantom_anatomy import (
    Array,
    BreastShape,
    Grid,
    muscle_fraction,
    rounded_thickness_mm,
    signed_distance_mm,
)
from .phantom_strands import fibre_path_mm, ligament_path_mm, vessel_path_mm
from .phantom_texture import power_law_field, resample_linear
from .phantom_tissue import Tissue, gland_path_mm, lumpy_path_mm, mass_path_mm, nipple_fan

MU_FAT_PER_MM = 0.0456
DELTA_MU_GLAND_PER_MM = 0.0346
TISSUE_GRID_MM = 0.2  # tissue has no detail below this but its finest texture, which is added at full size
OUTLINE_GRID_MM = 0.8
SKIN_SOFT_MM = 0.5  # the inner side of the skin is no sharp line: it is not equally deep along the beam


@dataclass(frozen=True)
class Body:
    """A breast before the X-rays, (rows, columns) float32 each.

    Attributes:
        distance_mm: Distance to the skin, > 0 inside.
        log: -log of the transmission, without calcifications.
        fat_log: What a breast of fat alone would show, smooth.
    """

    distance_mm: Array
    log: Array
    fat_log: Array


def dense_path_mm(
    shape: BreastShape, tissue: Tissue, *, field_seed: int, grid: Grid, distance_mm: Array, inner_mm: Array
) -> Array:
    """Fibroglandular tissue and muscle along the beam inside the skin, mm float32.

    Args:
        shape: Geometry.
        tissue: Contents.
        field_seed: Seed of the random fields.
        grid: Raster of the result.
        distance_mm: Distance to the skin.
        inner_mm: Path inside the skin, which the result stays below.
    """
    rngs = [np.random.default_rng([field_seed, stream]) for stream in (0, 1, 2, 3, 4, 7)]
    fan = nipple_fan(rngs[5], shape=shape, grid=grid)
    dense = gland_path_mm(rngs[0], tissue=tissue, shape=shape, grid=grid, fan=fan, path_mm=inner_mm)
    dense += lumpy_path_mm(rngs[1], tissue=tissue, grid=grid, fan=fan, path_mm=inner_mm)
    strands = fibre_path_mm(rngs[2], tissue=tissue, shape=shape, grid=grid)
    strands += ligament_path_mm(rngs[3], tissue=tissue, shape=shape, grid=grid)
    strands += vessel_path_mm(rngs[4], tissue=tissue, shape=shape, grid=grid)
    strands += mass_path_mm(tissue.masses, grid)
    muscle = muscle_fraction(shape, grid)
    dense += strands * np.clip((distance_mm - shape.skin_mm) / 4.0, 0.0, 1.0) * (1.0 - 0.5 * muscle)
    dense += muscle * np.maximum(0.34 * inner_mm - 0.4 * dense, 0.0)
    return np.minimum(dense, 0.95 * inner_mm)


def uneven_skin_mm(shape: BreastShape, *, field_seed: int, grid: Grid) -> Array:
    """Skin thickness, uneven and thicker around the nipple, (rows, columns) float32 mm."""
    row_mm, column_mm = grid.axes_mm()
    rng = np.random.default_rng([field_seed, 8])
    uneven = power_law_field(rng, (grid.rows, grid.columns), beta=3.0, spacing_mm=grid.spacing_mm, largest_mm=30.0)
    to_nipple2 = (row_mm - shape.nipple_row_mm) ** 2 + (column_mm - shape.depth_mm) ** 2
    return (shape.skin_mm * (1.0 + 0.25 * np.tanh(uneven) + 0.7 * np.exp(-to_nipple2 / 12.0**2))).astype(np.float32)


def _resample(field: Array, *, source: Grid, target: Grid) -> Array:
    return resample_linear(
        field, spacing_mm=source.spacing_mm, shape=(target.rows, target.columns), to_spacing_mm=target.spacing_mm
    )


def build_body(shape: BreastShape, tissue: Tissue, *, field_seed: int, grid: Grid) -> Body:
    """Attenuation of a breast at full size; most of it is drawn on a coarser grid for speed.

    Args:
        shape: Geometry.
        tissue: Contents.
        field_seed: Seed of the random fields.
        grid: Raster of the result.
    """
    coarse, outline = grid.covering(TISSUE_GRID_MM), grid.covering(OUTLINE_GRID_MM)
    thickness_mm, edge_mm = shape.thickness_mm, 0.5 * shape.thickness_mm
    distance_mm = _resample(signed_distance_mm(shape, outline), source=outline, target=coarse)
    inner_mm = rounded_thickness_mm(
        distance_mm - uneven_skin_mm(shape, field_seed=field_seed, grid=coarse),
        thickness_mm=thickness_mm - 2.0 * shape.skin_mm,
        edge_mm=edge_mm - shape.skin_mm,
    )
    dense_mm = dense_path_mm(
        shape, tissue, field_seed=field_seed, grid=coarse, distance_mm=distance_mm, inner_mm=inner_mm
    )
    profile_mm = rounded_thickness_mm(distance_mm, thickness_mm=thickness_mm, edge_mm=edge_mm)
    smooth_mm = gaussian_filter(profile_mm, 1.0 / coarse.spacing_mm)
    inner_mm = gaussian_filter(inner_mm, SKIN_SOFT_MM / coarse.spacing_mm)
    distance_mm, dense_mm, inner_mm, smooth_mm = (
        _resample(field, source=coarse, target=grid) for field in (distance_mm, dense_mm, inner_mm, smooth_mm)
    )
    outer_mm = rounded_thickness_mm(distance_mm, thickness_mm=thickness_mm, edge_mm=edge_mm)
    skin_mm = np.maximum(outer_mm - inner_mm, 0.0)
    rng = np.random.default_rng([field_seed, 5])
    fine = power_law_field(rng, outer_mm.shape, beta=tissue.beta, spacing_mm=grid.spacing_mm, largest_mm=4.0)
    dense_mm += 0.07 * fine * np.sqrt(inner_mm)
    log = MU_FAT_PER_MM * outer_mm + DELTA_MU_GLAND_PER_MM * (dense_mm + skin_mm)
    return Body(distance_mm, log.astype(np.float32), (MU_FAT_PER_MM * smooth_mm).astype(np.float32))

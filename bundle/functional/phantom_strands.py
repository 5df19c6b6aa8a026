"""Curves in a phantom: fibres, Cooper ligaments, ducts and vessels, as mm of dense tissue along the beam."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .phantom_anatomy import Array, BreastShape, Grid
from .phantom_texture import draw_strands, wandering_strands
from .phantom_tissue import Tissue


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
    for width_mm, share, height_mm in ((0.25, 0.6, 0.7), (0.4, 0.3, 0.9), (0.7, 0.1, 1.1)):
        count = max(int(area_cm2 * tissue.fibres_per_cm2 * share), 1)
        start = _scattered(rng, count, shape, grid)
        heading = _towards_nipple(shape, start) + rng.normal(0.0, 0.7, count)
        length_mm = rng.gamma(2.0, 5.0 + 8.0 * width_mm, count).clip(3.0, 50.0)
        row, column, along = wandering_strands(
            rng, start_mm=start, heading=heading, length_mm=length_mm, step_mm=0.35, curl=0.4
        )
        weight = np.sin(np.pi * along) ** 0.5 * rng.gamma(1.6, height_mm / 1.6, (count, 1))
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=weight, width_mm=width_mm, spacing_mm=grid.spacing_mm
        )
    return total


def ligament_path_mm(rng: np.random.Generator, *, tissue: Tissue, shape: BreastShape, grid: Grid) -> Array:
    """Cooper ligaments (long bright arcs) and ducts that converge on the nipple, mm float32."""
    total = np.zeros((grid.rows, grid.columns), dtype=np.float32)
    for width_mm, share, height_mm in ((0.5, 0.6, 1.6), (0.9, 0.3, 2.2), (1.6, 0.1, 2.6)):
        count = max(int(tissue.ligaments * share), 1)
        start = _scattered(rng, count, shape, grid)
        heading = _towards_nipple(shape, start) + rng.normal(0.0, 0.55, count)
        row, column, along = wandering_strands(
            rng, start_mm=start, heading=heading, length_mm=rng.uniform(12.0, 55.0, count), step_mm=0.4, curl=0.45
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
            curl=0.55,
        )
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=np.full(row.shape, 0.7 * width_mm) * np.sqrt(1.0 - along),
            width_mm=width_mm, spacing_mm=grid.spacing_mm,
        )  # fmt: skip
        fork = int(row.shape[1] * rng.uniform(0.3, 0.7))
        turn = heading + rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 0.8)
        row, column, along = wandering_strands(
            rng, start_mm=np.array([[row[0, fork], column[0, fork]]]), heading=turn,
            length_mm=np.array([shape.depth_mm * rng.uniform(0.2, 0.5)]), step_mm=0.4, curl=0.7,
        )  # fmt: skip
        total += draw_strands(
            total.shape, row_mm=row, column_mm=column, weight=np.full(row.shape, 0.5 * width_mm) * np.sqrt(1.0 - along),
            width_mm=0.7 * width_mm, spacing_mm=grid.spacing_mm,
        )  # fmt: skip
    return total

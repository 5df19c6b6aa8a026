"""The breast of a phantom: outline, compressed thickness, skin and pectoral muscle.

Everything is in millimetres on a canonical left breast: chest wall on column 0, nipple towards growing columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """A raster of square pixels; pixel (i, j) has its centre at ((i + 0.5) s, (j + 0.5) s) mm.

    Attributes:
        rows: Number of rows.
        columns: Number of columns.
        spacing_mm: Pixel side s, > 0 mm.
    """

    rows: int
    columns: int
    spacing_mm: float

    def axes_mm(self) -> tuple[Array, Array]:
        """Pixel centres as a column vector (rows, 1) and a row vector (1, columns), mm."""
        row_mm = (np.arange(self.rows, dtype=np.float32) + 0.5) * self.spacing_mm
        column_mm = (np.arange(self.columns, dtype=np.float32) + 0.5) * self.spacing_mm
        return row_mm[:, None].astype(np.float32), column_mm[None, :].astype(np.float32)

    def covering(self, spacing_mm: float) -> Grid:
        """The grid of at least this spacing that covers the same field (for fields without fine detail)."""
        spacing_mm = max(spacing_mm, self.spacing_mm)
        ratio = self.spacing_mm / spacing_mm
        return Grid(int(np.ceil(self.rows * ratio)) + 1, int(np.ceil(self.columns * ratio)) + 1, spacing_mm)


@dataclass(frozen=True)
class BreastShape:
    """Geometry of one compressed breast, canonical left, mm.

    Attributes:
        view: "CC" or "MLO".
        nipple_row_mm: Row of the nipple.
        depth_mm: Chest wall to nipple.
        top_mm: CC: nipple row minus upper end of the outline; MLO: width of the breast at the upper image edge.
        bottom_mm: Lower end of the outline below the nipple row.
        power: Exponent of the superellipse (2 = ellipse) that shapes the outline.
        nipple_mm: Height of the nipple over the outline (0 = not in profile).
        wave_mm: Amplitudes of slow waves in the outline, three periods.
        fold_mm: Width of the abdominal skin below the breast at the lower image edge (MLO), 0 = none.
        thickness_mm: Compressed thickness.
        skin_mm: Skin thickness.
        muscle_row_mm: Where the pectoral muscle meets the chest-wall edge; 0 = no muscle in view.
        muscle_column_mm: Where it meets the upper image edge (MLO), or its width (CC).
        muscle_bow_mm: Sagitta of its edge, > 0 bulges to the nipple.
    """

    view: str
    nipple_row_mm: float
    depth_mm: float
    top_mm: float
    bottom_mm: float
    power: float
    nipple_mm: float
    wave_mm: tuple[float, float, float]
    fold_mm: float
    thickness_mm: float
    skin_mm: float
    muscle_row_mm: float
    muscle_column_mm: float
    muscle_bow_mm: float


def sample_breast_shape(rng: np.random.Generator, *, view: str, height_mm: float, width_mm: float) -> BreastShape:
    """Draw a breast that fits a detector field of height_mm by width_mm.

    Args:
        rng: Source of randomness.
        view: "CC" or "MLO".
        height_mm: Detector height, > 0.
        width_mm: Detector width, > 0.
    """
    mlo = view == "MLO"
    depth_mm = width_mm * rng.uniform(0.50, 0.82)
    nipple_row_mm = height_mm * (rng.uniform(0.56, 0.68) if mlo else rng.uniform(0.44, 0.56))
    room_mm = height_mm - nipple_row_mm
    half_mm = min(max(depth_mm * rng.uniform(0.85, 1.35), 0.25 * height_mm), 1.15 * room_mm)
    has_muscle = mlo or rng.random() < 0.25
    muscle_row_mm = height_mm * rng.uniform(0.45, 0.8) if mlo else nipple_row_mm + height_mm * rng.uniform(-0.05, 0.05)
    muscle_column_mm = depth_mm * (rng.uniform(0.3, 0.55) if mlo else rng.uniform(0.03, 0.10))
    return BreastShape(
        view=view,
        nipple_row_mm=float(nipple_row_mm),
        depth_mm=float(depth_mm),
        top_mm=float(depth_mm * rng.uniform(0.6, 0.85) if mlo else half_mm * rng.uniform(0.9, 1.1)),
        bottom_mm=float(min(half_mm, rng.uniform(0.75, 0.97) * room_mm) if mlo else half_mm),
        power=float(rng.uniform(1.85, 2.25)),
        nipple_mm=float(rng.uniform(1.0, 4.5) if rng.random() < 0.6 else 0.0),
        wave_mm=tuple(float(v) for v in rng.normal(0.0, [0.012, 0.006, 0.003]) * depth_mm),  # type: ignore[arg-type]
        fold_mm=float(rng.uniform(4.0, 14.0) if mlo and rng.random() < 0.6 else 0.0),
        thickness_mm=float(np.clip(rng.normal(52.0, 10.0), 28.0, 75.0) * min(1.0, depth_mm / 70.0) ** 0.5),
        skin_mm=float(rng.uniform(1.1, 1.8) * min(1.0, depth_mm / 80.0) ** 0.5),
        muscle_row_mm=float(muscle_row_mm if has_muscle else 0.0),
        muscle_column_mm=float(muscle_column_mm if has_muscle else 0.0),
        muscle_bow_mm=float(depth_mm * rng.uniform(-0.02, 0.06)),
    )


def outline_mm(shape: BreastShape) -> NDArray[np.float64]:
    """Skin outline as points (n, 2) of (row, column) mm, from above the field to its lower end."""
    angle = np.linspace(0.0, np.pi / 2, 700)
    lower_row = shape.bottom_mm * np.sin(angle) ** (2.0 / shape.power)
    column = shape.depth_mm * np.cos(angle) ** (2.0 / shape.power)
    if shape.view == "CC":
        upper_row = shape.top_mm * np.sin(angle) ** (2.0 / shape.power)
        upper = np.stack([-upper_row, column], axis=1)[::-1]
    else:  # the axillary side never returns to the chest wall: it leaves through the upper edge
        row = np.linspace(-30.0 - shape.nipple_row_mm, 0.0, 700)
        bend = np.abs(row / shape.nipple_row_mm) ** shape.power
        upper = np.stack([row, np.maximum(shape.depth_mm - (shape.depth_mm - shape.top_mm) * bend, 1.0)], axis=1)
    points = np.concatenate([upper[:-1], np.stack([lower_row, column], axis=1)])
    turn = points[:, 0] / shape.bottom_mm
    for order, amplitude_mm in enumerate(shape.wave_mm):
        points[:, 1] += (
            amplitude_mm * np.sin((order + 1.5) * 1.9 * turn + 2.0 * order) * np.minimum(column_share(points), 1.0)
        )
    points[:, 1] += shape.nipple_mm * np.exp(-(np.abs(points[:, 0] / 4.6) ** 2.3))
    points[:, 0] += shape.nipple_row_mm
    return _with_fold(points, shape) if shape.fold_mm > 0.0 else points


def column_share(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far points stand off the chest wall, relative to a quarter of the farthest, >= 0."""
    return 4.0 * points[:, 1] / points[:, 1].max()


def _with_fold(points: NDArray[np.float64], shape: BreastShape) -> NDArray[np.float64]:
    """The outline, continued by abdominal skin where the breast comes back to the chest wall."""
    fold_row = shape.nipple_row_mm + shape.bottom_mm
    row = np.linspace(fold_row - 6.0, fold_row + 150.0, 300)
    column = 1.0 + shape.fold_mm * np.clip((row - fold_row + 6.0) / 40.0, 0.0, None) ** 0.7
    breast = points[(points[:, 0] < fold_row - 12.0) | (points[:, 1] > np.interp(points[:, 0], row, column))]
    skin = np.stack([row, column], axis=1)
    return np.concatenate([breast, skin[row > breast[-1, 0]]])


def signed_distance_mm(shape: BreastShape, grid: Grid) -> Array:
    """Distance to the skin, > 0 inside the breast, (rows, columns) float32 mm.

    The field is smooth at the skin, so it may be computed on a coarse grid and resampled.
    """
    outline = outline_mm(shape)
    row_mm, column_mm = grid.axes_mm()
    points = np.stack(np.broadcast_arrays(row_mm, column_mm), axis=-1).reshape(-1, 2)
    step_mm = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    position = np.concatenate([[0.0], np.cumsum(step_mm)])
    even = np.linspace(0.0, position[-1], int(position[-1] / 0.1))
    dense = np.stack([np.interp(even, position, outline[:, axis]) for axis in (0, 1)], axis=1)
    distance = cKDTree(dense).query(points)[0].reshape(grid.rows, grid.columns)
    edge_column = np.interp(row_mm[:, 0], outline[:, 0], outline[:, 1], left=-1.0, right=-1.0)
    return np.where(column_mm < edge_column[:, None], distance, -distance).astype(np.float32)


def rounded_thickness_mm(distance_mm: Array, *, thickness_mm: float, edge_mm: float) -> Array:
    """Path through a slab with a rounded edge: thickness * sqrt(1 - (1 - d / edge)^2) inside, 0 outside.

    Args:
        distance_mm: Signed distance to the edge, > 0 inside.
        thickness_mm: Plateau of the compressed breast.
        edge_mm: Width of the rolled-off border.
    """
    depth = np.clip(distance_mm / edge_mm, 0.0, 1.0)
    return (thickness_mm * np.sqrt(depth * (2.0 - depth))).astype(np.float32)


def muscle_fraction(shape: BreastShape, grid: Grid) -> Array:
    """Share of the thickness that is pectoral muscle, 0..1, (rows, columns) float32: sharp edge, then a slow ramp."""
    row_mm, column_mm = grid.axes_mm()
    if shape.muscle_row_mm <= 0.0:
        return np.zeros((grid.rows, grid.columns), dtype=np.float32)
    if shape.view == "CC":
        height = np.clip(1.0 - ((row_mm - shape.muscle_row_mm) / (0.6 * shape.top_mm)) ** 2, 0.0, None)
        inside_mm = shape.muscle_column_mm * height - column_mm
    else:
        along = np.clip(row_mm / shape.muscle_row_mm, 0.0, None)
        edge = shape.muscle_column_mm * (1.0 - along) + 4.0 * shape.muscle_bow_mm * along * (1.0 - along)
        slope = np.hypot(1.0, shape.muscle_column_mm / shape.muscle_row_mm)
        inside_mm = (edge - column_mm) / slope
    sharp = 1.0 / (1.0 + np.exp(-np.clip(inside_mm / 0.5, -30.0, 30.0)))
    ramp = 0.55 + 0.45 * np.clip(inside_mm / max(0.6 * shape.muscle_column_mm, 1.0), 0.0, 1.0)
    return (sharp * ramp).astype(np.float32)

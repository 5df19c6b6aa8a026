"""Whole-view digital mammogram phantoms with known calcifications.

`sample_phantom` draws every number, `render_phantom` is deterministic: the same parameters give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .phantom_anatomy import Array, BreastShape, Grid, muscle_fraction, outline_mm, sample_breast_shape
from .phantom_body import build_body
from .phantom_calcifications import (
    Cluster,
    Punctum,
    Stamp,
    contrast_to_noise,
    half_peak_support,
    primary_contrast,
    sample_cluster,
    stamp_punctum,
)
from .phantom_detector import Detector, display, equalise, expose, quantum_noise, sample_detector, transfer
from .phantom_tissue import DENSITIES, Tissue, gland_region, sample_tissue

DELTA_MU_CALCIFICATION_PER_MM = 0.755  # calcification less fat near 20 keV
VISIBILITY_FLOOR = 5.0
VIEWS = ("CC", "MLO")
SIDES = ("L", "R")


@dataclass(frozen=True)
class PhantomParameters:
    """Everything that is needed to render one view again, bit for bit.

    Attributes:
        view: "CC" or "MLO".
        laterality: "L" (chest wall on the left image edge) or "R" (the mirror image).
        rows: Rows of the view.
        columns: Columns of the view.
        spacing_mm: Pixel side, mm.
        field_seed: Seed of the random fields.
        shape: Geometry.
        tissue: Contents.
        detector: Imaging chain.
        clusters: Calcifications, on the canonical left breast.
    """

    view: str
    laterality: str
    rows: int
    columns: int
    spacing_mm: float
    field_seed: int
    shape: BreastShape
    tissue: Tissue
    detector: Detector
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True)
class Finding:
    """One rendered calcification, in the coordinates of the view.

    Attributes:
        cluster: Index into the parameters' clusters.
        row_px: Centre, in pixels from the middle of the first row.
        column_px: Centre, in pixels from the middle of the first column.
        diameter_mm: Diameter of the sphere of equal volume.
        kind: Shape.
        cnr: Peak after blur over the standard deviation of the high-passed background nearby.
        visible: Whether cnr * sqrt(pixels at half maximum) reaches VISIBILITY_FLOOR.
    """

    cluster: int
    row_px: float
    column_px: float
    diameter_mm: float
    kind: str
    cnr: float
    visible: bool


@dataclass(frozen=True)
class PhantomView:
    """One rendered view.

    Attributes:
        image: (rows, columns) uint16, 0..4095, For Presentation, MONOCHROME2 (bright is dense).
        label: (rows, columns) uint8: 0 background, 1 calcification, 2 below the visibility floor (ignore).
        breast: (rows, columns) bool.
        thickness_mm: (rows, columns) float32, path through calcifications before blur.
        clusters: Clusters as drawn, on the canonical left breast.
        findings: Calcifications as rendered.
        parameters: What the view was rendered from.
    """

    image: NDArray[np.uint16]
    label: NDArray[np.uint8]
    breast: NDArray[np.bool_]
    thickness_mm: Array
    clusters: tuple[Cluster, ...]
    findings: tuple[Finding, ...]
    parameters: PhantomParameters


def _inside(points_mm: NDArray[np.float64], *, shape: BreastShape, grid: Grid, margin_mm: float) -> NDArray[np.bool_]:
    """Which points (n, 2) mm lie in the breast and the field, at least margin_mm from skin and field edge."""
    outline = outline_mm(shape)
    gap_mm = np.hypot(*(points_mm[:, None, :] - outline[None, ::4, :]).transpose(2, 0, 1)).min(axis=1)
    edge = np.interp(points_mm[:, 0], outline[:, 0], outline[:, 1], left=-1.0, right=-1.0)
    size_mm = np.array([grid.rows, grid.columns]) * grid.spacing_mm
    in_field = ((points_mm > margin_mm) & (points_mm < size_mm - margin_mm)).all(axis=1)
    return (points_mm[:, 1] < edge) & (gap_mm > margin_mm) & in_field


def _sample_centres(
    rng: np.random.Generator, count: int, *, shape: BreastShape, tissue: Tissue, grid: Grid
) -> NDArray[np.float64]:
    """Places (count, 2) mm for clusters: in the breast, three times out of four in the gland."""
    size_mm = np.array([grid.rows * grid.spacing_mm, min(shape.depth_mm, grid.columns * grid.spacing_mm)])
    points = rng.uniform(0.0, 1.0, (400, 2)) * size_mm
    points = points[_inside(points, shape=shape, grid=grid, margin_mm=6.0)]
    raster = Grid(int(size_mm[0]) + 1, int(size_mm[1]) + 1, 1.0)
    place = points[:, 0].astype(int), points[:, 1].astype(int)
    free = muscle_fraction(shape, raster)[place] < 0.5
    points, place = points[free], (place[0][free], place[1][free])
    in_gland = gland_region(tissue, shape, raster)[place] > 0.0
    weight = np.where(in_gland, 3.0 / max(in_gland.sum(), 1), 1.0 / max((~in_gland).sum(), 1))
    chosen = rng.choice(len(points), min(count, len(points)), replace=False, p=weight / weight.sum())
    return points[chosen]


def _sample_clusters(
    rng: np.random.Generator, *, shape: BreastShape, tissue: Tissue, grid: Grid
) -> tuple[Cluster, ...]:
    """One to four clusters of 3-40 within 3-20 mm and a few isolated calcifications."""
    kinds = list(rng.choice(["grouped", "linear"], int(rng.integers(1, 5)), p=[0.7, 0.3]))
    kinds += ["isolated"] * int(rng.poisson(2.5))
    clusters = []
    for kind, centre in zip(
        kinds, _sample_centres(rng, len(kinds), shape=shape, tissue=tissue, grid=grid), strict=False
    ):
        count = 1 if kind == "isolated" else int(np.clip(np.exp(rng.normal(np.log(11.0), 0.7)), 3, 40))
        extent_mm = 0.0 if kind == "isolated" else float(np.clip(np.exp(rng.normal(np.log(8.0), 0.5)), 3.0, 20.0))
        drawn = sample_cluster(
            rng, distribution=str(kind), row_mm=centre[0], column_mm=centre[1], count=count, extent_mm=extent_mm
        )
        places = np.array([[p.row_mm, p.column_mm] for p in drawn.puncta])
        kept = _inside(places, shape=shape, grid=grid, margin_mm=3.5)
        puncta = tuple(p for p, keep in zip(drawn.puncta, kept, strict=True) if keep)
        if puncta:
            clusters.append(Cluster(drawn.distribution, drawn.row_mm, drawn.column_mm, drawn.extent_mm, puncta))
    return tuple(clusters)


def sample_phantom(
    rng: np.random.Generator,
    *,
    spacing_mm: float = 0.1,
    view: str | None = None,
    laterality: str | None = None,
    density: str | None = None,
    calcified: bool = True,
    height_mm: float = 240.0,
    width_mm: float = 180.0,
) -> PhantomParameters:
    """Draw one phantom.

    Args:
        rng: Source of randomness.
        spacing_mm: Pixel side, 0.02..1 mm.
        view: "CC", "MLO", or None to draw one.
        laterality: "L", "R", or None to draw one.
        density: BI-RADS density "A".."D", or None to draw one.
        calcified: Whether there are calcifications; the breast is the same either way.
        height_mm: Detector height, >= 40 mm; the breast is drawn in proportion to it.
        width_mm: Detector width, >= 30 mm.

    Raises:
        ValueError: If an argument is outside its range.
    """
    choices = (("view", view, VIEWS), ("laterality", laterality, SIDES), ("density", density, DENSITIES))
    for name, value, allowed in choices:
        if value is not None and value not in allowed:
            raise ValueError(f"Expected {name} among {', '.join(allowed)} or None, got {value!r}; pass one of these.")
    if not 0.02 <= spacing_mm <= 1.0:
        raise ValueError(f"Expected pixel spacing 0.02..1 mm, got {spacing_mm}; pass spacing_mm in millimetres.")
    if height_mm < 40.0 or width_mm < 30.0:
        raise ValueError(f"Expected a field of at least 40 x 30 mm, got {height_mm} x {width_mm}; enlarge it.")
    drawn_view, drawn_side = str(rng.choice(VIEWS)), str(rng.choice(SIDES))
    field_seed = int(rng.integers(0, 2**31))
    shape = sample_breast_shape(rng, view=view or drawn_view, height_mm=height_mm, width_mm=width_mm)
    tissue = sample_tissue(rng, shape=shape, density=density)
    grid = Grid(round(height_mm / spacing_mm), round(width_mm / spacing_mm), spacing_mm)
    return PhantomParameters(
        view=shape.view,
        laterality=laterality or drawn_side,
        rows=grid.rows,
        columns=grid.columns,
        spacing_mm=spacing_mm,
        field_seed=field_seed,
        shape=shape,
        tissue=tissue,
        detector=sample_detector(rng),
        clusters=_sample_clusters(rng, shape=shape, tissue=tissue, grid=grid) if calcified else (),
    )


def _render(transmission: Array, fat_log: Array, *, parameters: PhantomParameters) -> Array:
    """Transmission through blur, noise, log and equalisation, float32."""
    detector, spacing_mm = parameters.detector, parameters.spacing_mm
    blurred = transfer(
        transmission,
        spacing_mm=spacing_mm,
        blur_mm=detector.blur_mm,
        scatter=detector.scatter,
        scatter_mm=detector.scatter_mm,
    )
    rng = np.random.default_rng([parameters.field_seed, 6])
    noise = quantum_noise(rng, blurred.shape, spacing_mm=spacing_mm, blur_mm=detector.noise_blur_mm)
    log_exposure = expose(blurred, noise, detector=detector, spacing_mm=spacing_mm)
    return equalise(log_exposure, fat_log=fat_log, detector=detector, spacing_mm=spacing_mm)


def _window(equalised: Array, distance_mm: Array) -> tuple[float, float]:
    """Display limits of a view without its calcifications: below its fat, and its densest tissue."""
    inside = equalised[::4, ::4][distance_mm[::4, ::4] > 6.0]
    fat, dense = (float(value) for value in np.percentile(inside, [3.0, 99.7]))
    dense = max(dense, fat + 0.35)
    return max(fat - 0.3 * (dense - fat), 0.04), dense


def _label(
    parameters: PhantomParameters, stamped: list[tuple[int, Punctum, Stamp]], *, signal: Array, background: Array
) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """Label and findings on the canonical breast: half-peak support, 2 where the visibility floor is not reached."""
    label = np.zeros(signal.shape, dtype=np.uint8)
    findings = []
    for index, punctum, stamp in stamped:
        cnr, pixels = contrast_to_noise(signal, background, stamp=stamp, spacing_mm=parameters.spacing_mm)
        visible = cnr * np.sqrt(pixels) >= VISIBILITY_FLOOR
        target = label[stamp.region]
        target[half_peak_support(stamp.thickness_mm) & (target != 1)] = 1 if visible else 2
        row_px, column_px = (mm / parameters.spacing_mm - 0.5 for mm in (punctum.row_mm, punctum.column_mm))
        if parameters.laterality == "R":
            column_px = parameters.columns - 1 - column_px
        findings.append(Finding(index, row_px, column_px, punctum.diameter_mm, punctum.kind, float(cnr), bool(visible)))
    return label, tuple(findings)


def render_phantom(parameters: PhantomParameters) -> PhantomView:
    """Render a phantom; the same parameters give the same bits.

    The view is rendered twice with the same noise, without and with its calcifications: the first fixes the display
    curve and is the background against which contrast is measured.

    Args:
        parameters: From `sample_phantom`.
    """
    grid = Grid(parameters.rows, parameters.columns, parameters.spacing_mm)
    body = build_body(parameters.shape, parameters.tissue, field_seed=parameters.field_seed, grid=grid)
    transmission = np.exp(-body.log)
    clean = _render(transmission, body.fat_log, parameters=parameters)
    low, high = _window(clean, body.distance_mm)
    image = display(clean, low=low, high=high, detector=parameters.detector)
    background = image.astype(np.float32)
    members = [(index, punctum) for index, cluster in enumerate(parameters.clusters) for punctum in cluster.puncta]
    stamps = [stamp_punctum(p, spacing_mm=grid.spacing_mm, shape=clean.shape) for _, p in members]
    stamped = [(*member, stamp) for member, stamp in zip(members, stamps, strict=True) if stamp is not None]
    thickness_mm = np.zeros_like(clean)
    for _, _, stamp in stamped:
        thickness_mm[stamp.region] += stamp.thickness_mm
    if stamped:
        transmission *= 1.0 - primary_contrast(thickness_mm, delta_mu_per_mm=DELTA_MU_CALCIFICATION_PER_MM)
        calcified = _render(transmission, body.fat_log, parameters=parameters)
        image = display(calcified, low=low, high=high, detector=parameters.detector)
    label, findings = _label(parameters, stamped, signal=image.astype(np.float32) - background, background=background)
    step = -1 if parameters.laterality == "R" else 1
    return PhantomView(
        image=np.ascontiguousarray(image[:, ::step]),
        label=np.ascontiguousarray(label[:, ::step]),
        breast=np.ascontiguousarray(body.distance_mm[:, ::step] > 0.0),
        thickness_mm=np.ascontiguousarray(thickness_mm[:, ::step]),
        clusters=parameters.clusters,
        findings=findings,
        parameters=parameters,
    )

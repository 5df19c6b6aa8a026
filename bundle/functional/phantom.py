"""Whole-view digital mammogram phantoms with known calcifications.

`sample_phantom` draws every number, `render_phantom` is deterministic: the same parameters give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .phantom_anatomy import (
    Array,
    BreastShape,
    Grid,
    muscle_fraction,
    outline_mm,
    rounded_thickness_mm,
    sample_breast_shape,
    signed_distance_mm,
)
from .phantom_calcifications import Cluster, Stamp, half_peak_support, sample_cluster, stamp_punctum
from .phantom_detector import Detector, display, equalise, expose, quantum_noise, sample_detector, transfer
from .phantom_texture import power_law_field, resample_linear
from .phantom_tissue import (
    Tissue,
    fibre_path_mm,
    gland_path_mm,
    gland_region,
    ligament_path_mm,
    lumpy_path_mm,
    mass_path_mm,
    sample_tissue,
    vessel_path_mm,
)

MU_FAT_PER_MM = 0.0456
DELTA_MU_GLAND_PER_MM = 0.0346
DELTA_MU_CALCIFICATION_PER_MM = 0.755
VISIBILITY_FLOOR = 5.0
COARSE_MM = 0.2


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
    region = gland_region(tissue, shape, Grid(int(size_mm[0]) + 1, int(size_mm[1]) + 1, 1.0))
    in_gland = region[points[:, 0].astype(int), points[:, 1].astype(int)] > 0.0
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
    for name, value, allowed in (("view", view, ("CC", "MLO")), ("laterality", laterality, ("L", "R"))):
        if value is not None and value not in allowed:
            raise ValueError(f"Expected {name} among {', '.join(allowed)} or None, got {value!r}; pass one of these.")
    if not 0.02 <= spacing_mm <= 1.0:
        raise ValueError(f"Expected pixel spacing 0.02..1 mm, got {spacing_mm}; pass spacing_mm in millimetres.")
    if height_mm < 40.0 or width_mm < 30.0:
        raise ValueError(f"Expected a field of at least 40 x 30 mm, got {height_mm} x {width_mm}; enlarge it.")
    drawn_view, drawn_side = str(rng.choice(["CC", "MLO"])), str(rng.choice(["L", "R"]))
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


def _dense_path_mm(parameters: PhantomParameters, *, grid: Grid, distance_mm: Array, inner_mm: Array) -> Array:
    """Fibroglandular tissue and muscle along the beam inside the skin, mm float32, at most the path inside."""
    shape, tissue = parameters.shape, parameters.tissue
    rngs = [np.random.default_rng([parameters.field_seed, stream]) for stream in range(5)]
    dense = gland_path_mm(rngs[0], tissue=tissue, shape=shape, grid=grid, path_mm=inner_mm)
    dense += lumpy_path_mm(rngs[1], tissue=tissue, grid=grid, path_mm=inner_mm)
    strands = fibre_path_mm(rngs[2], tissue=tissue, shape=shape, grid=grid)
    strands += ligament_path_mm(rngs[3], tissue=tissue, shape=shape, grid=grid)
    strands += vessel_path_mm(rngs[4], tissue=tissue, shape=shape, grid=grid)
    strands += mass_path_mm(tissue.masses, grid)
    dense += strands * np.clip((distance_mm - shape.skin_mm) / 4.0, 0.0, 1.0)
    muscle = muscle_fraction(shape, grid)
    dense += muscle * np.maximum(0.62 * inner_mm - 0.5 * dense, 0.0)
    return np.minimum(dense, 0.95 * inner_mm)


def _anatomy(parameters: PhantomParameters) -> tuple[Array, Array, Array]:
    """Distance to the skin, -log transmission without calcifications, and what fat alone would show, all full size."""
    shape = parameters.shape
    grid = Grid(parameters.rows, parameters.columns, parameters.spacing_mm)
    coarse = grid.covering(COARSE_MM)
    edge_mm = 0.5 * shape.thickness_mm
    distance = signed_distance_mm(shape, grid.covering(0.8))
    distance_mm = resample_linear(
        distance,
        spacing_mm=grid.covering(0.8).spacing_mm,
        shape=(coarse.rows, coarse.columns),
        to_spacing_mm=coarse.spacing_mm,
    )
    inner_mm = rounded_thickness_mm(
        distance_mm - shape.skin_mm,
        thickness_mm=shape.thickness_mm - 2 * shape.skin_mm,
        edge_mm=edge_mm - shape.skin_mm,
    )
    dense = _dense_path_mm(parameters, grid=coarse, distance_mm=distance_mm, inner_mm=inner_mm)

    def full(field: Array) -> Array:
        return resample_linear(
            field, spacing_mm=coarse.spacing_mm, shape=(grid.rows, grid.columns), to_spacing_mm=grid.spacing_mm
        )

    outer = rounded_thickness_mm(full(distance_mm), thickness_mm=shape.thickness_mm, edge_mm=edge_mm)
    inner = full(inner_mm)
    rng = np.random.default_rng([parameters.field_seed, 5])
    fine = power_law_field(
        rng, (grid.rows, grid.columns), beta=parameters.tissue.beta, spacing_mm=grid.spacing_mm, largest_mm=4.0
    )
    dense_full = full(dense) * (1.0 + 0.12 * fine)
    log = MU_FAT_PER_MM * outer + DELTA_MU_GLAND_PER_MM * (dense_full + np.maximum(outer - inner, 0.0))
    profile = gaussian_filter(
        rounded_thickness_mm(distance_mm, thickness_mm=shape.thickness_mm, edge_mm=edge_mm), 1.0 / coarse.spacing_mm
    )
    return full(distance_mm), log.astype(np.float32), MU_FAT_PER_MM * full(profile)


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
    fat, dense = (float(value) for value in np.percentile(inside, [3.0, 99.8]))
    dense = max(dense, fat + 0.35)
    return fat - 0.15 * (dense - fat), dense


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


def render_phantom(parameters: PhantomParameters) -> PhantomView:
    """Render a phantom; the same parameters give the same bits.

    Args:
        parameters: From `sample_phantom`.
    """
    shape2, spacing_mm = (parameters.rows, parameters.columns), parameters.spacing_mm
    distance_mm, log, fat_log = _anatomy(parameters)
    transmission = np.exp(-log)
    clean = _render(transmission, fat_log, parameters=parameters)
    low, high = _window(clean, distance_mm)
    background = display(clean, low=low, high=high, detector=parameters.detector)
    thickness_mm = np.zeros(shape2, dtype=np.float32)
    members = [(index, punctum) for index, cluster in enumerate(parameters.clusters) for punctum in cluster.puncta]
    stamps = [stamp_punctum(punctum, spacing_mm=spacing_mm, shape=shape2) for _, punctum in members]
    for stamp in stamps:
        if stamp is not None:
            thickness_mm[stamp.region] += stamp.thickness_mm
    image = background
    if members:
        transmission *= np.exp(-DELTA_MU_CALCIFICATION_PER_MM * thickness_mm)
        image = display(
            _render(transmission, fat_log, parameters=parameters), low=low, high=high, detector=parameters.detector
        )
    label = np.zeros(shape2, dtype=np.uint8)
    background32 = background.astype(np.float32)
    signal = image.astype(np.float32) - background32
    findings = []
    mirror = parameters.laterality == "R"
    for (index, punctum), stamp in zip(members, stamps, strict=True):
        if stamp is None:
            continue
        cnr, pixels = contrast_to_noise(signal, background32, stamp=stamp, spacing_mm=spacing_mm)
        visible = cnr * np.sqrt(pixels) >= VISIBILITY_FLOOR
        target = label[stamp.region]
        support = half_peak_support(stamp.thickness_mm)
        target[support & (target != 1)] = 1 if visible else 2
        column_px = punctum.column_mm / spacing_mm - 0.5
        findings.append(
            Finding(
                cluster=index,
                row_px=punctum.row_mm / spacing_mm - 0.5,
                column_px=parameters.columns - 1 - column_px if mirror else column_px,
                diameter_mm=punctum.diameter_mm,
                kind=punctum.kind,
                cnr=float(cnr),
                visible=bool(visible),
            )
        )
    turn = (lambda a: np.ascontiguousarray(a[:, ::-1])) if mirror else np.ascontiguousarray
    return PhantomView(
        image=turn(image),
        label=turn(label),
        breast=turn(distance_mm > 0.0),
        thickness_mm=turn(thickness_mm),
        clusters=parameters.clusters,
        findings=tuple(findings),
        parameters=parameters,
    )

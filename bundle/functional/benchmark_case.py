"""One view of the shift benchmark: every number drawn from a seed, then rendered deterministically.

Nothing here is shared with what training draws from: textures, curves, shapes and the imaging chain are those of the
`benchmark_*` modules, and so are the seeds, which carry a salt of their own.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RectBivariateSpline

from .benchmark_clusters import DISTRIBUTIONS, ISOLATED, Calcification, sample_cluster, without_contact
from .benchmark_curves import curves_mm
from .benchmark_imaging import (
    MAXIMUM,
    MU_FAT_PER_MM,
    MU_GLAND_PER_MM,
    Array,
    Exposure,
    Mtf,
    Stamp,
    detected,
    display,
    display_limits,
    log_exposure,
    peripheral_correction,
    stamp_calcification,
    unit_noise,
)
from .benchmark_texture import Compartments, Lumps, adipose_compartments, lumpy_texture
from .confusion import IGNORE, MICROCALCIFICATION

SALT = 0x5348494654
"""In front of every seed ("SHIFT"): no stream of training begins with it."""
FIELD_MM = (60.0, 45.0)
TEXTURE_GRID_MM = 0.1
"""Textures are made on this grid whatever the pixels, so that one breast can be taken with several detectors."""
VISIBILITY_FLOOR = 5.0
HIGH_PASS_MM, NEARBY_MM = 1.0, 4.0
"""Contrast-to-noise: what is finer than the first is noise, over a square of the second."""
SKIN_MARGIN_MM = 3.0


@dataclass(frozen=True)
class Outline:
    """The edge of the breast: its column as a function of the row.

    Attributes:
        apex_row_mm: row of the foremost point.
        depth_mm: its column.
        bow_mm: how far the edge comes back 30 mm above or below it.
        wave_mm: amplitude of a slow wave.
        wave_phase: its phase, radians.
        thickness_mm: compressed thickness.
        edge_mm: width of the rounded border.
        skin_mm: thickness of the skin.
    """

    apex_row_mm: float
    depth_mm: float
    bow_mm: float
    wave_mm: float
    wave_phase: float
    thickness_mm: float
    edge_mm: float
    skin_mm: float

    def distance_mm(self, row_mm: NDArray[np.floating], column_mm: NDArray[np.floating]) -> NDArray[np.floating]:
        """Distance to the skin, to first order, > 0 inside; rows and columns are broadcast."""
        away = (row_mm - self.apex_row_mm) / 30.0
        turn = 3.0 * away + self.wave_phase
        edge = self.depth_mm - self.bow_mm * np.abs(away) ** 2.2 + self.wave_mm * np.sin(turn)
        slope = (-2.2 * self.bow_mm * np.sign(away) * np.abs(away) ** 1.2 + 3.0 * self.wave_mm * np.cos(turn)) / 30.0
        return (edge - column_mm) / np.hypot(1.0, slope)

    def path_mm(self, distance_mm: Array) -> Array:
        """Thickness at a distance from the skin: a slab with a rounded edge."""
        inward = np.clip(distance_mm / self.edge_mm, 0.0, 1.0)
        return (self.thickness_mm * np.sqrt(inward * (2.0 - inward))).astype(np.float32)


@dataclass(frozen=True)
class CaseParameters:
    """Everything that is needed to render one view again, bit for bit.

    Attributes:
        seed: seed of the random fields and of the calcifications.
        distribution: of the view's main cluster, or None for a clean view.
        spacing_mm: pixel size.
        mirrored: whether the chest wall lies on the right.
        outline: geometry.
        texture: "lumps" or "compartments".
        lumps: parameters of the one family.
        compartments: parameters of the other.
        density: share of glandular tissue in the middle of the gland, 0..1.
        fibres_per_cm2: density of fibres.
        vessels: number of vessels.
        mtf: detector.
        exposure: dose, scatter and processing.
    """

    seed: int
    distribution: str | None
    spacing_mm: float
    mirrored: bool
    outline: Outline
    texture: str
    lumps: Lumps
    compartments: Compartments
    density: float
    fibres_per_cm2: float
    vessels: int
    mtf: Mtf
    exposure: Exposure


@dataclass(frozen=True)
class Finding:
    """One true calcification of a view.

    Attributes:
        row_px: centre, from the middle of the first row.
        column_px: centre, from the middle of the first column.
        diameter_mm: diameter of the sphere of equal volume.
        kind: crystal, stone, cast or round.
        cluster: number of its cluster, -1 for an isolated one.
        distribution: that of its cluster.
        cnr: peak over the standard deviation of the high-passed view without calcifications nearby.
        visible: whether cnr times the root of the pixels at half maximum reaches VISIBILITY_FLOOR.
    """

    row_px: float
    column_px: float
    diameter_mm: float
    kind: str
    cluster: int
    distribution: str
    cnr: float
    visible: bool


@dataclass(frozen=True)
class RenderedCase:
    """One rendered view.

    Attributes:
        image: (rows, columns) uint16, 0..4095, bright is dense.
        label: (rows, columns) uint8: 0 background, 1 calcification, 2 below the visibility floor.
        spacing_mm: pixel size (row, column).
        truth: the calcifications.
    """

    image: NDArray[np.uint16]
    label: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    truth: tuple[Finding, ...]

    def truth_records(self) -> list[dict[str, object]]:
        """The calcifications as JSON-able dicts."""
        return [asdict(finding) for finding in self.truth]


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of one case; the parts do not disturb each other.

    Args:
        seed: of the case.
        name: of the part.
    """
    return np.random.default_rng([SALT, seed, *name.encode()])


def render_case(parameters: CaseParameters) -> RenderedCase:
    """Render one view; the same parameters give the same bits.

    Args:
        parameters: what to render.
    """
    spacing_mm, mtf, exposure = parameters.spacing_mm, parameters.mtf, parameters.exposure
    shape = (round(FIELD_MM[0] / spacing_mm), round(FIELD_MM[1] / spacing_mm))
    distance_mm = _distance_mm(parameters.outline, shape, spacing_mm)
    stamps = [
        (one, stamp)
        for one in sample_calcifications(parameters)
        if (stamp := stamp_calcification(one, spacing_mm=spacing_mm, shape=shape, mtf=mtf)) is not None
    ]
    kept = np.ones(shape, np.float32)
    for _, stamp in stamps:
        kept[stamp.region] *= 1.0 - stamp.blurred
    background, image = _views(parameters, distance_mm, kept)
    label, truth = _label(stamps, image - background, _local_noise(background, spacing_mm), spacing_mm=spacing_mm)
    image = np.rint(np.clip(image, 0, MAXIMUM)).astype(np.uint16)
    if parameters.mirrored:
        image, label = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(label[:, ::-1])
        truth = tuple(_mirrored(finding, shape[1]) for finding in truth)
    return RenderedCase(image, label, (spacing_mm, spacing_mm), truth)


def sample_calcifications(parameters: CaseParameters) -> list[Calcification]:
    """Calcifications of a view, none for a clean one: its main cluster, in half of the views a group, 0-3 isolated."""
    if parameters.distribution is None:
        return []
    rng = stream(parameters.seed, "calcifications")
    outline = parameters.outline
    kinds = [parameters.distribution]
    kinds += ["grouped"] * int(rng.random() < 0.5) + [ISOLATED] * int(rng.integers(0, 4))
    drawn: list[Calcification] = []
    for number, kind in enumerate(kinds):
        centre = np.array(FIELD_MM) / 2 if kind == "diffuse" else _centre_mm(rng, outline, roomy=kind in DISTRIBUTIONS)
        nipple = (outline.apex_row_mm, outline.depth_mm)
        drawn += sample_cluster(rng, kind, number=number, nipple_mm=nipple, centre_mm=centre)
    return [one for one in without_contact(drawn) if _fits(one, outline)]


def _centre_mm(rng: np.random.Generator, outline: Outline, *, roomy: bool) -> NDArray[np.float64]:
    """A place in the breast; one for a cluster keeps farther from skin and borders."""
    margin = 9.0 if roomy else 5.0
    for _ in range(200):
        place = rng.uniform((margin, margin), (FIELD_MM[0] - margin, FIELD_MM[1] - margin))
        if outline.distance_mm(place[0], place[1]) > margin:
            return place
    raise AssertionError("no room for a cluster in this outline")


def _fits(one: Calcification, outline: Outline) -> bool:
    """Whether a calcification lies in the breast and the field, away from skin and borders."""
    inside = all(2.0 <= place <= side - 2.0 for place, side in zip((one.row_mm, one.column_mm), FIELD_MM, strict=True))
    distance = float(outline.distance_mm(np.float64(one.row_mm), np.float64(one.column_mm)))
    return inside and distance > SKIN_MARGIN_MM + one.reach_mm


def _distance_mm(outline: Outline, shape: tuple[int, int], spacing_mm: float) -> Array:
    row, column = ((np.arange(side, dtype=np.float32) + 0.5) * np.float32(spacing_mm) for side in shape)
    return outline.distance_mm(row[:, None], column[None, :]).astype(np.float32)


def _texture(parameters: CaseParameters, shape: tuple[int, int]) -> Array:
    """The texture field on the grid of the view, by a spline from TEXTURE_GRID_MM."""
    grid = (round(FIELD_MM[0] / TEXTURE_GRID_MM), round(FIELD_MM[1] / TEXTURE_GRID_MM))
    rng = stream(parameters.seed, parameters.texture)
    if parameters.texture == "lumps":
        field = lumpy_texture(rng, grid, spacing_mm=TEXTURE_GRID_MM, lumps=parameters.lumps)
    else:
        field = adipose_compartments(
            rng,
            grid,
            spacing_mm=TEXTURE_GRID_MM,
            depth_mm=parameters.outline.thickness_mm,
            compartments=parameters.compartments,
        )
    source, target = (
        [(np.arange(count) + 0.5) * side / count for count, side in zip(size, FIELD_MM, strict=True)]
        for size in (grid, shape)
    )
    return RectBivariateSpline(*source, field)(*target).astype(np.float32)


def _gland_share(parameters: CaseParameters, shape: tuple[int, int]) -> Array:
    """Where the gland is, 0.. about 1: a few wide lobes on a low plateau."""
    rng = stream(parameters.seed, "gland")
    row, column = (
        (np.arange(count, dtype=np.float32) + 0.5) * side / count for count, side in zip(shape, FIELD_MM, strict=True)
    )
    share = np.full(shape, 0.4, np.float32)
    for _ in range(5):
        centre = rng.uniform((5.0, 0.0), (FIELD_MM[0] - 5.0, 0.75 * parameters.outline.depth_mm))
        width = rng.uniform(5.0, 12.0, 2)
        lobe = np.exp(-0.5 * ((row - centre[0]) / width[0]) ** 2)[:, None] * np.exp(
            -0.5 * ((column - centre[1]) / width[1]) ** 2
        )
        share += np.float32(rng.uniform(0.1, 0.35)) * lobe.astype(np.float32)
    return np.minimum(share, 1.2)


def _attenuation(parameters: CaseParameters, distance_mm: Array) -> Array:
    """Mu t along the beam: fat, gland with its texture, fibres, vessels and skin, (rows, columns)."""
    shape = (distance_mm.shape[0], distance_mm.shape[1])
    outline = parameters.outline
    path = outline.path_mm(distance_mm)
    inner = outline.path_mm(distance_mm - outline.skin_mm)
    share = parameters.density * _gland_share(parameters, shape)
    field = share + (0.03 + 0.4 * share) * _texture(parameters, shape)
    # Softly above zero: no negative tissue.
    share = 0.03 * np.logaddexp(0.0, field / 0.03)
    curves = curves_mm(
        stream(parameters.seed, "curves"),
        shape,
        size_mm=FIELD_MM,
        spacing_mm=parameters.spacing_mm,
        fibres_per_cm2=parameters.fibres_per_cm2,
        vessels=parameters.vessels,
    )
    dense = np.minimum(share, 1.0) * inner + curves * np.minimum(inner / 20.0, 1.0)
    # Skin attenuates as gland does; the slab's own two layers are flat and left out.
    skin = np.minimum(path - inner, 6.0 * outline.skin_mm)
    return (MU_FAT_PER_MM * path + (MU_GLAND_PER_MM - MU_FAT_PER_MM) * (dense + skin)).astype(np.float32)


def _views(parameters: CaseParameters, distance_mm: Array, kept: Array) -> tuple[Array, Array]:
    """Display values without and with calcifications: same noise, same limits.

    Args:
        parameters: of the case.
        distance_mm: to the skin, (rows, columns).
        kept: share of the primary beam that the calcifications let through, after blur.
    """
    spacing_mm, exposure, mtf = parameters.spacing_mm, parameters.exposure, parameters.mtf
    breast = distance_mm > 0
    primary, scatter = detected(
        np.exp(-_attenuation(parameters, distance_mm)), spacing_mm=spacing_mm, mtf=mtf, exposure=exposure
    )
    air = exposure.quanta_per_mm2 * spacing_mm**2 / float(np.median((primary + scatter)[breast]))
    rng = stream(parameters.seed, "noise")
    unit = unit_noise(rng, breast.shape, spacing_mm=spacing_mm, mtf=mtf, exposure=exposure)
    electronic = np.float32(exposure.electronic) * rng.standard_normal(breast.shape, np.float32)
    clean, calcified = (
        log_exposure(np.float32(air) * (beam + scatter), unit, electronic, air=air)
        for beam in (primary, primary * kept)
    )
    added = peripheral_correction(clean, breast, spacing_mm=spacing_mm, share=exposure.equalisation)
    limits = display_limits(clean + added, distance_mm > SKIN_MARGIN_MM)
    background, image = (display(view + added, limits, exposure=exposure) for view in (clean, calcified))
    return background, image


def _local_noise(background: Array, spacing_mm: float) -> Array:
    """Standard deviation of the high-passed view nearby, at least 1 grey level, (rows, columns)."""
    high = background - ndimage.uniform_filter(background, max(3, round(HIGH_PASS_MM / spacing_mm)))
    variance = ndimage.uniform_filter(high * high, round(NEARBY_MM / spacing_mm))
    return np.sqrt(np.maximum(variance, 1.0))


def _label(
    stamps: list[tuple[Calcification, Stamp]], signal: Array, noise: Array, *, spacing_mm: float
) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """Label and truth: support at half the peak before blur, 2 where the visibility floor is not reached."""
    label = np.zeros(signal.shape, np.uint8)
    truth = []
    for one, stamp in stamps:
        support = stamp.sharp >= 0.5 * stamp.sharp.max()
        half = stamp.blurred >= 0.5 * stamp.blurred.max()
        row, column = int(one.row_mm / spacing_mm), int(one.column_mm / spacing_mm)
        cnr = float(signal[stamp.region][half].max() / noise[row, column])
        visible = cnr * math.sqrt(half.sum()) >= VISIBILITY_FLOOR
        target = label[stamp.region]
        target[support & (target != MICROCALCIFICATION)] = MICROCALCIFICATION if visible else IGNORE
        place = (one.row_mm / spacing_mm - 0.5, one.column_mm / spacing_mm - 0.5)
        truth.append(Finding(*place, one.diameter_mm, one.kind, one.cluster, one.distribution, cnr, bool(visible)))
    return label, tuple(truth)


def _mirrored(finding: Finding, columns: int) -> Finding:
    return Finding(**{**asdict(finding), "column_px": columns - 1 - finding.column_px})

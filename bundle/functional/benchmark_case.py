"""One view of the shift benchmark: every number drawn from a seed, then rendered deterministically.

Nothing here is shared with what training draws from: textures, curves, shapes and the imaging chain are those of the
`benchmark_*` modules, and so are the seeds, which carry a salt of their own.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .benchmark_breast import FIELD_MM, Array, Breast, Outline, attenuation, stream
from .benchmark_clusters import DISTRIBUTIONS, ISOLATED, Calcification, sample_cluster, without_contact
from .benchmark_imaging import (
    MAXIMUM,
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
from .confusion import IGNORE, MICROCALCIFICATION

VISIBILITY_FLOOR = 5.0
HIGH_PASS_MM, NEARBY_MM = 1.0, 4.0
"""Contrast-to-noise: what is finer than the first is noise, over a square of the second."""
SKIN_MARGIN_MM, BORDER_MARGIN_MM = 3.0, 1.3


@dataclass(frozen=True)
class CaseParameters:
    """Everything that is needed to render one view again, bit for bit.

    Attributes:
        seed: seed of the calcifications and of the noise.
        distribution: of the view's main cluster, or None for a clean view.
        spacing_mm: pixel size.
        mirrored: whether the chest wall lies on the right.
        breast: geometry and tissue.
        mtf: detector.
        exposure: dose, scatter and processing.
    """

    seed: int
    distribution: str | None
    spacing_mm: float
    mirrored: bool
    breast: Breast
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


def render_case(parameters: CaseParameters) -> RenderedCase:
    """Render one view; the same parameters give the same bits.

    Args:
        parameters: what to render.
    """
    spacing_mm, mtf = parameters.spacing_mm, parameters.mtf
    shape = (round(FIELD_MM[0] / spacing_mm), round(FIELD_MM[1] / spacing_mm))
    distance_mm = parameters.breast.outline.map_mm(shape, spacing_mm)
    stamps = [
        (one, stamp_calcification(one, spacing_mm=spacing_mm, shape=shape, mtf=mtf))
        for one in sample_calcifications(parameters)
    ]
    kept = np.ones(shape, np.float32)
    for _, stamp in stamps:
        kept[stamp.region] *= 1.0 - stamp.blurred
    background, shown = _views(parameters, distance_mm, kept)
    label, truth = _label(stamps, shown - background, _local_noise(background, spacing_mm), spacing_mm=spacing_mm)
    image = np.rint(np.clip(shown, 0, MAXIMUM)).astype(np.uint16)
    if parameters.mirrored:
        image, label = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(label[:, ::-1])
        truth = tuple(_mirrored(finding, shape[1]) for finding in truth)
    return RenderedCase(image, label, (spacing_mm, spacing_mm), truth)


def sample_calcifications(parameters: CaseParameters) -> list[Calcification]:
    """Calcifications of a view, none for a clean one: its main cluster, in half of the views a group, 1-4 isolated."""
    if parameters.distribution is None:
        return []
    rng = stream(parameters.seed, "calcifications")
    outline = parameters.breast.outline
    kinds = [parameters.distribution]
    kinds += ["grouped"] * int(rng.random() < 0.5) + [ISOLATED] * int(rng.integers(1, 5))
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
    margin = BORDER_MARGIN_MM + one.reach_mm
    places = zip((one.row_mm, one.column_mm), FIELD_MM, strict=True)
    inside = all(margin <= place <= side - margin for place, side in places)
    distance = float(outline.distance_mm(one.row_mm, one.column_mm))
    return inside and distance > SKIN_MARGIN_MM + one.reach_mm


def _views(parameters: CaseParameters, distance_mm: Array, kept: Array) -> tuple[Array, Array]:
    """Display values without and with calcifications: same noise, same limits.

    Args:
        parameters: of the case.
        distance_mm: to the skin, (rows, columns).
        kept: share of the primary beam that the calcifications let through, after blur.
    """
    spacing_mm, exposure, mtf = parameters.spacing_mm, parameters.exposure, parameters.mtf
    breast = distance_mm > 0
    transmission = np.exp(-attenuation(parameters.breast, distance_mm, spacing_mm=spacing_mm))
    primary, scatter = detected(transmission, breast, spacing_mm=spacing_mm, mtf=mtf, exposure=exposure)
    air = exposure.quanta_per_mm2 * spacing_mm**2 / float(np.median((primary + scatter)[breast]))
    rng = stream(parameters.seed, "noise")
    unit = unit_noise(rng, breast.shape, spacing_mm=spacing_mm, mtf=mtf, exposure=exposure)
    electronic = np.float32(exposure.electronic) * rng.standard_normal(breast.shape, np.float32)
    clean, calcified = (
        log_exposure(np.float32(air) * (beam + scatter), unit, electronic, air=air)
        for beam in (primary, primary * kept)
    )
    added = peripheral_correction(clean, distance_mm, share=exposure.equalisation)
    limits = display_limits(clean + added, distance_mm > SKIN_MARGIN_MM)
    return display(clean + added, limits, exposure=exposure), display(calcified + added, limits, exposure=exposure)


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

"""Synthetic pairs (eq. 2): sample microcalcifications in physical units, then inject them deterministically."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from .confusion import IGNORE as IGNORE
from .confusion import MICROCALCIFICATION as MICROCALCIFICATION
from .distributions import sample_offsets_mm
from .puncta import REFERENCE_MM, Array, Punctum, render_punctum, sample_diameter_mm, sample_parts

# A punctum below this detectability (peak CNR x sqrt(pixels at half maximum)) cannot be seen; a network taught it
# hallucinates.
VISIBILITY_FLOOR = 4.0
# Windows of the local contrast kappa: what is finer than the first is "high-passed", its deviation is taken over the
# second.
HIGH_PASS_MM = 1.0
LOCAL_MM = 2.0
# Least local standard deviation, in units of the [-1, 1] window: no tissue is free of noise.
CONTRAST_FLOOR = 0.008


SHAPES = ("oval", "irregular", "rod", "amorphous")
# Members of a cluster that have its common shape; the others are drawn one by one.
ALIKE_SHARE = 0.6


@dataclass(frozen=True)
class Injection:
    """Everything that `inject` needs to make the same pair again.

    Attributes:
        puncta: the calcifications, in mm from the patch's upper left corner.
        blur_sigma_mm: detector blur h.
        by_thickness: contrast follows the projected thickness, as X-rays have it, so small puncta are faint; otherwise
            each punctum has its own contrast-to-noise ratio, whatever its size.
    """

    puncta: tuple[Punctum, ...]
    blur_sigma_mm: float
    by_thickness: bool = False


@dataclass(frozen=True)
class InjectionRanges:
    """What is drawn, in physical units; each pair is a range.

    Attributes:
        empty_share: share of patches without any calcification.
        clusters: clusters in a patch.
        puncta: puncta in a cluster, log-uniform: clusters of few are the common ones.
        distributions: relative frequency of each BI-RADS distribution.
        isolated: single puncta besides the clusters.
        cnr: log-uniform range of a cluster's peak contrast-to-noise ratio; each punctum varies about it.
        cnr_spread: standard deviation of the logarithm within a cluster.
        by_thickness_share: share of patches whose contrast follows the projected thickness.
        blur_sigma_mm: detector blur.
        shape_shares: shares of oval, irregular, rod and amorphous shapes.
    """

    empty_share: float = 0.35
    clusters: tuple[int, int] = (1, 2)
    puncta: tuple[int, int] = (3, 40)
    distributions: Mapping[str, float] = field(
        default_factory=lambda: {"grouped": 0.5, "linear": 0.2, "segmental": 0.1, "regional": 0.1, "diffuse": 0.1}
    )
    isolated: tuple[int, int] = (0, 4)
    cnr: tuple[float, float] = (1.2, 12.0)
    cnr_spread: float = 0.35
    by_thickness_share: float = 0.5
    blur_sigma_mm: tuple[float, float] = (0.025, 0.065)
    shape_shares: tuple[float, float, float, float] = (0.35, 0.45, 0.12, 0.08)


def sample_injection(
    rng: np.random.Generator,
    *,
    extent_mm: tuple[float, float],
    ranges: InjectionRanges | None = None,
    density: NDArray[np.floating] | None = None,
) -> Injection:
    """Draw the calcifications of one patch.

    Args:
        rng: source of randomness.
        extent_mm: rows and columns of the patch, in mm.
        ranges: what is drawn.
        density: (n, m) >= 0, how often centres fall into each cell of a grid over the patch; evenly when None.

    Returns:
        The parameters, without puncta for an empty patch.
    """
    ranges = ranges or InjectionRanges()
    blur, by_thickness = float(rng.uniform(*ranges.blur_sigma_mm)), bool(rng.random() < ranges.by_thickness_share)
    if rng.random() < ranges.empty_share:
        return Injection((), blur, by_thickness)
    puncta: list[Punctum] = []
    for _ in range(rng.integers(ranges.clusters[0], ranges.clusters[1] + 1)):
        puncta += _sample_cluster(rng, _sample_centre(rng, extent_mm, density), ranges)
    for _ in range(rng.integers(ranges.isolated[0], ranges.isolated[1] + 1)):
        puncta.append(
            _sample_punctum(rng, _sample_centre(rng, extent_mm, density), _log_uniform(rng, *ranges.cnr), ranges)
        )
    inside = [p for p in puncta if 0 <= p.row_mm < extent_mm[0] and 0 <= p.column_mm < extent_mm[1]]
    return Injection(tuple(inside), blur, by_thickness)


def _sample_centre(
    rng: np.random.Generator, extent_mm: tuple[float, float], density: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """A place in the patch, (row, column) in mm; evenly within the chosen cell."""
    if density is None or not density.sum() > 0:
        return rng.uniform((0, 0), extent_mm)
    cumulated = np.cumsum(density, dtype=np.float64)
    cell = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
    place = np.array(np.unravel_index(min(cell, density.size - 1), density.shape)) + rng.random(2)
    return place / density.shape * extent_mm


def _sample_cluster(rng: np.random.Generator, centre_mm: NDArray[np.float64], ranges: InjectionRanges) -> list[Punctum]:
    """One group in one of the BI-RADS distributions, with one contrast that its members vary about."""
    count = round(_log_uniform(rng, *ranges.puncta))
    cnr = _log_uniform(rng, *ranges.cnr)
    shares = np.array(list(ranges.distributions.values()), float)
    distribution = str(rng.choice(list(ranges.distributions), p=shares / shares.sum()))
    offsets = sample_offsets_mm(rng, distribution, count=count)
    varied = cnr * np.exp(rng.normal(0.0, ranges.cnr_spread, count))
    common = _sample_shape(rng, ranges)
    shapes = [common if alike else None for alike in rng.random(count) < ALIKE_SHARE]
    return [
        _sample_punctum(rng, centre_mm + offset, c, ranges, shape=shape)
        for offset, c, shape in zip(offsets, varied, shapes, strict=True)
    ]


def _sample_punctum(
    rng: np.random.Generator,
    position_mm: NDArray[np.float64],
    cnr: float,
    ranges: InjectionRanges,
    *,
    shape: str | None = None,
) -> Punctum:
    parts = sample_parts(rng, sample_diameter_mm(rng), shape=shape or _sample_shape(rng, ranges))
    return Punctum(float(position_mm[0]), float(position_mm[1]), parts, float(cnr))


def _sample_shape(rng: np.random.Generator, ranges: InjectionRanges) -> str:
    # By hand: Generator.choice takes ten times as long, for each of up to eighty puncta.
    return SHAPES[int(np.searchsorted(np.cumsum(ranges.shape_shares), rng.random(), side="right").clip(0, 3))]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def tissue_density(background: Array, *, cells: int = 16) -> Array:
    """How likely a calcification is in each cell of a grid: in proportion to brightness, 0 outside the breast.

    Calcifications lie in glandular tissue far more often than in fat, and glandular tissue is bright.

    Args:
        background: (rows, columns), in [-1, 1], -1 outside the breast.
        cells: cells along each axis.

    Returns:
        (cells, cells), mean of brightness above the window's floor.
    """
    rows, columns = (np.linspace(0, size, cells + 1).astype(int)[:-1] for size in background.shape)
    return np.add.reduceat(np.add.reduceat(background + 1, rows, axis=0), columns, axis=1)


def local_contrast(background: Array, *, spacing_mm: float) -> Array:
    """Local deviation of the high-passed background plus a floor: kappa of eq. 2 over the contrast-to-noise ratio.

    Args:
        background: (rows, columns), in [-1, 1].
        spacing_mm: pixel size.

    Returns:
        (rows, columns), positive.
    """
    high = background - uniform_filter(background, max(3, round(HIGH_PASS_MM / spacing_mm)), mode="reflect")
    variance = uniform_filter(high * high, max(3, round(LOCAL_MM / spacing_mm)), mode="reflect")
    return np.sqrt(np.maximum(variance, 0.0)) + np.float32(CONTRAST_FLOOR)


def inject(
    background: Array, injection: Injection, *, spacing_mm: float, region: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.uint8]]:
    """Inject calcifications into a background: x_s = clip(x_b + kappa * (h conv a_s), -1, 1), eq. 2.

    Two contrast models: kappa at the punctum's own place, times its ratio, over the picture with peak 1; or, by
    thickness, one gain for the patch, so that on a For Presentation image (logarithm of exposure, inverted) the added
    signal is proportional to the calcium along the beam. Where puncta overlap, their signals add up.

    Args:
        background: (rows, columns), in [-1, 1].
        injection: what to inject.
        spacing_mm: pixel size.
        region: where tissue is; puncta with a centre outside are left out. None takes background > -1.

    Returns:
        The image, and the label: 0 background, 1 microcalcification (support at half the amplitude before blur), 2
        ignore (below the visibility floor).

    Raises:
        ValueError: if the spacing is not positive.
    """
    if spacing_mm <= 0:
        raise ValueError(f"Expected pixel spacing > 0 mm, got {spacing_mm}; pass the spacing of the view")
    rows, columns = background.shape
    region = background > -1 if region is None else region
    contrast = local_contrast(background, spacing_mm=spacing_mm)
    typical = float(np.median(contrast[region])) if injection.by_thickness and region.any() else 0.0
    added = np.zeros_like(background)
    label = np.zeros(background.shape, np.uint8)
    for punctum in injection.puncta:
        row, column = int(punctum.row_mm / spacing_mm), int(punctum.column_mm / spacing_mm)
        if not (0 <= row < rows and 0 <= column < columns and region[row, column]):
            continue
        picture = render_punctum(punctum, spacing_mm=spacing_mm, blur_sigma_mm=injection.blur_sigma_mm)
        local = float(contrast[row, column])
        amplitude = punctum.cnr * (typical * picture.peak_mm / REFERENCE_MM if injection.by_thickness else local)
        (top, left), shape = picture.first, picture.tile.shape
        r0, r1, c0, c1 = max(top, 0), min(top + shape[0], rows), max(left, 0), min(left + shape[1], columns)
        inside = np.s_[r0 - top : r1 - top, c0 - left : c1 - left]
        patch = np.s_[r0:r1, c0:c1]
        added[patch] += np.float32(amplitude) * picture.tile[inside]
        visible = amplitude / local * math.sqrt(picture.half_px) >= VISIBILITY_FLOOR
        seen = label[patch]
        seen[picture.support[inside] & (seen != MICROCALCIFICATION)] = MICROCALCIFICATION if visible else IGNORE
    return np.clip(background + added, -1.0, 1.0), label

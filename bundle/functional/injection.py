"""Synthetic pairs (eq. 2): sample microcalcifications in physical units, then inject them deterministically."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from .confusion import IGNORE as IGNORE
from .confusion import MICROCALCIFICATION as MICROCALCIFICATION
from .puncta import Array, Punctum, render_punctum, sample_diameter_mm, sample_parts

# A punctum below this detectability (peak CNR x sqrt(pixels at half maximum)) cannot be seen; a network taught it
# hallucinates.
VISIBILITY_FLOOR = 5.0
# Windows of the local contrast kappa: what is finer than the first is "high-passed", its deviation is taken over the
# second.
HIGH_PASS_MM = 1.0
LOCAL_MM = 2.0
# Least local standard deviation, in units of the [-1, 1] window: no tissue is free of noise.
CONTRAST_FLOOR = 0.008


@dataclass(frozen=True)
class Injection:
    """Everything that `inject` needs to make the same pair again.

    Attributes:
        puncta: the calcifications, in mm from the patch's upper left corner.
        blur_sigma_mm: detector blur h.
    """

    puncta: tuple[Punctum, ...]
    blur_sigma_mm: float


@dataclass(frozen=True)
class InjectionRanges:
    """What is drawn, in physical units; each pair is a range.

    Attributes:
        empty_share: share of patches without any calcification.
        clusters: clusters in a patch.
        puncta: puncta in a cluster.
        cluster_mm: diameter of a compact cluster, length of a line-like one.
        linear_share: share of line-like clusters.
        isolated: single puncta besides the clusters.
        cnr: log-uniform range of a cluster's peak contrast-to-noise ratio; each punctum varies about it.
        blur_sigma_mm: detector blur.
        shape_shares: shares of oval, irregular and rod shapes.
    """

    empty_share: float = 0.35
    clusters: tuple[int, int] = (1, 2)
    puncta: tuple[int, int] = (3, 40)
    cluster_mm: tuple[float, float] = (3.0, 20.0)
    linear_share: float = 0.35
    isolated: tuple[int, int] = (0, 4)
    cnr: tuple[float, float] = (2.0, 15.0)
    blur_sigma_mm: tuple[float, float] = (0.025, 0.065)
    shape_shares: tuple[float, float, float] = (0.35, 0.5, 0.15)


def sample_injection(
    rng: np.random.Generator, *, extent_mm: tuple[float, float], ranges: InjectionRanges | None = None
) -> Injection:
    """Draw the calcifications of one patch.

    Args:
        rng: source of randomness.
        extent_mm: rows and columns of the patch, in mm.
        ranges: what is drawn.

    Returns:
        The parameters, without puncta for an empty patch.
    """
    ranges = ranges or InjectionRanges()
    blur = float(rng.uniform(*ranges.blur_sigma_mm))
    if rng.random() < ranges.empty_share:
        return Injection((), blur)
    puncta: list[Punctum] = []
    for _ in range(rng.integers(ranges.clusters[0], ranges.clusters[1] + 1)):
        puncta += _sample_cluster(rng, extent_mm, ranges)
    for _ in range(rng.integers(ranges.isolated[0], ranges.isolated[1] + 1)):
        puncta.append(_sample_punctum(rng, rng.uniform((0, 0), extent_mm), _log_uniform(rng, *ranges.cnr), ranges))
    inside = [p for p in puncta if 0 <= p.row_mm < extent_mm[0] and 0 <= p.column_mm < extent_mm[1]]
    return Injection(tuple(inside), blur)


def _sample_cluster(rng: np.random.Generator, extent_mm: tuple[float, float], ranges: InjectionRanges) -> list[Punctum]:
    """One cluster: compact about its centre, or along a bent line."""
    centre = rng.uniform((0, 0), extent_mm)
    # Clusters of few puncta are the common ones, so the count is log-uniform.
    count = round(_log_uniform(rng, ranges.puncta[0], ranges.puncta[1]))
    size = _log_uniform(rng, *ranges.cluster_mm)
    cnr = _log_uniform(rng, *ranges.cnr)
    if rng.random() < ranges.linear_share:
        along = rng.uniform(-0.5, 0.5, count) * size
        bow = rng.uniform(-0.25, 0.25) * size * (1 - (2 * along / size) ** 2)
        across = bow + rng.normal(0.0, 0.03 * size + 0.1, count)
        angle = rng.uniform(0, math.pi)
        offsets = np.column_stack(
            [along * math.sin(angle) + across * math.cos(angle), along * math.cos(angle) - across * math.sin(angle)]
        )
    else:
        offsets = rng.normal(0.0, size / 4, (count, 2)) * rng.uniform(0.6, 1.0, 2)
    return [_sample_punctum(rng, centre + offset, cnr * math.exp(rng.normal(0.0, 0.35)), ranges) for offset in offsets]


def _sample_punctum(
    rng: np.random.Generator, position_mm: NDArray[np.float64], cnr: float, ranges: InjectionRanges
) -> Punctum:
    shape = str(rng.choice(("oval", "irregular", "rod"), p=ranges.shape_shares))
    parts = sample_parts(rng, sample_diameter_mm(rng), shape=shape)
    return Punctum(float(position_mm[0]), float(position_mm[1]), parts, float(cnr))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


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
    added = np.zeros_like(background)
    label = np.zeros(background.shape, np.uint8)
    for punctum in injection.puncta:
        row, column = int(punctum.row_mm / spacing_mm), int(punctum.column_mm / spacing_mm)
        if not (0 <= row < rows and 0 <= column < columns and region[row, column]):
            continue
        (top, left), tile, support, half_px = render_punctum(
            punctum, spacing_mm=spacing_mm, blur_sigma_mm=injection.blur_sigma_mm
        )
        r0, r1, c0, c1 = max(top, 0), min(top + tile.shape[0], rows), max(left, 0), min(left + tile.shape[1], columns)
        inside = np.s_[r0 - top : r1 - top, c0 - left : c1 - left]
        patch = np.s_[r0:r1, c0:c1]
        # Maximum, not sum: touching puncta do not become brighter than either.
        np.maximum(added[patch], punctum.cnr * contrast[row, column] * tile[inside], out=added[patch])
        value = MICROCALCIFICATION if punctum.cnr * math.sqrt(half_px) >= VISIBILITY_FLOOR else IGNORE
        seen = label[patch]
        seen[support[inside] & (seen != MICROCALCIFICATION)] = value
    return np.clip(background + added, -1.0, 1.0), label

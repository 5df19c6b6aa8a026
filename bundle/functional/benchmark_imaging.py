"""The imaging chain of the shift benchmark: contrast, detector, noise and display.

Attenuation at 20 keV, Beer-Lambert, scatter, a modulation transfer function with a tail or that of a-Se, integration
over pixels, quantum noise with part of the detector's correlation, log, peripheral equalisation (in the manner of Bick
et al., Acad. Radiol. 3, 107-114, 1996) and a film-like display curve.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .benchmark_clusters import Calcification

Array = NDArray[np.float32]

DELTA_MU_CALCIFICATION_PER_MM = 0.755
"""Calcification over fat near 20 keV (METHOD.md section 2)."""
STAMP_MARGIN_MM = 0.7
"""Border around a calcification that holds its blurred picture: all but a few percent of the tail."""
PROFILE_STEP_MM, PROFILE_STEPS = 0.5, 30
"""Rings about the skin, up to 15 mm inside, on which peripheral equalisation looks at the fat."""
MAXIMUM = 4095


@dataclass(frozen=True)
class Mtf:
    """Transfer of a detector before its pixels: sinc(aperture f) ((1 - tail) Gaussian + tail exp(-2 pi l f)).

    Attributes:
        sigma_mm: standard deviation of the Gaussian (light spread of CsI).
        tail: share of the light that spreads far.
        tail_mm: length l of that spread.
        aperture_mm: width of a-Se's charge collection; 0 for CsI.
    """

    sigma_mm: float
    tail: float
    tail_mm: float
    aperture_mm: float = 0.0

    def __call__(self, frequency: Array) -> Array:
        """Transfer at spatial frequencies in cycles per mm, in [-0.22, 1]."""
        gaussian = np.exp(-2.0 * (math.pi * self.sigma_mm * frequency) ** 2)
        spread = np.exp(-2.0 * math.pi * self.tail_mm * frequency)
        response = ((1.0 - self.tail) * gaussian + self.tail * spread) * np.sinc(self.aperture_mm * frequency)
        return np.asarray(response, np.float32)


@dataclass(frozen=True)
class Exposure:
    """Exposure and processing of one view.

    Attributes:
        quanta_per_mm2: detected quanta per mm2 behind the breast, at its median (automatic exposure control).
        scatter_to_primary: scattered over primary energy.
        scatter_mm: standard deviation of the scatter's spread.
        noise_share: share of the quantum noise that has passed the detector's blur; the rest is white.
        electronic: standard deviation of additive noise, in quanta per pixel.
        equalisation: share of the drop towards the skin that processing takes out, 0..1.
        gamma: steepness of the display curve.
        half: place of its middle between fat (0) and the densest tissue (1).
    """

    quanta_per_mm2: float
    scatter_to_primary: float
    scatter_mm: float
    noise_share: float
    electronic: float
    equalisation: float
    gamma: float
    half: float


@dataclass(frozen=True)
class Stamp:
    """One calcification on the pixel grid.

    Attributes:
        region: where the patch lies in the view.
        sharp: loss of the primary beam before blur, mean over each pixel, 0..1.
        blurred: the same behind the detector's blur.
    """

    region: tuple[slice, slice]
    sharp: Array
    blurred: Array


def frequencies(shape: tuple[int, int], spacing_mm: float) -> Array:
    """Radial spatial frequency of `rfft2`, (rows, columns // 2 + 1), cycles per mm."""
    row = fft.fftfreq(shape[0], spacing_mm).astype(np.float32)
    column = fft.rfftfreq(shape[1], spacing_mm).astype(np.float32)
    return np.hypot(row[:, None], column[None, :])


def filtered(image: Array, response: Array) -> Array:
    """A periodic image behind a filter given at `frequencies`, float32."""
    return fft.irfft2(fft.rfft2(image.astype(np.float32)) * response, s=image.shape).astype(np.float32)


def primary_loss(thickness_mm: Array) -> Array:
    """Share of the primary beam that a calcification takes away, 1 - exp(-delta_mu t), 0..1."""
    return -np.expm1(-DELTA_MU_CALCIFICATION_PER_MM * thickness_mm)


def stamp_calcification(one: Calcification, *, spacing_mm: float, shape: tuple[int, int], mtf: Mtf) -> Stamp:
    """Picture of a calcification, computed 6-20 times finer than the pixels and integrated over them.

    Args:
        one: the calcification.
        spacing_mm: pixel size.
        shape: (rows, columns) of the view.
        mtf: the detector.

    Returns:
        The patch.

    Raises:
        ValueError: if it reaches over the border of the view.
    """
    fine = int(np.clip(math.ceil(20.0 * spacing_mm / one.diameter_mm), 6, 20))
    reach_px = math.ceil(one.reach_mm / spacing_mm) + 1
    margin_px = math.ceil(STAMP_MARGIN_MM / spacing_mm)
    side = 2 * (reach_px + margin_px) + 1
    centre = np.array([one.row_mm, one.column_mm]) / spacing_mm
    first = np.floor(centre).astype(int) - reach_px - margin_px
    if (first < 0).any() or (first + side > shape).any():
        raise ValueError(
            f"Expected a calcification {STAMP_MARGIN_MM} mm inside the view, got one at {one.row_mm:.1f}, "
            f"{one.column_mm:.1f} mm that reaches {one.reach_mm:.1f} mm; move it inside"
        )
    step = np.arange((2 * reach_px + 1) * fine) + 0.5
    row, column = (
        ((first[axis] + margin_px + step / fine - centre[axis]) * (spacing_mm / one.diameter_mm)).astype(np.float32)
        for axis in (0, 1)
    )
    loss = primary_loss(one.diameter_mm * one.solid.thickness(row[:, None], column[None, :]))
    loss = np.pad(loss, margin_px * fine)
    blurred = filtered(loss, mtf(frequencies(loss.shape, spacing_mm / fine)))
    top, left = (int(value) for value in first)
    region = (slice(top, top + side), slice(left, left + side))
    return Stamp(region, _integrated(loss, fine), _integrated(blurred, fine))


def _integrated(fine: Array, factor: int) -> Array:
    """Mean over each pixel."""
    rows, columns = fine.shape[0] // factor, fine.shape[1] // factor
    return fine.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def detected(
    primary: Array, breast: NDArray[np.bool_], *, spacing_mm: float, mtf: Mtf, exposure: Exposure
) -> tuple[Array, Array]:
    """Primary and scattered beam behind the detector's blur; beyond its edges the view is mirrored.

    Args:
        primary: (rows, columns), share of the beam that passes the breast.
        breast: where the breast is; air does not scatter.
        spacing_mm: pixel size.
        mtf: the detector.
        exposure: scatter.

    Returns:
        Both (rows, columns) float32.
    """
    margin = math.ceil(1.5 / spacing_mm)
    rows, columns = (fft.next_fast_len(side + 2 * margin, real=True) for side in primary.shape)
    after = rows - primary.shape[0] - margin, columns - primary.shape[1] - margin
    padded = np.pad(primary, ((margin, after[0]), (margin, after[1])), mode="symmetric")
    blurred = filtered(padded, mtf(frequencies(padded.shape, spacing_mm)))
    blurred = blurred[margin : margin + primary.shape[0], margin : margin + primary.shape[1]]
    # Scatter is smooth over centimetres: computed on a coarse copy.
    factor = max(1, round(1.0 / spacing_mm))
    coarse = _coarse(np.where(breast, primary, np.float32(0.0)), factor)
    spread = ndimage.gaussian_filter(coarse, exposure.scatter_mm / (factor * spacing_mm), mode="nearest")
    return blurred, exposure.scatter_to_primary * _enlarged(spread, factor, primary.shape)


def _coarse(image: Array, factor: int) -> Array:
    """Mean over blocks; the last ones are filled up with the edge pixels."""
    padded = np.pad(image, ((0, -image.shape[0] % factor), (0, -image.shape[1] % factor)), mode="edge")
    return _integrated(padded, factor)


def _enlarged(coarse: Array, factor: int, shape: tuple[int, ...]) -> Array:
    """Linear interpolation back to the pixels of a view."""
    result = coarse
    for axis, size in enumerate(shape):
        place = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0.0, coarse.shape[axis] - 1.0)
        low = np.minimum(place.astype(int), max(coarse.shape[axis] - 2, 0))
        share = (place - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        result = np.take(result, low, axis=axis) * (1.0 - share) + np.take(result, high, axis=axis) * share
    return result.astype(np.float32)


def unit_noise(
    rng: np.random.Generator, shape: tuple[int, int], *, spacing_mm: float, mtf: Mtf, exposure: Exposure
) -> Array:
    """Noise whose spectrum is 1 at zero frequency and (1 - share) + share MTF^2 elsewhere, (rows, columns) float32."""
    size = (fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True))
    spectrum = (1.0 - exposure.noise_share) + exposure.noise_share * mtf(frequencies(size, spacing_mm)) ** 2
    white = rng.standard_normal(size, np.float32)
    return filtered(white, np.sqrt(spectrum))[: shape[0], : shape[1]]


def log_exposure(quanta: Array, unit: Array, electronic: Array, *, air: float) -> Array:
    """-log of the counted quanta over those in air, at least 0: bright where dense.

    Args:
        quanta: expected quanta per pixel, (rows, columns).
        unit: noise of `unit_noise`; the quantum noise is sqrt(quanta) times it.
        electronic: additive noise, quanta.
        air: expected quanta per pixel without a breast.
    """
    counted = quanta + np.sqrt(quanta) * unit + electronic
    return np.maximum(-np.log(np.maximum(counted, 1.0) / np.float32(air)), 0.0)


def peripheral_correction(log_view: Array, distance_mm: Array, *, share: float) -> Array:
    """What processing adds towards the skin, where the breast is thin: (rows, columns), >= 0, 0 in air.

    Taken from the view itself (Bick et al. 1996): its fat, the lower quartile at each distance from the skin, should be
    as bright there as farther in.

    Args:
        log_view: from `log_exposure`.
        distance_mm: to the skin, > 0 inside.
        share: share of the drop that is taken out.
    """
    breast = distance_mm > 0
    bins = np.minimum((distance_mm[breast] / PROFILE_STEP_MM).astype(int), PROFILE_STEPS - 1)
    order = np.argsort(bins, kind="stable")
    ends = np.searchsorted(bins[order], np.arange(PROFILE_STEPS + 1))
    values = log_view[breast][order]
    profile = np.array([np.percentile(values[a:b], 25) for a, b in itertools.pairwise(ends) if b > a])
    profile = ndimage.gaussian_filter1d(np.maximum.accumulate(profile), 1.0, mode="nearest")
    centres = (np.arange(len(profile)) + 0.5) * PROFILE_STEP_MM
    added = np.interp(np.maximum(distance_mm, 0.0), centres, profile[-1] - profile)
    return np.where(breast, share * added, 0.0).astype(np.float32)


def display_limits(log_view: Array, interior: NDArray[np.bool_]) -> tuple[float, float]:
    """Display limits of a view without its calcifications: a little below its fat, well above its densest tissue."""
    fat, dense = (float(level) for level in np.percentile(log_view[interior], [1.0, 99.5]))
    dense = max(dense, fat + 0.3)
    return fat - 0.35 * (dense - fat), dense + 0.35 * (dense - fat)


def display(log_view: Array, limits: tuple[float, float], *, exposure: Exposure) -> Array:
    """Display values 0..MAXIMUM, not yet rounded: x^g / (x^g + h^g), the toe and shoulder of a film, of position x.

    Args:
        log_view: log exposure after the correction, (rows, columns).
        limits: levels that become black and white.
        exposure: gamma and half of the curve.
    """
    position = np.clip((log_view - limits[0]) / (limits[1] - limits[0]), 0.0, 1.0)
    raised, half = position ** np.float32(exposure.gamma), exposure.half**exposure.gamma
    return (raised / (raised + np.float32(half)) * np.float32(MAXIMUM * (1.0 + half))).astype(np.float32)

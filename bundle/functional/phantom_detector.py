"""The imaging chain of a phantom: scatter, detector blur, quantum noise, and the For Presentation processing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from .phantom_texture import radial_frequency

Array = NDArray[np.float32]

MAXIMUM = 4095
HEADROOM = 1.4  # white lies above the densest tissue, so that few calcifications are cut off


@dataclass(frozen=True)
class Detector:
    """Exposure, detector and processing of one view.

    Attributes:
        air_quanta_per_mm2: Detected quanta per mm2 without a breast.
        scatter: Scattered share of the energy behind the breast, 0..1.
        scatter_mm: Standard deviation of the scatter kernel.
        blur_mm: Standard deviation of the detector blur (the pixel aperture comes on top).
        noise_blur_mm: Standard deviation of the blur that the quantum noise shares.
        electronic: Standard deviation of additive noise, in quanta per pixel.
        equalisation: Share of the breast's thickness profile that processing takes out, 0..1.
        sharpening: Gain of the unsharp mask.
        sharpening_mm: Its scale.
        contrast: Steepness of the display curve.
        midpoint: Place of its middle between fat (0) and the brightest tissue (1).
    """

    air_quanta_per_mm2: float
    scatter: float
    scatter_mm: float
    blur_mm: float
    noise_blur_mm: float
    electronic: float
    equalisation: float
    sharpening: float
    sharpening_mm: float
    contrast: float
    midpoint: float


def sample_detector(rng: np.random.Generator) -> Detector:
    """Draw an exposure and a processing as different systems have them."""
    blur_mm = rng.uniform(0.025, 0.065)
    return Detector(
        air_quanta_per_mm2=float(np.exp(rng.uniform(np.log(3e6), np.log(1.2e7)))),
        scatter=float(rng.uniform(0.1, 0.3)),
        scatter_mm=float(rng.uniform(3.0, 6.0)),
        blur_mm=float(blur_mm),
        noise_blur_mm=float(blur_mm * rng.uniform(0.3, 0.8)),
        electronic=float(rng.uniform(3.0, 10.0)),
        equalisation=float(rng.uniform(0.9, 1.0)),
        sharpening=float(rng.uniform(0.1, 0.5)),
        sharpening_mm=float(rng.uniform(0.3, 0.8)),
        contrast=float(rng.uniform(2.0, 3.5)),
        midpoint=float(rng.uniform(0.5, 0.7)),
    )


def gaussian_mtf(frequency: Array, *, sigma_mm: float) -> Array:
    """Transfer of a Gaussian blur, exp(-2 pi^2 sigma^2 f^2), float32."""
    return np.exp(np.float32(-2.0 * np.pi**2 * sigma_mm**2) * frequency**2)


def transfer(
    image: Array, *, spacing_mm: float, blur_mm: float, scatter: float = 0.0, scatter_mm: float = 1.0
) -> Array:
    """Blur an exposure by the detector and spread a share of it as scatter; beyond its edges the view is mirrored.

    Args:
        image: (rows, columns) float32, linear in exposure.
        spacing_mm: Pixel side.
        blur_mm: Standard deviation of the detector's Gaussian, >= 0.
        scatter: Share of the energy that is scattered, 0..1.
        scatter_mm: Standard deviation of the scatter kernel.
    """
    margin = max(int(np.ceil(3.0 * max(scatter_mm if scatter > 0.0 else 0.0, blur_mm) / spacing_mm)), 1)
    margin = min(margin, *image.shape)
    rows = fft.next_fast_len(image.shape[0] + 2 * margin, real=False)
    columns = 2 * fft.next_fast_len((image.shape[1] + 2 * margin + 1) // 2, real=False)
    after = rows - image.shape[0] - margin, columns - image.shape[1] - margin
    padded = np.pad(image, ((margin, after[0]), (margin, after[1])), mode="symmetric")
    frequency = radial_frequency((rows, columns), spacing_mm=spacing_mm)
    response = gaussian_mtf(frequency, sigma_mm=blur_mm)
    if scatter > 0.0:
        response *= (1.0 - scatter) + scatter * gaussian_mtf(frequency, sigma_mm=scatter_mm)
    spectrum = fft.rfft2(padded)
    spectrum *= response
    blurred = fft.irfft2(spectrum, s=(rows, columns))
    return blurred[margin : margin + image.shape[0], margin : margin + image.shape[1]].astype(np.float32)


def quantum_noise(rng: np.random.Generator, shape: tuple[int, int], *, spacing_mm: float, blur_mm: float) -> Array:
    """White noise that has passed part of the detector's blur, (rows, columns) float32, about unit variance."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return gaussian_filter(white, blur_mm / spacing_mm, truncate=3.0) if blur_mm > 0.0 else white


def expose(transmission: Array, noise: Array, *, detector: Detector, spacing_mm: float) -> Array:
    """Quanta per pixel behind the breast as -log of their share of air: quantum noise sqrt(N) plus electronic noise.

    Args:
        transmission: Primary and scattered share that reaches the detector, after blur, (rows, columns).
        noise: Unit noise, (rows, columns); the same array gives the same noise.
        detector: Exposure and noise.
        spacing_mm: Pixel side.
    """
    air = detector.air_quanta_per_mm2 * spacing_mm**2
    quanta = np.maximum(transmission, 1e-6) * air
    quanta = quanta + noise * np.sqrt(quanta + detector.electronic**2)
    return -np.log(np.maximum(quanta, 1.0) / air).astype(np.float32)


def equalise(log_exposure: Array, *, fat_log: Array, detector: Detector, spacing_mm: float) -> Array:
    """Take the thickness profile out of a log exposure and sharpen it mildly, float32.

    Args:
        log_exposure: -log(exposure / air), bright where dense.
        fat_log: What a breast of fat alone would show.
        detector: Processing.
        spacing_mm: Pixel side.
    """
    flat = np.maximum(log_exposure - detector.equalisation * fat_log, 0.0)  # nothing shows darker than air
    smooth = gaussian_filter(flat, detector.sharpening_mm / spacing_mm, truncate=2.5)
    return (flat + detector.sharpening * (flat - smooth)).astype(np.float32)


def display(equalised: Array, *, low: float, high: float, detector: Detector) -> NDArray[np.uint16]:
    """Display curve of For Presentation pixels: a sigmoid, low is black, HEADROOM times high is white, uint16."""
    position = (equalised - low) / max(high - low, 1e-6)
    curve = 1.0 / (1.0 + np.exp(-detector.contrast * (position - detector.midpoint)))
    ends = 1.0 / (1.0 + np.exp(-detector.contrast * (np.array([0.0, HEADROOM]) - detector.midpoint)))
    value = np.clip((curve - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)
    return np.rint(value * MAXIMUM).astype(np.uint16)

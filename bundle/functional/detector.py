"""Noise, detector and display of another vendor, for positives and negatives alike.

Noise is additive, so it may go in before the injection, where the contrast-to-noise ratio of the puncta takes it into
account; blur, window, quantisation and compression come after, on background and puncta together.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from .breast import INSIDE_FLOOR
from .puncta import Array


@dataclass(frozen=True)
class Detector:
    """How one patch is degraded.

    Attributes:
        blur_sigma_px: Gaussian blur of background and puncta together.
        sharpening: share of the unsharp mask that is added, as vendors' processing does; 0 for none.
        sharpening_sigma_px: Gaussian of that mask.
        grain: standard deviation of film-like grain, in units of the [0, 1] display; strongest at medium brightness.
        gamma: exponent on the image scaled to [0, 1].
        gain: contrast.
        offset: brightness, in units of the [-1, 1] window.
        bits: depth of quantisation.
        jpeg_quality: quality of a JPEG round trip (8 bit), or None.
    """

    blur_sigma_px: float = 0.0
    sharpening: float = 0.0
    sharpening_sigma_px: float = 1.5
    grain: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    bits: int = 16
    jpeg_quality: int | None = None


def sample_detector(rng: np.random.Generator) -> Detector:
    """Draw a detector: two patches in five are blurred, one in four sharpened, one in ten grainy, half compressed."""
    blur, jpeg, sharp, grain = rng.random(4)
    return Detector(
        blur_sigma_px=float(rng.uniform(0.2, 0.8)) if blur < 0.4 else 0.0,
        gamma=float(np.exp(rng.normal(0.0, 0.2))),
        gain=float(np.exp(rng.normal(0.0, 0.12))),
        offset=float(rng.normal(0.0, 0.08)),
        bits=int(rng.choice([8, 10, 12, 14])),
        jpeg_quality=int(rng.integers(60, 99)) if jpeg < 0.5 else None,
        sharpening=float(rng.uniform(0.2, 1.2)) if sharp < 0.25 else 0.0,
        sharpening_sigma_px=float(rng.uniform(0.8, 4.0)),
        grain=float(rng.uniform(0.003, 0.02)) if grain < 0.1 else 0.0,
    )


def add_noise(image: Array, rng: np.random.Generator, *, sigma: float, correlation_px: float = 0.0) -> Array:
    """Add Gaussian noise inside the breast.

    Args:
        image: (rows, columns), in [-1, 1].
        rng: source of randomness.
        sigma: standard deviation, in units of the [-1, 1] window.
        correlation_px: standard deviation of the Gaussian that correlates neighbouring pixels.

    Returns:
        (rows, columns) in [-1, 1]; -1 stays exactly -1.
    """
    noise = rng.standard_normal(image.shape, np.float32)
    if correlation_px > 0:
        noise = gaussian_filter(noise, correlation_px)
        noise /= noise.std()
    return np.where(image > -1, np.clip(image + np.float32(sigma) * noise, INSIDE_FLOOR, 1), -1).astype(np.float32)


def apply_detector(image: Array, detector: Detector, rng: np.random.Generator | None = None) -> Array:
    """Degrade a patch: gamma and window, blur, sharpening, grain, quantisation, JPEG.

    Args:
        image: (rows, columns), in [-1, 1].
        detector: how.
        rng: source of the grain; needed when there is any.

    Returns:
        (rows, columns) in [-1, 1]; -1 stays exactly -1 (outside the breast).
    """
    outside = image <= -1
    shown: NDArray[np.floating] = 2 * ((image + 1) / 2) ** np.float32(detector.gamma) - 1
    shown = np.float32(detector.gain) * shown + np.float32(detector.offset)
    if detector.blur_sigma_px > 0:
        shown = gaussian_filter(shown, detector.blur_sigma_px)
    if detector.sharpening > 0:
        mask = shown - gaussian_filter(shown, detector.sharpening_sigma_px)
        shown = shown + np.float32(detector.sharpening) * mask
    shown = (np.clip(shown, -1, 1) + 1) / 2
    if detector.grain > 0:
        shown = _with_grain(shown, detector.grain, rng)
    levels = 2**detector.bits - 1
    shown = np.round(shown * np.float32(levels)) / np.float32(levels)
    if detector.jpeg_quality is not None:
        shown = _jpeg_round_trip(shown, detector.jpeg_quality)
    # Black tissue stays above the -1 that means outside.
    return np.asarray(np.where(outside, -1, np.maximum(2 * shown - 1, np.float32(INSIDE_FLOOR))), np.float32)


def _with_grain(shown: NDArray[np.floating], grain: float, rng: np.random.Generator | None) -> NDArray[np.floating]:
    """Add grain to an image in [0, 1]: none in the deepest black and the fullest white, where film has no gradient."""
    if rng is None:
        raise ValueError("Expected a source of randomness for the grain, got none; pass rng")
    noise = gaussian_filter(rng.standard_normal(shown.shape, np.float32), 0.6)
    noise *= np.float32(grain) / noise.std()
    return np.clip(shown + 2 * np.sqrt(shown * (1 - shown)) * noise, 0, 1)


def _jpeg_round_trip(shown: NDArray[np.floating], quality: int) -> Array:
    """Encode and decode an image in [0, 1] as 8-bit JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(255 * shown).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32) / np.float32(255)

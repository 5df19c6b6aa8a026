"""A model observer that is told what it looks for: the prewhitening matched filter, its signal known exactly.

The filter of a signal s in noise of power spectrum W is S / W (North, Proc IEEE 51, 1963; Barrett and Myers,
Foundations of Image Science, 2004, section 13.2): in stationary Gaussian noise no observer detects s better. Breasts
are neither, so responses are counted in their standard deviation nearby, and false alarms on images instead of from a
distribution: what comes out is a mark to hold detectors against, which are not told the signal, and no bound.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

# What is coarser than this (Gaussian sigma) is no calcification, and is taken away first.
COARSE_PX = 20.0
# The share of the mean power that is added to every power, so that no frequency is trusted without bound.
FLOOR = 1e-3
# A block with less of the region than this does not count towards the spectrum.
BLOCK_SHARE = 0.95

Array = NDArray[np.float32]


class Scores(NamedTuple):
    """Of each pixel as the centre of the signal, float32 (rows, columns), in standard deviations nearby.

    Attributes:
        without: the filter's response to the image as it is.
        rise: by how much the signal raises it there; the detectability index d'.
    """

    without: Array
    rise: Array


class ModelObserver:
    """The observer of one image without signals.

    Args:
        image: (rows, columns).
        region: bool (rows, columns), e.g. the breast without its outline; nothing is learned from outside.
        block_px: side of the blocks whose mean periodogram is the noise's spectrum, and the largest signal.
        reach_px: side of the square whose responses make the standard deviation of its centre.

    Raises:
        ValueError: if no block lies in the region, or a side is below 3 px.
    """

    def __init__(self, image: ArrayLike, region: ArrayLike, *, block_px: int = 128, reach_px: int = 25) -> None:
        if min(block_px, reach_px) < 3:
            raise ValueError(f"Expected squares of 3 px or more, got {block_px} and {reach_px} px; take larger ones")
        self.region, self.block_px, self.reach_px = np.asarray(region, bool), block_px, reach_px
        inside = self.region.astype(np.float32)
        values = np.where(self.region, np.asarray(image, np.float32), 0)
        coarse = ndimage.gaussian_filter(values, COARSE_PX) / np.maximum(
            ndimage.gaussian_filter(inside, COARSE_PX), FLOOR
        )
        detail = np.where(self.region, values - coarse, 0).astype(np.float32)
        self._spectrum = noise_spectrum(detail, self.region, block_px=block_px)
        rows, columns = (fft.next_fast_len(side + block_px, real=True) for side in detail.shape)
        self._shape = rows, columns
        self._transform = fft.rfft2(detail, self._shape)
        # Outside the region there is no response to measure.
        self._share = np.maximum(ndimage.uniform_filter(inside, reach_px), 1 / reach_px**2)

    def scores(self, signal: ArrayLike) -> Scores:
        """Scores of a signal everywhere.

        Args:
            signal: (rows, columns), at most `block_px` a side: what it adds to an image.

        Raises:
            ValueError: if it is larger, or nothing.
        """
        known = np.asarray(signal, np.float32)
        if max(known.shape) > self.block_px or not known.any():
            raise ValueError(f"Expected a signal of at most {self.block_px} px a side that is not 0 everywhere, got "
                             f"{known.shape[0]} x {known.shape[1]} px")  # fmt: skip
        block = (self.block_px, self.block_px)
        # The signal loses what is coarse, as the image has.
        frequencies = np.hypot(fft.fftfreq(self.block_px)[:, None], fft.rfftfreq(self.block_px)[None])
        fine = fft.rfft2(known, block) * (1 - np.exp(-2 * (np.pi * COARSE_PX * frequencies) ** 2))
        power = self._spectrum[:, : self.block_px // 2 + 1] + FLOOR * self._spectrum.mean()
        kernel = fft.irfft2(fine / power, block)
        # The kernel's middle to the corner, and the signal's centre with it.
        centred = np.zeros(self._shape, np.float32)
        centred[: self.block_px, : self.block_px] = fft.fftshift(kernel)
        shift = [-(self.block_px // 2) - side // 2 for side in known.shape]
        product = self._transform * np.conj(fft.rfft2(np.roll(centred, shift, (0, 1))))
        rows, columns = self.region.shape
        response = fft.irfft2(product, self._shape)[:rows, :columns].astype(np.float32)
        squares = ndimage.uniform_filter(np.where(self.region, response**2, 0), self.reach_px)
        deviation = np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny) / self._share)
        gain = float((fft.irfft2(fine, block) * kernel).sum())
        return Scores(response / deviation, gain / deviation)


def noise_spectrum(detail: Array, region: NDArray[np.bool_], *, block_px: int) -> NDArray[np.float64]:
    """Mean periodogram of half-overlapping Hann-windowed blocks, each of variance 1, smoothed a little.

    Args:
        detail: (rows, columns), its mean about 0.
        region: bool (rows, columns).
        block_px: side of a block.

    Returns:
        (block_px, block_px), in the order of an FFT; only its shape means anything.

    Raises:
        ValueError: if no block lies in the region.
    """
    window = np.outer(np.hanning(block_px), np.hanning(block_px))
    found = []
    for row in range(0, detail.shape[0] - block_px + 1, block_px // 2):
        for column in range(0, detail.shape[1] - block_px + 1, block_px // 2):
            box = slice(row, row + block_px), slice(column, column + block_px)
            if region[box].mean() >= BLOCK_SHARE and detail[box].std() > 0:
                block = (detail[box] - detail[box].mean()) / detail[box].std()
                found.append(np.abs(fft.fft2(block * window)) ** 2)
    if not found:
        raise ValueError(f"Expected a region that holds a block of {block_px} px, found none; take a larger one")
    return np.asarray(ndimage.gaussian_filter(np.mean(found, axis=0, dtype=np.float64), 1, mode="wrap"))


def peaks(scores: Array, region: NDArray[np.bool_], *, apart_px: int = 5) -> NDArray[np.float32]:
    """Scores of the maxima in a region, no two nearer than `apart_px` in rows and columns; highest first."""
    highest = scores == ndimage.maximum_filter(scores, 2 * apart_px + 1)
    return np.sort(scores[highest & region])[::-1]

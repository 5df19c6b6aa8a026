"""Calcifications of the shift benchmark put into a real background: physics mode of METHOD.md section 2.

A For Presentation image is log exposure, inverted, so calcium adds g times the log exposure that it takes away:
delta_x = -g ln(1 - c), where c is the loss of the primary beam, 1 - exp(-delta_mu t), after blur and integration over
pixels. Without blur this is g delta_mu t. Neither shapes nor contrast are those that training injects.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .benchmark_clusters import ISOLATED, Calcification, sample_cluster, without_contact
from .benchmark_imaging import Mtf, Stamp, stamp_calcification
from .confusion import IGNORE, MICROCALCIFICATION

Array = NDArray[np.float32]
Placed = list[tuple[Calcification, Stamp]]

# Standard deviation of the detector's blur, drawn per injection.
BLUR_SIGMA_MM = (0.025, 0.065)
# Contrast-to-noise ratio of the median calcification of an injection: sizes spread the others about it.
MEDIAN_CNR = (1.5, 8.0)
ISOLATED_COUNT = (0, 3)
# As in the shift benchmark: peak CNR x sqrt(pixels at half maximum). Noise is what is finer than the first length, over
# a square of the second.
VISIBILITY_FLOOR = 5.0
HIGH_PASS_MM, NEARBY_MM = 1.0, 4.0
# Rounding to 8 bits over the window [-1, 1] leaves at least this much.
SMALLEST_NOISE = 2 / 255 / math.sqrt(12)
BORDER_MM = 2.0
TRIES = 50


def sample_calcifications(
    rng: np.random.Generator, breast: NDArray[np.bool_], *, distribution: str, spacing_mm: float
) -> list[Calcification]:
    """Draw a cluster, a group and some isolated calcifications that lie in the breast, none touching another.

    Args:
        rng: source of randomness.
        breast: (rows, columns), where tissue is.
        distribution: of the cluster, one of `benchmark_clusters.DISTRIBUTIONS`.
        spacing_mm: pixel size.

    Returns:
        Calcifications, at least one; positions in mm from the upper left corner.

    Raises:
        ValueError: if the breast has no room for any.
    """
    margin_px = max(1, round(BORDER_MM / spacing_mm))
    room = ndimage.minimum_filter(np.asarray(breast, bool), 2 * margin_px + 1, mode="constant", cval=False)
    places = np.argwhere(room)
    if not len(places):
        raise ValueError(
            f"Expected breast more than {BORDER_MM:g} mm from skin and borders, found none; take another crop"
        )
    extent = np.array(breast.shape) * spacing_mm
    kinds = [distribution, "grouped"] + [ISOLATED] * int(rng.integers(ISOLATED_COUNT[0], ISOLATED_COUNT[1] + 1))
    for _ in range(TRIES):
        drawn: list[Calcification] = []
        for number, kind in enumerate(kinds):
            centre = (places[rng.integers(len(places))] + 0.5) * spacing_mm
            drawn += sample_cluster(rng, kind, number=number, nipple_mm=(extent[0] / 2, extent[1]), centre_mm=centre)
        inside = [one for one in drawn if _in(room, one, spacing_mm)]
        if inside:
            return without_contact(inside)
    raise AssertionError("every drawn calcification lay outside the breast")


def place(
    calcifications: list[Calcification], shape: tuple[int, int], *, spacing_mm: float, blur_sigma_mm: float
) -> Placed:
    """Picture each calcification on the pixels; those that reach over the border are left out.

    Args:
        calcifications: what to place.
        shape: (rows, columns).
        spacing_mm: pixel size.
        blur_sigma_mm: detector blur.
    """
    mtf = Mtf(sigma_mm=blur_sigma_mm, tail=0.0, tail_mm=0.0)
    stamps = [(one, stamp_calcification(one, spacing_mm=spacing_mm, shape=shape, mtf=mtf)) for one in calcifications]
    return [(one, stamp) for one, stamp in stamps if stamp is not None]


def gain_for_cnr(placed: Placed, noise: Array, *, median_cnr: float) -> float:
    """The g, in window units per unit of log exposure, that gives the median calcification this CNR.

    Args:
        placed: from `place`, at least one.
        noise: from `local_noise`.
        median_cnr: wanted peak over noise.
    """
    return median_cnr / float(np.median([_peak(stamp) / _noise_at(noise, stamp) for _, stamp in placed]))


def inject_thickness(
    background: Array, placed: Placed, noise: Array, *, gain: float
) -> tuple[Array, NDArray[np.uint8]]:
    """Add calcifications to a background: x + delta_x, clipped to [-1, 1].

    Args:
        background: (rows, columns), windowed to [-1, 1].
        placed: from `place`.
        noise: from `local_noise`, of the background.
        gain: g, in window units per unit of log exposure.

    Returns:
        The image, and its label: support at half the loss before blur, 1, or 2 below the visibility floor.
    """
    image, label = background.astype(np.float32), np.zeros(background.shape, np.uint8)
    for _, stamp in placed:
        image[stamp.region] += np.float32(gain) * _log_loss(stamp)
        half_px = np.count_nonzero(_log_loss(stamp) >= 0.5 * _peak(stamp))
        visible = gain * _peak(stamp) / _noise_at(noise, stamp) * math.sqrt(half_px) >= VISIBILITY_FLOOR
        target = label[stamp.region]
        support = stamp.sharp >= 0.5 * stamp.sharp.max()
        target[support & (target != MICROCALCIFICATION)] = MICROCALCIFICATION if visible else IGNORE
    return np.clip(image, -1, 1), label


def local_noise(background: Array, *, spacing_mm: float) -> Array:
    """Standard deviation of the high-passed background nearby, (rows, columns), positive.

    Args:
        background: (rows, columns), windowed to [-1, 1].
        spacing_mm: pixel size.
    """
    high = background - ndimage.uniform_filter(background, max(3, round(HIGH_PASS_MM / spacing_mm)))
    variance = ndimage.uniform_filter(high * high, max(3, round(NEARBY_MM / spacing_mm)))
    return np.sqrt(np.maximum(variance, SMALLEST_NOISE**2))


def _in(room: NDArray[np.bool_], one: Calcification, spacing_mm: float) -> bool:
    row, column = int(one.row_mm // spacing_mm), int(one.column_mm // spacing_mm)
    return 0 <= row < room.shape[0] and 0 <= column < room.shape[1] and bool(room[row, column])


def _log_loss(stamp: Stamp) -> Array:
    # The transform of the blur may undershoot zero by rounding.
    return np.maximum(-np.log1p(-stamp.blurred), np.float32(0))


def _peak(stamp: Stamp) -> float:
    return float(_log_loss(stamp).max())


def _noise_at(noise: Array, stamp: Stamp) -> float:
    rows, columns = stamp.region
    return float(noise[(rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2])

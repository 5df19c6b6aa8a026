"""How hard a calcification is to see: size, contrast-to-noise ratio, and the density inside and around it.

- Nearby background: pixels of the region between RING_MM[0] and RING_MM[1] from the object, at least RING_MM[0] away
  from every other labelled pixel, and above -1, which is outside the breast. Fewer than MIN_BACKGROUND_PX of them, and
  only the interior is measured.
- Contrast: the brightest pixel of the object less the median of the nearby background.
- Noise: the standard deviation over the nearby background of what is finer than HIGH_PASS_MM, i.e. of the image less
  its mean over the background pixels of a square window of that side.
- CNR = contrast / noise, nan where the noise is below LEAST_NOISE.
- Interior and exterior density: mean of the object, mean of the nearby background.

The brightest of several pixels is above the median even in pure noise (by about 1.5 standard deviations of ten
pixels), so a CNR near 2 is nothing to see.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter

from .components import Components
from .objects import Reference, Spacing

# The background around an object; noise is what is finer than the second, whatever training takes it to be.
RING_MM = (0.2, 1.2)
HIGH_PASS_MM = 1.0
MIN_BACKGROUND_PX = 20
# What rounding leaves of a constant background, in units of the [-1, 1] window.
LEAST_NOISE = 1e-6
# Strata of the contrast-to-noise ratio: below the first, up to the second (both included), above it.
CNR_EDGES = (3.0, 6.0)


class Visibility(NamedTuple):
    """Of each object, (n,): contrast-to-noise ratio, mean inside, mean around; nan where there is no background."""

    cnr: NDArray[np.float64]
    interior: NDArray[np.float64]
    exterior: NDArray[np.float64]


def diameter_mm(area_px: ArrayLike, *, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Diameter of the disc of equal area, of objects of `area_px` pixels."""
    return 2 * np.sqrt(np.asarray(area_px, np.float64) * float(np.prod(spacing_mm)) / np.pi)


def measure_visibility(image: ArrayLike, label: ArrayLike, reference: Reference) -> Visibility:
    """Measure every true object of a view.

    Args:
        image: (rows, columns), windowed to [-1, 1].
        label: (rows, columns), 0, 1 or 2.
        reference: from `find_reference` of the same label.
    """
    view, labelled = np.asarray(image, np.float64), np.asarray(label) != 0
    if not view.shape == labelled.shape == reference.inside.shape:
        raise ValueError(f"Expected image and label of one shape, got {view.shape} and {labelled.shape}")
    rows = [_measure(view, labelled, reference, index) for index in range(len(reference.true))]
    return Visibility(*np.array(rows, np.float64).reshape(-1, 3).T)


def _measure(view: NDArray, labelled: NDArray, reference: Reference, index: int) -> tuple[float, float, float]:
    """CNR, interior and exterior of one object, from the patch around it."""
    spacing = np.asarray(reference.spacing_mm, np.float64)
    patch = _patch(reference.true, index, np.ceil((RING_MM[1] + HIGH_PASS_MM) / spacing).astype(int))
    image, others = view[patch], labelled[patch]
    own = _mask_of(reference.true, index, patch)
    far = distance_transform_edt(~others, sampling=spacing) >= RING_MM[0]
    background = reference.inside[patch] & (image > -1) & far
    ring = background & (distance_transform_edt(~own, sampling=spacing) <= RING_MM[1])
    interior = float(image[own].mean())
    if np.count_nonzero(ring) < MIN_BACKGROUND_PX:
        return np.nan, interior, np.nan
    window = np.maximum(3, np.rint(HIGH_PASS_MM / spacing).astype(int))
    share = uniform_filter(background.astype(np.float64), window, mode="constant")
    mean = uniform_filter(np.where(background, image, 0.0), window, mode="constant")
    noise = float(np.std(image[ring] - mean[ring] / share[ring]))
    contrast = float(image[own].max() - np.median(image[ring]))
    return contrast / noise if noise >= LEAST_NOISE else np.nan, interior, float(image[ring].mean())


def _patch(objects: Components, index: int, margin: NDArray) -> tuple[slice, slice]:
    first, last = np.maximum(objects.box_px[index, :2] - margin, 0), objects.box_px[index, 2:] + margin
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def _mask_of(objects: Components, index: int, patch: tuple[slice, slice]) -> NDArray[np.bool_]:
    shape = [min(side.stop, size) - side.start for side, size in zip(patch, objects.shape, strict=True)]
    rows, columns = np.divmod(objects.pixels[objects.owner == index], objects.shape[1])
    mask = np.zeros(shape, bool)
    mask[rows - patch[0].start, columns - patch[1].start] = True
    return mask

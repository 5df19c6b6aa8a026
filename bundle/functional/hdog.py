"""Hessian difference of Gaussians (HDoG): the blob segmentation of HDoGReg, with the errata of its equations.

- Eqs. 3 and 4: the narrow Gaussian less the wide one, so that bright blobs are positive (printed the other way round).
- Eq. 6: tr(H) < 0 and (det(H) > 0 or |det(H)| / tr(H)^2 < h_thr); as printed, with det(H) < 0, it reduces to tr(H) < 0.
- A blob is dropped when its overlap with a larger one is above the threshold.

A score map whose pixels at or above T are the segmentation at the DoG threshold T serves every threshold at once.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from .classical import SKIN_MARGIN_MM, Image, Mask, gaussian, in_px, local_mean, score_inside
from .objects import EIGHT_CONNECTED, Spacing

# Published in pixels of 0.07 mm.
PUBLISHED_SPACING_MM = 0.07
SIGMA_MIN_MM = 1.18 * PUBLISHED_SPACING_MM
SIGMA_MAX_MM = 3.1 * PUBLISHED_SPACING_MM
SCALE_RATIO = 1.6
# On an image in [0, 1].
DOG_THRESHOLD = 0.006
OVERLAP = 1.0
HESSIAN_THRESHOLD = 1.4


def hdog_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    sigma_min_mm: float = SIGMA_MIN_MM,
    sigma_max_mm: float = SIGMA_MAX_MM,
    ratio: float = SCALE_RATIO,
    hessian_threshold: float = HESSIAN_THRESHOLD,
    overlap: float = OVERLAP,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """Segment blobs at every DoG threshold: each object of a Hessian mask has the response of its strongest blob.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); where the image is above -1 when None.
        sigma_min_mm: smallest scale,
        sigma_max_mm: and the largest, see `scales_mm`.
        ratio: factor between scales.
        hessian_threshold: h_thr of eq. 6; 0 keeps blobs alone, 0.25 and more also tubes and the saddles between.
        overlap: share of the smaller disc (radius sqrt(2) sigma) above which the smaller blob is dropped; 1 keeps all.
        margin_mm: width left out along the skin.

    Returns:
        float32 (rows, columns): the largest normalised DoG response of any blob whose object holds the pixel, in units
        of the image scaled to [0, 1]; 0 where there is none.

    Raises:
        ValueError: on scales or thresholds out of range.
    """
    sigmas_mm = scales_mm(sigma_min_mm, sigma_max_mm, ratio=ratio)
    if not (hessian_threshold >= 0 and 0 <= overlap <= 1):
        raise ValueError(f"Expected h_thr >= 0 and overlap in [0, 1], got {hessian_threshold:g} and {overlap:g}")

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        stack = dog_stack((values + 1) / np.float32(2), inside, sigmas_mm=sigmas_mm, spacing_mm=spacing_mm)
        blobs = find_blobs(np.where(kept, stack, 0))
        strength = stack[tuple(blobs.T)]
        free = _unhidden(blobs, strength, sigmas_mm=sigmas_mm, spacing_mm=spacing_mm, overlap=overlap)
        blobs, strength = blobs[free], strength[free]
        score = np.zeros_like(values)
        for scale, layer in enumerate(stack):
            mask = hessian_mask(layer, spacing_mm=spacing_mm, threshold=hessian_threshold) & kept
            here = blobs[:, 0] == scale
            np.maximum(score, _object_scores(mask, blobs[here, 1:], strength[here]), out=score)
        return score

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def scales_mm(sigma_min_mm: float, sigma_max_mm: float, *, ratio: float) -> NDArray:
    """Geometric scales from the smallest to the first one at or above the largest, as scikit-image counts them.

    Raises:
        ValueError: unless 0 < sigma_min_mm <= sigma_max_mm and ratio > 1.
    """
    if not (0 < sigma_min_mm <= sigma_max_mm and ratio > 1):
        raise ValueError(
            f"Expected 0 < smallest <= largest sigma and a ratio > 1, got {sigma_min_mm:g} and {sigma_max_mm:g} mm, "
            f"{ratio:g}; correct them"
        )
    layers = int(np.log(sigma_max_mm / sigma_min_mm) / np.log(ratio) + 1)
    return sigma_min_mm * ratio ** np.arange(layers + 1)


def dog_stack(values: Image, inside: Mask, *, sigmas_mm: NDArray, spacing_mm: Spacing) -> Image:
    """Scale-normalised DoG (eq. 4, positive on bright blobs), (scales - 1, rows, columns).

    Args:
        values: float (rows, columns), in the units of the response.
        inside: bool (rows, columns); other pixels take no part.
        sigmas_mm: increasing.
        spacing_mm: row and column spacing.
    """
    means = [local_mean(values, inside, gaussian(in_px(sigma, spacing_mm, "sigma"))) for sigma in sigmas_mm]
    layers = [
        np.float32(narrow / (wide - narrow)) * (means[n] - means[n + 1])
        for n, (narrow, wide) in enumerate(pairwise(sigmas_mm))
    ]
    return np.stack(layers)


def find_blobs(stack: Image) -> NDArray[np.int64]:
    """Positive local maxima in scale, row and column, (n, 3); every pixel of a plateau counts."""
    largest = ndimage.maximum_filter(stack, size=3, mode="constant", cval=-np.inf)
    return np.argwhere((stack == largest) & (stack > 0))


def hessian_mask(layer: Image, *, spacing_mm: Spacing, threshold: float) -> Mask:
    """Where a layer curves like a bright blob or tube (eq. 6, corrected).

    Args:
        layer: DoG response (rows, columns).
        spacing_mm: row and column spacing.
        threshold: largest |det| / tr^2 at a saddle.
    """
    row_mm, column_mm = (float(side) for side in spacing_mm)
    second, first = np.array([1.0, -2.0, 1.0]), np.array([-0.5, 0.0, 0.5])
    down = ndimage.correlate1d(layer, second / row_mm**2, axis=0, mode="nearest")
    across = ndimage.correlate1d(layer, second / column_mm**2, axis=1, mode="nearest")
    mixed = ndimage.correlate1d(
        ndimage.correlate1d(layer, first / row_mm, axis=0, mode="nearest"), first / column_mm, axis=1, mode="nearest"
    )
    trace, determinant = down + across, down * across - mixed**2
    return (trace < 0) & ((determinant > 0) | (np.abs(determinant) < threshold * trace**2))


def _object_scores(mask: Mask, positions: NDArray[np.int64], strength: Image) -> Image:
    """Each 8-connected object of the mask at the strength of its strongest blob; 0 without one."""
    label_map, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    best = np.zeros(count + 1, np.float32)
    np.maximum.at(best, label_map[tuple(positions.T)], strength)
    best[0] = 0
    return best[label_map]


def _unhidden(
    blobs: NDArray[np.int64], strength: Image, *, sigmas_mm: NDArray, spacing_mm: Spacing, overlap: float
) -> Mask:
    """Which blobs stay: those whose disc lies in no larger (or equal and stronger) one by more than `overlap`."""
    stays = np.ones(len(blobs), bool)
    if overlap >= 1 or len(blobs) < 2:
        return stays
    centres = blobs[:, 1:] * np.asarray(spacing_mm, np.float64)
    radius = np.sqrt(2) * sigmas_mm[blobs[:, 0]]
    pairs = cKDTree(centres).query_pairs(2 * float(radius.max()), output_type="ndarray")
    order = np.lexsort((strength, radius))
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    small = np.where(rank[pairs[:, 0]] < rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    large = pairs.sum(axis=1) - small
    distance = np.linalg.norm(centres[small] - centres[large], axis=1)
    stays[small[_shared_disc(distance, radius[small], radius[large]) > overlap]] = False
    return stays


def _shared_disc(distance: NDArray, small: NDArray, large: NDArray) -> NDArray:
    """Share of the smaller of two discs that lies in the larger; radii and distance (n,)."""
    inside, apart = distance <= large - small, distance >= large + small
    gap = np.where(inside | apart, large, distance)
    at_small = np.arccos(np.clip((gap**2 + small**2 - large**2) / (2 * gap * small), -1, 1))
    at_large = np.arccos(np.clip((gap**2 + large**2 - small**2) / (2 * gap * large), -1, 1))
    kite = (small + large - gap) * (gap + small - large) * (gap - small + large) * (gap + small + large)
    lens = small**2 * at_small + large**2 * at_large - 0.5 * np.sqrt(np.maximum(kite, 0))
    return np.where(inside, 1.0, np.where(apart, 0.0, lens / (np.pi * small**2)))

"""Context-sensitive detection (Wang & Yang 2018): difference-of-Gaussians candidates, patches around them, discs."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from skimage.feature import blob_dog

from .classical import OUTSIDE, SKIN_MARGIN_MM, Image, Mask, eroded_breast, in_px, score_inside
from .hdog import PUBLISHED_SPACING_MM
from .objects import Spacing

# What HDoGReg's authors took for INbreast, in pixels of 0.07 mm and on an image in [0, 1].
SIGMA_MIN_MM = 1.6 * PUBLISHED_SPACING_MM
SIGMA_MAX_MM = 2.0 * PUBLISHED_SPACING_MM
DOG_THRESHOLD = 0.01
OVERLAP = 0.0
CONTEXT_PX = 95
LOCAL_PX = 9
BLOB_RADIUS = float(np.sqrt(2))
"""Of a disc over the sigma at which its difference-of-Gaussians response is largest; a radius of 1 fills half of it."""

Classify = Callable[[Image, NDArray[np.int64]], NDArray]


def csd_score(
    image: ArrayLike,
    *,
    spacing_mm: Spacing,
    classify: Classify,
    breast: ArrayLike | None = None,
    sigma_min_mm: float = SIGMA_MIN_MM,
    sigma_max_mm: float = SIGMA_MAX_MM,
    dog_threshold: float = DOG_THRESHOLD,
    overlap: float = OVERLAP,
    radius: float = BLOB_RADIUS,
    margin_mm: float = SKIN_MARGIN_MM,
) -> Image:
    """Discs at all candidates with the score that a classifier gives them; where discs overlap, the larger one.

    Args:
        image: float (rows, columns) in [-1, 1].
        spacing_mm: row and column spacing.
        classify: function of the image and of positions (n, 2) to scores (n,) > 0.
        breast: bool (rows, columns); where the image is above -1 when None.
        sigma_min_mm: as in `find_candidates`, as is
        sigma_max_mm: this,
        dog_threshold: this
        overlap: and this.
        radius: of the discs in sigmas.
        margin_mm: width left out along the skin.

    Returns:
        float32 (rows, columns); 0 outside the discs.
    """

    def response(values: Image, inside: Mask, kept: Mask) -> Image:
        positions, sigmas_px = find_candidates(
            values,
            kept,
            spacing_mm=spacing_mm,
            sigma_min_mm=sigma_min_mm,
            sigma_max_mm=sigma_max_mm,
            dog_threshold=dog_threshold,
            overlap=overlap,
        )
        scores = classify(values, positions) if len(positions) else np.zeros(0)
        return disc_map(positions, radius * sigmas_px, scores, shape=values.shape)

    return score_inside(image, breast, response, spacing_mm=spacing_mm, margin_mm=margin_mm)


def find_candidates(
    image: Image,
    kept: Mask,
    *,
    spacing_mm: Spacing,
    sigma_min_mm: float = SIGMA_MIN_MM,
    sigma_max_mm: float = SIGMA_MAX_MM,
    dog_threshold: float = DOG_THRESHOLD,
    overlap: float = OVERLAP,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Blobs of scikit-image's difference of Gaussians inside a mask.

    Args:
        image: float (rows, columns) in [-1, 1].
        kept: bool (rows, columns).
        spacing_mm: row and column spacing; the geometric mean of both turns sigmas into pixels.
        sigma_min_mm: smallest scale,
        sigma_max_mm: and largest.
        dog_threshold: least response, of the image scaled to [0, 1].
        overlap: share of a blob in another above which the smaller is dropped.

    Returns:
        Positions, int (n, 2), row and column; sigma of each in pixels, (n,).
    """
    low, high = (float(np.sqrt(np.prod(in_px(s, spacing_mm, "sigma")))) for s in (sigma_min_mm, sigma_max_mm))
    scaled = (np.asarray(image, np.float32) + 1) / 2
    blobs = blob_dog(scaled, min_sigma=low, max_sigma=high, threshold=dog_threshold, overlap=overlap)
    positions = blobs[:, :2].astype(np.int64)
    inside = np.asarray(kept, bool)[tuple(positions.T)]
    return positions[inside], blobs[inside, 2]


def training_candidates(
    image: Image, label: NDArray, *, spacing_mm: Spacing, margin_mm: float = SKIN_MARGIN_MM
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidates of a labelled patch and their classes.

    A candidate is a microcalcification if a pixel of its 3 x 3 neighbourhood is labelled 1; one that otherwise meets
    "ignore" (2) is left out.

    Returns:
        Positions, int (n, 2); classes 0 and 1, (n,).
    """
    kept = eroded_breast(image > OUTSIDE, spacing_mm=spacing_mm, margin_mm=margin_mm)
    positions, _ = find_candidates(image, kept, spacing_mm=spacing_mm)
    around = cut_patches(label, positions, side_px=3, outside=0)
    true, unsure = (around == 1).any(axis=(1, 2)), (around == 2).any(axis=(1, 2))
    known = true | ~unsure
    return positions[known], true[known].astype(np.int64)


def cut_patches(values: NDArray, positions: NDArray[np.int64], *, side_px: int, outside: float = OUTSIDE) -> NDArray:
    """Squares around pixels, a copy, (n, side_px, side_px).

    Args:
        values: (rows, columns).
        positions: int (n, 2), row and column of the centres.
        side_px: odd.
        outside: what lies beyond the image.

    Raises:
        ValueError: on an even side.
    """
    if side_px % 2 == 0:
        raise ValueError(f"Expected an odd side, so that a patch has a centre, got {side_px}; take {side_px + 1}")
    padded = np.pad(values, side_px // 2, constant_values=outside)
    return sliding_window_view(padded, (side_px, side_px))[positions[:, 0], positions[:, 1]].copy()


def disc_map(
    positions: NDArray[np.int64], radius_px: NDArray[np.float64], scores: NDArray, *, shape: tuple[int, ...]
) -> Image:
    """Discs of pixels whose centres are at most a radius away; the largest score where they overlap, 0 elsewhere.

    Args:
        positions: int (n, 2), row and column.
        radius_px: (n,).
        scores: (n,), >= 0.
        shape: rows and columns.
    """
    drawn = np.zeros(shape, np.float32)
    for radius in np.unique(radius_px):
        reach = np.arange(-int(radius), int(radius) + 1)
        disc = np.argwhere(reach[:, None] ** 2 + reach**2 <= radius**2) - int(radius)
        same = radius_px == radius
        places = positions[same][:, None] + disc
        values = np.repeat(scores[same, None], len(disc), axis=1)
        inside = ((places >= 0) & (places < np.array(shape))).all(axis=-1)
        np.maximum.at(drawn, tuple(places[inside].T), values[inside].astype(np.float32))
    return drawn

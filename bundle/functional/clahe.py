"""Contrast-limited adaptive histogram equalisation and gamma, as DeepMiCa prepares its images.

scikit-image's `equalize_adapthist` first stretches every image to its own range, so the same tissue would look
different in another window; here the range is that of the view, [-1, 1].
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLIP_LIMIT = 2.0
TILE_PX = 256
BINS = 256
OUTSIDE = -1.0

Image = NDArray[np.float32]


def clahe(image: ArrayLike, *, clip_limit: float = CLIP_LIMIT, tile_px: int = TILE_PX, gamma: float = 1.0) -> Image:
    """Equalise the histogram of each tile, with a limit on the contrast, and interpolate between tiles.

    Args:
        image: float (rows, columns) in [-1, 1], -1 outside the breast.
        clip_limit: largest count of a bin over that of a flat histogram (OpenCV's `clipLimit`), at least 1.
        tile_px: side of the tiles; the image is continued by reflection to a whole number of them.
        gamma: of the curve v^(1 / gamma) on [0, 1] that follows; above 1 brightens.

    Returns:
        float32 (rows, columns) in [-1, 1], above -1 inside the breast and exactly -1 outside.

    Raises:
        ValueError: on an option out of its range.
    """
    if not (clip_limit >= 1 and tile_px >= 2 and gamma > 0):
        raise ValueError(
            f"Expected clip limit >= 1, tiles >= 2 px and gamma > 0, got {clip_limit:g}, {tile_px} and {gamma:g}"
        )
    values = np.asarray(image, np.float32)
    if values.ndim != 2:
        raise ValueError(f"Expected an image (rows, columns), got shape {values.shape}; pass one view at a time")
    bins = np.clip((values + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    curves = tile_curves(bins, clip_limit=clip_limit, tile_px=tile_px)
    (top, bottom, down), (left, right, across) = (_neighbours(size, tile_px) for size in values.shape)
    down, across = down[:, None], across[None, :]
    upper = (1 - across) * curves[top[:, None], left, bins] + across * curves[top[:, None], right, bins]
    lower = (1 - across) * curves[bottom[:, None], left, bins] + across * curves[bottom[:, None], right, bins]
    equal = (1 - down) * upper + down * lower
    return np.where(values > OUTSIDE, 2 * equal ** (1 / gamma) - 1, OUTSIDE).astype(np.float32)


def tile_curves(bins: NDArray[np.int64], *, clip_limit: float, tile_px: int) -> Image:
    """Cumulative histogram of each tile after clipping, (tile rows, tile columns, BINS) in (0, 1].

    Args:
        bins: (rows, columns), 0 to BINS - 1.
        clip_limit: see `clahe`; what is above it is spread evenly over all bins.
        tile_px: side of the tiles.
    """
    whole = np.pad(bins, [(0, -size % tile_px) for size in bins.shape], mode="symmetric")
    rows, columns = (size // tile_px for size in whole.shape)
    tile = np.arange(rows).repeat(tile_px)[:, None] * columns + np.arange(columns).repeat(tile_px)
    counts = np.bincount((tile * BINS + whole).ravel(), minlength=rows * columns * BINS).reshape(rows, columns, BINS)
    area_px = tile_px**2
    limit = max(clip_limit * area_px / BINS, 1.0)
    excess = np.maximum(counts - limit, 0).sum(axis=-1, keepdims=True)
    clipped = np.minimum(counts, limit) + excess / BINS
    return (clipped.cumsum(axis=-1) / area_px).astype(np.float32)


def _neighbours(size: int, tile_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Image]:
    """For each pixel along an axis the tiles whose centres it lies between, and how far it is from the first."""
    last = -(-size // tile_px) - 1
    place = np.clip((np.arange(size) + 0.5) / tile_px - 0.5, 0, last)
    first = np.floor(place).astype(np.int64)
    return first, np.minimum(first + 1, last), (place - first).astype(np.float32)

"""Where the breast is in a view, and the one intensity window of a view (METHOD.md section 1, before eq. 1).

Everything morphological runs on a copy of about 0.4 mm per pixel, so that a 4096 x 3328 view takes well under a second.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float] | npt.NDArray[np.floating]

GRID_MM = 0.4
"""Pixel of the copy that masks are computed on: a few detector pixels, well below the thickness of the skin."""
MIN_SIDE_PX = 8
MIN_BREAST_FRACTION = 0.01
"""A smaller largest object is a marker: the smallest breasts cover about 2 % of a 24 x 30 cm detector."""
AIR_SIGMAS = 4.0
AIR_TISSUE_FRACTION = 0.03
"""The skin line begins this far up from air to median tissue; below it lies JPEG ringing and scatter."""
AIR_FLATNESS = 0.5
"""Air is at most this rough, relative to what is not air; otherwise the breast fills the field."""
MARKER_STROKE_MM = 1.5
"""Half the width of a bridge that an opening cuts: letters, frames and lines that touch the breast."""
CLOSING_MM = 3.0
INSIDE_FLOOR = -0.999
"""Lowest windowed value inside the breast: -1 itself means outside, so that `image > -1` holds the whole breast."""


def breast_mask(image: Image, *, spacing_mm: Spacing) -> Mask:
    """Find the breast, skin line and pectoral muscle included, without burned-in marks.

    Air is the most frequent dark level; the breast is the largest object above it. A view without air (a spot
    compression or a crop that the breast fills) is breast everywhere.

    Args:
        image: presentation values, bright is dense; shape (rows, columns), any range, finite.
        spacing_mm: pixel size (row, column) in mm.

    Returns:
        Mask of shape (rows, columns).

    Raises:
        ValueError: if the image is no finite 2-D array, is smaller than 8 x 8 pixels, is constant, or holds no object
            of at least 1 % of its area.
    """
    _check_image(image)
    steps = _grid_steps(spacing_mm)
    small = _block_mean(image, steps)
    sampling = (steps[0] * float(spacing_mm[0]), steps[1] * float(spacing_mm[1]))
    foreground = _above_air(small)
    if foreground.all():
        return np.ones(image.shape, dtype=bool)
    breast = _largest(_opened(foreground, MARKER_STROKE_MM, sampling))
    if breast.mean() < MIN_BREAST_FRACTION:
        raise ValueError(
            f"Expected a breast of at least {MIN_BREAST_FRACTION:.0%} of the view, found {breast.mean():.2%}; "
            "the view is black or holds only markers, leave it out"
        )
    breast = foreground & _dilated(breast, MARKER_STROKE_MM, sampling)
    breast = ndimage.binary_fill_holes(_closed(breast, CLOSING_MM, sampling))
    return _enlarged(breast, steps, image.shape)


def intensity_window(
    image: Image, mask: Mask, *, low_percentile: float = 0.1, high_percentile: float = 99.9
) -> tuple[float, float]:
    """Two grey levels that fix the one intensity window of a view.

    Args:
        image: presentation values, shape (rows, columns).
        mask: the breast, shape (rows, columns).
        low_percentile: percentile inside the breast for the dark end, in [0, 100).
        high_percentile: percentile inside the breast for the bright end, in (low_percentile, 100].

    Returns:
        (low, high) in the units of the image, low < high.

    Raises:
        ValueError: if the mask is empty or of another shape, or the breast is constant between the two percentiles.
    """
    if mask.shape != image.shape:
        raise ValueError(f"Expected a breast mask of the image's shape {image.shape}, got {mask.shape}")
    if not 0 <= low_percentile < high_percentile <= 100:
        raise ValueError(f"Expected 0 <= low < high <= 100 percent, got {low_percentile} and {high_percentile}")
    inside = image[mask]
    if inside.size == 0:
        raise ValueError("Expected a breast mask with at least one pixel, got an empty one; leave the view out")
    low, high = (float(level) for level in np.percentile(inside, [low_percentile, high_percentile]))
    if not low < high:
        raise ValueError(f"Expected contrast inside the breast, got {low:g} at both percentiles; leave the view out")
    return low, high


def apply_window(
    image: Image, low: float, high: float, *, low_value: float = -1.0, high_value: float = 0.8
) -> npt.NDArray[np.float32]:
    """Map low to low_value and high to high_value, linearly, clipped to [-1, 1].

    The bright end stays below +1 so that the clip of eq. 2 leaves the brightest calcifications their peaks.

    Args:
        image: any shape.
        low: grey level of the dark end.
        high: grey level of the bright end, above low.
        low_value: value of the dark end, in [-1, 1).
        high_value: value of the bright end, in (low_value, 1].

    Returns:
        float32 in [-1, 1], shape of the image.

    Raises:
        ValueError: if low is not below high, or the two values are out of order or range.
    """
    if not low < high:
        raise ValueError(f"Expected an intensity window with low < high, got {low:g} and {high:g}")
    if not -1 <= low_value < high_value <= 1:
        raise ValueError(f"Expected -1 <= low_value < high_value <= 1, got {low_value} and {high_value}")
    gain = (high_value - low_value) / (high - low)
    windowed = image.astype(np.float32)
    windowed -= np.float32(low)
    windowed *= np.float32(gain)
    windowed += np.float32(low_value)
    return np.clip(windowed, -1.0, 1.0, out=windowed)


def windowed_view(
    image: Image,
    mask: Mask,
    *,
    spacing_mm: Spacing,
    margin_mm: float = 1.5,
    low_percentile: float = 0.1,
    high_percentile: float = 99.9,
    high_value: float = 0.8,
) -> npt.NDArray[np.float32]:
    """Window a view by its own breast, with exactly -1 outside the breast and a margin.

    Every pixel of the mask ends above -1, every pixel farther than the margin at -1: `windowed > -1` is the breast
    give or take the margin.

    Args:
        image: presentation values, shape (rows, columns).
        mask: the breast, shape (rows, columns).
        spacing_mm: pixel size (row, column) in mm.
        margin_mm: distance outside the mask that keeps its values, about, in mm.
        low_percentile: percentile inside the breast that becomes -1.
        high_percentile: percentile inside the breast that becomes high_value.
        high_value: see `apply_window`.

    Returns:
        float32 in [-1, 1], shape (rows, columns).

    Raises:
        ValueError: as `intensity_window`.
    """
    low, high = intensity_window(image, mask, low_percentile=low_percentile, high_percentile=high_percentile)
    windowed = apply_window(image, low, high, high_value=high_value)
    np.maximum(windowed, np.float32(INSIDE_FLOOR), out=windowed, where=mask)
    windowed[~dilated(mask, margin_mm, spacing_mm=spacing_mm)] = -1.0
    return windowed


def dilated(mask: Mask, radius_mm: float, *, spacing_mm: Spacing) -> Mask:
    """Grow a mask by a radius in mm, to within a grid cell of 0.4 mm; never smaller than the mask itself.

    Args:
        mask: shape (rows, columns).
        radius_mm: at least 0.
        spacing_mm: pixel size (row, column) in mm.

    Returns:
        Mask of shape (rows, columns).
    """
    steps = _grid_steps(spacing_mm)
    sampling = (steps[0] * float(spacing_mm[0]), steps[1] * float(spacing_mm[1]))
    small = _block_mean(mask, steps) >= 0.5
    return mask | _enlarged(_dilated(small, radius_mm, sampling), steps, mask.shape)


def eroded(mask: Mask, radius_mm: float, *, spacing_mm: Spacing) -> Mask:
    """Shrink a mask by a radius in mm from its outline, not from the edge of the image (the chest wall stays).

    Args:
        mask: shape (rows, columns).
        radius_mm: at least 0.
        spacing_mm: pixel size (row, column) in mm.

    Returns:
        Mask of shape (rows, columns).
    """
    return ~dilated(~mask, radius_mm, spacing_mm=spacing_mm)


def _check_image(image: Image) -> None:
    if image.ndim != 2:
        raise ValueError(f"Expected a view of shape (rows, columns), got shape {image.shape}")
    if min(image.shape) < MIN_SIDE_PX:
        raise ValueError(f"Expected a view of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels, got {image.shape}")
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("Expected finite pixel values, got nan or infinity; repair or leave out the view")
    if low == high:
        raise ValueError(f"Expected a view with contrast, got {low:g} at every pixel; leave the view out")


def _above_air(small: Image) -> Mask:
    """Pixels brighter than air; all of them where no flat dark level exists."""
    dark_end, bright_end = (float(level) for level in np.percentile(small, [0.1, 99.5]))
    if dark_end == bright_end:
        return small > dark_end
    counts, edges = np.histogram(small, bins=256, range=(dark_end, bright_end))
    low_half = max(1, int(_otsu_bin(counts)))
    peak = int(np.argmax(counts[: low_half + 1]))
    air = float(
        np.median(small[(small >= edges[max(peak - 1, 0)]) & (small <= edges[peak + 2 if peak < 254 else 256])])
    )
    darker = air - small[small <= air]
    sigma = 1.4826 * float(np.median(darker))
    rough_cut = air + AIR_SIGMAS * sigma
    tissue = small[small > max(rough_cut, air + 0.1 * (bright_end - air))]
    if tissue.size == 0:
        return small > rough_cut
    foreground = small > max(rough_cut, air + AIR_TISSUE_FRACTION * (float(np.median(tissue)) - air))
    return foreground if _is_flat(small, ~foreground) else np.ones_like(foreground)


def _is_flat(small: Image, air: Mask) -> bool:
    """Whether the local spread (3 x 3) in air is small beside the spread elsewhere."""
    centred = (small - small.mean()).astype(np.float64)
    spread = ndimage.uniform_filter(centred**2, 3) - ndimage.uniform_filter(centred, 3) ** 2
    spread = np.sqrt(np.maximum(spread, 0.0))
    return bool(air.any() and (air.all() or np.median(spread[air]) <= AIR_FLATNESS * np.median(spread[~air])))


def _otsu_bin(counts: npt.NDArray[np.integer]) -> int:
    """Bin that best separates a histogram in two (largest variance between the classes)."""
    weight = np.cumsum(counts).astype(np.float64)
    moment = np.cumsum(counts * np.arange(len(counts)))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * weight / weight[-1] - moment) ** 2 / (weight * (weight[-1] - weight))
    return int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))


def _grid_steps(spacing_mm: Spacing) -> tuple[int, int]:
    if not (float(spacing_mm[0]) > 0 and float(spacing_mm[1]) > 0):
        raise ValueError(f"Expected pixel spacing > 0 mm, got {tuple(float(s) for s in spacing_mm)}; pass --spacing-mm")
    return max(1, round(GRID_MM / float(spacing_mm[0]))), max(1, round(GRID_MM / float(spacing_mm[1])))


def _block_mean(image: npt.NDArray, steps: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Mean over blocks of steps[0] x steps[1] pixels; the last blocks are filled up with the edge pixels."""
    rows, columns = image.shape
    padded = np.pad(image, ((0, -rows % steps[0]), (0, -columns % steps[1])), mode="edge")
    total = np.zeros((padded.shape[0] // steps[0], padded.shape[1]), dtype=np.float32)
    for offset in range(steps[0]):
        total += padded[offset :: steps[0]]
    return np.mean([total[:, offset :: steps[1]] for offset in range(steps[1])], axis=0) / np.float32(steps[0])


def _enlarged(small: Mask, steps: tuple[int, int], shape: tuple[int, ...]) -> Mask:
    return np.repeat(np.repeat(small, steps[0], axis=0), steps[1], axis=1)[: shape[0], : shape[1]]


def _dilated(mask: Mask, radius_mm: float, sampling: tuple[float, float]) -> Mask:
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask, sampling=sampling) <= radius_mm


def _eroded(mask: Mask, radius_mm: float, sampling: tuple[float, float]) -> Mask:
    return ~_dilated(~mask, radius_mm, sampling)


def _opened(mask: Mask, radius_mm: float, sampling: tuple[float, float]) -> Mask:
    return _dilated(_eroded(mask, radius_mm, sampling), radius_mm, sampling)


def _closed(mask: Mask, radius_mm: float, sampling: tuple[float, float]) -> Mask:
    return _eroded(_dilated(mask, radius_mm, sampling), radius_mm, sampling)


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(np.argmax(sizes))

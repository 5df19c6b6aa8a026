"""Objects, i.e. 8-connected components, of a mask: their pixels, measurements and overlaps.

Positions are (row, column).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

EIGHT_CONNECTED = np.ones((3, 3), int)


@dataclass(frozen=True)
class Components:
    """The objects of one view, numbered 0..n-1, and the pixels they are made of.

    Attributes:
        shape: rows and columns of the view.
        pixels: int (pixels,), increasing positions in the flattened view.
        owner: int (pixels,), the object of each of these pixels.
        centroid_px: float (n, 2), row and column of the mean pixel position.
        area_px: int (n,).
        peak: float (n,), highest score in the object.
        mean: float (n,), mean score in the object.
        box_px: int (n, 4), first row, first column, and one past the last row and column.
    """

    shape: tuple[int, int]
    pixels: NDArray[np.int64]
    owner: NDArray[np.int64]
    centroid_px: NDArray[np.float64]
    area_px: NDArray[np.int64]
    peak: NDArray[np.float64]
    mean: NDArray[np.float64]
    box_px: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)


def find_components(mask: ArrayLike, *, scores: ArrayLike | None = None) -> Components:
    """Label the 8-connected objects of a bool (rows, columns) mask and measure them.

    Args:
        mask: bool (rows, columns).
        scores: float (rows, columns), e.g. probabilities; 1 everywhere when None.
    """
    mask = np.asarray(mask, bool)
    box = bounding_box(mask)
    # Objects fill a small part of a view: only the box around them is labelled, only their pixels are measured.
    label_map, count = ndimage.label(mask[box], structure=EIGHT_CONNECTED, output=np.int32)
    rows, columns = np.nonzero(mask[box])
    owner = label_map[rows, columns].astype(np.int64) - 1
    rows, columns = rows + box[0].start, columns + box[1].start
    values = np.ones(len(rows)) if scores is None else np.asarray(scores)[rows, columns].astype(np.float64)
    area = np.bincount(owner, minlength=count)

    def mean_of(value: NDArray) -> NDArray[np.float64]:
        return np.bincount(owner, weights=value, minlength=count) / area

    peak = np.full(count, -np.inf)
    np.maximum.at(peak, owner, values)
    centroid = np.stack([mean_of(rows), mean_of(columns)], axis=1)
    pixels = rows * mask.shape[1] + columns
    return Components(
        (mask.shape[0], mask.shape[1]),
        pixels,
        owner,
        centroid,
        area,
        peak,
        mean_of(values),
        _boxes(rows, columns, owner, count),
    )


def _boxes(rows: NDArray, columns: NDArray, owner: NDArray, count: int) -> NDArray[np.int64]:
    first = np.full((2, count), np.iinfo(np.int64).max)
    last = np.full((2, count), -1)
    for axis, place in enumerate((rows, columns)):
        np.minimum.at(first[axis], owner, place)
        np.maximum.at(last[axis], owner, place)
    return np.concatenate([first, last + 1]).T


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Smallest box around the positive pixels of a bool (rows, columns) mask; empty without any."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def owners_at(components: Components, pixels: NDArray) -> NDArray[np.int64]:
    """The object at each position (of any shape) in the flattened view, -1 where there is none."""
    if not len(components):
        return np.full(np.shape(pixels), -1)
    place = np.minimum(np.searchsorted(components.pixels, pixels), len(components.pixels) - 1)
    return np.where(components.pixels[place] == pixels, components.owner[place], -1)


def overlaps(
    first: Components, second: Components, *, first_area_px: NDArray | None = None
) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs of overlapping objects (indices from 0) and their intersections over unions.

    Args:
        first: objects of one mask.
        second: objects of another mask of the same shape.
        first_area_px: (n,), pixels of `first` that count in the union, e.g. those not on "ignore"; all when None.
    """
    area = first.area_px if first_area_px is None else first_area_px
    owner = owners_at(first, second.pixels)
    both = owner >= 0
    codes = owner[both] * (len(second) + 1) + second.owner[both]
    pairs, shared = np.unique(codes, return_counts=True)
    i, j = pairs // (len(second) + 1), pairs % (len(second) + 1)
    return i, j, shared / (area[i] + second.area_px[j] - shared)

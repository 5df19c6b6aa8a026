"""Outlines of the objects of a mask as closed polygons of (row, column) positions; pixel centres are whole numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

from .components import EIGHT_CONNECTED

Box = tuple[int, int, int, int]


def object_outlines(mask: ArrayLike, boxes: Sequence[Box]) -> list[NDArray[np.float64]]:
    """Outer outline of the 8-connected object in each box.

    Two 8-connected objects cannot both touch all four sides of a box without touching each other, so a box names one.

    Args:
        mask: bool (rows, columns).
        boxes: first row, first column, and one past the last row and column, of one object each.

    Returns:
        One (n, 2) polygon per box, its first vertex repeated at the end.

    Raises:
        ValueError: if a box is not that of an object of the mask.
    """
    label_map, _ = ndimage.label(np.asarray(mask, bool), structure=EIGHT_CONNECTED, output=np.int32)
    found = {
        (rows.start, columns.start, rows.stop, columns.stop): number
        for number, (rows, columns) in enumerate(ndimage.find_objects(label_map), start=1)
    }
    outlines = []
    for box in map(tuple, boxes):
        if box not in found:
            raise ValueError(f"Expected an object of the mask in box {list(box)}, found none; segment the view again")
        pixels = label_map[box[0] : box[2], box[1] : box[3]] == found[box]
        outlines.append(pixel_outline(pixels) + np.array(box[:2]))
    return outlines


def pixel_outline(pixels: ArrayLike) -> NDArray[np.float64]:
    """Outer outline of one object, half a pixel outside its border pixels' centres; holes are filled.

    Args:
        pixels: bool (rows, columns), one 8-connected object.

    Returns:
        (n, 2) polygon that holds the centres of the object's pixels and of its holes and no other, closed.
    """
    filled = np.pad(ndimage.binary_fill_holes(np.asarray(pixels, bool)), 1)
    return max(find_contours(filled.astype(float), 0.5, fully_connected="high"), key=len) - 1


def enclosing_outline(outlines: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Convex hull of polygons, (n, 2), closed."""
    points = np.concatenate(list(outlines))
    corners = ConvexHull(points).vertices
    return points[np.append(corners, corners[0])]


def polygon_area(polygon: NDArray[np.float64]) -> float:
    """Area of a closed polygon in squared units of its vertices (shoelace formula)."""
    rows, columns = polygon.T
    return float(abs(np.dot(rows[:-1], columns[1:]) - np.dot(rows[1:], columns[:-1])) / 2)

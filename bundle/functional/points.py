"""Annotations that are no masks: points at calcifications, and outlines or boxes around clusters.

Points count by distance and outlines by what lies inside them; neither says which pixels are calcium, so there is no
Dice and no IoU. Positions are (row, column) in pixels, pixel centres at whole numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from skimage.draw import polygon
from skimage.measure import points_in_poly

from .components import Components, owners_at
from .objects import (
    HIT_DISTANCE_MM,
    ROUNDING_MM,
    ObjectMatch,
    Reference,
    assign,
    predicted_objects,
)


def points_inside(points_px: ArrayLike, region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points (n, 2) whose nearest pixel lies in a bool (rows, columns) region.

    Raises:
        ValueError: on points outside the image.
    """
    points = np.asarray(points_px, np.float64).reshape(-1, 2)
    nearest = np.floor(points + 0.5).astype(np.int64)
    outside = ~np.all((nearest >= 0) & (nearest < region.shape), axis=1)
    if outside.any():
        raise ValueError(
            f"Expected points (row, column) within {region.shape[0]} x {region.shape[1]} pixels, "
            f"got {points[outside][0].tolist()}; check the order of the axes and the scale"
        )
    return points[region[nearest[:, 0], nearest[:, 1]]]


def point_hits(
    pred: Components, points_px: ArrayLike, *, spacing_mm: ArrayLike, distance_mm: float = HIT_DISTANCE_MM
) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs that may be matched: predictions with a pixel centre or their centroid within `distance_mm` of a point.

    Returns:
        Predicted object and point of each pair, both (m,), and a closeness in [0, 1].
    """
    points = np.asarray(points_px, np.float64).reshape(-1, 2)
    if not (len(pred) and len(points)):
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    scale = np.asarray(spacing_mm, np.float64)
    near = cKDTree(pred.centroid_px * scale).sparse_distance_matrix(
        cKDTree(points * scale), distance_mm + ROUNDING_MM, output_type="ndarray"
    )
    i, j, gap_mm = _pixels_near(pred, points, scale, distance_mm)
    codes = np.concatenate([near["i"] * len(points) + near["j"], i * len(points) + j])
    pairs, place = np.unique(codes, return_inverse=True)
    gap = np.full(len(pairs), np.inf)
    np.minimum.at(gap, place, np.concatenate([near["v"], gap_mm]))
    closeness = np.maximum(1 - gap / distance_mm, 0) if distance_mm > 0 else np.ones(len(pairs))
    return pairs // len(points), pairs % len(points), closeness


def _pixels_near(
    pred: Components, points: NDArray, scale: NDArray, distance_mm: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Object, point and distance of every predicted pixel within `distance_mm` of a point."""
    reach = np.ceil(distance_mm / scale).astype(int) + 1
    # Every pixel of a box around the nearest one, (1, pixels, 2).
    offset = np.indices((2 * reach[0] + 1, 2 * reach[1] + 1)).reshape(2, -1).T[None] - reach
    place = np.floor(points + 0.5).astype(np.int64)[:, None] + offset
    gap = np.hypot(*np.moveaxis((place - points[:, None]) * scale, -1, 0))
    near = (gap <= distance_mm + ROUNDING_MM) & np.all((place >= 0) & (place < pred.shape), axis=-1)
    owner = owners_at(pred, place[near] @ [pred.shape[1], 1])
    found = owner >= 0
    return owner[found], np.nonzero(near)[0][found], gap[near][found]


def match_points(
    pred_mask: ArrayLike, points_px: ArrayLike, reference: Reference, *, distance_mm: float = HIT_DISTANCE_MM
) -> ObjectMatch:
    """Match predicted objects with points one to one, inside the region; `pairs` hold the index of the point.

    Args:
        pred_mask: bool (rows, columns).
        points_px: (n, 2), inside the region.
        reference: region and "ignore" of the view; its true objects are not looked at.
        distance_mm: see `point_hits`.
    """
    pred = predicted_objects(pred_mask, reference)
    admissible = point_hits(pred, points_px, spacing_mm=reference.spacing_mm, distance_mm=distance_mm)
    return assign(pred, admissible, reference, distance_mm=distance_mm)


def box_outline(first_row: float, first_column: float, last_row: float, last_column: float) -> NDArray[np.float64]:
    """A box as an outline: its four corners, (4, 2)."""
    return np.array(
        [[first_row, first_column], [first_row, last_column], [last_row, last_column], [last_row, first_column]],
        np.float64,
    )


def outlines_inside(outlines_px: Sequence[ArrayLike], region: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Outlines that hold at least one pixel of a bool (rows, columns) region.

    Raises:
        ValueError: on an outline that is not (vertices, 2) with at least three of them.
    """
    kept = []
    for outline in outlines_px:
        vertices = np.asarray(outline, np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3:
            raise ValueError(f"Expected an outline (vertices, 2) of at least 3 vertices, got {vertices.shape}")
        rows, columns = polygon(vertices[:, 0], vertices[:, 1], shape=region.shape)
        if region[rows, columns].any():
            kept.append(vertices)
    return kept


class OutlineMatch(NamedTuple):
    """Predictions of one view beside outlines.

    Attributes:
        hit: bool (outlines,), those with at least one predicted object inside.
        false: predicted objects outside every outline, not on "ignore".
        inside: predicted objects inside some outline.
    """

    hit: NDArray[np.bool_]
    false: int
    inside: int


def match_outlines(pred_mask: ArrayLike, outlines_px: Sequence[NDArray], reference: Reference) -> OutlineMatch:
    """Sort predicted objects into those inside and outside the outlines, by their centroids.

    What an outline holds is not known to the pixel, so any number of objects inside is right.

    Args:
        pred_mask: bool (rows, columns).
        outlines_px: (vertices, 2) each, e.g. from `outlines_inside`.
        reference: region and "ignore" of the view.
    """
    pred = predicted_objects(pred_mask, reference)
    no_pairs = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    excused = assign(pred, no_pairs, reference).excused
    inside = [points_in_poly(pred.centroid_px, outline) & ~excused for outline in outlines_px]
    in_any = np.any(inside, axis=0) if inside else np.zeros(len(pred), bool)
    hit = np.array([bool(one.any()) for one in inside], bool)
    return OutlineMatch(hit, int(np.count_nonzero(~in_any & ~excused)), int(np.count_nonzero(in_any)))

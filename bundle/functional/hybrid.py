"""HDoGReg-Hybrid: whole objects of a blob segmentation that a region map overlaps by more than a share."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .components import EIGHT_CONNECTED

OVERLAP = 0.3
"""o_thr; tried were 0.2 to 0.6."""


def hybrid_scores(objects_mask: ArrayLike, probs: ArrayLike, *, overlap: float = OVERLAP) -> NDArray[np.float32]:
    """The largest threshold on a map at which each object is kept, at all of the object's pixels.

    An object of n pixels is kept at the threshold p when more than overlap * n of its pixels have a probability of p
    or more ("<=" in the paper is an erratum). So the score is its k-th largest probability, k = floor(overlap * n) + 1,
    and pixels with a score >= p are the segmentation at p, for every p.

    Args:
        objects_mask: bool (rows, columns), the blob segmentation; objects are 8-connected.
        probs: (rows, columns), in [0, 1].
        overlap: o_thr, in [0, 1).

    Returns:
        float32 (rows, columns); 0 outside objects.

    Raises:
        ValueError: on different shapes or an overlap out of range.
    """
    mask, values = np.asarray(objects_mask, bool), np.asarray(probs, np.float32)
    if mask.shape != values.shape or not 0 <= overlap < 1:
        raise ValueError(
            f"Expected maps of one shape and an overlap in [0, 1), got {mask.shape}, {values.shape} and {overlap:g}"
        )
    label_map, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    inside = np.flatnonzero(mask)
    numbers, found = label_map.ravel()[inside], values.ravel()[inside]
    order = np.lexsort((-found, numbers))
    area_px = np.bincount(numbers, minlength=count + 1)[1:]
    first = np.concatenate([[0], np.cumsum(area_px)[:-1]]).astype(int)
    # A product that is whole but for rounding must not be floored to the number before.
    rank = np.floor(overlap * area_px + 1e-9).astype(int)
    score = np.zeros(count + 1, np.float32)
    score[1:] = found[order][first + rank]
    return score[label_map]

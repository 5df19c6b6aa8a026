"""HDoGReg's proximity map (eqs. 7-9) and soft Dice (eq. 10)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

REACH_PX = 10.0
"""xi; tried were 6, 8, 10 and 12 px of 0.07 mm."""
DECAY = 1.0
"""alpha; tried were -2, -1, 1e-4, 1 and 2."""
SMOOTH = 1.0


def proximity_map(mask: ArrayLike, *, reach_px: float = REACH_PX, decay: float = DECAY) -> NDArray[np.float32]:
    """P = (exp(alpha (1 - r / xi)) - 1) / (exp(alpha) - 1), r the distance to the nearest annotated pixel; 0 beyond xi.

    The maximum over annotated pixels of eq. 7 is that of the nearest, since the function of eq. 8 falls with distance.

    Args:
        mask: bool (rows, columns), annotated pixels: single ones at points, all pixels of drawn calcifications.
        reach_px: xi, > 0.
        decay: alpha, not 0; above 0 the map falls steeply at first, below 0 late.

    Returns:
        float32 (rows, columns) in [0, 1]; 1 on annotated pixels.

    Raises:
        ValueError: on a reach or a decay out of range.
    """
    if not reach_px > 0 or decay == 0:
        raise ValueError(
            f"Expected xi > 0 px and alpha other than 0, got {reach_px:g} and {decay:g}; "
            "1e-4 is next to the limit, a straight line"
        )
    annotated = np.asarray(mask, bool)
    if not annotated.any():
        return np.zeros(annotated.shape, np.float32)
    near = np.maximum(1 - distance_transform_edt(~annotated) / reach_px, 0)
    return (np.expm1(decay * near) / np.expm1(decay)).astype(np.float32)


def points_mask(points_px: ArrayLike, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Single pixels at annotated points, so that `proximity_map` can be made of them.

    Args:
        points_px: (n, 2), row and column.
        shape: rows and columns of the view.

    Returns:
        bool (rows, columns).

    Raises:
        ValueError: if a point lies outside the view.
    """
    places = np.rint(np.asarray(points_px, np.float64).reshape(-1, 2)).astype(int)
    outside = (places < 0) | (places >= np.array(shape))
    if outside.any():
        row, column = places[outside.any(axis=1)][0].tolist()
        raise ValueError(f"Expected points inside {shape[0]} x {shape[1]} px, got ({row}, {column}); swap the axes?")
    mask = np.zeros(shape, bool)
    mask[tuple(places.T)] = True
    return mask


def soft_dice_loss(probs: Tensor, target: Tensor, weight: Tensor, *, smooth: float = SMOOTH) -> Tensor:
    """1 - (2 sum(P p) + epsilon) / (sum(P + p) + epsilon), eq. 10, with sums over the whole batch.

    Args:
        probs: predicted proximity p, (B, 1, rows, columns) in [0, 1].
        target: proximity P, likewise.
        weight: likewise; pixels of weight 0 take no part.
        smooth: epsilon.

    Returns:
        A scalar.
    """
    both = (weight * probs * target).sum()
    return 1 - (2 * both + smooth) / ((weight * (probs + target)).sum() + smooth)

"""A grid of cells that are hidden in turn, so that every pixel of an image is predicted while it is hidden."""

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""Image and hidden pixels, each (B, 1, rows, columns), to a prediction of that shape."""


def grid_offsets(cell_px: int, *, blended: bool = True) -> list[tuple[int, int]]:
    """First row and column of the hidden cells of every pass.

    A pass hides every second cell along both axes, a quarter of the image. Four passes hide every pixel once; blended,
    sixteen passes with cells moved by half a cell hide every pixel four times.

    Args:
        cell_px: side of a cell, even.
        blended: see `cell_weight`.

    Raises:
        ValueError: if the side is odd or below 2.
    """
    if cell_px < 2 or cell_px % 2:
        raise ValueError(f"Expected an even cell side of at least 2 px, got {cell_px}; 32 suits windows of 256 px")
    starts = range(0, 2 * cell_px, cell_px // 2 if blended else cell_px)
    return [(top, left) for top in starts for left in starts]


def cell_hidden(like: Tensor, offset: tuple[int, int], *, cell_px: int) -> Tensor:
    """Bool (rows, columns) of the last two axes of `like`: what a pass hides."""
    inside = [_place(like, axis, first, cell_px) < cell_px for axis, first in zip((-2, -1), offset, strict=True)]
    return inside[0][:, None] & inside[1][None]


def cell_weight(like: Tensor, offset: tuple[int, int], *, cell_px: int, blended: bool = True) -> Tensor:
    """Weight of a pass's prediction, float32 (rows, columns); over all passes they sum to 1 at every pixel.

    Blended, it falls linearly from the middle of a hidden cell to 0 at its border: no seam is left, and what counts
    most is what lies farthest from anything seen. Otherwise it is 1 in hidden cells.
    """
    if not blended:
        return cell_hidden(like, offset, cell_px=cell_px).float()
    rows, columns = (
        _tent(_place(like, axis, first, cell_px), cell_px) for axis, first in ((-2, offset[0]), (-1, offset[1]))
    )
    return rows[:, None] * columns[None]


def compose(image: Tensor, predict: Predict, *, cell_px: int, blended: bool = True) -> Tensor:
    """Weighted sum of what is predicted of hidden cells, over the passes of the grid.

    Args:
        image: (B, 1, rows, columns) in [-1, 1], exactly -1 outside the breast, which is never hidden.
        predict: gives values of the hidden pixels; what it gives of others is not used.
        cell_px: side of a cell.
        blended: see `cell_weight`.

    Returns:
        Like image; 0 outside the breast.
    """
    breast = image > -1
    total = torch.zeros_like(image)
    for offset in grid_offsets(cell_px, blended=blended):
        hidden = cell_hidden(image, offset, cell_px=cell_px) & breast
        weight = cell_weight(image, offset, cell_px=cell_px, blended=blended)
        total += torch.where(hidden, weight * predict(image, hidden), 0.0)
    return total


def _place(like: Tensor, axis: int, first: int, cell_px: int) -> Tensor:
    """Pixels of an axis counted from the first of the cell they lie in or behind."""
    return (torch.arange(like.shape[axis], device=like.device) - first) % (2 * cell_px)


def _tent(place: Tensor, cell_px: int) -> Tensor:
    """0 at the borders of a cell and beyond, 1 in its middle."""
    return (1 - (2 * (place + 0.5) / cell_px - 1).abs()).clamp(min=0.0)

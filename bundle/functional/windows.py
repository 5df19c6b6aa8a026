"""Overlapping windows over whole views: where they lie, cutting them out, putting them back, coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BACKGROUND = -1.0
"""What an image holds outside the breast, exactly."""
EMPTY_LOGIT = -12.0
"""Logit where no window has looked: outside the breast."""


class Window(NamedTuple):
    """A square window of a batch: index of the image, first row, first column."""

    image: int
    top: int
    left: int


def window_starts(length: int, *, window_px: int, overlap: float = 0.5) -> list[int]:
    """First pixels of the windows along one axis; the last window ends with the axis.

    Args:
        length: pixels along the axis.
        window_px: side of the window.
        overlap: shared fraction of neighbouring windows, in [0, 1).

    Raises:
        ValueError: window smaller than a pixel, or overlap out of range.
    """
    if window_px < 1:
        raise ValueError(f"Expected window_px of at least 1, got {window_px}; networks here are trained on 256")
    if not 0.0 <= overlap < 1.0:
        raise ValueError(f"Expected an overlap in [0, 1), got {overlap}; 0.5 is usual")
    if length <= window_px:
        return [0]
    stride = max(1, round(window_px * (1.0 - overlap)))
    return [*range(0, length - window_px, stride), length - window_px]


def window_origins(rows: int, columns: int, *, window_px: int, overlap: float = 0.5) -> list[tuple[int, int]]:
    """First row and column of every window, row by row; an image smaller than a window has one (pad it first)."""
    tops = window_starts(rows, window_px=window_px, overlap=overlap)
    lefts = window_starts(columns, window_px=window_px, overlap=overlap)
    return [(top, left) for top in tops for left in lefts]


def pad_to_window(image: Tensor, *, window_px: int, value: float = BACKGROUND) -> Tensor:
    """Grow an image smaller than a window below and to the right, so that its pixels keep their coordinates."""
    missing_rows, missing_columns = (max(0, window_px - size) for size in image.shape[-2:])
    if missing_rows == missing_columns == 0:
        return image
    return F.pad(image, (0, missing_columns, 0, missing_rows), value=value)


def breast_windows(image: Tensor, *, window_px: int, overlap: float = 0.5) -> list[Window]:
    """Windows of a batch that hold any breast, that is any pixel above -1.

    Args:
        image: (B, 1, rows, columns), at least one window large, exactly -1 outside the breast.
        window_px: side of the window.
        overlap: shared fraction of neighbouring windows.
    """
    origins = window_origins(*image.shape[-2:], window_px=window_px, overlap=overlap)
    every = [Window(index, top, left) for index in range(image.shape[0]) for top, left in origins]
    peaks = window_peaks(image, every, window_px=window_px)
    return [window for window, peak in zip(every, peaks, strict=True) if peak > BACKGROUND]


def window_peaks(values: Tensor, windows: Sequence[Window], *, window_px: int) -> list[float]:
    """Largest value in each window."""
    if not windows:
        return []
    # Stacked first, so that a GPU is asked once.
    return torch.stack([_view(values, window, window_px).amax() for window in windows]).tolist()


def gather(values: Tensor, windows: Sequence[Window], *, window_px: int) -> Tensor:
    """Cut windows out of a batch: (N, 1, window_px, window_px), a copy."""
    return torch.stack([_view(values, window, window_px) for window in windows])[:, None]


def scatter_add_(total: Tensor, values: Tensor, windows: Sequence[Window]) -> Tensor:
    """Add windows (N, 1, window_px, window_px) to the places they were cut from, in place."""
    for value, window in zip(values, windows, strict=True):
        _view(total, window, values.shape[-1]).add_(value[0])
    return total


def coverage(like: Tensor, windows: Sequence[Window], *, window_px: int) -> Tensor:
    """How many windows cover each pixel: float32, shaped like the batch."""
    count = torch.zeros(like.shape, dtype=torch.float32, device=like.device)
    for window in windows:
        _view(count, window, window_px).add_(1.0)
    return count


def _view(values: Tensor, window: Window, window_px: int) -> Tensor:
    """One window of a batch, (window_px, window_px), sharing memory."""
    rows = slice(window.top, window.top + window_px)
    return values[window.image, 0, rows, window.left : window.left + window_px]

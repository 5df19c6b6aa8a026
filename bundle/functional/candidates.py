"""Candidates: maxima of p down to a low threshold, their basins, and the passes of the generator that test them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from torch import Tensor

from .components import EIGHT_CONNECTED
from .confusion import IGNORE, MICROCALCIFICATION
from .seeds import seed_map
from .windows import Window


@dataclass(frozen=True)
class Candidates:
    """Maxima of p in a batch of images.

    Attributes:
        places: int (n, 3): image, row, column.
        peak: (n,), highest logit of the candidate's basin.
        basins: int32 (B, 1, rows, columns): candidate number + 1 on what descends from it and is still above the
            threshold, else 0.
    """

    places: NDArray[np.int64]
    peak: NDArray[np.float64]
    basins: Tensor

    def __len__(self) -> int:
        return len(self.places)


@torch.no_grad()
def find_candidates(logits: Tensor, *, threshold: float, nms_px: int = 3) -> Candidates:
    """Maxima of p = sigmoid(logits), with the seed operator, and the watershed basin of each.

    Args:
        logits: (B, 1, rows, columns).
        threshold: lowest probability of a candidate, in (0, 1].
        nms_px: no two candidates within this many rows and columns.
    """
    probs = torch.sigmoid(logits.float())
    seeds = seed_map(probs, threshold=threshold, nms_px=nms_px)
    places = seeds[:, 0].nonzero().cpu().numpy().astype(np.int64)
    heights, inside = (one[:, 0].cpu().numpy() for one in (logits.float(), probs >= threshold))
    basins, peak = np.zeros(heights.shape, np.int32), np.full(len(places), -np.inf)
    basins[tuple(places.T)] = np.arange(1, len(places) + 1)
    for image in np.unique(places[:, 0]):
        _flood(basins[image], heights[image], inside[image])
    image, row, column = np.nonzero(basins)
    np.maximum.at(peak, basins[image, row, column] - 1, heights[image, row, column])
    return Candidates(places, peak, torch.from_numpy(basins[:, None]).to(logits.device))


def _flood(basins: NDArray[np.int32], heights: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
    """Grow markers (rows, columns) over what is inside, downhill and in place, component by component."""
    components, _ = ndimage.label(inside, structure=EIGHT_CONNECTED)
    # Components are small and far between: flooding each in its own box is far cheaper than flooding the view.
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        mine = components[box] == number
        markers = np.where(mine, basins[box], 0)
        if markers.any():
            basins[box][mine] = watershed(-heights[box], markers, connectivity=2, mask=mine)[mine]


def group_apart(places: NDArray, *, apart_px: int) -> NDArray[np.int64]:
    """Put each place, in the given order, into the first group whose members are all further than `apart_px` away.

    Args:
        places: (n, 2), row and column.
        apart_px: in rows or in columns.

    Returns:
        Number of the group of each, (n,).
    """
    groups = np.zeros(len(places), np.int64)
    for index in range(1, len(places)):
        near = np.abs(places[:index] - places[index]).max(axis=1) <= apart_px
        taken = set(groups[:index][near].tolist())
        groups[index] = next(group for group in range(index + 1) if group not in taken)
    return groups


class Pass(NamedTuple):
    """One call of the generator on one window.

    Attributes:
        window: where.
        owned: candidates of the window, whose errors are read where nothing is toggled.
        toggled: candidates whose seed is toggled against the context; empty in the pass the others are compared with.
    """

    window: Window
    owned: tuple[int, ...]
    toggled: tuple[int, ...]


def plan_passes(
    candidates: Candidates, windows: Sequence[Window], *, apart_px: int, max_groups: int, window_px: int
) -> list[Pass]:
    """Passes of the generator: none for a window without candidates, else one plus one per group.

    Each candidate belongs to the window in which it lies deepest.

    Args:
        candidates: of the batch.
        windows: all windows with breast, in any order.
        apart_px: candidates of one pass are further apart than this.
        max_groups: per window; candidates beyond them get no pass.
        window_px: side of the windows.
    """
    owned: dict[Window, list[int]] = {}
    every = sorted(windows)
    # The least certain first: they have most to win, and the first groups are the ones that are run.
    for index in np.argsort(np.abs(candidates.peak), kind="stable").tolist():
        window = _owner(candidates.places[index], every, window_px)
        if window is not None:
            owned.setdefault(window, []).append(index)
    passes = []
    for window in sorted(owned):
        members = np.array(owned[window])
        groups = group_apart(candidates.places[members, 1:], apart_px=apart_px)
        kept = range(min(int(groups.max()) + 1, max_groups))
        passes.append(Pass(window, tuple(members[groups < max_groups].tolist()), ()))
        passes += [Pass(window, (), tuple(members[groups == group].tolist())) for group in kept]
    return passes


def _owner(place: NDArray, windows: Sequence[Window], window_px: int) -> Window | None:
    """The window whose border is furthest from a place, the first of equals; None if no window holds it."""
    image, row, column = place.tolist()

    def depth(window: Window) -> int:
        from_top, from_left = row - window.top, column - window.left
        return min(from_top, window_px - 1 - from_top, from_left, window_px - 1 - from_left)

    mine = [window for window in windows if window.image == image]
    best = max(mine, key=depth, default=None)
    return best if best is not None and depth(best) >= 0 else None


def candidate_truth(candidates: Candidates, label: NDArray, *, reach_px: int = 2) -> NDArray[np.uint8]:
    """Label of each candidate: 1 within reach of a microcalcification, else 2 within reach of "ignore", else 0.

    Args:
        candidates: of the batch.
        label: (B, 1, rows, columns), 0 background, 1 microcalcification, 2 ignore.
        reach_px: in rows and in columns.
    """
    size = (1, 1, 2 * reach_px + 1, 2 * reach_px + 1)
    image, row, column = candidates.places.T
    near = [
        ndimage.maximum_filter((label == value).astype(np.uint8), size)[image, 0, row, column]
        for value in (MICROCALCIFICATION, IGNORE)
    ]
    return np.where(near[0] > 0, MICROCALCIFICATION, np.where(near[1] > 0, IGNORE, 0)).astype(np.uint8)

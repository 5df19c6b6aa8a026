"""Blind spots that the inpainter of SegAI + R:GenAI is trained on: random curves and boxes, and cells of the grid."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ..networks.inpainter_grid import cell_hidden, grid_offsets

Mask = NDArray[np.bool_]
BOX_SIDES_PX = (8.0, 96.0)
CURVE_WIDTHS_PX = (4.0, 24.0)
CURVE_LENGTHS_PX = (16.0, 192.0)
MAX_TURN = 0.4
"""A curve's change of direction per pixel is drawn up to this, in radians: straight lines to loops."""


def random_boxes_and_curves(rng: np.random.Generator, side_px: int, *, share: float) -> Mask:
    """Boxes and curves, one after the other, until a share of a window is hidden.

    They are larger than calcifications, as published; the sizes are ours.

    Args:
        rng: draws them.
        side_px: of the window.
        share: of its pixels that is reached, in (0, 1).

    Returns:
        Bool (side_px, side_px).

    Raises:
        ValueError: on a share out of its range.
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected a hidden share in (0, 1), got {share:g}; 0.05 to 0.4 leaves enough to be seen")
    hidden = np.zeros((side_px, side_px), bool)
    while hidden.mean() < share:
        hidden |= random_box(rng, side_px) if rng.random() < 0.5 else random_curve(rng, side_px)
    return hidden


def random_box(rng: np.random.Generator, side_px: int) -> Mask:
    """A box with log-uniform sides, cut off at the border."""
    rows, columns = np.exp([rng.uniform(*np.log(BOX_SIDES_PX)) for _ in range(2)])
    centre = rng.uniform(0, side_px, 2)
    row, column = (np.abs(np.arange(side_px) - place) for place in centre)
    return (row <= rows / 2)[:, None] & (column <= columns / 2)[None]


def random_curve(rng: np.random.Generator, side_px: int) -> Mask:
    """A stroke of one width along a path whose direction walks randomly."""
    width, length = (float(np.exp(rng.uniform(*np.log(r)))) for r in (CURVE_WIDTHS_PX, CURVE_LENGTHS_PX))
    turns = rng.uniform(0, MAX_TURN) * rng.standard_normal(int(length))
    direction = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    path = rng.uniform(0, side_px, 2) + np.cumsum(np.stack([np.sin(direction), np.cos(direction)], axis=1), axis=0)
    pixels = np.round(path).astype(int)
    pixels = pixels[((pixels >= 0) & (pixels < side_px)).all(axis=1)]
    line = np.ones((side_px, side_px), bool)
    line[pixels[:, 0], pixels[:, 1]] = False
    # Without a pixel the distance would be to nothing.
    return distance_transform_edt(line) <= width / 2 if len(pixels) else ~line


class RandBlindSpotsd(RandomizableTransform, MapTransform):
    """Hide part of a patch without calcifications, and make what the inpainter is to see and to say.

    Args:
        image_key: (1, rows, columns) square patch in [-1, 1], -1 outside the breast; replaced by image and hidden
            pixels, (2, rows, columns).
        label_key: where the target goes, (2, rows, columns): the image, and each pixel's weight in the loss.
        ignore_key: bool mask of spots that may be uncalled calcifications, where the data has one; they have no weight.
        shares: range of the share that boxes and curves hide.
        grid_share: share of the samples that hide cells of a grid instead, as composition does; ours.
        cell_px: range of the side of those cells.
        seen_weight: weight of seen pixels; hidden ones have 1, air has 0.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        *,
        ignore_key: str = "ignore",
        shares: tuple[float, float] = (0.05, 0.4),
        grid_share: float = 0.3,
        cell_px: tuple[int, int] = (16, 64),
        seen_weight: float = 0.1,
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.label_key, self.ignore_key = label_key, ignore_key
        self.shares, self.grid_share, self.cell_px, self.seen_weight = shares, grid_share, cell_px, seen_weight

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        rng = np.random.default_rng(self.R.randint(2**31, size=4))
        image = torch.as_tensor(np.asarray(out[self.keys[0]], np.float32))
        breast = image > -1
        hidden = torch.from_numpy(self._hidden(rng, image.shape[-1]))[None] & breast
        weight = torch.where(hidden, 1.0, self.seen_weight) * breast
        if self.ignore_key in out:
            weight[torch.as_tensor(np.asarray(out.pop(self.ignore_key)), dtype=torch.bool)] = 0.0
        out[self.keys[0]] = torch.cat([image, hidden.float()])
        out[self.label_key] = torch.cat([image, weight])
        return out

    def _hidden(self, rng: np.random.Generator, side_px: int) -> Mask:
        if rng.random() >= self.grid_share:
            return random_boxes_and_curves(rng, side_px, share=float(rng.uniform(*self.shares)))
        cell_px = 2 * int(rng.integers(self.cell_px[0] // 2, self.cell_px[1] // 2 + 1))
        offsets = grid_offsets(cell_px)
        like = torch.empty(side_px, side_px)
        return cell_hidden(like, offsets[int(rng.integers(len(offsets)))], cell_px=cell_px).numpy()

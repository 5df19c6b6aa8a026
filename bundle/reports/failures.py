"""Contact sheets of what a system gets wrong: its strongest false marks, and the plainest calcifications it misses."""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..functional.object_strata import measure_visibility
from ..functional.objects import Spacing, find_reference, match_objects
from .figures import new_figure

TILE_MM = 4.0
COLUMNS, ROWS = 10, 4
TILE_INCHES = 1.2
OUTLINE = "#E69F00"


class Spot(NamedTuple):
    """One failure, cut out.

    Attributes:
        rank: the larger, the worse: the probability of a false mark, the contrast-to-noise ratio of a miss.
        title: printed above.
        image: float (side, side), -1 outside the breast.
        mask: bool (side, side), the false mark or the missed calcification.
        limits: grey scale.
    """

    rank: float
    title: str
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    limits: tuple[float, float]


def failures(
    image: NDArray[np.float32],
    label: NDArray[np.uint8],
    probs: NDArray[np.float32],
    *,
    name: str,
    threshold: float,
    spacing_mm: Spacing,
    region: NDArray[np.bool_],
) -> tuple[list[Spot], list[Spot]]:
    """False marks and misses of one view, as the metrics count them.

    Args:
        image: (rows, columns), in [-1, 1].
        label: (rows, columns), 0, 1 or 2 (ignore).
        probs: (rows, columns).
        name: of the view, for the titles.
        threshold: operating threshold.
        spacing_mm: row and column spacing.
        region: where objects are counted.
    """
    reference = find_reference(label, spacing_mm=spacing_mm, region=region)
    marks = probs >= threshold
    match = match_objects(marks, reference)
    missed = np.setdiff1d(np.arange(len(reference.true)), match.pairs[:, 1])
    cnr = np.nan_to_num(measure_visibility(image, label, reference).cnr)
    # Objects of the match are those of this mask, in this order, but with overlaps in place of scores.
    peaks = [float(probs.flat[match.pred.pixels[match.pred.owner == index]].max()) for index in range(len(match.pred))]
    side = round(TILE_MM / float(spacing_mm[0]))
    false = [
        _spot(peaks[index], f"{name} p={peaks[index]:.2f}", match.pred.centroid_px[index], image, marks, side)
        for index in np.flatnonzero(match.false)
    ]
    misses = [
        _spot(cnr[index], f"{name} CNR={cnr[index]:.1f}", reference.true.centroid_px[index], image, label == 1, side)
        for index in missed
    ]
    return false, misses


def failure_sheet(spots: Iterable[Spot], title: str, *, rows: int = ROWS) -> Figure:
    """The worst of the spots in order, each in a tile of 4 mm on the grey scale of its middle.

    Args:
        spots: of any number of views.
        title: above all.
        rows: of ten tiles each.
    """
    worst = nlargest(rows * COLUMNS, spots, key=lambda spot: spot.rank)
    lines = max(1, -(-len(worst) // COLUMNS))
    figure = new_figure(COLUMNS * TILE_INCHES, lines * (TILE_INCHES + 0.2) + 0.4)
    figure.suptitle(title, fontsize=9, parse_math=False)
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, spot in zip(grid.flat, worst, strict=False):
        low, high = spot.limits
        axes.imshow(spot.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        if spot.mask.any() and not spot.mask.all():
            axes.contour(spot.mask, [0.5], colors=OUTLINE, linewidths=0.6)
        axes.set_title(spot.title, fontsize=5.5, pad=2, parse_math=False)
    return figure


def _spot(
    rank: float, title: str, centre_px: Sequence[float] | NDArray, image: NDArray, mask: NDArray, side: int
) -> Spot:
    corner = [round(float(place)) for place in centre_px]
    half = side // 2

    def tile(whole: NDArray, outside: float) -> NDArray:
        return np.pad(whole, half, constant_values=outside)[
            corner[0] : corner[0] + 2 * half, corner[1] : corner[1] + 2 * half
        ]

    shown = tile(image, -1.0)
    low = float(np.percentile(shown, 2))
    middle = float(shown[half - half // 3 : half + half // 3 + 1, half - half // 3 : half + half // 3 + 1].max())
    return Spot(float(rank), title, shown, tile(mask, 0).astype(bool), (low, max(middle, low + 0.02)))

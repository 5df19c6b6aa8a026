"""Qualitative panels as in the paper's figures 5 and 7: one row per case, the crop, its truth, then every system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ..functional.components import Components
from ..functional.objects import Reference, find_reference, match_objects
from .figures import new_figure, short

Mask = NDArray[np.bool_]

# Colour, marker and name of what a system found, made up and missed; hue, lightness and shape all differ.
FOUND, FALSE, MISSED = ("#56B4E9", "o", "found"), ("#E69F00", "s", "false"), ("#F04DB0", "D", "missed")
TRUTH = "#F0E442"
CROP_PX = 256
TILE_INCHES = 2.5
# Rings stand off the few pixels of an object, so that its own shape stays visible.
RING_POINTS = 46


@dataclass(frozen=True)
class PanelCase:
    """A case to be shown.

    Attributes:
        name: printed beside the row.
        image: float (rows, columns), in [-1, 1], -1 outside the breast.
        label: (rows, columns), 0, 1 or 2 (ignore).
        preds: bool (rows, columns) by system, at the operating threshold.
        spacing_mm: row and column spacing.
        region: bool (rows, columns), where objects are counted; the whole image when None.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    preds: Mapping[str, Mask] = field(default_factory=dict)
    spacing_mm: Sequence[float] = (0.07, 0.07)
    region: Mask | None = None


def panel_sheet(cases: Sequence[PanelCase], systems: Sequence[str], *, crop_px: int = CROP_PX) -> Figure:
    """Draw the cases; objects are matched on the whole view, then the crop with most true pixels is shown.

    Args:
        cases: from top to bottom.
        systems: from left to right; a case without a prediction of a system says so.
        crop_px: side of the crop.
    """
    figure = new_figure(TILE_INCHES * (2 + len(systems)), (TILE_INCHES + 0.25) * len(cases) + 0.5)
    grid = figure.subplots(len(cases), 2 + len(systems), squeeze=False)
    for line, case in zip(grid, cases, strict=True):
        _draw_case(line, case, systems, crop_px)
    for axes, title in zip(grid[0], ("image", "truth", *systems), strict=True):
        axes.set_title(_wrapped(title), fontsize=8)
    marks = [
        Line2D([], [], color=colour, marker=marker, linestyle="", fillstyle="none", label=name)
        for colour, marker, name in (FOUND, FALSE, MISSED)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def densest_crop(wanted: Mask, fallback: Mask, *, crop_px: int = CROP_PX) -> tuple[slice, slice]:
    """The square with most wanted pixels, or with most of the fallback if nothing is wanted; a small view is whole.

    Args:
        wanted: bool (rows, columns).
        fallback: like wanted.
        crop_px: side.
    """
    plane = wanted if wanted.any() else fallback
    sides = [min(crop_px, size) for size in plane.shape]
    share = uniform_filter(plane.astype(np.float64), size=sides, mode="constant")
    # Many squares hold as much (up to the rounding of running sums); the one amid them has it in its middle.
    best = np.argwhere(share >= share.max() - 1e-9)
    centre = best[np.argmin(((best - best.mean(axis=0)) ** 2).sum(axis=1))]
    starts = [
        min(max(int(c) - side // 2, 0), size - side) for c, side, size in zip(centre, sides, plane.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + sides[0]), slice(starts[1], starts[1] + sides[1])


def _draw_case(line: Sequence[Axes], case: PanelCase, systems: Sequence[str], crop_px: int) -> None:
    reference = find_reference(case.label, spacing_mm=case.spacing_mm, region=case.region)
    crop = densest_crop(_pixels_of(reference.true), case.image > -1, crop_px=crop_px)
    view = case.image[crop]
    for axes in line:
        _draw_view(axes, view, case.spacing_mm)
    line[0].set_ylabel(_wrapped(case.name), fontsize=8, parse_math=False)
    _scale_bar(line[0], view.shape, case.spacing_mm)
    everything = np.ones(len(reference.true), bool)
    _paint(line[1], reference.true, everything, TRUTH, crop)
    line[1].set_xlabel(f"{_ring(line[1], reference.true, everything, TRUTH, 'o', crop)} true", fontsize=7)
    for axes, system in zip(line[2:], systems, strict=True):
        if system in case.preds:
            _draw_prediction(axes, case.preds[system], reference, crop)
        else:
            axes.text(0.5, 0.5, "no prediction", color="white", ha="center", transform=axes.transAxes)


def _draw_view(axes: Axes, view: NDArray[np.float32], spacing_mm: Sequence[float]) -> None:
    breast = view[view > -1]
    low, high = np.percentile(breast, [1, 99.8]) if breast.size else (-1.0, 1.0)
    aspect = spacing_mm[0] / spacing_mm[1]
    axes.imshow(view, cmap="gray", vmin=low, vmax=max(high, low + 0.05), interpolation="nearest", aspect=aspect)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_prediction(axes: Axes, pred: Mask, reference: Reference, crop: tuple[slice, slice]) -> None:
    match = match_objects(pred, reference)
    found = np.zeros(len(match.pred), bool)
    found[match.pairs[:, 0]] = True
    missed = np.ones(len(reference.true), bool)
    missed[match.pairs[:, 1]] = False
    counts = []
    for objects, chosen, (colour, marker, name) in (
        (match.pred, found, FOUND),
        (match.pred, match.false, FALSE),
        (reference.true, missed, MISSED),
    ):
        _paint(axes, objects, chosen, colour, crop)
        counts.append(f"{_ring(axes, objects, chosen, colour, marker, crop)} {name}")
    axes.set_xlabel(", ".join(counts), fontsize=7)


def _paint(axes: Axes, objects: Components, chosen: Mask, colour: str, crop: tuple[slice, slice]) -> None:
    """Fill the pixels of the chosen objects."""
    inside = _pixels_of(objects, chosen)[crop]
    layer = np.zeros((*inside.shape, 4))
    layer[inside] = to_rgba(colour)
    axes.imshow(layer, interpolation="nearest", aspect=axes.get_aspect())


def _pixels_of(objects: Components, chosen: Mask | None = None) -> Mask:
    """The pixels of some or all objects, bool (rows, columns)."""
    plane = np.zeros(objects.shape, bool)
    plane.flat[objects.pixels if chosen is None else objects.pixels[chosen[objects.owner]]] = True
    return plane


def _ring(axes: Axes, objects: Components, chosen: Mask, colour: str, marker: str, crop: tuple[slice, slice]) -> int:
    """Mark the chosen objects whose centre lies in the crop, and count them."""
    rows, columns = (objects.centroid_px[chosen] - [crop[0].start, crop[1].start]).T
    shown = (
        (rows >= 0) & (rows < crop[0].stop - crop[0].start) & (columns >= 0) & (columns < crop[1].stop - crop[1].start)
    )
    axes.scatter(
        columns[shown], rows[shown], s=RING_POINTS, marker=marker, facecolors="none", edgecolors=colour, linewidths=0.9
    )
    return int(np.count_nonzero(shown))


def _scale_bar(axes: Axes, shape: tuple[int, ...], spacing_mm: Sequence[float]) -> None:
    """A bar of 1, 2, 5 or 10 mm, about a quarter of the width."""
    width_mm = shape[1] * spacing_mm[1]
    length_mm = max((mm for mm in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if mm <= width_mm / 3), default=width_mm / 3)
    row, left = 0.94 * shape[0], 0.05 * shape[1]
    axes.plot([left, left + length_mm / spacing_mm[1]], [row, row], color="black", linewidth=5, solid_capstyle="butt")
    axes.plot([left, left + length_mm / spacing_mm[1]], [row, row], color="white", linewidth=3, solid_capstyle="butt")
    box = {"facecolor": "black", "alpha": 0.6, "pad": 1.5, "edgecolor": "none"}
    axes.text(left, row - 0.03 * shape[0], f"{length_mm:g} mm", color="white", fontsize=7, va="bottom", bbox=box)


def _wrapped(name: str) -> str:
    """Up to two lines of a tile's width."""
    name = short(name)
    if len(name) <= 22:
        return name
    cut = max(name.rfind(" ", 0, 22), name.rfind("-", 0, 22)) + 1 or 22
    return f"{name[:cut].rstrip()}\n{name[cut:]}"

"""The refinement of one view as pictures: its logits after some iterations, beside the image; the curves are apart.

The curves of energy, step, seeds and t are `bundle.engines.pictures.trace_figure`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from .figures import new_figure
from .panels import densest_crop

Plane = NDArray[np.float32]

TILE_INCHES = 2.4
LIMIT = 12.0
"""Logits are drawn up to this, the clamp of the refinement."""
LEAST_CHANGE = 1.0
"""Changes are drawn up to their largest, and at least up to this."""
FIRST_COLOUR, LAST_COLOUR = "#56B4E9", "#E69F00"


def shown_iterations(iterations: int, *, count: int = 5) -> list[int]:
    """Numbers of iterations done at which to look, from 0 (the segmentor) to the last, evenly and without repetition.

    Args:
        iterations: how many there are.
        count: how many to show, at least 2.
    """
    return np.unique(np.linspace(0, iterations, count).round().astype(int)).tolist()


def busiest_crop(logits: Mapping[int, Plane], image: Plane, *, crop_px: int) -> tuple[slice, slice]:
    """The square with most pixels that ever are at probability 0.5 or more; with most breast, if there are none.

    Args:
        logits: (rows, columns) each, by the number of iterations done.
        image: (rows, columns), -1 outside the breast.
        crop_px: side; a smaller view is taken whole.
    """
    positive = np.any([plane >= 0 for plane in logits.values()], axis=0)
    return densest_crop(positive, image > -1, crop_px=crop_px)


def logit_figure(
    logits: Mapping[int, Plane], image: Plane, *, name: str = "", crop_px: int = 256, zoom_px: int = 64
) -> Figure:
    """Logits of the busiest window after some iterations; below, a detail of it and what has changed there.

    Args:
        logits: (rows, columns) each, by the number of iterations done; 0 is the segmentor.
        image: (rows, columns), in [-1, 1].
        name: of the view, above the picture.
        crop_px: side of the window.
        zoom_px: side of the detail.

    Raises:
        ValueError: without the segmentor's logits, or with nothing beside them.
    """
    if 0 not in logits or len(logits) < 2:
        raise ValueError(f"Expected logits before and after refinement, got those of {sorted(logits)}; keep 0 and more")
    crop, done = busiest_crop(logits, image, crop_px=crop_px), sorted(logits)
    view, planes = image[crop], [logits[count][crop] for count in done]
    zoom = busiest_crop(dict(zip(done, planes, strict=True)), view, crop_px=zoom_px)
    figure = new_figure(TILE_INCHES * (1 + len(done)) + 0.8, 2 * (TILE_INCHES + 0.2) + 0.7)
    above, below = figure.subplots(2, 1 + len(done))
    _draw_image(above[0], view, "image")
    above[0].add_patch(_frame(zoom))
    for axes, plane, count in zip(above[1:], planes, done, strict=True):
        heat = _draw_plane(axes, plane, LIMIT, "segmentor" if count == 0 else f"after {count}")
        axes.set_xlabel(f"{int((plane >= 0).sum())} px at 0.5 or more", fontsize=8)
    figure.colorbar(heat, ax=above.tolist(), label="logit", fraction=0.02)
    _draw_detail(figure, below, view[zoom], [plane[zoom] for plane in planes])
    window = f"rows {crop[0].start}-{crop[0].stop}, columns {crop[1].start}-{crop[1].stop}"
    figure.suptitle(f"{name}: {window}" if name else window, fontsize=9, parse_math=False)
    return figure


def _draw_detail(figure: Figure, row: Sequence[Axes], view: Plane, planes: Sequence[Plane]) -> None:
    """The detail with the outlines of the first and the last prediction, and changes since the first."""
    _draw_image(row[0], view, "detail, outlined at 0.5")
    _outline(row[0], planes[0], FIRST_COLOUR)
    _outline(row[0], planes[-1], LAST_COLOUR)
    row[0].set_xlabel("blue: segmentor, orange: refined", fontsize=8)
    _draw_plane(row[1], planes[0], LIMIT, "")
    row[1].set_xlabel("logit, segmentor", fontsize=8)
    # What lies beyond the limit is one probability, 0 or 1, and no change that matters.
    first, *others = (plane.clip(-LIMIT, LIMIT) for plane in planes)
    changes = [plane - first for plane in others]
    limit = max(LEAST_CHANGE, max(float(np.abs(change).max()) for change in changes))
    for axes, change in zip(row[2:], changes, strict=True):
        heat = _draw_plane(axes, change, limit, "")
        axes.set_xlabel(f"change {change.min():+.1f} to {change.max():+.1f}", fontsize=8)
    figure.colorbar(heat, ax=list(row), label="change of the logit", fraction=0.02)


def _frame(square: tuple[slice, slice]) -> Rectangle:
    rows, columns = square
    corner = (columns.start - 0.5, rows.start - 0.5)
    sides = (columns.stop - columns.start, rows.stop - rows.start)
    return Rectangle(corner, *sides, fill=False, edgecolor="white", linewidth=0.8)


def _draw_image(axes: Axes, view: Plane, title: str) -> None:
    breast = view[view > -1]
    low, high = np.percentile(breast, [1, 99.8]) if breast.size else (-1.0, 1.0)
    axes.imshow(view, cmap="gray", vmin=low, vmax=max(high, low + 0.05), interpolation="nearest")
    axes.set_title(title, fontsize=9)
    _bare(axes)


def _draw_plane(axes: Axes, plane: Plane, limit: float, title: str) -> AxesImage:
    heat = axes.imshow(plane, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    _bare(axes)
    return heat


def _outline(axes: Axes, plane: Plane, colour: str) -> None:
    # Contours that do not exist are a warning.
    if plane.min() < 0 <= plane.max():
        axes.contour(plane, levels=[0.0], colors=colour, linewidths=0.9)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])

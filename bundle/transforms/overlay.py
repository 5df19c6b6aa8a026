"""Pictures of findings: the view beside its overlay, and its clusters enlarged.

Both take a windowed view in [-1, 1] and the report of `bundle.functional.findings`, and return a picture as uint8
(rows, columns, 3). They draw with matplotlib's canvas alone, so no display and no global state is involved.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.spatial import cKDTree
from skimage.measure import find_contours

Picture = NDArray[np.uint8]

CLUSTERED_COLOUR, ISOLATED_COLOUR, BOX_COLOUR, TRUTH_COLOUR = "#ffb000", "#40d8ff", "#ffe066", "#5cff7a"
BACKGROUND_GREY = 24
GAP_PX = 16
DOTS_PER_INCH = 100
MAX_PANEL_ROWS, MIN_PANEL_ROWS = 1600, 700
# Circles keep their size on a reduced picture, or the findings could not be seen.
CIRCLE_RADIUS_PX, SMALLEST_RADIUS_PX, CIRCLE_GAP_PX = 8.0, 4.0, 2.0
BREAST_MARGIN_MM = 4.0
CLUSTER_MARGIN_MM = 2.0
TILE_PX = 620
CROP_MARGIN_MM, MIN_CROP_MM, MAX_CROP_MM = 3.0, 10.0, 40.0
MAX_CROPS = 3


class Panel(NamedTuple):
    """Where a piece of the view lies on the picture: view px (row, column) * scale + offset = picture px."""

    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    def place(self, positions_px: ArrayLike) -> NDArray[np.float64]:
        """Picture positions (n, 2) as (column, row), the order in which matplotlib draws, of pixel centres (n, 2)."""
        positions = np.asarray(positions_px, np.float64).reshape(-1, 2)
        # A pixel centre sits half a pixel inside: enlarging a pixel keeps its centre in the middle.
        return ((positions + 0.5) * self.scale + self.offset - 0.5)[:, ::-1]


def overlay_picture(image: ArrayLike, report: Mapping[str, Any], *, max_rows: int = MAX_PANEL_ROWS) -> Picture:
    """Draw the view on the left and, on the right, circles around its findings and boxes around its clusters.

    Args:
        image: float (rows, columns) in [-1, 1].
        report: from `findings_report`, for this view.
        max_rows: height of the view on the picture at most, px.
    """
    spacing = np.asarray(report["spacing_mm"])
    box = _breast_box(np.asarray(image), spacing)
    grey = _to_grey(np.asarray(image)[box[0] : box[2], box[1] : box[3]])
    rows = float(np.clip(grey.shape[0], min(MIN_PANEL_ROWS, max_rows), max_rows))
    mm_per_px = grey.shape[0] * spacing[0] / rows
    panel_grey = _resized(grey, np.rint(np.multiply(grey.shape, spacing) / mm_per_px))
    text_px = max(16.0, 0.016 * rows)
    top = int(3.6 * text_px)
    height, width = panel_grey.shape
    canvas = np.full((height + 2 * top, 2 * width + GAP_PX, 3), BACKGROUND_GREY, np.uint8)
    right = width + GAP_PX
    for left in (0, right):
        canvas[top : top + height, left : left + width] = panel_grey[..., None]
    figure, axes = _blank_axes(canvas)
    scale = np.divide(panel_grey.shape, grey.shape)
    panel = Panel(np.array([top, right]) - np.array(box[:2]) * scale, scale)
    bounds_px = (right, top, right + width - 1, top + height - 1)
    _draw_findings(axes, report, panel, bounds_px=bounds_px, mm_per_px=mm_per_px, text_px=text_px)
    view = " ".join(part for part in (report["laterality"], report["view_position"]) if part)
    _write(axes, 0.5 * text_px, 0.5 * top, f"original {view}".strip(), text_px)
    _write(axes, right, 0.5 * top, _headline(report), text_px)
    _scale_bar(axes, 0.5 * text_px, top + height + 0.5 * top, mm_per_px=mm_per_px, length_mm=10, text_px=text_px)
    _legend(axes, right, top + height + 0.5 * top, text_px=text_px)
    return _rendered(figure)


def zoom_picture(
    image: ArrayLike,
    mask: ArrayLike,
    report: Mapping[str, Any],
    *,
    truth: ArrayLike | None = None,
    max_crops: int = MAX_CROPS,
) -> Picture | None:
    """Enlarge the largest clusters, or the most probable findings where there is none: plain beside outlined.

    Args:
        image: float (rows, columns) in [-1, 1].
        mask: bool (rows, columns), the findings.
        report: from `findings_report`, for this view.
        truth: bool (rows, columns), outlined in another colour when given.
        max_crops: crops at most.

    Returns:
        The picture, or None if there are no findings.
    """
    spacing = np.asarray(report["spacing_mm"])
    crops = _crops(report, spacing, np.shape(image))[:max_crops]
    if not crops:
        return None
    text_px = 18.0
    strip = int(2.2 * text_px)
    canvas = np.full((len(crops) * (TILE_PX + strip) + strip, 2 * TILE_PX + GAP_PX, 3), BACKGROUND_GREY, np.uint8)
    panels = []
    for index, (title, box) in enumerate(crops):
        top = strip + index * (TILE_PX + strip)
        tile, panel = _tile(np.asarray(image), box, np.array([top, TILE_PX + GAP_PX], float), spacing)
        for left in (0, TILE_PX + GAP_PX):
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile[..., None]
        panels.append((title, box, panel, top))
    figure, axes = _blank_axes(canvas)
    for title, box, panel, top in panels:
        if truth is not None:
            _draw_outlines(axes, np.asarray(truth, bool), box, panel, TRUTH_COLOUR, line_width=2.4)
        # Thinner and on top, so that both show where they agree.
        _draw_outlines(axes, np.asarray(mask, bool), box, panel, CLUSTERED_COLOUR, line_width=1.1)
        _write(axes, 4, top - 0.5 * strip, title, text_px)
        bar_top = top + TILE_PX - 0.8 * text_px
        _scale_bar(axes, 10, bar_top, mm_per_px=spacing[0] / panel.scale[0], length_mm=2, text_px=text_px)
    legend = (
        f"orange: {report['method']}" + ("" if truth is None else ", green: truth") + "; contrast stretched per crop"
    )
    _write(axes, 4, canvas.shape[0] - 0.5 * strip, legend, text_px)
    return _rendered(figure)


def _breast_box(image: NDArray, spacing: NDArray) -> tuple[int, int, int, int]:
    """Box around the breast with a margin (the whole view if there is none): black air would only shrink the breast."""
    rows, columns = (np.flatnonzero(np.any(image > -1, axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return 0, 0, image.shape[0], image.shape[1]
    margin = np.rint(BREAST_MARGIN_MM / spacing).astype(int)
    start = np.maximum([rows[0] - margin[0], columns[0] - margin[1]], 0)
    stop = np.minimum([rows[-1] + 1 + margin[0], columns[-1] + 1 + margin[1]], image.shape)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])


def _to_grey(image: NDArray) -> Picture:
    return np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


def _resized(grey: Picture, shape: Sequence[int] | NDArray) -> Picture:
    size = (max(1, int(shape[1])), max(1, int(shape[0])))  # Pillow counts columns first
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))


def _blank_axes(canvas: Picture) -> tuple[Figure, Axes]:
    """A figure of exactly the canvas's pixels, with axes in picture px, rows downwards."""
    rows, columns = canvas.shape[:2]
    figure = Figure(figsize=(columns / DOTS_PER_INCH, rows / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(canvas, interpolation="nearest", aspect="auto")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.axis("off")
    return figure, axes


def _rendered(figure: Figure) -> Picture:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _write(axes: Axes, column: float, row: float, text: str, text_px: float, colour: str = "white") -> None:
    points = text_px * 72 / DOTS_PER_INCH
    axes.text(column, row, text, color=colour, fontsize=points, va="center", ha="left", linespacing=1.25)


def _headline(report: Mapping[str, Any]) -> str:
    findings, clusters = report["finding_count"], report["cluster_count"]
    return (
        f"{report['method']}, threshold {report['threshold']:.3g}\n"
        f"{findings} finding{'s' * (findings != 1)}, {clusters} cluster{'s' * (clusters != 1)}"
    )


def _draw_findings(
    axes: Axes,
    report: Mapping[str, Any],
    panel: Panel,
    *,
    bounds_px: tuple[int, int, int, int],
    mm_per_px: float,
    text_px: float,
) -> None:
    """Circles around findings, boxes around clusters; bounds are the panel's left, top, right and bottom."""
    for clustered, colour in ((False, ISOLATED_COLOUR), (True, CLUSTERED_COLOUR)):
        chosen = [f for f in report["findings"] if (f["cluster"] is not None) == clustered]
        if not chosen:
            continue
        diameter = 2 * _circle_radii(chosen, mm_per_px)
        axes.add_collection(
            EllipseCollection(
                diameter, diameter, np.zeros(len(chosen)), units="xy", facecolors="none", edgecolors=colour,
                linewidths=1.1, offsets=panel.place([f["centroid_px"] for f in chosen]),
                offset_transform=axes.transData,
            )
        )  # fmt: skip
    for cluster in report["clusters"]:
        margin = CLUSTER_MARGIN_MM / mm_per_px * np.array([[-1], [1]])
        # A box's corners lie between pixels, half a pixel before their centres.
        corners = panel.place(np.reshape(cluster["box_px"], (2, 2)) - 0.5) + margin
        (left, top), (right, bottom) = np.clip(corners, bounds_px[:2], bounds_px[2:])
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=BOX_COLOUR, lw=1.6))
        label = f"{cluster['id']}: {cluster['count']}"
        _write(axes, left, top - 0.7 * text_px, label, 0.85 * text_px, BOX_COLOUR)


def _circle_radii(findings: Sequence[Mapping[str, Any]], mm_per_px: float) -> NDArray[np.float64]:
    """Large enough to see and to hold the finding, smaller where neighbours would run together; picture px."""
    positions = np.array([finding["position_mm"] for finding in findings]) / mm_per_px
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
    own = np.array([finding["diameter_mm"] for finding in findings]) / 2 / mm_per_px + CIRCLE_GAP_PX
    return np.maximum(own, np.clip(nearest / 2, SMALLEST_RADIUS_PX, CIRCLE_RADIUS_PX))


def _legend(axes: Axes, column: float, row: float, *, text_px: float) -> None:
    radius = 0.4 * text_px
    for text, colour in (("in a cluster", CLUSTERED_COLOUR), ("single", ISOLATED_COLOUR), ("cluster", BOX_COLOUR)):
        column += radius + 2
        if text == "cluster":
            axes.add_patch(
                Rectangle((column - radius, row - radius), 2 * radius, 2 * radius, fill=False, ec=colour, lw=1.6)
            )
        else:
            axes.add_collection(
                EllipseCollection(
                    2 * radius, 2 * radius, 0, units="xy", facecolors="none", edgecolors=colour, linewidths=1.4,
                    offsets=[(column, row)], offset_transform=axes.transData,
                )
            )  # fmt: skip
        _write(axes, column + 2 * radius, row, text, 0.85 * text_px)
        column += 2 * radius + 0.55 * text_px * (len(text) + 1.5)


def _scale_bar(axes: Axes, column: float, row: float, *, mm_per_px: float, length_mm: float, text_px: float) -> None:
    length = length_mm / mm_per_px
    axes.plot([column, column + length], [row, row], color="white", linewidth=3, solid_capstyle="butt")
    text = f"{length_mm / 10:g} cm" if length_mm >= 10 else f"{length_mm:g} mm"
    _write(axes, column + length + 0.5 * text_px, row, text, 0.85 * text_px)


def _crops(
    report: Mapping[str, Any], spacing: NDArray, shape: tuple[int, ...]
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Titles and square boxes (first row, first column, one past the last) of what is worth enlarging."""
    if report["clusters"]:
        chosen = [
            (
                f"cluster {c['id']}: {c['count']} findings, {c['extent_mm'][0]:.0f} x {c['extent_mm'][1]:.0f} mm",
                c["box_px"],
            )
            for c in report["clusters"]
        ]
    else:
        chosen = [
            (f"finding {f['id']}: probability {f['peak_probability']:.2f}, {f['diameter_mm']:.2f} mm", f["box_px"])
            for f in report["findings"]
        ]
    return [(title, _square(box, spacing, shape)) for title, box in chosen]


def _square(box_px: Sequence[int], spacing: NDArray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A square (in mm) around a box, moved inside the view where it sticks out, smaller only if the view is."""
    first, last = np.array(box_px[:2]), np.array(box_px[2:])
    side_mm = np.clip(((last - first) * spacing).max() + 2 * CROP_MARGIN_MM, MIN_CROP_MM, MAX_CROP_MM)
    size = np.minimum(np.rint(side_mm / spacing).astype(int), shape[:2])
    start = np.clip((first + last - size) // 2, 0, np.array(shape[:2]) - size)
    return int(start[0]), int(start[1]), int(start[0] + size[0]), int(start[1] + size[1])


def _tile(image: NDArray, box: tuple[int, int, int, int], corner: NDArray, spacing: NDArray) -> tuple[Picture, Panel]:
    crop = image[box[0] : box[2], box[1] : box[3]]
    low, high = np.percentile(crop[crop > -1], [1, 99.8]) if np.any(crop > -1) else (-1.0, 1.0)
    grey = _to_grey(2 * (crop - low) / max(high - low, 1e-3) - 1)
    size_mm = np.multiply(crop.shape, spacing)
    tile = _resized(grey, np.rint(TILE_PX * size_mm / size_mm.max()))
    scale = np.divide(tile.shape, crop.shape)
    return tile, Panel(corner - np.array(box[:2]) * scale, scale)


def _draw_outlines(
    axes: Axes, mask: NDArray[np.bool_], box: tuple[int, int, int, int], panel: Panel, colour: str, *, line_width: float
) -> None:
    """Outline the mask inside a box; padded, so that objects at the border close."""
    crop = np.pad(mask[box[0] : box[2], box[1] : box[3]], 1).astype(float)
    origin = np.array(box[:2]) - 1
    lines = [panel.place(line + origin) for line in find_contours(crop, 0.5)]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=line_width))

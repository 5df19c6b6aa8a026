"""What a study page shows of one view: pictures, outlines and numbers, made from arrays and ready to be written out."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..functional.findings import find_objects, findings_report
from ..functional.outlines import object_outlines

Box = tuple[int, int, int, int]

JPEG_QUALITY = 90
"""At full resolution: a 3328 x 2560 view takes 1 to 2 MB, and calcifications stay as they are to the eye."""
TILE_PX = 256
FAINTEST = 0.05
"""Probability below which a map is left transparent."""
CROP_MARGIN_MM, MIN_CROP_MM = 3.0, 10.0
MAX_CROP_PX = 640


class Tile(NamedTuple):
    """A piece of a probability map that is not empty: first row and column, size, and a palette PNG."""

    row: int
    column: int
    rows: int
    columns: int
    png: bytes


@dataclass(frozen=True)
class Layer:
    """One map over the view: its findings, what they look like, and the map itself.

    Attributes:
        report: from `findings_report`.
        paths: per finding, its outline as data of an SVG path, in units of pixels from the corner of the image.
        tiles: of the map.
    """

    report: Mapping[str, Any]
    paths: Sequence[str]
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Crop:
    """A cluster enlarged: where it lies and a grey PNG, contrast stretched."""

    box_px: Box
    png: bytes


@dataclass(frozen=True)
class ViewPanel:
    """A view as the page shows it.

    Attributes:
        grey: JPEG at full resolution.
        method: the map that the findings are from.
        first_pass: the segmentor's one pass; None where that is the method or was not kept.
        crops: of the clusters of the method, in order.
    """

    grey: bytes
    method: Layer
    first_pass: Layer | None = None
    crops: Sequence[Crop] = field(default_factory=tuple)

    @property
    def report(self) -> Mapping[str, Any]:
        """The method's findings."""
        return self.method.report


def view_panel(
    image: ArrayLike,
    *,
    report: Mapping[str, Any],
    mask: ArrayLike,
    probs: ArrayLike,
    first_pass: ArrayLike | None = None,
) -> ViewPanel:
    """Encode a view.

    Args:
        image: float (rows, columns) in [-1, 1], -1 outside the breast.
        report: the view's findings JSON.
        mask: bool (rows, columns), the findings.
        probs: float (rows, columns) in [0, 1], of the method.
        first_pass: the same of the segmentor's one pass.

    Raises:
        ValueError: if the findings are not those of the mask.
    """
    values = np.asarray(image)
    grey = to_grey(values)
    method = Layer(report, _paths(np.asarray(mask, bool), report), probability_tiles(probs))
    spacing = report["spacing_mm"]
    crops = [_crop(values, crop_box(one["box_px"], values.shape, spacing)) for one in report["clusters"]]
    first = None if first_pass is None else _first_layer(np.asarray(first_pass), values > -1, report)
    return ViewPanel(_encoded(Image.fromarray(grey), "JPEG", quality=JPEG_QUALITY), method, first, crops)


def to_grey(image: NDArray) -> NDArray[np.uint8]:
    """[-1, 1] to 0 to 255."""
    return np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


def probability_tiles(probs: ArrayLike, *, tile_px: int = TILE_PX, faintest: float = FAINTEST) -> list[Tile]:
    """Cut a map into pieces and keep those that show anything: most of a view is empty, and a page has room for little.

    Args:
        probs: float (rows, columns) in [0, 1].
        tile_px: side of the grid.
        faintest: probability that is still shown.

    Returns:
        Palette PNGs whose index is round(255 p), 0 below `faintest`; each is cut to what it shows.
    """
    levels = np.rint(np.asarray(probs) * 255).astype(np.uint8)
    levels[levels < faintest * 255] = 0
    tiles = []
    for top in range(0, levels.shape[0], tile_px):
        for left in range(0, levels.shape[1], tile_px):
            piece = levels[top : top + tile_px, left : left + tile_px]
            if not piece.any():
                continue
            rows, columns = (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
            row, column = int(rows[0]), int(columns[0])
            cut = piece[row : rows[-1] + 1, column : columns[-1] + 1]
            tiles.append(Tile(top + row, left + column, cut.shape[0], cut.shape[1], _palette_png(cut)))
    return tiles


def crop_box(box: Sequence[int], shape: Sequence[int], spacing_mm: Sequence[float]) -> Box:
    """Box around a cluster with 3 mm to each side and at least 10 mm long, moved inside the view.

    Args:
        box: first row and column, and one past the last row and column.
        shape: of the view.
        spacing_mm: row and column spacing.
    """
    ends = []
    for axis in (0, 1):
        low, high = box[axis], box[axis + 2]
        length = max(high - low + 2 * CROP_MARGIN_MM / spacing_mm[axis], MIN_CROP_MM / spacing_mm[axis])
        length = min(round(length), shape[axis])
        start = min(max(round((low + high - length) / 2), 0), shape[axis] - length)
        ends.append((start, start + length))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def svg_path(outline: NDArray[np.float64]) -> str:
    """A closed polygon of (row, column) pixel centres as SVG path data, x and y from the corner of the image."""
    points = " ".join(f"{column + 0.5:.1f},{row + 0.5:.1f}" for row, column in outline[:-1])
    return f"M{points}Z"


def _paths(mask: NDArray[np.bool_], report: Mapping[str, Any]) -> list[str]:
    boxes = [tuple(finding["box_px"]) for finding in report["findings"]]
    return [svg_path(outline) for outline in object_outlines(mask, boxes)]


def _first_layer(probs: NDArray, breast: NDArray[np.bool_], report: Mapping[str, Any]) -> Layer:
    """The one pass at the method's threshold, described as the method is."""
    threshold, spacing = report["threshold"], report["spacing_mm"]
    own = findings_report(
        find_objects(probs, threshold=threshold, spacing_mm=spacing, breast=breast),
        image_name="",
        shape=(probs.shape[0], probs.shape[1]),
        spacing_mm=spacing,
        method="segmentor",
        threshold=threshold,
        breast_area_cm2=report["breast_area_cm2"],
        created_by=report["created_by"],
    )
    return Layer(own, _paths((probs >= threshold) & breast, own), probability_tiles(probs))


def _crop(image: NDArray, box: Box) -> Crop:
    piece = image[box[0] : box[2], box[1] : box[3]]
    breast = piece[piece > -1]
    low, high = np.percentile(breast, [1, 99.8]) if breast.size else (-1.0, 1.0)
    picture = Image.fromarray(to_grey(2 * (piece - low) / max(high - low, 1e-3) - 1))
    picture.thumbnail((MAX_CROP_PX, MAX_CROP_PX), Image.Resampling.LANCZOS)
    return Crop(box, _encoded(picture, "PNG"))


def _palette_png(levels: NDArray[np.uint8]) -> bytes:
    """Amber to red with the probability, and the more opaque."""
    p = np.arange(256) / 255
    colours = np.stack([np.full(256, 255.0), 200 - 165 * p, 40 * p], axis=1)
    alpha = np.where(p > 0, 60 + 170 * p, 0)
    picture = Image.fromarray(levels)
    palette = Image.new("P", picture.size)
    palette.frombytes(picture.tobytes())
    palette.putpalette(np.rint(colours).astype(np.uint8).tobytes())
    return _encoded(palette, "PNG", transparency=np.rint(alpha).astype(np.uint8).tobytes())


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, optimize=True, **options)
    return data.getvalue()

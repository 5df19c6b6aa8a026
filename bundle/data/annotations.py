"""What is true of a view: a mask (PNG, NIfTI) or regions (INbreast), as a label and as single points."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.draw import polygon

from ..functional.confusion import BACKGROUND, IGNORE, MICROCALCIFICATION
from ..functional.objects import find_components
from .errors import OUT_OF_MEMORY, MammogramError, refuse
from .flat_checks import check_flat
from .flat_files import FORMATS
from .inbreast import Rois, Vertices, read_rois
from .limits import MAX_FILL_STEPS
from .nifti_files import load_nifti, oriented
from .view import check_size

Path = str | PathLike[str]
Kind = Literal["mask", "points", "outlines"]
MASK_SUFFIXES = {"png": (".png",), "nifti": (".nii", ".nii.gz"), "inbreast": (".xml",)}
MASK_FORMATS = ("auto", *MASK_SUFFIXES)
GREY_MODES = ("1", "L", "I", "I;16", "I;16B")
WHITE = 255
MAX_OTHERS = 100_000
OUTSIDE_PX = 10.0
"""A hand may draw a little over the border of the view; further out the file belongs to another view."""
SPACING_TOLERANCE = 0.01
"""Headers round their spacing; a difference of 1 % is about 1 px over a calcification cluster."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """The truth of one view.

    Attributes:
        kind: "mask" for pixels, "points" for positions, "outlines" if only groups are outlined.
        label: uint8 (rows, columns): 0 background, 1 microcalcification, 2 ignore; all 0 unless a mask.
        points_px: float (n, 2), row and column of every calcification, if they are positions.
        outlines_px: vertices (row, column) of each outline, float (n, 2).
    """

    kind: Kind
    label: NDArray[np.uint8]
    points_px: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    outlines_px: tuple[NDArray[np.float64], ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is annotated; ignored pixels aside."""
        return not (len(self.points_px) or self.outlines_px or (self.label == MICROCALCIFICATION).any())


def read_annotation(
    path: Path | None,
    *,
    shape: tuple[int, int],
    spacing_mm: Sequence[float] | None = None,
    grid_spacing_mm: Sequence[float] | None = None,
    points_as_pixels: bool = False,
) -> Annotation:
    """Read the truth of a view; which format it is, the suffix says.

    Args:
        path: PNG with 0/1, 0/255 or 0/1/2, NIfTI with the same values, INbreast XML; None for a view that is clean.
        shape: rows and columns of the view.
        spacing_mm: row and column spacing of the view, which a NIfTI file's must agree with.
        grid_spacing_mm: the same as viewers show the view's file, without magnification; it may agree with this.
        points_as_pixels: see `annotation_of_rois`.

    Returns:
        The truth; an empty mask, or a file without regions of calcifications, is that of a clean view.

    Raises:
        MammogramError: in one line, if the file is damaged, of another size or spacing, or holds other values.
    """
    if path is None:
        return Annotation(kind="mask", label=np.zeros(shape, np.uint8))
    name = fspath(path).lower()
    spacings = [spacing for spacing in (spacing_mm, grid_spacing_mm) if spacing is not None]
    if name.endswith(MASK_SUFFIXES["inbreast"]):
        rois = read_rois(path)
        check_rois(rois, shape, path)
        return annotation_of_rois(rois, shape=shape, points_as_pixels=points_as_pixels)
    label = _nifti_label(path, spacings) if name.endswith(MASK_SUFFIXES["nifti"]) else _png_label(path)
    _check_shape(label.shape, shape, path)
    return Annotation(kind="mask", label=label)


def annotation_of_rois(rois: Rois, *, shape: tuple[int, int], points_as_pixels: bool = False) -> Annotation:
    """Turn regions into a truth.

    - Polygons alone are filled: a mask.
    - As soon as one calcification is a single position, nobody knows its pixels, so the view has points: those, and
      the centroid of every polygon. There are no pixel figures of it.
    - Outlines of clusters count only if no calcification is marked by itself.

    Args:
        rois: from `read_rois`.
        shape: rows and columns of the view.
        points_as_pixels: make every single position one pixel of a mask, as most published figures on INbreast do;
            they then count in Dice.
    """
    single = [point[None] for point in rois.points]
    if not rois.polygons and not single and rois.clusters:
        return Annotation(kind="outlines", label=np.zeros(shape, np.uint8), outlines_px=rois.clusters)
    if points_as_pixels or not single:
        return Annotation(kind="mask", label=filled([*rois.polygons, *single], shape))
    centroids = [np.mean(_pixels(vertices, shape), axis=1) for vertices in rois.polygons]
    points = np.clip([*rois.points, *centroids], 0, np.subtract(shape, 1))
    return Annotation(kind="points", label=np.zeros(shape, np.uint8), points_px=points)


def as_points(annotation: Annotation) -> Annotation:
    """The centroids of a mask's objects as points, for a set in which other views have nothing but points.

    Ignored pixels stay; points stay as they are.
    """
    found = find_components(annotation.label == MICROCALCIFICATION).centroid_px
    ignored = np.where(annotation.label == IGNORE, np.uint8(IGNORE), np.uint8(BACKGROUND))
    return Annotation(kind="points", label=ignored, points_px=np.concatenate([annotation.points_px, found]))


def label_of_values(values: NDArray, *, path: Path) -> NDArray[np.uint8]:
    """Turn 0/1, 0/255 or 0/1/2 into the label's 0, 1 and 2.

    Args:
        values: (rows, columns), any real type.
        path: the file, for the message.

    Raises:
        MammogramError: if there are other values.
    """
    full = values == WHITE
    if np.isin(values, (BACKGROUND, MICROCALCIFICATION, IGNORE)).all():
        return values.astype(np.uint8)
    if (full | (values == BACKGROUND)).all():
        return full.astype(np.uint8)
    # A few are named; all the values of a large file would take gigabytes.
    rest = values[~(full | np.isin(values, (BACKGROUND, MICROCALCIFICATION, IGNORE)))].ravel()[:MAX_OTHERS]
    others = ", ".join(f"{value:g}" for value in np.unique(rest)[:4]) or "1 or 2 beside 255"
    raise refuse(path, f"Expected a mask of 0/1, 0/255 or 0/1/2 (ignore), got {others}; threshold it first")


def spacings_agree(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two (row, column) spacings are the same up to rounding in a header."""
    return bool(np.allclose(first, second, rtol=SPACING_TOLERANCE, atol=0))


def _check_shape(got: tuple[int, ...], expected: tuple[int, int], path: Path) -> None:
    if got != expected:
        hint = "transpose it" if got == expected[::-1] else "save it at the size of the view"
        raise refuse(path, f"Expected the view's {expected[0]} x {expected[1]} pixels, got {got[0]} x {got[1]}; {hint}")


def _png_label(path: Path) -> NDArray[np.uint8]:
    check_flat(path)
    try:
        with warnings.catch_warnings(), Image.open(path, formats=FORMATS["view"]) as image:
            warnings.simplefilter("ignore")
            check_size(image.height, image.width, path=path)
            if image.mode not in (*GREY_MODES, "RGB"):
                raise refuse(path, f"Expected a greyscale mask, got mode {image.mode!r}; save it as 8-bit grey PNG")
            values = np.asarray(image)
            values = values.astype(np.uint8) if values.dtype == bool else values
    except MammogramError:
        raise
    except MemoryError as error:
        raise refuse(path, OUT_OF_MEMORY) from error
    except Exception as error:
        reason = f"Expected a mask as PNG, decoding ended in {type(error).__name__}"
        raise refuse(path, f"{reason}; it is damaged or truncated, export it again") from error
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise refuse(path, "Expected a greyscale mask, got colour; save it as 8-bit grey PNG")
        values = values[..., 0]
    return label_of_values(values, path=path)


def _nifti_label(path: Path, spacings_mm: Sequence[Sequence[float]]) -> NDArray[np.uint8]:
    image = load_nifti(path)
    # Rows and columns lie as they would in a view of the same format.
    try:
        view = oriented(image, spacing_mm=None, path=path)
    except MammogramError:
        # A spacing that no mammogram has (1 mm, mostly) was never set, so there is nothing to contradict.
        return label_of_values(oriented(image, spacing_mm=(1.0, 1.0), path=path).pixels, path=path)
    if spacings_mm and not any(spacings_agree(view.spacing_mm, spacing) for spacing in spacings_mm):
        expected, got = (f"{pair[0]:.4g} x {pair[1]:.4g} mm" for pair in (spacings_mm[0], view.spacing_mm))
        raise refuse(path, f"Expected the view's pixel spacing {expected}, got {got}; correct one of the headers")
    return label_of_values(view.pixels, path=path)


def filled(polygons: Sequence[Vertices], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Fill closed polygons in a label of 0 and 1, uint8 (rows, columns).

    Args:
        polygons: vertices (row, column), each float (n, 2); parts outside the label are cut off.
        shape: rows and columns of the label.
    """
    label = np.zeros(shape, np.uint8)
    for vertices in polygons:
        label[_pixels(vertices, shape)] = MICROCALCIFICATION
    return label


def _pixels(vertices: Vertices, shape: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Rows and columns of the pixels whose centre lies in a polygon.

    One too small for any centre takes the pixel nearest to the mean of its vertices, so that none vanishes.
    """
    rows, columns = polygon(vertices[:, 0], vertices[:, 1], shape)
    if rows.size:
        return rows, columns
    row, column = np.clip(np.floor(vertices.mean(axis=0) + 0.5), 0, np.subtract(shape, 1)).astype(int)
    return np.array([row]), np.array([column])


def check_rois(rois: Rois, shape: tuple[int, int], path: Path) -> None:
    """Refuse regions of another view, and so many or so large ones that filling them would take hours.

    Args:
        rois: from `read_rois`.
        shape: rows and columns of the view.
        path: the file, for the message.

    Raises:
        MammogramError: if a region lies outside the view, or filling all takes too many steps.
    """
    for vertices in (*rois.polygons, *rois.clusters, rois.points):
        _check_inside(vertices, shape, path)
    # The filling visits every pixel of an outline's box, and every vertex there.
    steps = sum(len(polygon) * float(np.prod(np.ptp(polygon, axis=0) + 1)) for polygon in rois.polygons)
    if steps > MAX_FILL_STEPS:
        reason = f"Expected outlines that take at most {MAX_FILL_STEPS:.0e} steps to fill, got {steps:.0e}"
        raise refuse(path, f"{reason}; simplify them")


def _check_inside(vertices: Vertices, shape: tuple[int, int], path: Path) -> None:
    outside = (vertices < -OUTSIDE_PX) | (vertices > np.add(shape, OUTSIDE_PX - 1))
    if outside.any():
        row, column = vertices[outside.any(axis=1)][0]
        reason = f"Expected regions inside the view of {shape[0]} x {shape[1]} px, got row {row:g}, column {column:g}"
        raise refuse(path, f"{reason}; it belongs to another view or a resampled one")

"""One mammographic view in memory, and what every file format must satisfy to become one."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.utils.enums import MetaKeys, SpaceKeys

from .errors import raise_alone, refuse

Path = str | PathLike[str]

SUFFIXES = (".dcm", ".dicom", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".nii", ".nii.gz")
MIN_SIDE_PX = 64
"""Smaller images are thumbnails or mistakes."""
MAX_PIXELS = 8192 * 8192
"""Twice the area of the largest detector's matrix and more; protects memory from forged headers."""
MIN_SPACING_MM, MAX_SPACING_MM = 0.01, 0.5
"""Film scanners reach 0.02 mm; beyond 0.5 mm no microcalcification is visible, and 1 mm means that nobody set it."""
SPACING_REMEDY = "pass --spacing-mm"


@dataclass(frozen=True, kw_only=True)
class FileGrid:
    """The array of a file as viewers built on ITK and NIfTI have it, in which an answer lies over the image.

    Attributes:
        affine: indices along its three axes to world mm (RAS), (4, 4).
        axes: along which of them rows and columns number.
    """

    affine: npt.NDArray[np.float64]
    axes: tuple[int, int] = (1, 0)


@dataclass(frozen=True, kw_only=True)
class View:
    """A view as read: presentation values and what the method needs to know of it; no names, no identifiers.

    Attributes:
        pixels: float32, shape (rows, columns), bright is dense.
        spacing_mm: pixel size (row, column) in the breast, mm.
        view_position: "CC", "MLO", ... or "".
        laterality: "L", "R", "B" or "".
        manufacturer: maker of the detector or "".
        remarks: what is unusual about the view, one line or "".
        affine: array indices (row, column) to world mm, (4, 4); None takes the one of a plain view.
        grid: of its file; None takes that of a file without a stated pixel size, which viewers show with 1 mm.
    """

    pixels: npt.NDArray[np.float32]
    spacing_mm: tuple[float, float]
    view_position: str = ""
    laterality: str = ""
    manufacturer: str = ""
    remarks: str = ""
    affine: npt.NDArray[np.float64] | None = None
    grid: FileGrid | None = None

    def meta(self) -> dict[str, Any]:
        """Metadata as `monai.transforms.LoadImage` expects it from a reader."""
        affine = plain_affine(self.spacing_mm) if self.affine is None else self.affine
        grid = self.grid or FileGrid(affine=np.diag([-1.0, -1.0, 1.0, 1.0]))
        return {
            "spacing_mm": np.asarray(self.spacing_mm, dtype=np.float64),
            "view_position": self.view_position,
            "laterality": self.laterality,
            "manufacturer": self.manufacturer,
            "remarks": self.remarks,
            "grid_affine": grid.affine,
            "grid_axes": np.asarray(grid.axes),
            str(MetaKeys.AFFINE): affine,
            str(MetaKeys.ORIGINAL_AFFINE): affine.copy(),
            str(MetaKeys.SPACE): str(SpaceKeys.RAS),
            str(MetaKeys.SPATIAL_SHAPE): np.asarray(self.pixels.shape),
            str(MetaKeys.ORIGINAL_CHANNEL_DIM): "no_channel",
        }


def plain_affine(spacing_mm: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Array indices (row, column) to world mm (RAS): rows run along -y, columns along -x.

    ITK-based tools assume the same of a view without orientation (they write diag(-column, -row, 1, 1) for the
    transposed array), so results overlay in their viewers.

    Args:
        spacing_mm: pixel size (row, column), mm.

    Returns:
        Matrix of shape (4, 4).
    """
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 0], affine[2, 2], affine[3, 3] = -spacing_mm[1], -spacing_mm[0], 1.0, 1.0
    return affine


def checked_spacing(spacing_mm: Sequence[Any] | None, *, path: Path) -> tuple[float, float]:
    """Turn what a header or the user said into a pixel size that can be trusted.

    Args:
        spacing_mm: (row, column) in mm, or None if nothing was said.
        path: the file, for the message.

    Returns:
        (row, column) in mm.

    Raises:
        MammogramError: if it is missing, not a pair of numbers, or outside 0.01 to 0.5 mm.
    """
    if spacing_mm is None or len(spacing_mm) == 0:
        raise refuse(path, f"Expected a pixel spacing, found none; {SPACING_REMEDY}")
    try:
        row_mm, column_mm = (float(value) for value in spacing_mm)
    except (TypeError, ValueError):
        raise_alone(refuse(path, f"Expected a pixel spacing (row, column), got a malformed value; {SPACING_REMEDY}"))
    if not all(MIN_SPACING_MM <= value <= MAX_SPACING_MM for value in (row_mm, column_mm)):
        allowed = f"{MIN_SPACING_MM} to {MAX_SPACING_MM} mm"
        raise refuse(path, f"Expected pixel spacing {allowed}, got {row_mm:g} x {column_mm:g}; {SPACING_REMEDY}")
    return row_mm, column_mm


def check_size(rows: int, columns: int, *, path: Path) -> None:
    """Refuse thumbnails and matrices that would not fit in memory, before any pixel is decoded.

    Raises:
        MammogramError: if a side is below 64 pixels or the product above 8192 x 8192.
    """
    if min(rows, columns) < MIN_SIDE_PX:
        raise refuse(
            path,
            f"Expected at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels, got {rows} x {columns}; this is no full view",
        )
    if rows * columns > MAX_PIXELS:
        raise refuse(
            path, f"Expected at most {MAX_PIXELS} pixels, got {rows} x {columns}; resample it or check the header"
        )


def check_pixels(pixels: npt.NDArray[np.floating], *, path: Path) -> None:
    """Refuse pixels that carry no image.

    Raises:
        MammogramError: if a value is not finite or all are equal.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise refuse(path, "Expected finite pixel values, got nan or infinity; export the view again")
    if low == high:
        raise refuse(path, f"Expected an image, got {low:g} at every pixel; leave it out or export it again")


def override_spacing(spacing_mm: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Normalise a spacing given by the user: one number for square pixels, or (row, column).

    Raises:
        ValueError: if it is neither, or outside 0.01 to 0.5 mm.
    """
    if spacing_mm is None:
        return None
    pair = (spacing_mm, spacing_mm) if isinstance(spacing_mm, (int, float)) else tuple(spacing_mm)
    return checked_spacing(pair, path=fspath("spacing_mm"))

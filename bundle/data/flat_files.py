"""Mammograms exported to PNG, TIFF, JPEG or NIfTI: greyscale, bright is dense, pixel size mostly said by the user."""

import warnings
from os import PathLike
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import MammogramError, refuse
from .view import FileGrid, View, check_pixels, check_size, checked_spacing

Path = str | PathLike[str]
GREY_MODES = {"L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
COLOUR_MODES = {"RGB", "RGBA", "LA", "P", "PA", "RGBX"}
TIFF_PHOTOMETRIC, TIFF_WHITE_IS_ZERO = 262, 0


def read_flat_image(path: Path, *, spacing_mm: tuple[float, float] | None) -> View:
    """Read an 8- or 16-bit PNG, TIFF or JPEG.

    Resolution tags of these formats describe paper, so the pixel size is asked for. Three equal channels are grey.

    Args:
        path: the file.
        spacing_mm: pixel size (row, column), mm; required.

    Returns:
        The view.

    Raises:
        MammogramError: if it is damaged, colour, 1-bit, multi-page, of a wrong size, or the spacing is missing.
    """
    spacing = checked_spacing(spacing_mm, path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                check_size(image.height, image.width, path=path)
                if (pages := getattr(image, "n_frames", 1)) != 1:
                    raise refuse(path, f"Expected one page, got {pages}; save the view as a file of its own")
                pixels = _grey(image, path)
    except MammogramError:
        raise
    except Exception as error:
        reason = f"Expected a readable image, decoding ended in {type(error).__name__}"
        raise refuse(path, f"{reason}; it is damaged or truncated, export it again") from error
    check_pixels(pixels, path=path)
    return View(pixels=pixels, spacing_mm=spacing)


def read_nifti(path: Path, *, spacing_mm: tuple[float, float] | None = None) -> View:
    """Read a 2-D NIfTI image; singleton axes beyond the two are squeezed.

    The axis that runs along world x holds the columns (in files from ITK and most converters the first one, so the
    array is transposed); nothing is flipped, and the file's own affine is kept for what is saved beside it.

    Args:
        path: the file.
        spacing_mm: pixel size (row, column) that replaces the header's, mm.

    Returns:
        The view.

    Raises:
        MammogramError: if it is damaged, not 2-D, not real-valued, of a wrong size, or its spacing is implausible.
    """
    image = load_nifti(path, np.float32)
    check_pixels(image.values, path=path)
    return oriented(image, spacing_mm=spacing_mm, path=path)


class NiftiImage(NamedTuple):
    """A 2-D NIfTI file as it lies in memory: which axis holds the rows is not said yet.

    Attributes:
        values: along the two axes that are longer than 1.
        axes: their numbers in the file.
        affine: float64 (4, 4).
        zooms: length of a step along every axis of the file, mm.
    """

    values: npt.NDArray
    axes: tuple[int, int]
    affine: npt.NDArray[np.float64]
    zooms: tuple[float, ...]


def load_nifti(path: Path, dtype: npt.DTypeLike | None = None) -> NiftiImage:
    """Load a NIfTI file with two axes longer than 1.

    Args:
        path: the file.
        dtype: of the values; the file's own when None.

    Raises:
        MammogramError: if it is damaged, not 2-D, not real-valued or of a wrong size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Any = nib.load(path)
            axes = _two_axes(image.shape, path)
            check_size(image.shape[axes[0]], image.shape[axes[1]], path=path)
            if image.get_data_dtype().kind not in "iuf":
                raise refuse(path, f"Expected real grey values, got {image.get_data_dtype()}; export real numbers")
            values = np.asarray(image.dataobj, dtype=dtype).reshape([image.shape[axis] for axis in axes])
    except MammogramError:
        raise
    except Exception as error:
        reason = f"Expected a readable NIfTI file, loading ended in {type(error).__name__}"
        raise refuse(path, f"{reason}; it is damaged or truncated, export it again") from error
    return NiftiImage(values, axes, np.asarray(image.affine, dtype=np.float64), image.header.get_zooms())


def oriented(image: NiftiImage, *, spacing_mm: tuple[float, float] | None, path: Path) -> View:
    """Rows and columns of a NIfTI file, see `read_nifti`.

    Args:
        image: from `load_nifti`.
        spacing_mm: pixel size (row, column) that replaces the header's, mm.
        path: the file, for the message.

    Raises:
        MammogramError: if the header's spacing is implausible and none replaces it.
    """
    pixels, axes, affine, zooms = image
    along_y, along_x = np.abs(affine[1, :3]), np.abs(affine[0, :3])
    rows_first = max(axes) < 3 and along_y[axes[0]] > along_x[axes[0]] and along_x[axes[1]] > along_y[axes[1]]
    row, column = axes if rows_first else axes[::-1]
    pixels = pixels if rows_first else np.ascontiguousarray(pixels.T)
    flat = max(axes) < 3
    grid = FileGrid(affine=affine, axes=(row, column)) if flat else None
    if spacing_mm is not None:
        return View(pixels=pixels, spacing_mm=spacing_mm, grid=grid)
    spacing = checked_spacing((zooms[row], zooms[column]), path=path)
    if not flat:
        return View(pixels=pixels, spacing_mm=spacing)
    other = 3 - row - column
    return View(pixels=pixels, spacing_mm=spacing, affine=affine[:, [row, column, other, 3]], grid=grid)


def _two_axes(shape: tuple[int, ...], path: Path) -> tuple[int, int]:
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) != 2:
        raise refuse(path, f"Expected a 2-D image, got shape {tuple(shape)}; save one view per file")
    return axes[0], axes[1]


def _grey(image: Image.Image, path: Path) -> npt.NDArray[np.float32]:
    if image.mode in COLOUR_MODES:
        return _grey_of_colour(image, path)
    if image.mode not in GREY_MODES:
        raise refuse(path, f"Expected 8 or 16 bit greyscale, got mode {image.mode!r}; export the view as such")
    pixels = np.asarray(image).astype(np.float32)
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(TIFF_PHOTOMETRIC) == TIFF_WHITE_IS_ZERO:
        return np.float32(65535.0) - pixels  # Pillow inverts the 8-bit ones only
    return pixels


def _grey_of_colour(image: Image.Image, path: Path) -> npt.NDArray[np.float32]:
    """One channel of an image whose colour channels agree and that is opaque."""
    remedy = "export the view as greyscale"
    if any("16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise refuse(path, f"Expected 8 bits per colour channel or greyscale, got 16 bits; {remedy}")
    channels = np.asarray(image.convert("RGBA"))
    if not (channels[..., 3] == 255).all():
        raise refuse(path, f"Expected an opaque image, got transparency; {remedy}")
    if not ((channels[..., 0] == channels[..., 1]) & (channels[..., 0] == channels[..., 2])).all():
        raise refuse(path, f"Expected grey values, got colour; {remedy}")
    return channels[..., 0].astype(np.float32)

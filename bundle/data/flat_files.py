"""Mammograms exported to PNG, TIFF or JPEG: greyscale, bright is dense, pixel size said by the user."""

import warnings
from os import PathLike
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import MammogramError, raise_alone, refuse
from .flat_checks import check_flat
from .view import View, check_pixels, check_size, checked_spacing

Path = str | PathLike[str]
GREY_MODES = {"L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
COLOUR_MODES = {"RGB", "RGBA", "LA", "P", "PA", "RGBX"}
FORMATS: dict[str, tuple[str, ...]] = {"view": ("PNG", "TIFF", "JPEG"), "pgm": ("PPM",)}
"""Pillow's plugins that may open a file: others start programs (EPS) or unpack archives."""
TIFF_PHOTOMETRIC, TIFF_WHITE_IS_ZERO = 262, 0


def read_flat_image(
    path: Path, *, spacing_mm: tuple[float, float] | None, kind: Literal["view", "pgm"] = "view"
) -> View:
    """Read an 8- or 16-bit PNG, TIFF or JPEG, or a PGM.

    Resolution tags of these formats describe paper, so the pixel size is asked for. Three equal channels are grey.

    Args:
        path: the file.
        spacing_mm: pixel size (row, column), mm; required.
        kind: "pgm" for a PGM.

    Returns:
        The view.

    Raises:
        MammogramError: if it is damaged, colour, 1-bit, multi-page, of a wrong size, or the spacing is missing.
    """
    spacing = checked_spacing(spacing_mm, path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_pages(check_flat(path), path)
            with Image.open(path, formats=FORMATS[kind]) as image:
                check_size(image.height, image.width, path=path)
                if image.format != "TIFF":
                    _check_pages(getattr(image, "n_frames", 1), path)
                pixels = _grey(image, path)
    except MammogramError:
        raise
    except Exception as error:
        reason = f"Expected a readable image, decoding ended in {type(error).__name__}"
        raise_alone(refuse(path, f"{reason}; it is damaged or truncated, export it again"))
    check_pixels(pixels, path=path)
    return View(pixels=pixels, spacing_mm=spacing)


def _check_pages(pages: int, path: Path) -> None:
    if pages > 1:
        raise refuse(path, f"Expected one page, got {pages}; save the view as a file of its own")


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

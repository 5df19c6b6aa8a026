"""A mammographic DICOM file as a view."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

import pydicom
from pydicom.dataset import FileDataset

from .dicom_header import (
    check_header,
    is_raw,
    laterality,
    manufacturer,
    pixel_spacing,
    remarks,
    view_position,
    viewer_affine,
)
from .dicom_pixels import presentation_pixels
from .errors import MammogramError, MammogramWarning, refuse
from .view import FileGrid, View, check_pixels

Path = str | PathLike[str]
DEFLATED_SYNTAX = "1.2.840.10008.1.2.1.99"


def read_dicom(
    path: Path,
    *,
    spacing_mm: tuple[float, float] | None = None,
    default_spacing_mm: tuple[float, float] | None = None,
    voi: int | str | None = 0,
    convert_raw: bool = False,
) -> View:
    """Read one MG view.

    Args:
        path: the file.
        spacing_mm: pixel size (row, column) that replaces the header's, mm.
        default_spacing_mm: pixel size where the header states none.
        voi: VOI LUT or window by position or explanation; None for none.
        convert_raw: accept For Processing images, as negative log exposure.

    Returns:
        The view.

    Raises:
        MammogramError: if the file is no readable 2-D mammographic view.
    """
    with quiet_pydicom(path):
        header = _parse(path, stop_before_pixels=True)
        check_header(header, path=path, convert_raw=convert_raw)
        spacing = spacing_mm or pixel_spacing(header, path=path, default_mm=default_spacing_mm)
        unusual = ", ".join(filter(None, (remarks(header), "converted from raw" if is_raw(header) else "")))
        pixels = presentation_pixels(_parse(path), path=path, voi=voi, convert_raw=convert_raw)
        view = View(
            pixels=pixels,
            spacing_mm=spacing,
            view_position=view_position(header),
            laterality=laterality(header),
            manufacturer=manufacturer(header),
            remarks=unusual,
            grid=FileGrid(affine=viewer_affine(header)),
        )
    check_pixels(pixels, path=path)
    if unusual:
        warnings.warn(f"{path}: {unusual}; the method is meant for 2-D contact views", MammogramWarning, stacklevel=2)
    return view


@contextmanager
def quiet_pydicom(path: Path) -> Iterator[None]:
    """Hold back pydicom's warnings, and turn whatever it raises into one line that repeats no header value.

    Args:
        path: the file, for the message.

    Raises:
        MammogramError: instead of any other exception in the block.
    """
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MammogramError, MemoryError):
        raise
    except Exception as error:
        reason = f"Expected a readable DICOM file, parsing ended in {type(error).__name__}"
        raise refuse(path, f"{reason}; it is damaged or truncated, copy or export it again") from error
    finally:
        logger.disabled = was_disabled


def _parse(path: Path, *, stop_before_pixels: bool = False) -> FileDataset:
    """Parse a file; files without the 128-byte preamble are old but valid, and have implicit little endian then."""
    with open(path, "rb") as file:
        has_preamble = file.read(132)[128:] == b"DICM"
    if has_preamble:
        syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax == DEFLATED_SYNTAX:  # inflates to any size before a single tag can be checked
            raise refuse(path, "Expected a transfer syntax for images, got Deflated; convert it to uncompressed")
    dataset = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=not has_preamble)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return dataset

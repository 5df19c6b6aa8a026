"""A mammographic DICOM file as a view."""

import warnings
from os import PathLike

import numpy as np

from .dicom_file import parse_dicom, quiet_pydicom
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
from .errors import MammogramWarning, printable
from .view import FileGrid, View, check_pixels

Path = str | PathLike[str]


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
        header = parse_dicom(path)
        check_header(header, path=path, convert_raw=convert_raw)
        spacing = spacing_mm or pixel_spacing(header, path=path, default_mm=default_spacing_mm)
        unusual = ", ".join(filter(None, (remarks(header), "converted from raw" if is_raw(header) else "")))
        pixels = presentation_pixels(parse_dicom(path, pixels=True), path=path, voi=voi, convert_raw=convert_raw)
        view = View(
            pixels=pixels,
            spacing_mm=spacing,
            view_position=view_position(header),
            laterality=laterality(header),
            manufacturer=manufacturer(header),
            remarks=unusual,
            grid=FileGrid(affine=affine) if np.isfinite(affine := viewer_affine(header)).all() else None,
        )
    check_pixels(pixels, path=path)
    if unusual:
        line = f"{printable(path)}: {unusual}; the method is meant for 2-D contact views"
        warnings.warn(line, MammogramWarning, stacklevel=2)
    return view

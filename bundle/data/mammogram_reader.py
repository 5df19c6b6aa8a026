"""The one reader of mammograms: MG DICOM, PNG, TIFF, JPEG and NIfTI, to presentation values in rows and columns."""

import os
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.image_reader import ImageReader

from .dicom import read_dicom
from .errors import OUT_OF_MEMORY, refuse
from .files import read_start
from .flat_files import read_flat_image
from .nifti_files import read_nifti
from .view import SUFFIXES, View, override_spacing

Path = str | PathLike[str]

SIGNATURE_BYTES = 352
FLAT_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
BARE_DICOM_STARTS = (b"\x02\x00", b"\x08\x00")
"""Group 0002 or 0008 in little endian: how a file without the DICOM preamble begins."""


class MammogramReader(ImageReader):
    """Reads one view as MONAI's `LoadImage` expects, with errors that reach the caller.

    `LoadImage` catches what `read` raises and silently tries other readers, so `read` only notes the path; all the work
    and every `MammogramError` is in `get_data`. In a `Compose` the error arrives as the `__cause__` of a RuntimeError:
    see `root_mammogram_error`.
    """

    def __init__(
        self,
        *,
        spacing_mm: float | Sequence[float] | None = None,
        default_spacing_mm: float | Sequence[float] | None = None,
        voi: int | str | None = 0,
        convert_raw: bool = False,
    ) -> None:
        """Set the options for all files.

        Args:
            spacing_mm: pixel size in the breast, one number or (row, column), mm; replaces what a header says.
            default_spacing_mm: the same, for files that state none. PNG, TIFF and JPEG need one of the two.
            voi: VOI LUT of DICOM files, or window if there is no LUT, by position or explanation ("NORMAL"); None or
                "none" for none.
            convert_raw: read For Processing images as negative log exposure instead of refusing them.

        Raises:
            MammogramError: if the spacing is not plausible.
        """
        super().__init__()
        self.spacing_mm = override_spacing(spacing_mm)
        self.default_spacing_mm = override_spacing(default_spacing_mm)
        self.voi = None if isinstance(voi, str) and voi.lower() == "none" else voi
        self.convert_raw = convert_raw

    def verify_suffix(self, filename: Sequence[Path] | Path) -> bool:
        """Whether this reader takes the file: one path, to an existing file or with a known suffix."""
        names = [filename] if isinstance(filename, (str, PathLike)) else list(filename)
        return len(names) == 1 and (os.path.isfile(names[0]) or fspath(names[0]).lower().endswith(SUFFIXES))

    def read(self, data: Sequence[Path] | Path, **kwargs: Any) -> list[str]:
        """Note the path or paths; nothing is opened here, see the class.

        Args:
            data: path, or a sequence of paths.
            kwargs: none are known; MONAI's signature has them.

        Raises:
            TypeError: if a keyword is given.
        """
        if kwargs:
            raise TypeError(
                f"MammogramReader.read takes no options, got {sorted(kwargs)}; pass them to the constructor"
            )
        return [fspath(name) for name in ([data] if isinstance(data, (str, PathLike)) else data)]

    def get_data(self, img: Sequence[str]) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Read the view.

        Args:
            img: what `read` returned.

        Returns:
            float32 array (rows, columns), presentation values, bright is dense; and metadata: spacing_mm,
            view_position, laterality, manufacturer, remarks, affine and what MONAI needs.

        Raises:
            MammogramError: if the file is not a readable 2-D mammographic view.
        """
        if len(img) != 1:
            raise refuse(
                "; ".join(img) or "(no file)", f"Expected one file per view, got {len(img)}; pass them one by one"
            )
        view = self.view(img[0])
        return view.pixels, view.meta()

    def view(self, path: Path) -> View:
        """Read a view without MONAI's conventions.

        Args:
            path: the file.

        Returns:
            The view.

        Raises:
            MammogramError: if the file is not a readable 2-D mammographic view.
        """
        kind = sniff(path)
        try:
            if kind == "dicom":
                spacings = {"spacing_mm": self.spacing_mm, "default_spacing_mm": self.default_spacing_mm}
                return read_dicom(path, **spacings, voi=self.voi, convert_raw=self.convert_raw)
            if kind == "nifti":
                return read_nifti(path, spacing_mm=self.spacing_mm)
            return read_flat_image(path, spacing_mm=self.spacing_mm or self.default_spacing_mm)
        except MemoryError as error:
            raise refuse(path, OUT_OF_MEMORY) from error


def sniff(path: Path) -> str:
    """Tell a file's format by its first bytes; DICOM files often have no suffix, or a wrong one.

    Args:
        path: the file.

    Returns:
        "dicom", "flat" or "nifti".

    Raises:
        MammogramError: if it does not exist, cannot be opened, is a folder, is empty or has none of the signatures.
    """
    head = read_start(path, SIGNATURE_BYTES)
    if not head:
        raise refuse(path, "Expected an image, got an empty file; copy it again")
    if (kind := _kind(head, fspath(path))) is None:
        raise refuse(path, "Expected DICOM, PNG, TIFF, JPEG or NIfTI, found none of their signatures; check the file")
    return kind


def _kind(head: bytes, name: str) -> str | None:
    if head[128:132] == b"DICM" or (head.startswith(BARE_DICOM_STARTS) and len(head) > 132):
        return "dicom"
    if head.startswith(FLAT_SIGNATURES):
        return "flat"
    gzipped_nifti = head.startswith(b"\x1f\x8b") and name.lower().endswith(".nii.gz")
    return "nifti" if gzipped_nifti or head[344:348] in (b"n+1\0", b"ni1\0") else None

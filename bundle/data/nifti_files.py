"""Mammograms and masks as NIfTI: two axes longer than 1, read after the header's claims were checked."""

import logging
import struct
import warnings
import zlib
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt

from .errors import MammogramError, raise_alone, refuse
from .files import check_file, read_start
from .limits import MAX_GZIP_MEMBERS, MAX_NIFTI_OFFSET, MAX_VIEW_BYTES
from .view import FileGrid, View, check_pixels, check_size, checked_spacing

Path = str | PathLike[str]
GZIP_START = b"\x1f\x8b"
HEADER_BYTES = 544
"""Of NIfTI-2 with its mark of extensions; NIfTI-1 has 352."""
NIFTI2_SIZES = (540, 0x1C020000)
"""What the first four bytes of NIfTI-2 say, in either byte order."""
MAX_ITEM_BYTES = 8
CHUNK_BYTES = 2**16


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
        affine: float64 (4, 4), finite; None if the file's is not.
        zooms: length of a step along every axis of the file, mm.
    """

    values: npt.NDArray
    axes: tuple[int, int]
    affine: npt.NDArray[np.float64] | None
    zooms: tuple[float, ...]


def load_nifti(path: Path, dtype: npt.DTypeLike | None = None) -> NiftiImage:
    """Load a NIfTI file with two axes longer than 1.

    Args:
        path: the file.
        dtype: of the values; the file's own when None.

    Raises:
        MammogramError: if it is damaged, not 2-D, not real-valued or of a wrong size.
    """
    logger = logging.getLogger("nibabel.global")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(path)
            axes = _two_axes(image.shape, path)
            values = np.asarray(image.dataobj, dtype=dtype).reshape([image.shape[axis] for axis in axes])
            affine = np.asarray(image.affine, dtype=np.float64)
    except MammogramError:
        raise
    except Exception as error:
        reason = f"Expected a readable NIfTI file, loading ended in {type(error).__name__}"
        raise_alone(refuse(path, f"{reason}; it is damaged or truncated, export it again"))
    finally:
        logger.disabled = was_disabled
    return NiftiImage(values, axes, affine if np.isfinite(affine).all() else None, image.header.get_zooms())


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
    along_y, along_x = np.zeros((2, 3)) if affine is None else np.abs(affine[[1, 0], :3])
    rows_first = max(axes) < 3 and along_y[axes[0]] > along_x[axes[0]] and along_x[axes[1]] > along_y[axes[1]]
    row, column = axes if rows_first else axes[::-1]
    pixels = pixels if rows_first else np.ascontiguousarray(pixels.T)
    grid = FileGrid(affine=affine, axes=(row, column)) if max(axes) < 3 and affine is not None else None
    if spacing_mm is not None:
        return View(pixels=pixels, spacing_mm=spacing_mm, grid=grid)
    spacing = checked_spacing((zooms[row], zooms[column]), path=path)
    if max(axes) >= 3 or affine is None:
        return View(pixels=pixels, spacing_mm=spacing)
    other = 3 - row - column
    return View(pixels=pixels, spacing_mm=spacing, affine=affine[:, [row, column, other, 3]], grid=grid)


def _opened(path: Path) -> Any:
    """The image, its voxels unread, or of a compressed file inflated as far as its header goes."""
    check_file(path, max_bytes=MAX_VIEW_BYTES)
    head = read_start(path, HEADER_BYTES)
    compressed = head.startswith(GZIP_START)
    if compressed:
        head = inflate(path, max_bytes=HEADER_BYTES)
    second = len(head) >= 4 and struct.unpack("<I", head[:4])[0] in NIFTI2_SIZES
    end = _end_of_voxels((nib.Nifti2Header if second else nib.Nifti1Header).from_fileobj(BytesIO(head)), path)
    kind: Any = nib.Nifti2Image if second else nib.Nifti1Image
    if compressed:
        return kind.from_bytes(inflate(path, max_bytes=end))
    if not second and head[344:348] == b"ni1\0":
        _check_voxels_beside(path)
        kind = nib.Nifti1Pair
    return kind.from_filename(path, mmap=False)


def _check_voxels_beside(path: Path) -> None:
    beside = FilePath(fspath(path)).with_suffix(".img")
    try:
        check_file(beside, max_bytes=MAX_VIEW_BYTES)
    except MammogramError:
        raise_alone(refuse(path, "Expected its voxels in an .img beside it, found no such file; copy both"))


def _end_of_voxels(header: Any, path: Path) -> int:
    """Bytes up to the last voxel, if the header asks for a view's."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    axes = _two_axes(shape, path)
    check_size(shape[axes[0]], shape[axes[1]], path=path)
    if dtype.kind not in "iuf" or dtype.itemsize > MAX_ITEM_BYTES:
        raise refuse(path, f"Expected real grey values, got {dtype}; export real numbers of at most 64 bits")
    offset = float(header["vox_offset"])
    if not 0 <= offset <= MAX_NIFTI_OFFSET:
        raise refuse(path, f"Expected voxels within {MAX_NIFTI_OFFSET} bytes of the start, got {offset:g}; export it")
    return int(offset) + shape[axes[0]] * shape[axes[1]] * dtype.itemsize


def inflate(path: Path, *, max_bytes: int) -> bytes:
    """The first bytes of what a gzip file holds; no more is inflated.

    Args:
        path: the file.
        max_bytes: how many.

    Raises:
        MammogramError: if it has more than 65536 members.
        zlib.error: if it is damaged before that.
    """
    pieces, left, members = [], max_bytes, 0
    with open(path, "rb") as file:
        waiting = file.read(CHUNK_BYTES)
        while waiting and left > 0:
            inflater = zlib.decompressobj(wbits=31)
            if (members := members + 1) > MAX_GZIP_MEMBERS:
                raise refuse(path, f"Expected at most {MAX_GZIP_MEMBERS} gzip members, got more; compress it again")
            while waiting and left > 0 and not inflater.eof:
                pieces.append(inflater.decompress(waiting, left))
                left -= len(pieces[-1])
                waiting = inflater.unconsumed_tail or inflater.unused_data or file.read(CHUNK_BYTES)
    return b"".join(pieces)


def _two_axes(shape: tuple[int, ...], path: Path) -> tuple[int, int]:
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) != 2:
        raise refuse(path, f"Expected a 2-D image, got shape {tuple(shape)}; save one view per file")
    return axes[0], axes[1]

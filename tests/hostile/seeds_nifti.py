"""NIfTI files that lie: sizes, places, types and scales, and gzip files that grow a thousandfold or go on for ever."""

import gzip
import struct
from collections.abc import Iterator

import nibabel as nib
import numpy as np

from .dicom_bytes import pixels
from .seeds import Seed, flipped, truncated
from .seeds_flat import BOMB_BYTES, bomb

DIM, DATATYPE, BITPIX, PIXDIM, OFFSET, SLOPE, INTERCEPT = 40, 70, 72, 76, 108, 112, 116
QUATERNION, ROW_X, FORMS, MAGIC = 256, 280, 252, 344


def whole(*, second: bool = False) -> bytes:
    """The view as a NIfTI file."""
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    image = kind(pixels().T.astype(np.int16)[..., None], np.diag([-0.08, -0.1, 1.0, 1.0]))
    return bytes(image.to_bytes())


def patched(offset: int, form: str, *values: float) -> bytes:
    """The file with other values at a place of its header."""
    content, piece = whole(), struct.pack(f"<{len(values)}{form}", *values)
    return content[:offset] + piece + content[offset + len(piece) :]


def _lies() -> Iterator[tuple[str, bytes]]:
    nan, inf = float("nan"), float("inf")
    for number, dims in enumerate(
        ((3, -80, 96, 1), (3, 0, 96, 1), (3, 32767, 32767, 1), (7, 80, 96, 1, 32767, 1, 1, 1), (-1, 80, 96, 1),
         (32767, 80, 96, 1), (0, 80, 96, 1), (1, 7680, 1, 1), (3, 1, 1, 1), (7, 80, 96, 2, 2, 2, 2, 2), (3, -1, 1, 1)),
    ):  # fmt: skip
        yield f"dims_{number}", patched(DIM, "h", *dims)
    for code in (0, 1, 2, 16, 32, 64, 128, 255, 768, 1024, 1536, 1792, 2048, 2304, 9999, -1):
        yield f"type_{code}", patched(DATATYPE, "h", code, 16)
    for number, value in enumerate((nan, inf, -1.0, 0.0, 1e9, 3e38, 351.0, 1e7, 353.5)):
        yield f"offset_{number}", patched(OFFSET, "f", value)
    for number, value in enumerate((nan, inf, -inf, 3e38, 0.0, 1e-45)):
        yield f"slope_{number}", patched(SLOPE, "f", value, 0.0)
        yield f"intercept_{number}", patched(SLOPE, "f", 1.0, value)
        yield f"spacing_{number}", patched(PIXDIM, "f", 1.0, value, value)
        yield f"affine_{number}", patched(ROW_X, "f", *[value] * 12)
        yield (
            f"quaternion_{number}",
            patched(FORMS, "h", 1, 0)[:QUATERNION] + struct.pack("<6f", *[value] * 6) + whole()[280:],
        )
    yield "forms", patched(FORMS, "h", -1, 99)
    yield "size_of_header", patched(0, "i", -1)
    yield "big_endian", patched(0, ">i"[1], 1543569408)
    yield "pair_alone", whole()[:MAGIC] + b"ni1\0" + whole()[348:]
    yield "extension", whole()[:348] + b"\1\0\0\0" + struct.pack("<ii", 2**31 - 1, 4) + whole()[352:]
    yield "extension_negative", whole()[:348] + b"\1\0\0\0" + struct.pack("<ii", -16, 4) + whole()[352:]
    yield "extension_0", patched(OFFSET, "f", 1e6)[:348] + b"\1\0\0\0" + bytes(10**6)


def _member(content: bytes, *, level: int = 9) -> bytes:
    return gzip.compress(content, level, mtime=0)


def _gzips() -> Iterator[tuple[str, bytes]]:
    # A gzip file goes on with its next member.
    zeros = b"\x1f\x8b\x08" + bytes(7) + bomb()[2:-4] + bytes(4) + struct.pack("<I", BOMB_BYTES)
    yield "bomb_before_voxels", _member(patched(OFFSET, "f", float(2**28))) + zeros * 20
    yield "bomb_as_voxels", _member(patched(DIM, "h", 3, 8192, 8192, 1)) + zeros
    yield "bomb_behind_voxels", _member(whole()) + zeros * 20
    long = patched(OFFSET, "f", 1.6e7)[:348] + b"\1\0\0\0" + struct.pack("<ii", 2**31 - 16, 4)
    yield "extension_bomb", _member(long + bytes(2**24), level=1)
    yield "members_empty", _member(b"") * 70_000 + _member(whole())
    yield "members_of_one_byte", b"".join(_member(whole()[k : k + 1], level=1) for k in range(600))
    yield "checksum", _member(whole())[:-8] + b"\0" * 8
    yield "name_without_end", b"\x1f\x8b\x08\x08\0\0\0\0\0\0" + b"a" * 10**6
    yield "flags", b"\x1f\x8b\x08\xff\0\0\0\0\0\0" + b"\xff" * 1000
    yield "method", b"\x1f\x8b\x07\0" + b"\0" * 100
    yield "nothing", b"\x1f\x8b"
    yield "twice", _member(_member(whole()))
    yield "text", _member(b"not a NIfTI file\n" * 100)


def seeds() -> Iterator[Seed]:
    """All files of this module."""
    plain, packed = whole(), _member(whole())
    yield Seed("good.nii", "nifti", plain, good=True)
    yield Seed("good.nii.gz", "nifti", packed, good=True)
    yield Seed(
        "good_blocks.nii.gz",
        "nifti",
        b"".join(_member(plain[k : k + 999]) for k in range(0, len(plain), 999)),
        good=True,
    )
    yield Seed("good_second.nii", "nifti", whole(second=True).replace(b"n+2\0", b"n+2\0"))
    yield Seed("good_second.nii.gz", "nifti", _member(whole(second=True)), good=True)
    yield from truncated("nifti.nii", "nifti", plain, count=12)
    yield from truncated("nifti.nii.gz", "nifti", packed, count=12)
    yield from flipped("nifti.nii", "nifti", plain, count=24, within=352)
    yield from flipped("nifti.nii.gz", "nifti", packed, count=16)
    yield from flipped("second.nii.gz", "nifti", _member(whole(second=True), level=0), count=10, within=560)
    for name, content in _lies():
        yield Seed(f"nifti_{name}.nii", "nifti", content)
        yield Seed(f"nifti_{name}.nii.gz", "nifti", _member(content, level=1))
    for name, content in _gzips():
        yield Seed(f"gzip_{name}.nii.gz", "nifti", content)
    noise = np.random.default_rng(0).random((80, 96, 1))
    yield Seed("mask_noise.nii", "mask", bytes(nib.Nifti1Image(noise, np.eye(4)).to_bytes()))
    holes = np.where(noise > 0.5, np.nan, 1.0)
    yield Seed("mask_nan.nii", "mask", bytes(nib.Nifti1Image(holes, np.eye(4)).to_bytes()))

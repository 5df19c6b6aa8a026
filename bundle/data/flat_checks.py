"""What a PNG, JPEG or TIFF claims, looked at before a library believes it."""

import math
import struct
from os import PathLike
from typing import BinaryIO

from .codestream import JPEG_START, jpeg_scans
from .errors import refuse
from .files import check_file
from .limits import MAX_JPEG_SCANS, MAX_PAGES_COUNTED, MAX_PNG_CHUNKS, MAX_TIFF_TILES, MAX_TIFF_VALUES, MAX_VIEW_BYTES
from .view import MAX_PIXELS

Path = str | PathLike[str]
PNG_START = b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = {b"II*\0": "<", b"MM\0*": ">"}
TILE_TAGS = {273: "strips", 279: "strips", 324: "tiles", 325: "tiles"}
TILE_WIDTH, TILE_LENGTH = 322, 323

SHORT = 3


def check_flat(path: Path) -> int:
    """Refuse a flat file whose decoding could take without end what its size in pixels does not tell.

    Args:
        path: the file.

    Returns:
        The number of its pages, as far as a TIFF says; 1 for other formats.

    Raises:
        MammogramError: if it is no file, too large, or has too many chunks, scans, strips or tiles.
    """
    size = check_file(path, max_bytes=MAX_VIEW_BYTES)
    with open(path, "rb") as file:
        head = file.read(8)
        if head == PNG_START:
            _check_chunks(file, size, path)
        elif head.startswith(JPEG_START):
            file.seek(0)
            if (scans := jpeg_scans(file.read(size))) > MAX_JPEG_SCANS:
                raise refuse(path, f"Expected at most {MAX_JPEG_SCANS} scans in a JPEG, got {scans}; export it again")
        elif head[:4] in TIFF_STARTS:
            order = TIFF_STARTS[head[:4]]
            return _checked_pages(file, order, struct.unpack(order + "I", head[4:].ljust(4, b"\0")), path)
    return 1


def _check_chunks(file: BinaryIO, size: int, path: Path) -> None:
    count, position = 0, 8
    while position < size:
        file.seek(position)
        position += 12 + int.from_bytes(file.read(4), "big")
        if (count := count + 1) > MAX_PNG_CHUNKS:
            raise refuse(path, f"Expected at most {MAX_PNG_CHUNKS} chunks in a PNG, got more; export it again")


def _checked_pages(file: BinaryIO, order: str, first: tuple[int, ...], path: Path) -> int:
    """Number of pages, counted up to 100; a chain of pages that leads back ends there."""
    seen: list[int] = []
    offset = first[0]
    while offset and offset not in seen and len(seen) < MAX_PAGES_COUNTED:
        seen.append(offset)
        file.seek(offset)
        count = file.read(2)
        entries = file.read(12 * struct.unpack(order + "H", count)[0]) if len(count) == 2 else b""
        _check_tags(entries[: len(entries) // 12 * 12], order, path)
        following = file.read(4)
        offset = struct.unpack(order + "I", following)[0] if len(following) == 4 else 0
    return len(seen)


def _check_tags(entries: bytes, order: str, path: Path) -> None:
    tags = list(struct.iter_unpack(order + "HHI4s", entries))
    for tag, _, values, _ in tags:
        if tag in TILE_TAGS and values > MAX_TIFF_TILES:
            what = f"Expected at most {MAX_TIFF_TILES} {TILE_TAGS[tag]} in a TIFF"
            raise refuse(path, f"{what}, got {values}; export it again")
    # Entries may all point to the same bytes, which are read once for each.
    if (total := sum(values for _, _, values, _ in tags)) > MAX_TIFF_VALUES:
        raise refuse(
            path, f"Expected at most {MAX_TIFF_VALUES} values in the tags of a TIFF, got {total}; export it again"
        )
    sides = [_first_value(kind, word, order) for tag, kind, _, word in tags if tag in (TILE_WIDTH, TILE_LENGTH)]
    if math.prod(sides) > MAX_PIXELS:
        raise refuse(path, "Expected tiles no larger than a view, got larger ones; export it again")


def _first_value(kind: int, word: bytes, order: str) -> int:
    return int.from_bytes(word[:2] if kind == SHORT else word, "little" if order == "<" else "big")

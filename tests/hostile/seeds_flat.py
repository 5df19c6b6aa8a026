"""PNG, JPEG and TIFF files that lie: sizes, chunks, checksums, compressed bombs, directories that lead in circles."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image

from .dicom_bytes import pixels
from .seeds import Seed, flipped, truncated
from .seeds_pixels import _jpeg_lies, jpeg

PNG_START = b"\x89PNG\r\n\x1a\n"
SHORT, LONG = 3, 4
ROWS, COLUMNS = 96, 80
BOMB_BYTES = 2**27
Entry = tuple[int, int, int, int]


@cache
def bomb() -> bytes:
    """Zeros by the hundred megabytes, deflated to a thousandth."""
    return zlib.compress(bytes(BOMB_BYTES), 6)


@cache
def grey() -> np.ndarray:
    return (pixels() >> 4).astype(np.uint8)


def saved(kind: str, array: np.ndarray | None = None, **options: object) -> bytes:
    """The view as Pillow writes it."""
    out = io.BytesIO()
    Image.fromarray(grey() if array is None else array).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes, *, crc: int | None = None, length: int | None = None) -> bytes:
    """A chunk of a PNG; a checksum or length that is given is written whatever the chunk has."""
    said = len(data) if length is None else length
    return struct.pack(">I", said) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)


def png(
    *,
    size: tuple[int, int] = (ROWS, COLUMNS),
    form: tuple[int, int, int] = (8, 0, 0),
    data: bytes | None = None,
    before: bytes = b"",
    after: bytes = chunk(b"IEND", b""),
) -> bytes:
    """A PNG of one IDAT; form is bit depth, colour type and interlacing."""
    header = struct.pack(">IIBBBBB", size[1], size[0], form[0], form[1], 0, 0, form[2])
    lines = b"".join(b"\0" + row.tobytes() for row in grey())
    packed = zlib.compress(lines) if data is None else data
    return PNG_START + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + after


def _interlaced() -> bytes:
    """The seven passes of Adam7, each a picture of its own."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    view = grey()
    lines = [
        b"\0" + row.tobytes()
        for top, down, left, right in passes
        for row in view[top::down, left::right]
    ]  # fmt: skip
    return png(form=(8, 0, 1), data=zlib.compress(b"".join(lines)))


def _pngs() -> Iterator[tuple[str, bytes]]:
    packed = bomb()
    yield "idat_bomb", png(data=packed)
    yield "idat_bomb_8192", png(size=(8192, 8192), data=packed)
    yield "ztxt_bomb", png(before=chunk(b"zTXt", b"a\0\0" + packed))
    yield "ztxt_bombs", png(before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 200)
    yield "itxt_bomb", png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + packed))
    yield "iccp_bomb", png(before=chunk(b"iCCP", b"a\0\0" + packed))
    yield "size_huge", png(size=(2**31 - 1, 2**31 - 1))
    yield "size_60000", png(size=(60_000, 60_000))
    yield "size_0", png(size=(0, 0))
    yield "size_1", png(size=(1, 2**26))
    yield "data_short", png(size=(4000, 4000))
    for number, form in enumerate(((3, 0, 0), (32, 0, 0), (8, 1, 0), (8, 3, 0), (1, 0, 0), (16, 2, 0), (8, 0, 9))):
        yield f"form_{number}", png(form=form)
    yield "chunks", png(before=chunk(b"tEXt", b"a\0b") * 140_000)
    yield "chunk_length", png(before=chunk(b"tEXt", b"a\0b", length=2**31))
    yield "chunk_length_all_ones", png(before=chunk(b"tEXt", b"a\0b", length=2**32 - 1))
    yield "checksum", png(before=chunk(b"gAMA", b"\0\0\0\1", crc=1))
    yield (
        "checksum_of_data",
        png(data=b"").replace(chunk(b"IDAT", b""), chunk(b"IDAT", zlib.compress(b"123456789"), crc=7)),
    )
    yield "no_data", png(data=b"")
    yield "no_palette", png(form=(8, 3, 0), before=b"")
    yield "palette_short", png(form=(8, 3, 0), before=chunk(b"PLTE", b"\0\0\0"))
    yield "no_end", png(after=b"")
    yield "trailing", png() + b"x" * 5000
    yield "animated", png(before=chunk(b"acTL", struct.pack(">II", 2**31, 0)))
    yield "critical_chunk", png(before=chunk(b"ABCD", b"x"))
    yield "header_twice", png(before=png()[8:33])
    yield "start_alone", PNG_START


def tiff(entries: Sequence[Entry], *, data: bytes = b"", following: int = 0, order: str = "<") -> bytes:
    """A TIFF of one directory at byte 8; entries are tag, type, number of values and value or place."""
    packed = b"".join(
        struct.pack(order + "HHI", *entry[:3])
        + (struct.pack(order + "HH", entry[3], 0) if entry[1] == SHORT else struct.pack(order + "I", entry[3]))
        for entry in sorted(entries)
    )
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return start + struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following) + data


def strips(**changes: tuple[int, int, int]) -> list[Entry]:
    """The directory of a view in one strip behind it; changes by tag number, as `t273`."""
    found = {
        256: (SHORT, 1, COLUMNS), 257: (SHORT, 1, ROWS), 258: (SHORT, 1, 8), 259: (SHORT, 1, 1), 262: (SHORT, 1, 1),
        273: (LONG, 1, 300), 277: (SHORT, 1, 1), 278: (LONG, 1, ROWS), 279: (LONG, 1, ROWS * COLUMNS),
    }  # fmt: skip
    found |= {int(tag[1:]): entry for tag, entry in changes.items()}
    return [(tag, *entry) for tag, entry in found.items()]


def _tiff_view(**changes: tuple[int, int, int]) -> bytes:
    return tiff(strips(**changes)).ljust(300, b"\0") + grey().tobytes()


def _tiffs() -> Iterator[tuple[str, bytes]]:
    yield "circle_of_one", tiff(strips(), following=8).ljust(300, b"\0") + grey().tobytes()
    second = 300 + ROWS * COLUMNS
    loop = tiff(strips(), following=second).ljust(300, b"\0") + grey().tobytes()
    yield "circle_of_two", loop + tiff(strips(), following=8)[8:]
    empties = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(200_000))
    yield "pages_200000", b"II*\0" + struct.pack("<I", 8) + empties
    yield "directory_beyond", b"II*\0" + struct.pack("<I", 2**32 - 1)
    yield "directory_in_header", b"II*\0" + struct.pack("<I", 0)
    yield "directory_short", _tiff_view()[:60]
    for name, changes in {
        "strips_4_billion": {"t273": (LONG, 2**32 - 1, 300)}, "counts_4_billion": {"t279": (LONG, 2**32 - 1, 300)},
        "strip_beyond": {"t273": (LONG, 1, 2**32 - 1)}, "strip_bytes": {"t279": (LONG, 1, 2**32 - 1)},
        "rows_per_strip_0": {"t278": (LONG, 1, 0)}, "rows_per_strip": {"t278": (LONG, 1, 2**32 - 1)},
        "huge": {"t256": (LONG, 1, 2**31), "t257": (LONG, 1, 2**31)}, "width_0": {"t256": (LONG, 1, 0)},
        "tiles": {"t322": (LONG, 1, 2**31 - 16), "t323": (LONG, 1, 2**31 - 16), "t324": (LONG, 1, 300)},
        "tiles_of_one": {"t322": (LONG, 1, 1), "t323": (LONG, 1, 1), "t324": (LONG, 60_000, 300)},
        "tile_of_0": {"t322": (LONG, 1, 0), "t323": (LONG, 1, 0), "t324": (LONG, 1, 300)},
        "samples": {"t277": (SHORT, 1, 65535)}, "bits": {"t258": (SHORT, 1, 65535)},
        "bits_many": {"t258": (SHORT, 65535, 8)},
        "type": {"t270": (99, 1, 1)}, "text": {"t270": (2, 2**31, 8)},
        "profile": {"t34675": (7, 2**30, 8)},
        "photometric": {"t262": (SHORT, 1, 65535)}, "planar": {"t284": (SHORT, 1, 2)},
        "predictor": {"t317": (SHORT, 1, 9)},
        "orientation": {"t274": (SHORT, 1, 200)}, "sub_directory": {"t34665": (LONG, 1, 8)},
    }.items():  # fmt: skip
        yield name, _tiff_view(**changes)
    for method in (2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34925, 50000, 50001, 65000):
        yield f"compression_{method}", _tiff_view(t259=(SHORT, 1, method))
    changes = {"t259": (SHORT, 1, 8), "t279": (LONG, 1, len(bomb()))}
    yield "deflate_bomb", tiff(strips(**changes)).ljust(300, b"\0") + bomb()
    same = [(1000 + number, 7, 2**22, 0) for number in range(3000)]
    yield "tags_over_each_other", tiff([*strips(), *same]) + bytes(2**22)
    yield "no_entries", tiff([])


def _jpegs() -> Iterator[tuple[str, bytes]]:
    yield from _jpeg_lies()
    whole = jpeg(progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    yield "progressive_scans", whole[:-2] + scan * 3000 + whole[-2:]
    yield "comment", whole[:2] + b"\xff\xfe\xff\xff" + b"c" * 65533 + whole[2:]
    pages = b"MPF\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 0xB001, 4, 1, 2**32 - 1) + bytes(4)
    yield "pages", whole[:2] + b"\xff\xe2" + struct.pack(">H", len(pages) + 2) + pages + whole[2:]
    yield "exif", whole[:2] + b"\xff\xe1\0\x20Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\0" * 14 + whole[2:]


def seeds() -> Iterator[Seed]:
    """All files of this module, as views and as masks."""
    made = {"png": png(), "jpg": jpeg(), "tif": saved("TIFF"), "lzw.tif": saved("TIFF", compression="tiff_lzw")}
    yield Seed("good_interlaced.png", "flat", _interlaced(), good=True)
    yield Seed("good_strip.tif", "flat", _tiff_view(), good=True)
    for suffix, whole in made.items():
        yield Seed(f"good_flat.{suffix}", "flat", whole, good=True)
        yield from truncated(f"flat.{suffix}", "flat", whole, count=12)
        yield from flipped(f"flat.{suffix}", "flat", whole, count=20, within=600)
    for suffix, found in (("png", _pngs()), ("tif", _tiffs()), ("jpg", _jpegs())):
        for name, content in found:
            yield Seed(f"flat_{name}.{suffix}", "flat", content)
    for name, content in _pngs():
        if name != "idat_bomb_8192":  # a view's size, and one of them is enough
            yield Seed(f"mask_{name}.png", "mask", content)
    mask = saved("PNG", (grey() > 100).astype(np.uint8))
    yield Seed("mask_good.png", "mask", mask, good=True)
    yield from truncated("mask.png", "mask", mask, count=10)
    yield from flipped("mask.png", "mask", mask, count=20)
    yield Seed("mask_is_postscript.png", "mask", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 96\n" * 20)
    yield Seed("mask_is_noise.png", "mask", saved("PNG", pixels().astype(np.uint16)))

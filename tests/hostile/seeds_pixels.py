"""Compressed DICOM pixels that break decoders: cut, flipped, contradictory and endless codestreams."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import openjpeg.utils
from PIL import Image

from tests.data.mg_dicom import jpeg_lossless

from .dicom_bytes import COLUMNS, ROWS, compressed, encapsulated, pixels, us, with_pixels
from .seeds import Seed, flipped, truncated

BASELINE, LOSSLESS, JPEG_LS, J2K, RLE = (
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)  # fmt: skip
EIGHT_BITS = {(0x28, 0x100): us(8), (0x28, 0x101): us(8), (0x28, 0x102): us(7)}
SIZ = b"\xff\x51"
START_OF_SCAN = b"\xff\xda"


def jpeg(*, progressive: bool = False) -> bytes:
    """8-bit JPEG of the view."""
    out = io.BytesIO()
    Image.fromarray((pixels() >> 4).astype(np.uint8)).save(out, "JPEG", quality=90, progressive=progressive)
    return out.getvalue()


def jpeg_2000() -> bytes:
    """JPEG 2000 of the view, lossless."""
    return bytes(openjpeg.utils.encode_array(pixels(), bits_stored=12, photometric_interpretation=2))


def jpeg_ls(rows: int = ROWS, *, bits: int = 12) -> bytes:
    """JPEG-LS whose header is right and whose pixels are noise."""
    head = b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB3B", 11, bits, rows, COLUMNS, 1, 1, 0x11, 0)
    scan = b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 0, 0, 0)
    noise = np.random.default_rng(0).integers(0, 127, 4000, dtype=np.uint8).tobytes()
    return head + scan + noise + b"\xff\xd9"


def rle(segments: list[bytes] | None = None, *, count: int | None = None) -> bytes:
    """RLE of the view in runs of literals, or of other segments; a count that is given is written."""
    if segments is None:
        plane = pixels()
        halves = [(plane >> 8).astype(np.uint8), (plane & 0xFF).astype(np.uint8)]
        segments = [b"".join(bytes([COLUMNS - 1]) + row.tobytes() for row in half) for half in halves]
    offsets = [64]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    header = struct.pack("<16I", len(segments) if count is None else count, *(offsets + [0] * 15)[:15])
    return header + b"".join(segments)


def _patched(codestream: bytes, marker: bytes, offset: int, value: bytes) -> bytes:
    place = codestream.index(marker) + offset
    return codestream[:place] + value + codestream[place + len(value) :]


def _jpeg_2000_lies() -> Iterator[tuple[str, bytes]]:
    whole = jpeg_2000()
    word = struct.Struct(">I").pack
    for name, offset, value in (
        ("height", 10, word(2**31)), ("width", 6, word(0)), ("tiles_of_one", 22, word(1) + word(1)),
        ("tile_of_0", 22, word(0) + word(0)), ("offset", 14, word(2**32 - 1)), ("components", 38, b"\x40\0"),
        ("no_component", 38, b"\0\0"), ("depth", 40, b"\x7f"), ("subsampling", 41, b"\xff\xff"),
        ("subsampling_0", 41, b"\0\0"), ("length", 2, b"\xff\xff"),
    ):  # fmt: skip
        yield name, _patched(whole, SIZ, offset, value)
    for name, offset, value in (("layers", 6, b"\xff\xff"), ("levels", 9, b"\x21"), ("blocks", 10, b"\x0f\x0f")):
        yield name, _patched(whole, b"\xff\x52", offset, value)


def _jpeg_lies() -> Iterator[tuple[str, bytes]]:
    whole = jpeg()
    for name, offset, value in (
        ("height", 5, b"\xff\xff"), ("height_0", 5, b"\0\0"), ("width_0", 7, b"\0\0"), ("depth", 4, b"\x10"),
        ("components", 9, b"\xff"), ("sampling", 11, b"\xff"), ("table", 12, b"\xff"),
    ):  # fmt: skip
        yield name, _patched(whole, b"\xff\xc0", offset, value)
    scan = whole[whole.index(START_OF_SCAN) : -2]
    yield "scans", whole[:-2] + scan[:12] * 5000 + b"\xff\xd9"
    yield "two_frames", whole[:-2] + whole[2:]
    yield "hierarchical", whole[:2] + b"\xff\xde\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0" + whole[2:]
    yield "no_tables", whole[:2] + whole[whole.index(b"\xff\xc0") :]
    yield "restarts", whole[:2] + b"\xff\xdd\0\x04\0\x01" + whole[2:]
    yield "markers_alone", b"\xff\xd8" + b"\xff\xd0" * 2000 + b"\xff\xd9"
    yield "end_at_once", b"\xff\xd8\xff\xd9"


def _rle_lies() -> Iterator[tuple[str, bytes]]:
    yield "bomb", rle([b"\x81\0" * 500_000] * 2)
    yield "segments_15", rle([b"\0\1"] * 15)
    yield "count_huge", rle(count=2**31)
    yield "count_0", rle(count=0)
    yield "short", rle([b"\0\1", b"\0\1"])
    yield "empty", rle([b"", b""])
    yield "header_alone", rle()[:64]
    yield "offsets", struct.pack("<16I", 2, *[2**32 - 1] * 15) + b"\0" * 100
    yield "backwards", struct.pack("<16I", 2, 5000, 64, *[0] * 13) + b"\0" * 9000


def _encapsulations() -> Iterator[tuple[str, bytes]]:
    frame = jpeg_lossless(pixels(), 12)
    yield "no_fragment", encapsulated()
    yield "no_end", encapsulated(frame, end=False)
    yield "table_lies", encapsulated(frame, table=struct.pack("<4I", 2**32 - 2, 0, 7, 9))
    yield "empty_fragments", encapsulated(*[b""] * 100_000)
    yield "fragment_length", encapsulated(frame)[:12] + b"\xff\xff\xff\xfe" + encapsulated(frame)[16:]
    yield "other_tag", b"\xfe\xff\0\xe1\0\0\0\0" + encapsulated(frame)
    yield "nothing", b""


def seeds() -> Iterator[Seed]:
    """All files of this module."""
    lossless, plain, wavelet, run = jpeg_lossless(pixels(), 12), jpeg(), jpeg_2000(), rle()
    for name, frame, syntax, changes in (
        ("lossless", lossless, LOSSLESS, None), ("jpeg", plain, BASELINE, EIGHT_BITS), ("wavelet", wavelet, J2K, None),
        ("rle", run, RLE, None), ("progressive", jpeg(progressive=True), BASELINE, EIGHT_BITS),
    ):  # fmt: skip
        whole = compressed(frame, syntax, changes=changes)
        yield Seed(f"good_{name}.dcm", "dicom", whole, good=name != "progressive")
        yield from truncated(f"{name}.dcm", "dicom", whole, count=8)
        # The end marker stays, so that decoders see the damage.
        for seed in flipped(f"{name}_frame.dcm", "dicom", frame[:-2], count=12, within=700):
            content = compressed(seed.content + frame[-2:], syntax, changes=changes)
            yield Seed(seed.name, "dicom", content)
    for rows, bits in ((ROWS, 12), (0, 12), (ROWS, 16), (ROWS, 0), (65535, 12)):
        yield Seed(f"jpeg_ls_{rows}_{bits}.dcm", "dicom", compressed(jpeg_ls(rows, bits=bits), JPEG_LS))
    for seed in flipped("jpeg_ls.dcm", "dicom", jpeg_ls(), count=12, within=40):
        yield Seed(seed.name, "dicom", compressed(seed.content, JPEG_LS))
    for name, frame in _jpeg_2000_lies():
        yield Seed(f"wavelet_{name}.dcm", "dicom", compressed(frame, J2K))
    for name, frame in _jpeg_lies():
        yield Seed(f"jpeg_{name}.dcm", "dicom", compressed(frame, BASELINE, changes=EIGHT_BITS))
    for name, frame in _rle_lies():
        yield Seed(f"rle_{name}.dcm", "dicom", compressed(frame, RLE))
    for name, value in _encapsulations():
        yield Seed(f"fragments_{name}.dcm", "dicom", with_pixels(value, LOSSLESS))
    yield Seed("jpeg_of_12_bits.dcm", "dicom", compressed(lossless, BASELINE))
    yield Seed("wavelet_called_jpeg.dcm", "dicom", compressed(wavelet, LOSSLESS))
    yield Seed("jpeg_called_wavelet.dcm", "dicom", compressed(lossless, J2K))
    yield Seed("lossless_called_rle.dcm", "dicom", compressed(lossless, RLE))
    eight = compressed(lossless, LOSSLESS, changes=EIGHT_BITS)
    yield Seed("twelve_bits_in_eight.dcm", "dicom", eight)

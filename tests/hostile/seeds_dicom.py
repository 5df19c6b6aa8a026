"""DICOM headers that lie: lengths, depths, sizes, numbers, syntaxes and identifiers."""

import struct
import zlib
from collections.abc import Iterator

from .dicom_bytes import (
    ITEM,
    UNDEFINED,
    Element,
    Tag,
    base,
    data_set,
    element,
    encapsulated,
    file,
    meta,
    nested,
    us,
    with_pixels,
)
from .seeds import Seed, flipped, truncated
from .seeds_flat import BOMB_BYTES, bomb

DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.100",
    "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.999", "1.2.840.113619.5.2", "../../../etc/passwd", "", "x" * 300,
    "\xff\xfe", "1.2\\1.3",
)  # fmt: skip
PLACES = (0x0018, 0x1164)
LONG_TEXT = b"A" * 60_000
VALUES: dict[str, dict[Tag, list[Element | None]]] = {
    "rows": {(0x28, 0x10): [us(0), us(1), us(65535), us(96, 96), us(), (b"LO", b"many"), (b"SQ", b""), None]},
    "columns": {(0x28, 0x11): [us(0), us(65535), us(80, 81), (b"DS", b"nan"), None]},
    "frames": {
        (0x28, 8): [(b"IS", text) for text in (b"2", b"-1", b"0", b"999999999999", b"nan", b"1\\2", b"1e3", b"\xff")]
    },
    "allocated": {(0x28, 0x100): [us(0), us(1), us(12), us(32), us(64), us(65535), us(16, 8), None]},
    "stored": {(0x28, 0x101): [us(0), us(17), us(65535), us(1), us(12, 12), None]},
    "high_bit": {(0x28, 0x102): [us(0), us(65535), us(15), None]},
    "representation": {(0x28, 0x103): [us(2), us(65535), us(0, 1), (b"SH", b"x"), None]},
    "samples": {(0x28, 2): [us(0), us(3), us(65535), us(1, 1)]},
    "photometric": {(0x28, 4): [(b"CS", text) for text in (b"RGB", b"MONOCHROME1\\RGB", b"\x1b[2J", b"M" * 5000)]},
    "spacing": {
        PLACES: [
            (b"DS", text)
            for text in (
                b"0\\0", b"-0.1\\0.1", b"1e9\\1", b"nan\\nan", b"inf\\0.1", b"0.1", b"0.1\\0.1\\0.1", b"abc\\0.1",
                b"1e-400\\1", b"1e400\\1e400", b"0,1\\0,1", b"\\", b"0.1\\" * 8000,
            )
        ]
    },
    "magnification": {
        (0x18, 0x1114): [(b"DS", text) for text in (b"0", b"-1", b"nan", b"inf", b"1e-308", b"1\\2", b"x")]
    },
    "slope": {(0x28, 0x1053): [(b"DS", text) for text in (b"nan", b"inf", b"1e308", b"0", b"1\\2", b"1e-320")]},
    "intercept": {(0x28, 0x1052): [(b"DS", text) for text in (b"nan", b"-inf", b"1e308", b"x")]},
    "padding": {(0x28, 0x120): [us(65535), us(0, 1), (b"LO", b"x"), (b"US", b"\0")]},
    "modality": {(8, 0x60): [(b"CS", b"CT"), (b"CS", b"MG\x1b]0;x\x07"), (b"LT", LONG_TEXT), (b"OB", b"\0\1")]},
    "maker": {(8, 0x70): [(b"LO", b"\x1b[31m" + "\u202egpj".encode()), (b"LT", LONG_TEXT)]},
    "charset": {(8, 5): [(b"CS", b"ISO 2022 IR 999"), (b"CS", b"\\\\ISO_IR 192"), (b"CS", b"latin-1")]},
    "study": {
        (0x20, 0x0D): [(b"UI", text) for text in (b"../../../tmp/x", b"/etc/passwd", b"1.2\\1.3", b"", b"1" * 500)]
    },
    "class": {(8, 0x16): [(b"UI", b"../x"), (b"UI", b"1.2\\1.3"), None]},
}  # fmt: skip


def _wrong_lengths() -> Iterator[Seed]:
    """Every element with a length beyond the file, of 1, and where the VR has room for it undefined."""
    for tag in ((0x0008, 0x0016), (0x0008, 0x0060), PLACES, (0x28, 0x10), (0x28, 0x0004), (0x7FE0, 0x0010)):
        for length in (1, 0xFFFE, 0xFFFFFFF0, UNDEFINED):
            yield Seed(f"length_{tag[0]:04x}{tag[1]:04x}_{length:x}.dcm", "dicom", file(lengths={tag: length}))
    for vr in (b"OB", b"UN", b"SQ", b"UT"):
        for length in (0x7FFFFFFF, 0xFFFFFFF0, UNDEFINED):
            private = element((0x0009, 0x1001), vr, b"abcd", length=length)
            whole = meta("1.2.840.10008.1.2.1") + private + data_set()
            yield Seed(f"private_{vr.decode()}_{length:x}.dcm", "dicom", whole)
    yield Seed("meta_length_lies.dcm", "dicom", file().replace(b"UL\x04\0", b"UL\x04\0\xff\xff\xff\xff", 1))
    huge = element((2, 0x102), b"OB", b"", length=0xFFFFFFF0)
    yield Seed("meta_element_of_4_gb.dcm", "dicom", meta("1.2.840.10008.1.2.1", before=huge) + data_set())


def _deep_and_many() -> Iterator[Seed]:
    """Sequences of thousands of levels and of hundreds of thousands of items."""
    head, rest = meta("1.2.840.10008.1.2.1"), data_set()
    for depth in (300, 5000):
        for defined in (False, True):
            name = f"nested_{depth}_{'defined' if defined else 'undefined'}.dcm"
            yield Seed(name, "dicom", head + nested(depth, defined=defined) + rest)
    items = (ITEM + struct.pack("<I", 0)) * 100_000
    for name, vr, tag, length in (
        ("items_undefined.dcm", b"SQ", (0x0054, 0x0220), UNDEFINED),
        ("items_defined.dcm", b"SQ", (0x0054, 0x0220), None),
        ("items_unknown.dcm", b"UN", (0x0054, 0x0220), None),
    ):
        yield Seed(name, "dicom", file({tag: (vr, items)}, lengths={} if length is None else {tag: length}))
    small = b"".join(element((0x0009, 0x1000 + n % 0xEFFF), b"SH", b"") for n in range(80_000))
    yield Seed("elements_80000.dcm", "dicom", head + small + rest)
    yield Seed("header_of_20_mb.dcm", "dicom", file({(0x0009, 0x1001): (b"OB", bytes(20 * 2**20))}))
    yield Seed("voi_lut_without_items.dcm", "dicom", file({(0x28, 0x3010): (b"SQ", b"")}))


def _luts() -> Iterator[Seed]:
    """VOI and modality LUTs that contradict themselves, and windows of no width."""
    ramp = struct.pack("<64H", *range(64))
    for name, descriptor, entries in (
        ("count", us(65535, 0, 12), ramp), ("empty", us(64, 0, 12), b""), ("odd", us(64, 0, 12), ramp[:31]),
        ("bits", us(64, 0, 65535), ramp), ("short", us(64), ramp), ("first", us(64, 65535, 16), ramp),
        ("text", (b"LO", b"x"), ramp), ("none", us(0, 0, 0), ramp),
    ):  # fmt: skip
        inside = element((0x28, 0x3002), *descriptor) + element((0x28, 0x3006), b"OW", entries)
        item = ITEM + struct.pack("<I", len(inside)) + inside
        for kind, tag in (("voi", (0x28, 0x3010)), ("modality", (0x28, 0x3000))):
            yield Seed(f"{kind}_lut_{name}.dcm", "dicom", file({tag: (b"SQ", item)}))
    windows = ((b"nan", b"1"), (b"1", b"nan"), (b"1", b"-1"), (b"1e308", b"1e308"), (b"inf", b"9"), (b"1\\2", b"5"))
    for number, (center, width) in enumerate(windows):
        for function in (b"LINEAR", b"LINEAR_EXACT", b"SIGMOID"):
            changes = {
                (0x28, 0x1050): (b"DS", center),
                (0x28, 0x1051): (b"DS", width),
                (0x28, 0x1056): (b"CS", function),
            }
            yield Seed(f"window_{number}_{function.decode().lower()}.dcm", "dicom", file(changes))


def _syntaxes() -> Iterator[Seed]:
    """Transfer syntaxes that are not the file's, and deflated ones that grow a thousandfold."""
    for number, syntax in enumerate(SYNTAXES):
        yield Seed(f"syntax_{number}.dcm", "dicom", file(syntax=syntax))
    fragments = encapsulated(base()[0x7FE0, 0x0010][1])
    yield Seed("fragments_uncompressed.dcm", "dicom", with_pixels(fragments, "1.2.840.10008.1.2.1"))
    start = zlib.compressobj(6, wbits=-15)
    opened = start.compress(element((0x0009, 0x1001), b"OB", b"", length=BOMB_BYTES)) + start.flush(zlib.Z_FULL_FLUSH)
    deflated = opened + bomb()[2:-4]  # without zlib's header and checksum
    for preamble in (True, False):
        name = f"deflated_bomb_{'with' if preamble else 'without'}_preamble.dcm"
        yield Seed(name, "dicom", meta(DEFLATED, preamble=preamble) + deflated)
    yield Seed("deflated_garbage.dcm", "dicom", meta(DEFLATED) + b"\xff" * 1000)


def seeds() -> Iterator[Seed]:
    """All files of this module."""
    whole = file()
    yield Seed("good.dcm", "dicom", whole, good=True)
    yield from truncated("header.dcm", "dicom", whole, count=40)
    yield from flipped("header.dcm", "dicom", whole, count=60, within=900)
    yield from _wrong_lengths()
    yield from _deep_and_many()
    yield from _luts()
    yield from _syntaxes()
    for name, choices in VALUES.items():
        for tag, found in choices.items():
            for number, value in enumerate(found):
                yield Seed(f"{name}_{number}.dcm", "dicom", file({tag: value}))
    yield Seed("huge_without_data.dcm", "dicom", file({(0x28, 0x10): us(8192), (0x28, 0x11): us(8192)}))
    yield Seed("text_behind_the_marker.dcm", "dicom", b"\0" * 128 + b"DICM" + b"not a data set\n" * 50)
    yield Seed("zeros.dcm", "dicom", b"\0" * 128 + b"DICM" + bytes(5000))
    yield Seed("bare_start.dcm", "dicom", b"\x08\0" * 400)
    yield Seed("pixels_twice.dcm", "dicom", whole + whole[whole.rindex(b"\xe0\x7f\x10\0") :])

"""DICOM files byte by byte, so that every length and value can lie."""

import struct
from collections.abc import Mapping

import numpy as np

from tests.data.mg_dicom import stored_view

LONG_VRS = (b"OB", b"OW", b"SQ", b"UN", b"UT")
UNDEFINED = 0xFFFFFFFF
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
ITEM, ITEM_END, SEQUENCE_END = (struct.pack("<HH", 0xFFFE, number) for number in (0xE000, 0xE00D, 0xE0DD))
ROWS, COLUMNS = 96, 80
Tag = tuple[int, int]
Element = tuple[bytes, bytes]


def us(*values: int) -> Element:
    return b"US", struct.pack(f"<{len(values)}H", *values)


def pixels() -> np.ndarray:
    return stored_view(ROWS, COLUMNS)


def base() -> dict[Tag, Element]:
    """Elements of a small view that is read."""
    return {
        (0x0008, 0x0016): (b"UI", b"1.2.840.10008.5.1.4.1.1.1.2"),
        (0x0008, 0x0018): (b"UI", b"1.2.3.4"),
        (0x0008, 0x0060): (b"CS", b"MG"),
        (0x0008, 0x0068): (b"CS", b"FOR PRESENTATION"),
        (0x0008, 0x0070): (b"LO", b"Test Maker"),
        (0x0010, 0x0010): (b"PN", b"SECRET^PATIENT"),
        (0x0018, 0x1164): (b"DS", b"0.1\\0.08"),
        (0x0018, 0x5101): (b"CS", b"CC"),
        (0x0020, 0x000D): (b"UI", b"1.2.3"),
        (0x0020, 0x000E): (b"UI", b"1.2.3.5"),
        (0x0020, 0x0062): (b"CS", b"L"),
        (0x0028, 0x0002): us(1),
        (0x0028, 0x0004): (b"CS", b"MONOCHROME2"),
        (0x0028, 0x0010): us(ROWS),
        (0x0028, 0x0011): us(COLUMNS),
        (0x0028, 0x0100): us(16),
        (0x0028, 0x0101): us(12),
        (0x0028, 0x0102): us(11),
        (0x0028, 0x0103): us(0),
        (0x7FE0, 0x0010): (b"OW", pixels().astype("<u2").tobytes()),
    }


def element(tag: Tag, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """One element in explicit little endian; a length that is given is written whatever the value has."""
    value += (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2 if length is None else 0)
    said = len(value) if length is None else length
    head = struct.pack("<HH", *tag) + vr
    return head + (struct.pack("<HI", 0, said) if vr in LONG_VRS else struct.pack("<H", said & 0xFFFF)) + value


def meta(syntax: str, *, preamble: bool = True, before: bytes = b"") -> bytes:
    """Preamble and file meta information."""
    elements = before + element((2, 0x10), b"UI", syntax.encode("latin-1"))
    return (
        (b"\0" * 128 + b"DICM" if preamble else b"")
        + element((2, 0), b"UL", struct.pack("<I", len(elements)))
        + elements
    )


def data_set(changes: Mapping[Tag, Element | None] | None = None, *, lengths: Mapping[Tag, int] | None = None) -> bytes:
    """The view's elements with changes; None leaves one out."""
    elements = {**base(), **(changes or {})}
    return b"".join(
        element(tag, *found, length=(lengths or {}).get(tag))
        for tag, found in sorted(elements.items())
        if found is not None
    )


def file(
    changes: Mapping[Tag, Element | None] | None = None,
    *,
    syntax: str = EXPLICIT_LITTLE,
    lengths: Mapping[Tag, int] | None = None,
) -> bytes:
    """A whole file."""
    return meta(syntax) + data_set(changes, lengths=lengths)


def encapsulated(*fragments: bytes, table: bytes = b"", end: bool = True) -> bytes:
    """A pixel data element's value in fragments, with its offset table."""
    items = b"".join(ITEM + struct.pack("<I", len(piece)) + piece for piece in (table, *fragments))
    return items + (SEQUENCE_END + struct.pack("<I", 0)) * end


def compressed(frame: bytes, syntax: str, *, changes: Mapping[Tag, Element | None] | None = None) -> bytes:
    """A file with one compressed frame."""
    padded = frame + b"\0" * (len(frame) % 2)
    return with_pixels(encapsulated(padded), syntax, changes=changes)


def with_pixels(value: bytes, syntax: str, *, changes: Mapping[Tag, Element | None] | None = None) -> bytes:
    """A file whose pixel data has undefined length and this value."""
    elements = {**(changes or {}), (0x7FE0, 0x0010): (b"OB", value)}
    return file(elements, syntax=syntax, lengths={(0x7FE0, 0x0010): UNDEFINED})


def nested(depth: int, *, defined: bool) -> bytes:
    """A sequence in a sequence in a sequence (0040,A730), so deep."""
    content = b""
    tag = (0x0040, 0xA730)
    if not defined:
        opened = element(tag, b"SQ", b"", length=UNDEFINED) + ITEM + struct.pack("<I", UNDEFINED)
        closed = ITEM_END + struct.pack("<I", 0) + SEQUENCE_END + struct.pack("<I", 0)
        return opened * depth + closed * depth
    for _ in range(depth):
        content = element(tag, b"SQ", ITEM + struct.pack("<I", len(content)) + content)
    return content

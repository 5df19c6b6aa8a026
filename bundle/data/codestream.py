"""Just enough of JPEG and JPEG 2000 to notice a frame that lies about its size or stops short.

Decoders allocate what the frame's own header says and quietly fill what is missing with grey.
"""

from .limits import MAX_FRAGMENTS

JPEG_START, J2K_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c\x6a\x50"
END_MARKER, START_OF_SCAN = b"\xff\xd9", b"\xff\xda"
ITEM_TAG = b"\xfe\xff\x00\xe0"
FRAME_HEADERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""Start of frame markers of JPEG and (0xF7) JPEG-LS."""


def first_frame(encapsulated: bytes) -> bytes:
    """Join the fragments of a single-frame encapsulated pixel data element (PS3.5 A.4), without its offset table.

    Args:
        encapsulated: value of the element: items of tag, length and fragment.

    Returns:
        The frame; empty if there is no fragment, cut after 65536 of them.
    """
    fragments: list[bytes] = []
    position = 0
    while encapsulated[position : position + 4] == ITEM_TAG and len(fragments) <= MAX_FRAGMENTS:
        length = int.from_bytes(encapsulated[position + 4 : position + 8], "little")
        fragments.append(encapsulated[position + 8 : position + 8 + length])
        position += 8 + length
    return b"".join(fragments[1:])


def frame_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame declares; None if it is neither or does not say."""
    if frame.startswith((J2K_START, JP2_START)):
        start = frame.find(J2K_START)
        width, height, left, top = (int.from_bytes(frame[start + k : start + k + 4], "big") for k in (8, 12, 16, 20))
        return (height - top, width - left) if start >= 0 else None
    position = 2 if frame.startswith(JPEG_START) else len(frame)
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in FRAME_HEADERS:
            height = int.from_bytes(frame[position + 5 : position + 7], "big")
            return (height, int.from_bytes(frame[position + 7 : position + 9], "big")) if height else None
        position += 1 if marker == 0xFF else 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None


def jpeg_scans(frame: bytes) -> int:
    """Number of passes over the pixels of a JPEG; each costs time on all of them, however short it is.

    A marker inside a segment, as of a thumbnail, counts too.
    """
    return frame.count(START_OF_SCAN) if frame.startswith(JPEG_START) else 0


def is_complete(frame: bytes) -> bool:
    """Whether the frame ends in its end marker (padding aside: zeros, or the fill byte 0xFF)."""
    return frame.rstrip(b"\0\xff").endswith(END_MARKER)

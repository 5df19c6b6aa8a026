"""Parsing DICOM files, whose lengths and depths are claims: what a file may cost is bounded before it is believed."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset

from .errors import OUT_OF_MEMORY, MammogramError, raise_alone, refuse
from .files import ANY_SIZE, check_file
from .limits import MAX_HEADER_BYTES, MAX_HEADER_READS, MAX_SEQUENCE_BYTES, MAX_SEQUENCE_ITEMS, MAX_VIEW_BYTES

Path = str | PathLike[str]
PIXEL_GROUP = 0x7FE0
ITEM_STARTS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""Tag of a sequence item, little and big endian."""
SEQUENCE_VRS = ("SQ", "UN", "OB", None)
"""What a sequence may be called in the file; None where the syntax names nothing."""
BYTES_PER_READ = 4096
"""pydicom looks for the end of encapsulated pixels in pieces of 8 KB."""


@contextmanager
def silent_pydicom() -> Iterator[None]:
    """Hold back warnings and pydicom's log lines, which repeat header values."""
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled


@contextmanager
def quiet_pydicom(path: Path) -> Iterator[None]:
    """As `silent_pydicom`, and turn whatever is raised into one line that repeats no header value.

    Args:
        path: the file, for the message.

    Raises:
        MammogramError: instead of any other exception in the block.
    """
    try:
        with silent_pydicom():
            yield
    except MammogramError:
        raise
    except MemoryError:
        raise_alone(refuse(path, OUT_OF_MEMORY))
    except Exception as error:
        reason = f"Expected a readable DICOM file, parsing ended in {type(error).__name__}"
        raise_alone(refuse(path, f"{reason}; it is damaged or truncated, copy or export it again"))


def parse_dicom(path: Path, *, pixels: bool = False, keywords: Sequence[str] = ()) -> FileDataset:
    """Parse a file; files without the 128-byte preamble are old but valid, and have implicit little endian then.

    Args:
        path: the file.
        pixels: read the pixels too; otherwise what stands before them.
        keywords: elements to read; all if empty.

    Returns:
        The data set.

    Raises:
        MammogramError: if it is no file, deflated, or larger than a header or view is.
        Exception: whatever pydicom raises; call it in `quiet_pydicom`.
    """
    size = check_file(path, max_bytes=MAX_VIEW_BYTES) if pixels else MAX_HEADER_BYTES
    with _Measured(path, max_bytes=2 * size if pixels else size, max_reads=MAX_HEADER_READS) as file:
        has_preamble = file.peek(132)[128:132] == b"DICM"
        dataset = pydicom.dcmread(
            file, stop_before_pixels=not pixels, force=not has_preamble, specific_tags=list(keywords) or None
        )
    _check_sequences(dataset, path)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return dataset


class _Measured(io.BufferedReader):
    """A file that asks for no more memory than it has bytes, and counts what is read of it.

    A read of a forged length would reserve that length. pydicom reads to the end in one case: to inflate, to any size,
    before a single element can be checked.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_reads: int) -> None:
        self.path, self.size = fspath(path), check_file(path, max_bytes=ANY_SIZE)
        self.bytes_left, self.reads_left = max_bytes, max_reads + max_bytes // BYTES_PER_READ
        super().__init__(io.FileIO(self.path))

    def read(self, size: int | None = None) -> bytes:
        """Read at most what is there.

        Raises:
            MammogramError: if everything is asked for, or more than a header or view has.
        """
        if size is None or size < 0:
            raise refuse(self.path, "Expected a transfer syntax for images, got Deflated; convert it to uncompressed")
        size = min(size, max(self.size - self.tell(), 0))
        self.bytes_left -= size
        self.reads_left -= 1
        if self.bytes_left < 0:
            raise refuse(self.path, "Expected a header of a few megabytes, got more; this is no single 2-D view")
        if self.reads_left < 0:
            raise refuse(self.path, "Expected a header of some hundred elements, got far more; export the view again")
        return super().read(size)


def _check_sequences(dataset: FileDataset, path: Path) -> None:
    """Refuse elements that would become masses of objects as soon as somebody looks at them."""
    for tag in dataset.keys():  # noqa: SIM118 (iterating a data set would convert its elements)
        element = dataset.get_item(tag)
        value = element.value if isinstance(element, RawDataElement) else None
        if tag.group == PIXEL_GROUP or not isinstance(value, bytes) or element.VR not in SEQUENCE_VRS:
            continue
        if len(value) > MAX_SEQUENCE_BYTES and element.VR == "SQ":
            raise refuse(path, f"Expected sequences of at most {MAX_SEQUENCE_BYTES} bytes, got {len(value)}")
        if max(value.count(start) for start in ITEM_STARTS) > MAX_SEQUENCE_ITEMS:
            raise refuse(path, f"Expected at most {MAX_SEQUENCE_ITEMS} items in a sequence, got more")

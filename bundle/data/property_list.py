"""Property lists in XML that somebody else wrote: looked at by expat first, then read by Python's own plistlib.

plistlib refuses entities and fetches nothing, but takes any depth, and before expat 2.6 one long comment keeps it busy
for minutes: it reads by pieces of 2 KB and begins anew with each. Here expat sees pieces of a megabyte.
"""

import plistlib
import re
from os import PathLike
from typing import Any
from xml.parsers import expat

from .errors import MammogramError, refuse
from .files import read_bytes
from .limits import MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_TOKEN_BYTES

Path = str | PathLike[str]

_NUMBERS = re.compile(r"[0-9()\[\]{},.+\- ]*")


def read_property_list(path: Path) -> dict[str, Any]:
    """Read an XML property list with a dictionary at its top.

    Args:
        path: the file.

    Raises:
        MammogramError: if it cannot be read, is too large, nests too deep, declares entities, has endless tokens, or is
            no property list.
    """
    data = read_bytes(path, max_bytes=MAX_XML_BYTES)
    try:
        _check_xml(data, path)
        content = plistlib.loads(data, fmt=plistlib.FMT_XML)
    except MammogramError:
        raise
    except Exception as error:
        reason = f"Expected an XML property list without entities, got {_kind_of(error)}"
        raise refuse(path, f"{reason}; copy the file again") from error
    if not isinstance(content, dict):
        raise refuse(path, f"Expected a dictionary at the top, got {type(content).__name__}; check the file")
    return content


def described(value: Any) -> str:
    """A value for an error's line: a number of few digits, or a text of numbers, which is no name; else its type."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**9) or isinstance(value, float):
        return repr(value)
    return repr(value[:40]) if isinstance(value, str) and _NUMBERS.fullmatch(value) else type(value).__name__


def _kind_of(error: Exception) -> str:
    """What kind of error it is, and its place, without its text: Python's errors quote the file."""
    place = f" in line {error.lineno}, column {error.offset}" if isinstance(error, expat.ExpatError) else ""
    return f"{type(error).__name__}{place}"


def _check_xml(data: bytes, path: Path) -> None:
    """Refuse what would take plistlib without end; what is no XML raises expat's error."""
    parser = expat.ParserCreate()
    depth = last = 0

    def step(*_: Any) -> None:
        # Where one event begins, what the one before was about has ended.
        nonlocal last
        _check_token(parser.CurrentByteIndex - last, path)
        last = parser.CurrentByteIndex

    def opened(*_: Any) -> None:
        nonlocal depth
        step()
        depth += 1
        if depth > MAX_XML_DEPTH:
            raise refuse(path, f"Expected XML of at most {MAX_XML_DEPTH} levels, got more; check the file")

    def closed(*_: Any) -> None:
        nonlocal depth
        step()
        depth -= 1

    def doctype(_name: str, _system: str | None, _public: str | None, has_declarations: int) -> None:
        step()
        if has_declarations:
            raise refuse(path, "Expected an XML property list without entities, got declarations; check the file")

    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.StartDoctypeDeclHandler, parser.DefaultHandler = doctype, step
    parser.CharacterDataHandler, parser.buffer_text, parser.buffer_size = step, True, MAX_XML_TOKEN_BYTES // 2
    parser.Parse(data, True)
    _check_token(len(data) - last, path)


def _check_token(length: int, path: Path) -> None:
    if length > MAX_XML_TOKEN_BYTES:
        raise refuse(
            path, f"Expected texts of at most {MAX_XML_TOKEN_BYTES} bytes in XML, got {length}; check the file"
        )

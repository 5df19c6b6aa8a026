"""What a DICOMweb service answers, without the asking: objects of a study, DICOM JSON (PS3.18 Annex F), multipart."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

REFERENCED_SOP, EVIDENCE, SERIES_SEQUENCE, SOP_SEQUENCE = "00081155", "0040A375", "00081115", "00081199"
FAILED_SOP_SEQUENCE = "00081198"
SEQUENCES = (EVIDENCE, SERIES_SEQUENCE, SOP_SEQUENCE, FAILED_SOP_SEQUENCE)
"""Those that are looked into."""


class ArchiveAwayError(OSError):
    """The archive does not answer, is busy, or refuses the login: nothing is wrong with what was asked."""


class ArchiveRefusedError(ValueError):
    """The archive answered that it will not, or with what cannot be used."""


@dataclass(frozen=True)
class Instance:
    """An object of a study.

    Attributes:
        sop_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        sop_class: SOP Class UID, "" if the archive does not say.
    """

    sop_uid: str
    series_uid: str
    sop_class: str = ""


def data_sets(content: bytes) -> list[dict[str, Any]]:
    """Data sets of a DICOM JSON answer, without elements that hold no list of values.

    An answer to storing is a data set that stands in no list.

    Args:
        content: the answer, which may be empty.

    Raises:
        ArchiveRefusedError: if it is no DICOM JSON.
    """
    try:
        answer = json.loads(content) if content.strip() else []
        items = [answer] if isinstance(answer, dict) else answer
        if isinstance(items, list) and all(isinstance(item, dict) for item in items):
            return [_elements(item) for item in items]
    except (ValueError, RecursionError):
        pass
    raise ArchiveRefusedError("got no DICOM JSON")


def _elements(item: Any) -> dict[str, Any]:
    """Elements that hold a list of values; what is no data set in a sequence has none."""
    return {
        tag: {"Value": [_elements(value) if tag in SEQUENCES else value for value in element["Value"]]}
        for tag, element in (item.items() if isinstance(item, dict) else ())
        if isinstance(element, dict) and isinstance(element.get("Value"), list)
    }


def first_value(item: dict[str, Any], tag: str) -> Any:
    """First value of an element, None if there is none.

    Args:
        item: a data set.
        tag: eight hexadecimal digits.
    """
    return next(iter(_values(item, tag)), None)


def evidence_uids(item: dict[str, Any]) -> Iterator[str]:
    """SOP Instance UIDs of the images that a structured report is about."""
    for study in _values(item, EVIDENCE):
        for series in _values(study, SERIES_SEQUENCE):
            yield from (str(first_value(image, REFERENCED_SOP)) for image in _values(series, SOP_SEQUENCE))


def _values(item: dict[str, Any], tag: str) -> list[Any]:
    return item.get(tag, {}).get("Value", [])


def only_part(body: bytes) -> bytes:
    """The content of a multipart body of one part (RFC 2046).

    Args:
        body: from the first boundary on.

    Raises:
        ArchiveRefusedError: if it is none.
    """
    boundary = body.lstrip(b"\r\n").split(b"\r\n", 1)[0]
    head_end, end = body.find(b"\r\n\r\n"), body.rfind(b"\r\n" + boundary)
    if not boundary.startswith(b"--") or head_end < 0 or end < head_end + 4:
        raise ArchiveRefusedError("got no multipart answer on GET")
    return body[head_end + 4 : end]

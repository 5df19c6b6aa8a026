"""Which files of an input belong together as a study."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from .dicom_file import parse_dicom, quiet_pydicom
from .dicom_header import whole
from .errors import MammogramError
from .find import find_mammograms
from .mammogram_reader import sniff

PATIENT = {
    "PatientName": "Name",
    "PatientID": "ID",
    "PatientBirthDate": "Date of birth",
    "StudyDate": "Date of the exam",
    "AccessionNumber": "Accession number",
}
MAX_PN_CHARS = 194
"""Longest name: three groups of 64 characters and what is between them (PS3.5 6.2)."""


@dataclass(frozen=True)
class Study:
    """Files that belong together.

    Attributes:
        name: eight hexadecimal digits: of the Study Instance UID as in the names of the study's DICOM objects, or of
            the folder.
        files: in the order of their paths.
        is_dicom: whether a Study Instance UID holds them together.
    """

    name: str
    files: tuple[str, ...]
    is_dicom: bool


def group_studies(input_path: str) -> list[Study]:
    """Group DICOM views by Study Instance UID, and other files by their folder.

    A file that is DICOM but does not name its study, or cannot be read, goes to the studies of its folder; if there is
    none, it makes one with the other files there.

    Args:
        input_path: file or folder, as `find_mammograms` takes it.

    Raises:
        MammogramError: if there is nothing to read.
    """
    return group_files([item["image"] for item in find_mammograms(input_path)])


def group_files(paths: Iterable[str]) -> list[Study]:
    """Group files as `group_studies` does.

    Args:
        paths: the files, each once.
    """
    members: dict[tuple[bool, str], list[str]] = {}
    strays = []
    for path in paths:
        uid = study_uid(path)
        if uid is None:
            strays.append(path)
        else:
            members.setdefault((bool(uid), uid or _folder(path)), []).append(path)
    near: dict[str, set[tuple[bool, str]]] = {}
    for study, files in members.items():
        for path in files if study[0] else []:
            near.setdefault(_folder(path), set()).add(study)
    for path in strays:
        for study in near.get(_folder(path), {(False, _folder(path))}):
            members.setdefault(study, []).append(path)
    return [Study(short_hash(key), tuple(sorted(files)), known) for (known, key), files in members.items()]


def study_uid(path: str) -> str | None:
    """Study Instance UID of a DICOM file; "" for another image, None where nobody can say."""
    try:
        if not _is_dicom(path):
            return ""
        header = _header(path, "StudyInstanceUID")
        with quiet_pydicom(path):  # what is no UID is repeated in a warning
            return str(header.get("StudyInstanceUID") or "") or None
    except MammogramError:
        return None


def patient_facts(path: str) -> dict[str, str]:
    """What the header of a DICOM view says of the patient, under plain names; only for who asks for it.

    Raises:
        MammogramError: if the file cannot be read.
    """
    if not _is_dicom(path):
        return {}
    header = _header(path, *PATIENT)
    with quiet_pydicom(path):
        said = {name: whole(_text(header.get(keyword)), most=MAX_PN_CHARS) for keyword, name in PATIENT.items()}
    return {name: value for name, value in said.items() if value}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, (str, PersonName)) else ""


def source_id(path: str | os.PathLike[str]) -> str:
    """Name of a file in its findings: eight hexadecimal digits of a hash of its path."""
    return short_hash(os.path.abspath(path))


def short_hash(text: str) -> str:
    """First eight hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def _is_dicom(path: str) -> bool:
    return sniff(path) == "dicom"


def _header(path: str, *keywords: str) -> Dataset:
    with quiet_pydicom(path):
        return parse_dicom(path, keywords=keywords)


def _folder(path: str) -> str:
    return str(Path(os.path.abspath(path)).parent)

"""Case records in files, one JSON per system, dataset and case, so that a stopped run goes on where it stopped.

A file is written whole or not at all, and holds a checksum of its record. One that is cut short, altered, of another
case or made with other settings is told in a line and counts as absent: its case is scored again.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from .errors import MammogramError, MammogramWarning, refuse
from .files import parse_json, read_text
from .whole_files import write_whole

Record = dict[str, Any]
Folder = str | PathLike[str]

IDENTITY = ("system", "dataset", "case")
# Readable names are cut here; the hash tells apart what the cut, or a file system without capitals, would not.
NAME_LENGTH = 60


def record_path(folder: Folder, *, system: str, dataset: str, case: str) -> Path:
    """Where the record of a case lies: folder/system/dataset/case.json, with names that any file system takes."""
    return Path(folder) / _file_name(system) / _file_name(dataset) / f"{_file_name(case)}.json"


def save_record(folder: Folder, record: Mapping[str, Any], *, settings: str = "") -> Path:
    """Write a record atomically, over an older one if there is one.

    Args:
        folder: root of all records.
        record: JSON-able, with at least `system`, `dataset` and `case`.
        settings: what else the record depends on, e.g. a hash of weights and options.
    """
    path = record_path(folder, **{key: record[key] for key in IDENTITY})
    text = json.dumps({"settings": settings, "sha256": _checksum(record), "record": record})
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def load_record(folder: Folder, *, system: str, dataset: str, case: str, settings: str = "") -> Record | None:
    """Read the record of a case; None if there is none that can be used.

    Warns:
        MammogramWarning: if there is a file, but not of this case and these settings, or not whole.
    """
    path = record_path(folder, system=system, dataset=dataset, case=case)
    if not path.exists():
        return None
    try:
        record, made_with = _read(path)
        _require(path, [record[key] for key in IDENTITY] == [system, dataset, case], "is of another case")
        _require(path, made_with == settings, "was made with other settings")
    except MammogramError as error:
        warnings.warn(str(error), MammogramWarning, stacklevel=2)
        return None
    return record


def load_records(folder: Folder) -> list[Record]:
    """Read every record below a folder, sorted by dataset, system and case.

    Raises:
        MammogramError: at the first file that is damaged; a table of the others would hide that cases are missing.
    """
    paths = [path for path in Path(folder).rglob("*.json") if not path.name.startswith(".")]
    records = [_read(path)[0] for path in paths]
    return sorted(records, key=lambda record: (record["dataset"], record["system"], record["case"]))


def _read(path: Path) -> tuple[Record, str]:
    """The record and its settings."""
    try:
        content = parse_json(read_text(path))
        record, settings, checksum = content["record"], content["settings"], content["sha256"]
        whole = checksum == _checksum(record) and set(IDENTITY) <= set(record)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    _require(path, whole, "is damaged")
    return record, settings


def _require(path: Path, condition: bool, problem: str) -> None:
    if not condition:
        raise refuse(path, f"Expected a record that can be used, but it {problem}; score its case again")


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _file_name(name: str) -> str:
    """A short readable name, unlike that of any other name."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", name)[:NAME_LENGTH].strip("_")
    return f"{readable}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"

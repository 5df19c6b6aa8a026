"""Files that somebody else made, opened so that neither their kind nor their size can stop or fill the machine."""

import csv
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

from .errors import refuse
from .limits import MAX_JSON_DIGITS, MAX_TABLE_BYTES

Path = str | PathLike[str]
ANY_SIZE = 2**63


def check_file(path: Path, *, max_bytes: int) -> int:
    """Refuse what is no regular file, since a pipe or a device may never end, and what is too large.

    Args:
        path: the file; links are followed.
        max_bytes: its largest size.

    Returns:
        The size in bytes.

    Raises:
        MammogramError: if it does not exist, cannot be looked at, is no regular file, or is larger.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError as error:
        raise refuse(path, "Expected an existing file, found none; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = f"Expected a file that can be opened, got {type(error).__name__}"
        raise refuse(path, f"{reason}; check its name and rights") from error
    if stat.S_ISDIR(state.st_mode):
        raise refuse(path, "Expected a file, got a folder; pass one file, or list the folder with find_mammograms")
    if not stat.S_ISREG(state.st_mode):
        raise refuse(path, "Expected a file, got a pipe, socket or device; save its content as a file")
    if state.st_size > max_bytes:
        raise refuse(path, f"Expected at most {max_bytes} bytes, got {state.st_size}; this is another kind of file")
    return state.st_size


def read_bytes(path: Path, *, max_bytes: int = MAX_TABLE_BYTES) -> bytes:
    """The content of a file.

    Args:
        path: the file.
        max_bytes: its largest size.

    Raises:
        MammogramError: see `check_file`, or if it cannot be read.
    """
    return _read(path, check_file(path, max_bytes=max_bytes))


def read_start(path: Path, count: int) -> bytes:
    """The first bytes of a file of any size; fewer if it has no more.

    Raises:
        MammogramError: see `check_file`, or if it cannot be read.
    """
    return _read(path, min(count, check_file(path, max_bytes=ANY_SIZE)))


def _read(path: Path, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        reason = f"Expected a file that can be opened, got {type(error).__name__}"
        raise refuse(path, f"{reason}; check its rights") from error


def read_text(path: Path, *, encoding: str = "utf-8-sig") -> str:
    """The text of a table or list.

    Raises:
        MammogramError: see `read_bytes`, or if it is no text in this encoding.
    """
    try:
        return read_bytes(path).decode(encoding)
    except UnicodeDecodeError as error:
        raise refuse(path, "Expected text in UTF-8, got other bytes; save it as UTF-8") from error


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; all that can be wrong with it is a ValueError.

    Raises:
        ValueError: if it is no JSON, nests too deep, names a key twice, or holds an integer of more than 400 digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_int=_short_int)
    except RecursionError as error:
        raise ValueError("Expected JSON of a few levels, got deep nesting") from error


def read_json(path: Path, *, what: str = "JSON") -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: it should be, for the message.

    Raises:
        MammogramError: see `read_text`, or if it is no JSON as `parse_json` takes it.
    """
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise refuse(path, f"Expected {what}, got what cannot be parsed ({error}); make it anew") from error


def read_csv(path: Path, *, delimiter: str = ",", skip_space: bool = False) -> list[list[str]]:
    """Rows of a CSV file, the first line included.

    Raises:
        MammogramError: see `read_text`, or if it is no CSV.
    """
    lines = io.StringIO(read_text(path), newline="")
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=skip_space))
    except csv.Error as error:
        raise refuse(path, "Expected a CSV file, got cells that are too long or hold NUL; check it") from error


def rows_by_column(lines: Sequence[Sequence[str]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Cells by the first line's names, stripped, with the number of the row; blank rows are left out.

    A row that is cut short lacks its last columns.
    """
    header = [cell.strip() for cell in lines[0]] if lines else []
    for number, cells in enumerate(lines[1:], start=2):
        row = {key: cell.strip() for key, cell in zip(header, cells, strict=False)}
        if any(row.values()):
            yield number, row


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("Expected every key once, got one twice")
    return found


def _short_int(digits: str) -> int:
    if len(digits) > MAX_JSON_DIGITS:
        raise ValueError(f"Expected integers of at most {MAX_JSON_DIGITS} digits, got {len(digits)}")
    return int(digits)

"""Tables and files of data sets as people download them: wherever below the folder, with spaces and odd rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import printable, refuse
from .files import read_csv, rows_by_column

MAX_DIGITS = 30
"""Of identifiers; Python refuses to read whole numbers of more than 4300."""
MAX_WORD_CHARS = 64
"""Of what a table says of a view: side, maker and the like."""


def the_folder(source: str | Path) -> Path:
    """The folder of a data set.

    Raises:
        MammogramError: if it does not exist or is a file.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise refuse(folder, "Expected the folder of a data set, found none; check --source")
    return folder


def find_files(source: Path, pattern: str) -> list[Path]:
    """Files below a folder whose names fit a pattern, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in source.rglob(pattern)
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts)
    )


def find_table(source: Path, names: Sequence[str]) -> Path:
    """The first of several possible tables below a folder.

    Raises:
        MammogramError: if there is none.
    """
    for name in names:
        if found := find_files(source, name):
            return found[0]
    raise refuse(source, f"Expected {' or '.join(names)} below this folder, found none; check --source and the name")


def read_rows(
    path: Path, columns: Sequence[str], *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Rows of a CSV file as stripped texts.

    Args:
        path: the file.
        columns: that must be there, by the names in the first line, stripped.
        delimiter: between columns.

    Yields:
        Number of the row (the header is 1), and its cells; None for a row that is cut short.

    Raises:
        MammogramError: if the file cannot be read or lacks a column.
    """
    lines = read_csv(path, delimiter=delimiter)
    header = [cell.strip() for cell in lines[0]] if lines else []
    if missing := [column for column in columns if column not in header]:
        raise refuse(path, f"Expected the columns {', '.join(columns)}, found no {missing[0]!r}; copy it again")
    for number, row in rows_by_column(lines):
        yield number, row if all(column in row for column in columns) else None


def short_word(cell: str) -> str:
    """A cell as results repeat it: printable, in one line, of at most 64 characters."""
    return printable(cell)[:MAX_WORD_CHARS]


def is_number(text: str) -> bool:
    """Whether a cell is a whole number in plain digits, of a length that a table of data has."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS

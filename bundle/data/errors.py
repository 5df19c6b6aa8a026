"""What reading a mammogram can end in: one clear line, whatever wraps it on the way up."""

import re
from os import PathLike, fspath

from ..functional.errors import MammogramError

__all__ = [
    "OUT_OF_MEMORY", "MammogramError", "MammogramWarning", "line_start", "printable", "reason_of", "refuse",
    "root_mammogram_error",
]  # fmt: skip

MAX_REASON_CHARS = 1000
"""A header may hold any amount of text; a line is to be read by people."""


OUT_OF_MEMORY = "Expected a file that fits in memory, ran out of it; free some, or leave the file out"


class MammogramWarning(UserWarning):
    """A file that is read although it is unusual for the method, in one line."""


def printable(text: str | PathLike[str]) -> str:
    r"""A text or path as one line that any terminal and file takes, otherwise unchanged.

    Names of files may hold line feeds, escape sequences and bytes that are no UTF-8 (surrogates in Python).

    Args:
        text: any.

    Returns:
        The text with runs of white space as single spaces, and what cannot be printed as \x1b, \u202e or \udcff.
    """
    line = " ".join(fspath(text).split())
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def refuse(path: str | PathLike[str], reason: str) -> MammogramError:
    """Build the one-line error for a file.

    Args:
        path: the file, named as the user named it.
        reason: rule, value and remedy.

    Returns:
        The error, to be raised by the caller; its line is `printable`.
    """
    if len(reason) > MAX_REASON_CHARS:
        reason = f"{reason[:MAX_REASON_CHARS]}..."
    return MammogramError(printable(f"{fspath(path)}: {reason}"))


def line_start(path: str | PathLike[str]) -> str:
    """What the lines of `refuse` about a file begin with."""
    return printable(f"{fspath(path)}: .")[:-1]


def reason_of(error: MammogramError, path: str | PathLike[str]) -> str:
    """What the error of a file says, without the file's name, which may be a patient's.

    Args:
        error: from `refuse`.
        path: the file, as it was given there.
    """
    return str(error).removeprefix(line_start(path))


def root_mammogram_error(error: BaseException) -> MammogramError | None:
    """Find the mammogram error behind another exception.

    MONAI's `Compose` raises RuntimeError("applying transform ...") from the error, and a data loader's worker process
    sends the traceback's text only. This walks `__cause__` and `__context__`, then reads the text.

    Args:
        error: any exception.

    Returns:
        The innermost MammogramError, or None if there is none.
    """
    found: MammogramError | None = None
    seen: set[int] = set()
    current: BaseException | None = error
    text = ""
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found = current if isinstance(current, MammogramError) else found
        text = f"{text}\n{current}"
        current = current.__cause__ or current.__context__
    if found is None and (lines := re.findall(r"^(?:[\w.]+\.)?MammogramError: (.+)$", text, flags=re.MULTILINE)):
        found = MammogramError(lines[0])
    return found

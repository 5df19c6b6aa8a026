"""What reading a mammogram can end in: one clear line, whatever wraps it on the way up."""

import re
from os import PathLike, fspath
from typing import NoReturn

from ..functional.errors import MammogramError, printable, refuse

__all__ = [
    "OUT_OF_MEMORY", "MammogramError", "MammogramWarning", "line_start", "printable", "raise_alone", "reason_of",
    "refuse", "root_mammogram_error",
]  # fmt: skip

OUT_OF_MEMORY = "Expected a file that fits in memory, ran out of it; free some, or leave the file out"


class MammogramWarning(UserWarning):
    """A file that is read although it is unusual for the method, in one line."""


def raise_alone(refusal: MammogramError) -> NoReturn:
    """Raise an error without what led to it: exceptions of libraries repeat values of the file.

    Args:
        refusal: from `refuse`.
    """
    try:
        raise refusal from None
    finally:
        refusal.__context__ = None


def line_start(path: str | PathLike[str]) -> str:
    """What the lines of `refuse` about a file begin with."""
    return printable(f"{fspath(path)}: .")[:-1]


def reason_of(error: MammogramError, path: str | PathLike[str]) -> str:
    """What the error of a file says, without the name of any file, which may be a patient's.

    Args:
        error: from `refuse`.
        path: the file, as it was given there; an error of another file, such as one beside it, loses that name.
    """
    line, start = str(error), line_start(path)
    return line[len(start) :] if line.startswith(start) else line[line.rfind(": Expected ") + 1 :].lstrip()


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

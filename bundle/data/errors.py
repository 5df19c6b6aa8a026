"""What reading a mammogram can end in: one clear line, whatever wraps it on the way up."""

import re
from os import PathLike, fspath

from ..functional.errors import MammogramError

__all__ = ["MammogramError", "MammogramWarning", "reason_of", "refuse", "root_mammogram_error"]


class MammogramWarning(UserWarning):
    """A file that is read although it is unusual for the method, in one line."""


def refuse(path: str | PathLike[str], reason: str) -> MammogramError:
    """Build the one-line error for a file.

    Args:
        path: the file, named as the user named it.
        reason: rule, value and remedy; whitespace is folded into single spaces.

    Returns:
        The error, to be raised by the caller.
    """
    return MammogramError(" ".join(f"{fspath(path)}: {reason}".split()))


def reason_of(error: MammogramError, path: str | PathLike[str]) -> str:
    """What the error of a file says, without the file's name, which may be a patient's.

    Args:
        error: from `refuse`.
        path: the file, as it was given there.
    """
    return str(error).removeprefix(" ".join(f"{fspath(path)}:".split())).strip()


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

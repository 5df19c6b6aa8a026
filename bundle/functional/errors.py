"""The one error that a user sees as a line; here because both reading and transforming a view can end in it."""

from os import PathLike, fspath

MAX_REASON_CHARS = 1000
"""A header may hold any amount of text; a line is to be read by people."""


class MammogramError(ValueError):
    """A view that cannot be used, in one line: the file, the rule, the value found and the remedy."""


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

"""Files that appear whole: a reader, and a run that goes on after a stop, sees all of one or none."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a temporary neighbour, then rename it over an older file; the folder is made if missing.

    Args:
        path: the file.
        write: writes to the path that it is given, whose suffix is that of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

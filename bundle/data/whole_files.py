"""Files that appear whole: a reader, and a run that goes on after a stop, sees all of one or none."""

import os
import shutil
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


def place_whole(part: Path, target: Path) -> None:
    """Give a finished folder its name; what lies in it is on the disk before it has it.

    Args:
        part: folder of files, on the same disk.
        target: where it goes. A folder that is there already was whole when it came there, and stays.
    """
    for path in part.iterdir():
        _flush(path)
    _flush(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(part, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(part)
    for folder in (target.parent, target.parent.parent):
        _flush(folder)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Files that outlive a kill and a power cut: whole or not there, and on the disk once the call returns."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a temporary neighbour, bring it to the disk, and rename it over an older file.

    The neighbour has one name, `.NAME.part`, so what a killed process left is written over by the next one.

    Args:
        path: the file; its folder is made if missing.
        write: writes to the open file that it is given.

    Raises:
        OSError: if there is no room or no right to write; an older file is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; elsewhere than on POSIX systems folders cannot be opened for that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def why_unreadable(path: Path) -> str:
    """What is wrong with a file of torch.save, "" if it is whole: its length and the checksum (CRC-32) of every part.

    torch itself reads a file with a wrong bit without a word.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        return f"it is cut short or no checkpoint ({type(error).__name__})"
    return "" if broken is None else f"its part {broken.split('/')[-1]} does not have its checksum"

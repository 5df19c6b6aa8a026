"""Who works on what in a study that several processes of a machine share: locks that end with their process.

The system gives a lock free when its process dies, however that happens; nothing has to be waited for or cleaned up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if os.name == "posix":
    import fcntl


class Claims:
    """Claims of the processes that share a folder. Where there are no such locks, as on Windows, nothing is claimed.

    Args:
        folder: of the lock files; made if missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is in here, and keep them out meanwhile."""
        with _held(self._path("study"), wait=True):
            yield

    @contextmanager
    def working_on(self, number: int) -> Iterator[None]:
        """Say that this process works on a trial, for as long as it lives."""
        path = self._path(f"trial_{number}")
        with _held(path, wait=False):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def abandoned(self, number: int) -> bool:
        """Whether a process of this folder worked on a trial and is dead. To be asked in `alone`."""
        path = self._path(f"trial_{number}")
        if os.name != "posix" or not path.exists():
            return False
        try:
            with _held(path, wait=False):
                return True
        except BlockingIOError:
            return False

    def forget(self, number: int) -> None:
        """Take the claim of a dead process away."""
        self._path(f"trial_{number}").unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.lock"


@contextmanager
def _held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a file; BlockingIOError if another process has it and is not waited for."""
    if os.name != "posix":
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)

"""What has been done with which view, in a file that only grows: every line is on the disk before the next step begins.

Views and studies stand there by hashes of their UIDs, which say nothing to who cannot ask the archive.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

NAME = "journal.jsonl"


def hashed(uid: str) -> str:
    """Short name of a UID or path, which may hold bytes that are no UTF-8: 16 hexadecimal digits."""
    return hashlib.sha256(uid.encode(errors="surrogateescape")).hexdigest()[:16]


@dataclass
class ViewState:
    """What the journal knows of a view.

    Attributes:
        attempts: how often work on it began and did not end in a stop from outside.
        folder: where its results lie, relative to the output folder; None before they are whole.
        stored: whether they are in the archive.
        reason: why the last attempt failed.
    """

    attempts: int = 0
    folder: str | None = None
    stored: bool = False
    reason: str = ""


class Journal:
    """The journal of an output folder, and the lock on it: one watcher at a time.

    A last line that a stop cut short is as if it had not been written. Lines of other methods are left alone.

    Args:
        folder: the output folder; made, for its owner alone, if missing.
        method: of segmentation; each is a work of its own.

    Attributes:
        views: state by hash of the SOP Instance UID.
        seconds_per_view: of the latest segmentation; None before the first.

    Raises:
        ValueError: if the folder cannot be written, or another watcher has it.
    """

    def __init__(self, folder: Path, *, method: str) -> None:
        self.method = method
        self.views: dict[str, ViewState] = {}
        self.seconds_per_view: float | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ValueError(
                f"Expected a folder that can be written at {folder}, got {type(error).__name__}; pass another "
                "--output-dir"
            ) from None
        self._lock(folder)
        self._read(folder / NAME)

    def write(self, event: str, views: Iterable[str], **details: Any) -> None:
        """Append an event of some views, in one piece and down to the disk.

        Args:
            event: found, started, stopped, segmented, failed, stored or forgiven.
            views: hashes of their SOP Instance UIDs.
            **details: of the event, as far as JSON can hold them; `folder`, `reason` and `seconds` are read again.

        Raises:
            OSError: if it cannot be written; nothing may be done then.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = {"at": now, "event": event, "method": self.method, "views": list(views), **details}
        content = (json.dumps(line) + "\n").encode()
        if os.write(self._file, content) != len(content):
            raise OSError("Expected room for the journal, found none on the disk; free some")
        os.fsync(self._file)
        self._apply(line)

    def state(self, view: str) -> ViewState:
        """What is known of a view."""
        return self.views.get(view, ViewState())

    def close(self) -> None:
        """Give the folder free."""
        os.close(self._file)

    def _lock(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise ValueError(
                f"Expected no other watcher on {folder}, found one; stop it or pass another --output-dir"
            ) from None

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                if entry["method"] == self.method:
                    self._apply(entry)
            except (ValueError, KeyError, TypeError):
                continue  # cut short
        if content and not content.endswith(b"\n"):
            os.write(self._file, b"\n")

    def _apply(self, line: dict[str, Any]) -> None:
        event = line["event"]
        for view in line["views"]:
            state = self.views.setdefault(view, ViewState())
            if event == "started":
                state.attempts += 1
            elif event == "stopped":
                state.attempts -= 1
            elif event == "forgiven":
                state.attempts = 0
            elif event == "segmented":
                state.folder = line["folder"]
                self.seconds_per_view = line["seconds"] / len(line["views"])
            elif event == "failed":
                state.reason = line["reason"]
            elif event == "stored":
                state.stored = True

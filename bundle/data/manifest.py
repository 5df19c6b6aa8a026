"""What has become of every view of a cohort, in a file that only grows: each line is on the disk before the next step.

Views stand there by hashes, with the name of their file at most, as in their findings.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

NAME = "manifest.jsonl"
DONE, REFUSED, FAILED = "done", "refused", "failed"
ENDS = (DONE, REFUSED, FAILED)
SETTINGS, TRIED, FORGIVEN = "settings", "tried", "forgiven"


@dataclass
class Entry:
    """What the manifest knows of a view, or of a study.

    Attributes:
        attempts: how often work on it failed.
        end: one of ENDS, None before.
        reason: of the last failure, or of the refusal.
        details: what else was written with the end.
    """

    attempts: int = 0
    end: str | None = None
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class History:
    """What lines of a manifest say, one after the other.

    Attributes:
        entries: by key.
        settings: that the folder was begun with; None before they are known.
        damaged: number of lines that cannot be read, or cannot be true.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.settings: dict[str, Any] | None = None
        self.damaged = 0

    def read(self, content: bytes) -> None:
        """Take in whole lines."""
        for text in content.splitlines():
            line = decoded(text)
            if line is None or not _is_line(line) or not self.fits(line):
                self.damaged += 1
            else:
                self.add(line)

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Whether a line can follow: an end has no second one."""
        ended = line["event"] in (*ENDS, TRIED) and line["key"] in self.entries and self.entries[line["key"]].end
        return not ended

    def add(self, line: dict[str, Any]) -> None:
        """Take in a line."""
        event = line["event"]
        if event == SETTINGS:
            self.settings = line["settings"]
            return
        entry = self.entries.setdefault(line["key"], Entry())
        if event == TRIED:
            entry.attempts += 1
            entry.reason = line["reason"]
        elif event == FORGIVEN:
            self.entries[line["key"]] = Entry()
        elif event in ENDS:
            entry.end, entry.reason = event, line["reason"]
            entry.details = {name: line[name] for name in line.keys() - {"at", "event", "key", "reason"}}


def read_history(folder: Path) -> History:
    """What the manifest of a folder says by now, whether a run is writing it or not; nothing if there is none."""
    history, path = History(), folder / NAME
    content = path.read_bytes() if path.is_file() else b""
    history.read(content[: content.rfind(b"\n") + 1])
    return history


class Manifest:
    """The manifest of an output folder, and the lock on it: one run at a time.

    Every line has a checksum. A last line that a stop cut short is taken away; one that was damaged since counts as
    never written, so that its view is looked at again.

    Args:
        folder: the output folder; made, for its owner alone, if missing.
        settings: what the results depend on, as far as JSON can hold it. They belong to the folder: a run with others
            is refused.

    Raises:
        ValueError: in one line, if the folder cannot be written, another run has it, or it was begun with other
            settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._history = History()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ValueError(
                f"Expected a folder that can be written at {folder}, got {type(error).__name__}; pass another "
                "--output-dir"
            ) from None
        try:
            self._lock(folder)
            self._read(folder / NAME)
            self._compare(settings, folder)
        except BaseException:
            self.close()
            raise

    @property
    def entries(self) -> dict[str, Entry]:
        """What is known, by key."""
        return self._history.entries

    @property
    def damaged(self) -> int:
        """Number of lines that cannot be read."""
        return self._history.damaged

    def tried(self, key: str, reason: str) -> int:
        """Note a failure after which the view will be tried again.

        Args:
            key: of the view.
            reason: why, in one line.

        Returns:
            How often it has failed by now.

        Raises:
            OSError: if it cannot be written; nothing is noted then.
        """
        self._write({"event": TRIED, "key": key, "reason": reason})
        return self.entries[key].attempts

    def end(self, key: str, end: str, reason: str = "", **details: Any) -> None:
        """Note what became of a view, once and for all.

        Args:
            key: of the view.
            end: one of ENDS.
            reason: why it was refused or failed, in one line.
            **details: of the result, as far as JSON can hold them.

        Raises:
            OSError: if it cannot be written; nothing is noted then.
        """
        self._write({"event": end, "key": key, "reason": reason, **details})

    def forgive(self, keys: Iterable[str]) -> None:
        """Let ended views begin anew."""
        for key in list(keys):
            self._write({"event": FORGIVEN, "key": key})

    def entry(self, key: str) -> Entry:
        """What is known of a view."""
        return self.entries.get(key, Entry())

    def close(self) -> None:
        """Give the folder free."""
        os.close(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        line = {"at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **line}
        assert self._history.fits(line), f"{line['key']} has ended already"
        before = os.fstat(self._file).st_size
        try:
            content = encoded(line)
            if os.write(self._file, content) != len(content):
                raise OSError("Expected room for the manifest, found none on the disk; free some")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise
        self._history.add(line)

    def _lock(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"Expected no other run on {folder}, found one; stop it or pass another --output-dir"
            ) from None

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        self._history.read(content[:whole])

    def _compare(self, settings: Mapping[str, Any], folder: Path) -> None:
        wanted = json.loads(json.dumps(settings))
        if self._history.settings is None:
            self._write({"event": SETTINGS, "settings": wanted})
        began = self._history.settings or {}
        for name in sorted(began.keys() | wanted.keys()):
            if began.get(name) != wanted.get(name):
                raise ValueError(
                    f"Expected the settings that {folder} was begun with, {name} {began.get(name)}, got "
                    f"{wanted.get(name)}; pass the same, or another --output-dir"
                )


def encoded(line: Mapping[str, Any]) -> bytes:
    """A line of the file, with the checksum of all that stands before it."""
    text = json.dumps(line)
    return f'{text[:-1]}, "crc32": {zlib.crc32(text.encode())}}}\n'.encode()


def decoded(text: bytes) -> dict[str, Any] | None:
    """A line as it was written; None if it is damaged."""
    head, found, checksum = text.rpartition(b', "crc32": ')
    try:
        if not found or zlib.crc32(head + b"}") != int(checksum.rstrip(b"}")):
            return None
        line: dict[str, Any] = json.loads(head + b"}")
    except (ValueError, RecursionError):
        return None
    return line


def _is_line(line: Any) -> bool:
    """Whether a line has what every line has: its checksum alone says only that it is as somebody wrote it."""
    if not isinstance(line, dict) or not isinstance(line.get("event"), str):
        return False
    if line["event"] == SETTINGS:
        return isinstance(line.get("settings"), dict)
    told = line["event"] not in (*ENDS, TRIED) or isinstance(line.get("reason"), str)
    return told and isinstance(line.get("key"), str)

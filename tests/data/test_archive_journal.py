"""The journal survives what it is for: stops at any byte, second watchers, other methods."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from bundle.data.archive_journal import NAME, Journal, ViewState, hashed

METHOD = "segmentor"


def _journal(folder: Path, method: str = METHOD) -> Journal:
    return Journal(folder, method=method)


def _write_all(folder: Path) -> dict[str, ViewState]:
    journal = _journal(folder)
    journal.write("found", ["a", "b", "c"])
    journal.write("started", ["a", "b"])
    journal.write("failed", ["b"], reason="no breast")
    journal.write("segmented", ["a"], folder="study-1/2", seconds=3.0)
    journal.write("stored", ["a"])
    journal.close()
    return journal.views


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = _write_all(tmp_path)
    journal = _journal(tmp_path)
    assert journal.views == written == {
        "a": ViewState(attempts=1, folder="study-1/2", stored=True),
        "b": ViewState(attempts=1, reason="no breast"),
        "c": ViewState(),
    }  # fmt: skip
    assert journal.seconds_per_view == 3.0
    journal.close()


def test_cut_at_any_byte_it_is_what_the_whole_lines_say(tmp_path: Path) -> None:
    _write_all(tmp_path / "whole")
    content = (tmp_path / "whole" / NAME).read_bytes()
    for end in range(len(content)):
        folder = tmp_path / str(end)
        folder.mkdir()
        (folder / NAME).write_bytes(content[:end])
        journal = _journal(folder)
        whole_lines = content[: end + 1].count(b"\n")
        assert ("a" in journal.views, "b" in journal.views) == (whole_lines > 0,) * 2
        assert journal.state("b").attempts == (whole_lines > 1)
        assert journal.state("a").stored == (whole_lines > 4)
        journal.write("started", ["c"])
        journal.close()
        reread = _journal(folder)
        assert reread.state("c").attempts == 1
        reread.close()


def test_lines_only_grow(tmp_path: Path) -> None:
    _write_all(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    _write_all(tmp_path)
    assert (tmp_path / NAME).read_bytes().startswith(before)


def test_every_line_is_on_the_disk_before_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    journal = _journal(tmp_path)
    for view in ("a", "b"):
        journal.write("found", [view])
        assert synced[-1] == (tmp_path / NAME).stat().st_size
    assert len(synced) == 2
    journal.close()


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = _journal(tmp_path)
    monkeypatch.setattr(os, "write", lambda _, content: len(content) - 1)
    with pytest.raises(OSError, match="Expected room for the journal"):
        journal.write("stored", ["a"])
    assert not journal.state("a").stored
    monkeypatch.undo()
    journal.close()


def test_a_stop_from_outside_costs_no_attempt(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    for event in ("started", "stopped", "started"):
        journal.write(event, ["a"])
    assert journal.state("a").attempts == 1
    journal.write("forgiven", ["a"])
    assert journal.state("a").attempts == 0
    journal.close()


def test_methods_do_not_know_of_each_other(tmp_path: Path) -> None:
    _write_all(tmp_path)
    other = _journal(tmp_path, "ttgpr")
    assert other.views == {}
    other.close()


def test_one_watcher_at_a_time(tmp_path: Path) -> None:
    first = _journal(tmp_path)
    with pytest.raises(ValueError, match="Expected no other watcher"):
        _journal(tmp_path)
    first.close()
    _journal(tmp_path).close()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Expected a folder that can be written"):
        _journal(tmp_path / "file")


def test_others_cannot_read_it(tmp_path: Path) -> None:
    _journal(tmp_path / "new").close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((tmp_path / "new" / NAME).stat().st_mode) & 0o077 == 0


def test_lines_are_json_with_time_and_hash(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.write("found", [hashed("1.2.3")])
    journal.close()
    (line,) = (tmp_path / NAME).read_text().splitlines()
    assert json.loads(line)["views"] == [hashed("1.2.3")]
    assert len(hashed("1.2.3")) == 16
    assert "1.2.3" not in line


def test_names_that_are_no_utf_8_have_hashes_and_those_of_others_stay() -> None:
    assert hashed("1.2.3") == "c47f5b18b8a430e6"
    assert hashed("M\u00fcller.png") == hashlib.sha256("M\u00fcller.png".encode()).hexdigest()[:16]
    assert hashed(os.fsdecode(b"M\xfcller.png")) == hashlib.sha256(b"M\xfcller.png").hexdigest()[:16]

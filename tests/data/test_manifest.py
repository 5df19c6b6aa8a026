"""A view ends once, what is written stays, and what is damaged is as if it had never been written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundle.data.manifest import DONE, FAILED, NAME, REFUSED, Manifest, decoded, encoded, read_history
from tests.disks import full_disk

SETTINGS = {"method": "segmentor", "threshold": 0.5}


@contextmanager
def _open(folder: Path, **settings: object) -> Iterator[Manifest]:
    manifest = Manifest(folder, {**SETTINGS, **settings})
    try:
        yield manifest
    finally:
        manifest.close()


def _filled(folder: Path) -> Path:
    with _open(folder) as manifest:
        manifest.end("a", DONE, findings=3)
        manifest.end("b", REFUSED, "Expected a breast")
        manifest.tried("c", "it died")
    return folder / NAME


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    _filled(tmp_path)
    with _open(tmp_path) as manifest:
        assert [manifest.entry(key).end for key in "abcd"] == [DONE, REFUSED, None, None]
        assert manifest.entry("a").details == {"findings": 3}
        assert manifest.entry("b").reason == "Expected a breast"
        assert (manifest.entry("c").attempts, manifest.damaged) == (1, 0)
    assert read_history(tmp_path).entries.keys() == {"a", "b", "c"}
    assert read_history(tmp_path / "nowhere").entries == {}


@pytest.mark.parametrize("end", [DONE, REFUSED, FAILED])
def test_no_view_ends_twice(tmp_path: Path, end: str) -> None:
    _filled(tmp_path)
    with _open(tmp_path) as manifest:
        with pytest.raises(AssertionError, match="ended already"):
            manifest.end("a", end)
        manifest.forgive(["a"])
        manifest.end("a", end)
        assert manifest.entry("a").end == end


def test_cut_anywhere_all_lines_before_are_there_and_new_ones_follow(tmp_path: Path) -> None:
    content = _filled(tmp_path / "whole").read_bytes()
    lines = content.splitlines(keepends=True)
    for size in range(len(lines[0]), len(content)):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / NAME).write_bytes(content[:size])
        whole = content[:size].count(b"\n")
        with _open(folder) as manifest:
            assert len(manifest.entries) == whole - 1
            manifest.end("new", DONE)
        after = (folder / NAME).read_bytes()
        assert after.startswith(b"".join(lines[:whole]))
        assert after.count(b"\n") == whole + 1
        assert all(decoded(line) for line in after.splitlines())


def test_one_damaged_byte_costs_its_line_and_no_other(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    content = path.read_bytes()
    first, second = (content.index(line) for line in content.splitlines()[1:3])
    for place in range(first, second - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        history = read_history(tmp_path)
        assert history.damaged >= 1
        assert "a" not in history.entries
        assert history.entries["b"].end == REFUSED


def test_a_line_is_read_as_it_was_written() -> None:
    line = {"event": DONE, "key": "a", "reason": 'with "quotes", "crc32": 5}'}
    assert decoded(encoded(line).strip()) == line
    assert decoded(b"") is None
    assert decoded(b'{"event": "done", "crc32": 1}') is None


def test_a_second_end_in_the_file_does_not_count(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    with path.open("ab") as file:
        file.write(encoded({"event": FAILED, "key": "a", "reason": "later"}))
    assert read_history(tmp_path).entries["a"].end == DONE
    assert read_history(tmp_path).damaged == 1


def test_a_full_disk_leaves_the_manifest_as_it_was(tmp_path: Path) -> None:
    path = _filled(tmp_path)
    before = path.read_bytes()
    with _open(tmp_path) as manifest:
        for room in (0, 1, 30):
            with full_disk(len(before) + room), pytest.raises(OSError):
                manifest.end("c", DONE)
            assert path.read_bytes() == before
            assert manifest.entry("c").end is None
        manifest.end("c", DONE)
    assert read_history(tmp_path).entries["c"].end == DONE


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with _open(tmp_path), pytest.raises(ValueError, match="Expected no other run"):
        Manifest(tmp_path, SETTINGS)
    with _open(tmp_path):
        pass


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    before = _filled(tmp_path).read_bytes()
    with pytest.raises(ValueError, match=r"threshold 0\.5, got 0\.6"):
        Manifest(tmp_path, {**SETTINGS, "threshold": 0.6})
    with pytest.raises(ValueError, match="threads None, got 1"):
        Manifest(tmp_path, {**SETTINGS, "threads": 1})
    assert (tmp_path / NAME).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Expected a folder that can be written"):
        Manifest(tmp_path / "file", SETTINGS)


def test_the_folder_is_its_owner_s_alone(tmp_path: Path) -> None:
    _filled(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0

from pathlib import Path

import pytest

from bundle.data.whole_files import place_whole, write_whole


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"

    def write(temporary: Path) -> None:
        assert temporary.suffix == path.suffix
        temporary.write_text("whole")
        assert not path.exists()

    write_whole(path, write)
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gets_its_name_when_it_is_finished(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "a.txt").write_text("whole")
    place_whole(part, tmp_path / "views" / "ab" / "final")
    assert (tmp_path / "views" / "ab" / "final" / "a.txt").read_text() == "whole"
    assert not part.exists()


def test_a_finished_folder_stays_when_another_comes(tmp_path: Path) -> None:
    for content in ("first", "second"):
        part = tmp_path / "part"
        part.mkdir()
        (part / "a.txt").write_text(content)
        place_whole(part, tmp_path / "final")
        assert not part.exists()
    assert (tmp_path / "final" / "a.txt").read_text() == "first"

from pathlib import Path

import pytest

from bundle.data.whole_files import write_whole


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

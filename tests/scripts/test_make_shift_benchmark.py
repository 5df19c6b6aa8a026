"""The command that writes the shift benchmark."""

from pathlib import Path

import pytest
from PIL import Image

from bundle.data import shift_benchmark
from scripts.make_shift_benchmark import TILE_PX, main


@pytest.fixture(autouse=True)
def _two_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift_benchmark, "SPLITS", {"tuning": (1, 0), "test": (1, 1)})


def test_writes_tables_and_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["--output-dir", str(tmp_path / "views"), "--conditions", "dose", "--contact-sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "| test, dose |" in printed
    assert "| tuning, reference |" in printed
    assert len(list((tmp_path / "views").glob("*.nii"))) == 3
    with Image.open(sheet) as picture:
        assert picture.size == (6 * TILE_PX[1], 2 * TILE_PX[0])


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = ["--output-dir", str(tmp_path), "--conditions", "reference", "--no-tuning"]
    main(command)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    gone = next(path for path in before if path.suffix == ".nii")
    gone.unlink()
    main(command)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(after) == set(before)
    untouched = [path for path in before if not path.name.startswith(gone.stem)]
    assert untouched
    assert all(after[path] == before[path] for path in untouched)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--output-dir", str(tmp_path / "file" / "views"), "--conditions", "dose", "--no-tuning"]) == 1
    assert capsys.readouterr().err.count("make_shift_benchmark:") == 1


def test_an_unknown_condition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--output-dir", str(tmp_path), "--conditions", "fog"])

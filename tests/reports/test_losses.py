from pathlib import Path

import pytest

from bundle.reports.figures import png
from bundle.reports.losses import loss_curves, read_losses


def test_curves_show_each_training_as_written(tmp_path: Path) -> None:
    files = {}
    for name, lines in {"base": "1,2.5\n2,1.5\n", "segmentor": "1,0.9\n"}.items():
        files[name] = tmp_path / f"{name}.csv"
        files[name].write_text(lines)
    assert read_losses(files["base"]) == ([1, 2], [2.5, 1.5])
    first, second = loss_curves(files).axes
    assert first.get_title() == "base"
    assert list(first.lines[0].get_ydata()) == [2.5, 1.5]
    assert list(second.lines[0].get_xdata()) == [1]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("1,2.5\n2,\n")
    with pytest.raises(ValueError, match="could not convert"):
        read_losses(tmp_path / "losses.csv")


def test_without_trainings_the_picture_is_empty_but_a_picture() -> None:
    assert png(loss_curves({})).startswith(b"\x89PNG")

import json
import re
from pathlib import Path

import numpy as np
import pytest

from scripts.model_observer import main, signals_of, table
from tests.normals import real_like_normals


def test_the_table_and_an_interrupted_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    words = ["--normals", str(real_like_normals(tmp_path / "normals")), "--output-dir", str(output)]
    words += ["--spacing-mm", "0.1", "--crop-mm", "25", "--crops", "1", "--injections", "1"]
    main(words)
    rows = json.loads((output / "table.json").read_text())
    assert [row["calcifications"] for row in rows] == ["all", "CNR < 3", "CNR 3 to 6", "CNR > 6"]
    assert rows[0]["count"] == sum(row["count"] for row in rows[1:]) > 10
    assert rows[3]["0.4"][0] > 0.9  # 25 mm crops of 0.1 mm pixels: none of these is hard to see
    assert all(row["0.4"][0] <= row["1"][0] for row in rows)
    text = (output / "table.md").read_text()
    assert re.search(r"\| all \| \d+ \| [01]\.\d{3} \[", text)
    assert text in capsys.readouterr().out
    found = sorted((output / "found").iterdir())
    assert len(found) == 3
    found[0].unlink()
    last = found[-1].stat().st_mtime_ns
    main(words)
    assert (output / "table.md").read_text() == text
    assert found[-1].stat().st_mtime_ns == last
    with pytest.raises(SystemExit, match="--injections: Expected at least 1, got 0"):
        main([*words[:-1], "0"])


def test_signals_are_what_each_calcification_added() -> None:
    image, label = np.zeros((60, 60), np.float32), np.zeros((60, 60), np.uint8)
    for row, column, value in ((20, 20, 1.0), (20, 27, 2.0)):
        label[row - 1 : row + 2, column - 1 : column + 2] = 1
        image[row - 2 : row + 3, column - 2 : column + 3] = value
    image[50, 50] = 5.0  # of no calcification
    breast = np.ones(image.shape, bool)
    view = {"image": image, "label": label, "breast": breast, "spacing_mm": (0.1, 0.1)}
    found = signals_of(view, image)
    assert [signal.sum() for _, signal, _ in found] == [25, 50]
    for (place, signal, _), (row, column) in zip(found, ((20, 20), (20, 27)), strict=True):
        middle = [side // 2 for side in signal.shape]
        corner = [place[axis] - middle[axis] for axis in (0, 1)]
        box = tuple(slice(corner[axis], corner[axis] + signal.shape[axis]) for axis in (0, 1))
        assert box[0].start <= row - 2
        np.testing.assert_array_equal(signal[signal != 0], image[box][signal != 0])
        assert image[row, column] == signal.max()


def test_recall_counts_scores_above_the_level_of_their_rate() -> None:
    found = [
        ("a", {"cnr": 2.0, "rise": 1.0, "score": 3.0, "levels": [4.0, 2.0]}),
        ("a", {"cnr": 7.0, "rise": 1.0, "score": 5.0, "levels": [4.0, 2.0]}),
        ("b", {"cnr": float("nan"), "rise": 1.0, "score": 4.0, "levels": [4.0, 2.0]}),
    ]
    rows = {row["calcifications"]: row for row in table(found)}
    assert rows["all"]["0.4"][0] == pytest.approx(1 / 3)
    assert rows["all"]["1"][0] == 1
    assert [rows[name]["count"] for name in ("CNR < 3", "CNR 3 to 6", "CNR > 6")] == [1, 0, 1]
    assert rows["CNR > 6"]["0.4"][0] == 1

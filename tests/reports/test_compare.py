"""The page of a comparison: every system has a line, only rows that support claims are tested, pictures can be read."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.functional.statistics import holm
from bundle.functional.summary import summarise
from bundle.reports.compare import (
    CURVES,
    FIGURES,
    MAIN_FIGURE,
    TRIAL,
    System,
    compared_rows,
    overview,
    write_comparison,
)
from bundle.reports.compare_pictures import groups_of
from bundle.reports.panels import PanelCase

from ..functional.case_records import made_up_records

NASTY = "a|b <script>"
NAMES = ("segmentor", "top-hat", "hdog", "segai")
SYSTEMS = [
    System("segmentor", "segmentor"),
    System("top-hat", NASTY),
    System("hdog", "HDoG"),
    System("segai", "SegAI", "not converged", "2 epochs", "python -m scripts.compare_train segai"),
    System("csd", "CSD", "no weights", "expected csd/model.pt", "python -m scripts.compare_train csd"),
]
SHOWN = {"top-hat": NASTY, "hdog": "HDoG", "segai": "SegAI (not converged)", "segmentor": "segmentor"}


def records(dataset: str = "shift/dose") -> list[dict[str, Any]]:
    return made_up_records(systems=NAMES, dataset=dataset, n_patients=8, views=1)


def shown(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "system": SHOWN[record["system"]]} for record in found]


def write(folder: Path, found: list[dict[str, Any]], **options: Any) -> Path:
    given = {"title": "Comparison", "command": "python -m scripts.compare", "date": "2026-11-20"}
    return write_comparison(folder, found, SYSTEMS, **{**given, "reference": "segmentor", "n_resamples": 50, **options})


def rows_of(found: list[dict[str, Any]], systems: list[System] = SYSTEMS) -> list[dict[str, Any]]:
    return [dict(row) for row in compared_rows(found, systems, reference="segmentor", seed=0, n_resamples=50)]


def test_only_rows_that_support_claims_are_tested_and_corrected_for() -> None:
    rows = {row["system"]: row for row in rows_of(shown(records()))}
    assert set(rows) == set(SHOWN.values())
    assert rows["SegAI (not converged)"]["differences"] == rows["segmentor"]["differences"] == {}
    tested = [rows[name]["differences"][MAIN_FIGURE] for name in (NASTY, "HDoG")]
    np.testing.assert_allclose([one["p_holm"] for one in tested], holm([one["p"] for one in tested]))


def test_figures_are_those_of_one_table_of_all_rows() -> None:
    found = shown(records())
    whole = summarise(found, rng=np.random.default_rng(0), reference="segmentor", n_resamples=50)
    ours = {row["system"]: row for row in rows_of(found)}
    for row in whole:
        for name, figure in row["figures"].items():
            np.testing.assert_equal(ours[row["system"]]["figures"][name], figure)


def test_a_reference_without_a_claim_is_tested_against_and_says_so(tmp_path: Path) -> None:
    systems = [System("segmentor", "segmentor", "training not recorded"), *SYSTEMS[1:]]
    renamed = [
        {**record, "system": "segmentor (training not recorded)"} if record["system"] == "segmentor" else record
        for record in shown(records())
    ]
    rows = {row["system"]: row for row in rows_of(renamed, systems)}
    assert rows["HDoG"]["reference"] == "segmentor (training not recorded)"


def test_without_the_reference_nothing_is_tested(tmp_path: Path) -> None:
    write(tmp_path, [record for record in records() if record["system"] != "segmentor"])
    read = json.loads((tmp_path / "table.json").read_text())
    assert [row["differences"] for row in read["rows"]] == [{}, {}, {}]
    assert "Nothing is tested" in (tmp_path / "table.md").read_text()


def test_the_table_holds_every_system_and_data_set_once() -> None:
    both = shown(records("a") + records("b"))
    rows = rows_of(both)
    tables = overview(rows, SYSTEMS, reference="segmentor")
    assert [len(table.cells) for table in tables] == [len(SYSTEMS)] * len(FIGURES)
    first = tables[0]
    assert first.columns[1::2] == ("a", "b")
    lines = {cells[0].text: [cell.text for cell in cells[1:]] for cells in first.cells}
    assert lines["CSD (no weights)"] == ["no weights", "-"] * 2
    assert lines["segmentor"][1] == "reference"
    assert lines["SegAI (not converged)"][1] == "supports no claim"
    figure = next(row for row in rows if row["system"] == "HDoG" and row["dataset"] == "b")["figures"][MAIN_FIGURE]
    assert lines["HDoG"][2].startswith(f"{figure['value']:.3f} [")
    silent = [cell.best for cells in first.cells for cell in cells if "(" in cells[0].text]
    assert not any(silent)
    best = [cells[1].best for cells in first.cells]
    values = [cells[1].key for cells in first.cells]
    assert best.index(True) == int(np.nanargmax(np.array(values, float)))


def test_curves_of_trainings_are_on_the_page(tmp_path: Path) -> None:
    assert CURVES not in write(tmp_path / "without", records()).read_text()
    assert not (tmp_path / "without" / "losses.png").exists()
    (tmp_path / "losses.csv").write_text("1,2.0\n2,1.5\n")
    page = write(tmp_path / "out", records(), losses={"segai": tmp_path / "losses.csv"}).read_text()
    assert CURVES in page
    picture = Image.open(tmp_path / "out" / "losses.png")
    assert np.ptp(np.asarray(picture.convert("L"))) > 200


def test_the_page_and_the_files_hold_the_same(tmp_path: Path) -> None:
    image, label = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.uint8)
    label[9:11, 9:11] = 1
    cases = {"shift/dose": [PanelCase("one", image, label, {"segmentor": label > 0})]}
    page = write(tmp_path, records(), cases=cases).read_text()
    assert "<script>a" not in page
    assert "a|b &lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert page.count("data:image/png") == len(pictures)
    assert "01_cases_1.png" in pictures
    assert "a/b &lt;script>" in (tmp_path / "table.md").read_text()
    lines = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert {line["system"] for line in lines} == set(SHOWN.values())
    assert json.loads((tmp_path / "table.json").read_text())["systems"][3]["word"] == "not converged"
    assert TRIAL not in page


def test_the_same_records_give_the_same_page(tmp_path: Path) -> None:
    found = records()
    first = write(tmp_path / "a", found).read_bytes()
    assert write(tmp_path / "b", found[::-1]).read_bytes() == first


def test_a_trial_supports_no_claim(tmp_path: Path) -> None:
    page = write(tmp_path, records(), trial=True).read_text()
    assert TRIAL in page
    assert "supports claims" not in page


def test_records_of_a_stranger_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected records of segmentor, .*got some of 'x'"):
        write(tmp_path, [{**record, "system": "x"} for record in records()])


def test_groups_hold_all_systems_and_one_of_them_each() -> None:
    names = [str(number) for number in range(18)]
    groups = groups_of(names, size=7)
    assert [group[0] for group in groups] == ["0"] * 3
    assert [name for group in groups for name in group[1:]] == names[1:]
    assert max(map(len, groups)) <= 7
    assert groups_of(names[:7], size=7) == [names[:7]]
    groups = groups_of(names, first="4", size=7)
    assert [group[0] for group in groups] == ["4"] * 3
    assert [name for group in groups for name in group[1:]] == names[:4] + names[5:]

"""The table as text says what the rows say."""

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from bundle.functional.case_statistics import METRICS
from bundle.functional.summary import summarise
from bundle.reports.tables import GROUPS, dataset_tables, metric_label, number, p_text, to_csv, to_json, to_markdown

from ..functional.case_records import made_up_records

NASTY = "a|b <i>*c*</i> [x](y)"
SYSTEMS = ["segmentor", NASTY]
Rows = list[dict[str, Any]]


def rows(**options: Any) -> Rows:
    records = made_up_records(systems=SYSTEMS, n_patients=6, **options)
    return summarise(records, rng=np.random.default_rng(0), reference="segmentor", n_resamples=50)


ROWS = rows()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.123"),
        (-0.5, "-0.500"),
        (0.0, "0.000"),
        (1.0, "1.000"),
        (0.999986, "0.999986"),
        (0.00128, "0.0013"),
        (2e-5, "2.0e-05"),
        (12.34, "12.3"),
        (123456.0, "1.2e+05"),
        (float("nan"), "-"),
        (None, "-"),
    ],
)
def test_numbers_keep_the_digits_that_say_something(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("p", "text"), [(0.04, "0.040"), (0.0001, "<0.001"), (1.0, "1.000"), (float("nan"), "-")])
def test_small_p_are_not_printed_as_zero(p: float, text: str) -> None:
    assert p_text(p) == text


def test_every_metric_is_printed_once() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(METRICS)


def test_csv_holds_every_figure_with_full_precision() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(ROWS))))
    assert len(lines) == len(ROWS) * len(METRICS)
    for line in lines:
        row = next(row for row in ROWS if row["system"] == line["system"])
        figure = row["figures"][line["metric"]]
        for key in ("value", "low", "high"):
            assert math.isnan(figure[key]) if line[key] == "" else float(line[key]) == figure[key]
        if row["differences"]:
            assert float(line["difference_value"]) == row["differences"][line["metric"]]["value"]
            assert line["reference"] == "segmentor"


def test_json_is_strict_and_comes_back() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    back = json.loads(to_json(ROWS), parse_constant=refuse)
    assert [row["system"] for row in back] == [row["system"] for row in ROWS]
    assert back[0]["figures"]["dice"] == ROWS[0]["figures"]["dice"]
    assert back[0]["differences"]["pauc_fp_per_cm2"]["p"] is None


def test_markdown_tables_are_rectangular_whatever_the_names() -> None:
    text = to_markdown(ROWS)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 1 + 2 * len(GROUPS)
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1
    assert "<i>" not in text.replace("\\<", "")


def test_markdown_names_region_and_views() -> None:
    text = to_markdown(ROWS)
    assert "Region: breast; annotation: mask. 12 cases (4 clean) of 6 patients" in text
    assert "counted on clean views. In brackets: 95% intervals of 50 bootstrap resamples" in text
    assert "counted on all views, none is clean" in to_markdown(rows(clean_every=0))


def test_best_of_a_column_is_bold_whichever_direction_is_good() -> None:
    tables = {table.title: table for table in dataset_tables(ROWS)}
    for title, names in GROUPS.items():
        for place, name in enumerate(names, start=1):
            cells = [cells[place] for cells in tables[title].cells]
            better = METRICS[name].higher_is_better
            keys = [cell.key for cell in cells if not math.isnan(float(cell.key))]
            best = None if better is None or len(keys) < 2 else max(keys) if better else min(keys)
            assert [cell.best for cell in cells] == [best is not None and cell.key == best for cell in cells]


def test_means_over_fewer_cases_say_so() -> None:
    records = made_up_records(systems=["segmentor"], n_patients=6)
    silent = next(record for record in records if record["objects"])
    silent["pixels"] = {**silent["pixels"], "tp": 0, "fp": 0, "fn": 50}
    row = summarise(records, rng=np.random.default_rng(0), n_resamples=50)
    table = next(table for table in dataset_tables(row) if table.title.startswith("Pixels"))
    texts = dict(zip(table.columns, (cell.text for cell in table.cells[0]), strict=True))
    assert texts["Precision"].endswith(", n = 7")
    assert not texts["Dice"].endswith("7")


def test_figures_that_exist_nowhere_have_no_column() -> None:
    records = [{**record, "pixels": None} for record in made_up_records(n_patients=6)]
    table = dataset_tables(summarise(records, rng=np.random.default_rng(0), n_resamples=50))[1]
    assert table.columns == ("System", "Activation rate")


def test_strata_are_named_with_their_edges() -> None:
    assert metric_label("recall_cnr_low", ROWS[0]) == "CNR < 3"
    assert metric_label("recall_size_middle", ROWS[0]) == "diameter (mm) 0.2 to 0.4"
    assert metric_label("dice", ROWS[0]) == "Dice"

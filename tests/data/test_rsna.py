import csv
from pathlib import Path

from bundle.data.rsna import list_rsna
from tests.data.dataset_layouts import rsna


def test_negatives_are_views_without_cancer_biopsy_and_implant(tmp_path: Path) -> None:
    listing = list_rsna(rsna(tmp_path))
    assert all(view.truth is None for view in listing.views)
    assert [view.name for view in listing.views] == [*(f"{100 + n}_{9000 + n}" for n in range(5)), "103_9103"]
    reasons = [entry.reason.split(",")[0] for entry in listing.skipped]
    assert reasons == ["cancer", "implant", "biopsied", "row of a table that lacks a column or a number"]


def test_the_table_s_words_are_kept(tmp_path: Path) -> None:
    view = list_rsna(rsna(tmp_path)).views[1]
    assert (view.patient, view.laterality, view.view, view.density, view.machine) == ("101", "L", "CC", "B", "50")


def test_names_that_are_no_numbers_are_never_paths(tmp_path: Path) -> None:
    with (rsna(tmp_path) / "train.csv").open("a", newline="") as file:
        csv.writer(file).writerows([[1, "..", "../secret", "L", "CC", 1, 0, 0, 0, 1, 0, "B", 1, False], [1, 105]])
    listing = list_rsna(tmp_path)
    assert len(listing.views) == 6
    assert [entry.what for entry in listing.skipped[-2:]] == ["train.csv row 12", "train.csv row 13"]

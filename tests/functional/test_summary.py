"""The table of systems and datasets."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from bundle.functional.case_statistics import METRICS, case_values
from bundle.functional.statistics import holm
from bundle.functional.summary import froc_bands, summarise

from .case_records import made_up_records

Records = list[dict[str, Any]]
SYSTEMS = ["segmentor", "ttgpr", "top-hat"]
RECORDS = made_up_records(systems=SYSTEMS, n_patients=9)


def table(records: Records = RECORDS, seed: int = 0, reference: str | None = "segmentor") -> Records:
    return summarise(records, rng=np.random.default_rng(seed), reference=reference, n_resamples=200)


@cache
def usual_table() -> Records:
    return table()


def text(rows: Any) -> str:
    """Equal text, equal table: nan included."""
    return json.dumps(rows, sort_keys=True)


def test_one_row_per_dataset_and_system() -> None:
    rows = table(RECORDS + made_up_records(systems=SYSTEMS[:2], n_patients=9, dataset="real"))
    names = [(row["dataset"], row["system"]) for row in rows]
    assert names == [("real", "segmentor"), ("real", "ttgpr"), *(("shift/dose", name) for name in sorted(SYSTEMS))]
    assert all(set(row["figures"]) == set(METRICS) for row in rows)


def test_same_seed_same_table_and_another_seed_another() -> None:
    assert text(table()) == text(usual_table())
    assert text(table(seed=1)) != text(usual_table())


def test_order_of_records_changes_nothing() -> None:
    order = np.random.default_rng(3).permutation(len(RECORDS))
    assert text(table([RECORDS[i] for i in order])) == text(usual_table())


def test_a_dataset_does_not_depend_on_its_neighbours() -> None:
    rows = table(RECORDS + made_up_records(systems=SYSTEMS, n_patients=9, dataset="another", seed=5))
    assert text([row for row in rows if row["dataset"] == "shift/dose"]) == text(usual_table())


def test_every_value_lies_in_its_interval() -> None:
    for row in usual_table():
        for name, figure in row["figures"].items():
            assert figure["low"] <= figure["value"] <= figure["high"], name


def test_row_says_what_it_rests_on() -> None:
    row = usual_table()[0]
    assert row["region"] == "breast"
    assert row["threshold"] == [0.5, 0.5]
    assert (row["n_cases"], row["n_clean"], row["n_patients"]) == (18, 6, 9)
    assert row["n_objects"] == sum(len(r["objects"]) for r in RECORDS if r["system"] == "segmentor")
    assert row["figures"]["dice"]["n_cases"] == 12
    assert row["fp_views"] == "clean"
    assert row["notes"] == []


def test_without_clean_views_false_positives_are_counted_on_all() -> None:
    row = table(made_up_records(systems=["segmentor"], clean_every=0))[0]
    assert row["fp_views"] == "all"
    assert row["figures"]["fp_per_cm2"]["n_patients"] == 12


def test_mean_and_sd_are_those_of_the_cases() -> None:
    values = case_values([record for record in RECORDS if record["system"] == "ttgpr"])["dice"]
    figure = next(row for row in usual_table() if row["system"] == "ttgpr")["figures"]["dice"]
    assert figure["value"] == pytest.approx(np.nanmean(values))
    assert figure["sd"] == pytest.approx(np.nanstd(values, ddof=1))


def test_an_identical_system_differs_by_nothing() -> None:
    twin = [{**record, "system": "twin"} for record in RECORDS if record["system"] == "segmentor"]
    row = next(row for row in table(RECORDS + twin) if row["system"] == "twin")
    for difference in row["differences"].values():
        assert [difference[key] for key in ("value", "low", "high")] == [0.0, 0.0, 0.0]
        assert difference["p"] == 1.0 or np.isnan(difference["p"])


def test_difference_is_that_of_the_two_figures() -> None:
    rows = {row["system"]: row for row in usual_table()}
    for name in METRICS:
        expected = rows["top-hat"]["figures"][name]["value"] - rows["segmentor"]["figures"][name]["value"]
        assert rows["top-hat"]["differences"][name]["value"] == pytest.approx(expected)
    assert rows["segmentor"]["differences"] == {}
    assert rows["segmentor"]["reference"] is None


def test_p_is_of_means_per_patient() -> None:
    by_patient: dict[str, list[float]] = {}
    for name in ("top-hat", "segmentor"):
        cases = sorted((r for r in RECORDS if r["system"] == name), key=lambda r: r["case"])
        values = case_values(cases)["dice"].reshape(-1, 2).mean(axis=1)
        by_patient[name] = values[~np.isnan(values)]
    row = next(row for row in usual_table() if row["system"] == "top-hat")
    assert row["differences"]["dice"]["p"] == pytest.approx(wilcoxon(by_patient["top-hat"], by_patient["segmentor"])[1])


def test_p_is_adjusted_over_the_systems() -> None:
    compared = [row for row in usual_table() if row["differences"]]
    for name in METRICS:
        found = [row["differences"][name] for row in compared]
        np.testing.assert_allclose([d["p_holm"] for d in found], holm([d["p"] for d in found]))


def test_a_system_with_fewer_cases_is_compared_on_those_and_says_so() -> None:
    fewer = [record for record in RECORDS if record["system"] != "ttgpr" or record["case"] < "006"]
    row = next(row for row in table(fewer) if row["system"] == "ttgpr")
    assert row["notes"] == ["12 of 18 cases"]
    both = [record for record in RECORDS if record["case"] < "006"]
    alone = next(row for row in table(both) if row["system"] == "ttgpr")
    # Density strata are thirds of the dataset, so they alone depend on the other cases.
    for name in (name for name in METRICS if "terior" not in name):
        assert row["differences"][name]["value"] == pytest.approx(alone["differences"][name]["value"], nan_ok=True)


def test_one_patient_has_figures_and_no_intervals() -> None:
    row = table(made_up_records(systems=["segmentor"], n_patients=1, views=3))[0]
    assert row["figures"]["dice"]["value"] > 0
    assert all(np.isnan(figure["low"]) and np.isnan(figure["high"]) for figure in row["figures"].values())
    assert row["notes"] == ["one patient: no intervals"]


def test_a_reference_without_cases_in_a_dataset_is_not_compared_there() -> None:
    rows = table(RECORDS + made_up_records(systems=["ttgpr"], dataset="real"))
    assert rows[0]["dataset"] == "real"
    assert rows[0]["differences"] == {}


def first_changed(**changes: Any) -> Records:
    return [{**RECORDS[0], **changes}, *RECORDS[1:]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (list, "at least one case record"),
        (lambda: [*RECORDS, RECORDS[0]], "one record per case"),
        (lambda: first_changed(region="image"), "one region in 'shift/dose', got breast and image"),
        (lambda: first_changed(annotation="points"), "one annotation"),
        (lambda: first_changed(objects=[]), "one patient, truth and region for case '000-0'"),
        (lambda: first_changed(patient="p9"), "one patient, truth and region"),
        (lambda: first_changed(froc={**RECORDS[0]["froc"], "thresholds": [0.5]}), "one list of FROC thresholds"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(make: Callable[[], Records], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        table(make(), reference=None)
    assert "\n" not in str(caught.value)


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'unet'"):
        table(reference="unet")


def test_band_holds_its_curve_and_the_figure_of_the_table() -> None:
    rates = [0.1, 0.4, 1.0]
    rows = froc_bands(RECORDS, rates, rng=np.random.default_rng(0), n_resamples=200)
    assert [row["system"] for row in rows] == sorted(SYSTEMS)
    for band, row in zip(rows, usual_table(), strict=True):
        assert np.all(np.array(band["low"]) <= band["tpr"])
        assert np.all(np.array(band["tpr"]) <= band["high"])
        assert np.all(np.diff(band["tpr"]) >= 0)
        figure = row["figures"]["tpr_at_0.4_fp_per_cm2"]
        # One seed, one set of patients: band and table are of the same resamples.
        assert [band[key][1] for key in ("tpr", "low", "high")] == [figure[key] for key in ("value", "low", "high")]

import json
from pathlib import Path

import pytest

from bundle.data import MammogramError, choose_threshold, company_settings
from bundle.data.operating_points import settings_row
from bundle.functional.evidence import EvidenceSettings

TABLE = {"segmentor": {"thresholds": [0.1, 0.5, 0.9], "fp_per_cm2": [2.0, 0.5, 0.1]}, "made_by": "a test"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "operating_points.json"
    path.write_text(json.dumps(TABLE))
    return path


def test_neither_gives_one_half(table: Path) -> None:
    assert choose_threshold(table, method="segmentor") == 0.5


def test_a_given_threshold_needs_no_table(tmp_path: Path) -> None:
    assert choose_threshold(tmp_path / "none.json", method="segmentor", threshold=0.3) == 0.3


def test_a_measured_rate_gives_its_threshold(table: Path) -> None:
    assert choose_threshold(table, method="segmentor", fp_per_cm2=0.5) == pytest.approx(0.5, abs=1e-3)


def test_fewer_false_positives_need_a_higher_threshold(table: Path) -> None:
    chosen = [choose_threshold(table, method="segmentor", fp_per_cm2=rate) for rate in (1.5, 1.0, 0.5, 0.2)]
    assert chosen == sorted(chosen)
    assert len(set(chosen)) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.5, "fp_per_cm2": 0.5},
        {"threshold": 1.5},
        {"fp_per_cm2": 9.0},
        {"fp_per_cm2": 0.5, "method": "ttgpr"},
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(table: Path, options: dict) -> None:
    with pytest.raises(MammogramError) as refusal:
        choose_threshold(table, **{"method": "segmentor", **options})
    assert len(str(refusal.value).splitlines()) == 1


def test_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match=r"none\.json"):
        choose_threshold(tmp_path / "none.json", method="segmentor", fp_per_cm2=0.5)


def test_a_site_s_own_table_recommends_a_threshold_that_a_given_one_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps({"segmentor": {**TABLE["segmentor"], "best_threshold": 0.2}, "made_by": "a test"}))
    assert choose_threshold(path, method="segmentor") == 0.2
    assert choose_threshold(path, method="segmentor", threshold=0.7) == 0.7
    assert choose_threshold(path, method="segmentor", fp_per_cm2=0.5) == pytest.approx(0.5, abs=1e-3)
    assert choose_threshold(path, method="ttgpr") == 0.5


@pytest.mark.parametrize("text", ["", "[1, 2]"])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.json"
    path.write_text(text)
    with pytest.raises(MammogramError, match=r"site\.json: Expected a table"):
        choose_threshold(path, method="segmentor")


def test_weights_of_company_come_back_from_the_table(tmp_path: Path) -> None:
    settings = EvidenceSettings(threshold=0.005, weight_score=0.0, weight_neighbours=0.9, bias=-3.0)
    path = tmp_path / "site.json"
    path.write_text(json.dumps({"company": {"settings": settings_row(settings)}}))
    assert company_settings(path) == settings
    assert set(settings_row(settings)) == {"threshold", "weight_score", "weight_neighbours", "bias"}


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({}, "found none; calibrate with --systems company"),
        ({"company": {"thresholds": []}}, "found none; calibrate"),
        ({"company": {"settings": {"weight_company": 1.0}}}, "got others"),
        ({"company": {"settings": {"weight_neighbours": -1.0}}}, "got others"),
        ({"company": {"settings": {"weight_score": 0.0, "bias": "x"}}}, "got others"),
        ({"company": {"settings": {}}}, "got a weight of the generator's score"),
    ],
)
def test_a_table_without_weights_of_company_is_one_line(tmp_path: Path, row: dict, line: str) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(row))
    with pytest.raises(MammogramError, match=line) as refusal:
        company_settings(path)
    assert len(str(refusal.value).splitlines()) == 1

"""Records of cases survive a stop, and nothing damaged passes as a record."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bundle.data.errors import MammogramError, MammogramWarning
from bundle.data.records import load_record, load_records, record_path, save_record

KEY = {"system": "HDoGReg (FPN), p >= 0.5", "dataset": "shift/dose", "case": "a/b c.dcm"}


def record(**changes: Any) -> dict[str, Any]:
    return {**KEY, "patient": "p1", "area_cm2": 1 / 3, "pixels": None, "froc": {"tp": [3, 2]}, **changes}


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    save_record(tmp_path, record())
    assert load_record(tmp_path, **KEY) == record()


def test_nan_comes_back_as_nan(tmp_path: Path) -> None:
    save_record(tmp_path, record(cnr=float("nan")))
    found = load_record(tmp_path, **KEY)
    assert found is not None
    assert math.isnan(found["cnr"])


def test_an_absent_record_is_no_news(tmp_path: Path) -> None:
    assert load_record(tmp_path, **KEY) is None
    assert load_records(tmp_path) == []


def test_a_later_record_replaces_an_earlier_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    save_record(tmp_path, record())
    path = save_record(tmp_path, record(patient="p2"))
    assert load_records(tmp_path) == [record(patient="p2")]
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    save_record(tmp_path, record())
    with pytest.raises(TypeError):
        save_record(tmp_path, record(patient=object()))
    assert load_record(tmp_path, **KEY) == record()


@pytest.mark.parametrize("length", [0, 1, 60, -1])
def test_a_truncated_record_is_told_and_absent(tmp_path: Path, length: int) -> None:
    path = save_record(tmp_path, record())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(MammogramWarning, match="is damaged; score its case again") as caught:
        assert load_record(tmp_path, **KEY) is None
    assert str(path) in str(caught[0].message)
    with pytest.raises(MammogramError, match="is damaged"):
        load_records(tmp_path)


def test_one_altered_digit_is_damage(tmp_path: Path) -> None:
    path = save_record(tmp_path, record())
    path.write_text(path.read_text().replace("[3, 2]", "[3, 1]"))
    with pytest.warns(MammogramWarning, match="damaged"):
        assert load_record(tmp_path, **KEY) is None


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"record": {}}', b"\xff\xfe\x00"])
def test_any_other_content_is_damage(tmp_path: Path, text: str | bytes) -> None:
    path = save_record(tmp_path, record())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.warns(MammogramWarning, match="damaged"):
        assert load_record(tmp_path, **KEY) is None


def test_a_record_of_another_case_does_not_serve(tmp_path: Path) -> None:
    path = save_record(tmp_path, record())
    other = record_path(tmp_path, **{**KEY, "case": "other"})
    other.write_bytes(path.read_bytes())
    with pytest.warns(MammogramWarning, match="of another case"):
        assert load_record(tmp_path, **{**KEY, "case": "other"}) is None


def test_other_settings_mean_another_record(tmp_path: Path) -> None:
    save_record(tmp_path, record(), settings="weights 1")
    assert load_record(tmp_path, **KEY, settings="weights 1") == record()
    with pytest.warns(MammogramWarning, match="other settings"):
        assert load_record(tmp_path, **KEY, settings="weights 2") is None


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/x", "con", "ü" * 300, "a\nb", "nul\0"])
def test_no_name_leaves_the_folder_or_breaks_it(tmp_path: Path, name: str) -> None:
    path = save_record(tmp_path, record(case=name, system=name))
    assert path.resolve().parents[2] == tmp_path.resolve()
    assert load_records(tmp_path) == [record(case=name, system=name)]


def test_names_alike_are_not_mixed_up(tmp_path: Path) -> None:
    names = ["A b", "a b", "a_b", "a/b", "x" * 80, "x" * 81]
    paths = {str(record_path(tmp_path, **{**KEY, "case": name})).lower() for name in names}
    assert len(paths) == len(names)


def test_records_are_sorted_whatever_the_order_of_writing(tmp_path: Path) -> None:
    for case in ("c", "a", "b"):
        save_record(tmp_path, record(case=case))
    assert [found["case"] for found in load_records(tmp_path)] == ["a", "b", "c"]


def test_files_are_plain_json(tmp_path: Path) -> None:
    content = json.loads(save_record(tmp_path, record(), settings="s").read_text())
    assert content["record"] == record()
    assert content["settings"] == "s"

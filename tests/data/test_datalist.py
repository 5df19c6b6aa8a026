"""Splits: what they promise for any patients; and the list as MONAI reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from bundle.data import MammogramError
from bundle.data.datalist import (
    ListedView,
    assign_splits,
    draw_patients,
    negatives_of,
    rule_of,
    split_counts,
    write_datalist,
)
from bundle.data.errors import refuse
from bundle.data.inbreast import Rois, read_rois, write_rois


def _nothing(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def _views(calcified: int, others: int, *, split: str = "", first: int = 0) -> list[ListedView]:
    """Two views of every patient."""
    return [
        ListedView(
            name=f"{first + n}_{k}",
            image=Path(f"{first + n}_{k}.dcm"),
            patient=f"p{first + n}",
            split=split,
            truth=_nothing if n < calcified and k else None,
        )
        for n in range(calcified + others)
        for k in range(2)
    ]


def _sizes(splits: dict[str, str]) -> list[int]:
    return [list(splits.values()).count(name) for name in ("training", "validation", "test")]


def test_the_86_calcification_cases_of_inbreast_are_dealt_out_as_hdogreg_did() -> None:
    assert split_counts(86, (51, 17, 18)) == [51, 17, 18]
    assert _sizes(assign_splits(_views(86, 0), seed=0, shares=(51, 17, 18))[0]) == [51, 17, 18]


@pytest.mark.parametrize("n", range(0, 40, 3))
@pytest.mark.parametrize("shares", [(70, 10, 20), (51, 17, 18), (1, 0, 0), (1, 1, 1)])
def test_counts_sum_up_and_miss_their_share_by_less_than_one(n: int, shares: tuple[int, int, int]) -> None:
    counts = split_counts(n, shares)
    assert sum(counts) == n
    assert all(abs(count - n * share / sum(shares)) < 1 for count, share in zip(counts, shares, strict=True))


def test_both_kinds_of_patients_are_in_every_split() -> None:
    views = _views(10, 10)
    splits, crossing = assign_splits(views, seed=3)
    calcified = {view.patient for view in views if view.truth}
    assert _sizes({p: s for p, s in splits.items() if p in calcified}) == [7, 1, 2]
    assert _sizes({p: s for p, s in splits.items() if p not in calcified}) == [7, 1, 2]
    assert crossing == []


def test_a_split_depends_on_its_seed_and_not_on_the_order_of_views() -> None:
    views = _views(20, 20)
    first, _ = assign_splits(views, seed=0)
    assert assign_splits(views[::-1], seed=0)[0] == first
    assert assign_splits(views, seed=1)[0] != first


def test_an_official_test_set_stays_and_validation_comes_out_of_training() -> None:
    views = _views(8, 8, split="training") + _views(2, 3, split="test", first=100)
    splits, crossing = assign_splits(views, seed=0)
    assert {patient for patient, split in splits.items() if split == "test"} == {f"p{100 + n}" for n in range(5)}
    assert _sizes(splits) == [14, 2, 5]
    assert crossing == []


def test_a_patient_of_both_official_sets_is_in_test_alone() -> None:
    views = _views(3, 0, split="training") + _views(1, 0, split="test")
    splits, crossing = assign_splits(views, seed=0)
    assert splits["p0"] == "test"
    assert crossing == ["p0"]


def test_more_drawn_patients_hold_the_fewer_and_all_their_views() -> None:
    views = _views(5, 5)
    few, many = (draw_patients(views, count=count, seed=1) for count in (3, 6))
    assert {view.name for view in few} <= {view.name for view in many}
    assert (len(few), len(many)) == (6, 12)
    assert draw_patients(views, count=99, seed=1) == views


def _item(name: str, split: str, *, negative: bool) -> dict:
    return {"image": f"views/{name}", "patient": name, "view": "unknown", "split": split, "negative": negative}


def test_monai_reads_the_lists_and_negatives_are_those_of_training(tmp_path: Path) -> None:
    items = [_item("a", "training", negative=True), _item("b", "training", negative=False)]
    items.append(_item("c", "test", negative=True))
    write_datalist(tmp_path / "datalist.json", items, {"name": "toy"})
    read = load_decathlon_datalist(tmp_path / "datalist.json", data_list_key="training")
    assert read == [item | {"image": str(tmp_path / item["image"])} for item in items[:2]]
    assert [item["patient"] for item in negatives_of(tmp_path / "datalist.json")] == ["a"]
    assert set(json.loads((tmp_path / "datalist.json").read_text())) == {"name", "training", "test", "negatives"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "Expected an existing file"),
        ("{", "cannot be parsed"),
        ('{"training": []}', "got no such list"),
        ('{"negatives": []}', "at least one view"),
        ('{"negatives": [{"label": "x"}]}', "KeyError"),
        ('{"negatives": ["x"]}', "TypeError"),
    ],
)
def test_a_list_without_negatives_is_refused_in_a_line(text: str | None, line: str, tmp_path: Path) -> None:
    path = tmp_path / "datalist.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MammogramError, match=line) as error:
        negatives_of(path)
    assert "\n" not in str(error.value)


def test_written_regions_are_read_back_to_the_last_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    polygon, outline, points = (rng.uniform(0, 4000, (n, 2)) for n in (5, 64, 7))
    write_rois(tmp_path / "view.xml", Rois(polygons=(polygon,), points=points, clusters=(outline,), others={}))
    read = read_rois(tmp_path / "view.xml")
    for expected, got in ((polygon, read.polygons[0]), (outline, read.clusters[0]), (points, read.points)):
        np.testing.assert_array_equal(got, expected)
    assert read.others == {}


@pytest.mark.parametrize(
    "path", ["a.dcm", "/data/Expected_SECRET/a.dcm", "/Expected/SECRET.dcm", "Expected SECRET.dcm"]
)
def test_the_rule_that_a_line_tells_names_no_file(path: str) -> None:
    assert rule_of(str(refuse(path, "Expected a view, got none; add one"))) == "Expected a view"
    assert rule_of("Expected a view, got none") == "Expected a view"

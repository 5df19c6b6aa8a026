from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.engines.benchmark import (
    HIGHEST_RATE,
    LOGIT_GRID,
    Case,
    KeptMaps,
    MapSystem,
    Record,
    Row,
    froc_logits,
    refinement_passes,
    run_cases,
    sigmoid,
)
from bundle.functional.case_record import score_case
from bundle.functional.froc import FAR_LOGITS, fp_per_cm2_curve
from bundle.functional.refinement_settings import RefinementSettings, preset

LEVELS = (-1.5, 0.0, 1.5)


def view(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    label = np.zeros((40, 50), np.uint8)
    label[10:12, 10:12] = label[25:27, 30:33] = 1
    image = rng.normal(-0.2, 0.05, label.shape).astype(np.float32) + 0.5 * label
    return {"image": image, "label": label, "breast": np.ones(label.shape, bool), "spacing_mm": (0.1, 0.1)}


def cases(count: int, loaded: list[int] | None = None) -> list[Case]:
    def load(number: int) -> dict[str, Any]:
        if loaded is not None:
            loaded.append(number)
        return view(number)

    return [Case(f"case {n}", f"patient {n}", "set", f"v{n}", lambda n=n: load(n)) for n in range(count)]


def predict(data: Any) -> np.ndarray:
    return 10 * data["image"] - 1


def row(
    name: str = "a", *, threshold: float = 0.5, settings: str = "s", keep: bool = False, call: Any = predict
) -> Row:
    return Row(name, MapSystem("system", call, settings, keep), threshold, LEVELS)


class Store:
    """Records in memory, found again by their settings as the files are."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str, str], Record] = {}

    def recorded(self, row: Row, case: Case) -> Record | None:
        return self.records.get((row.name, case.case, row.settings(case)))

    def save(self, row: Row, case: Case, record: Record) -> None:
        self.records[row.name, case.case, row.settings(case)] = record


def run(rows: list[Row], some: list[Case], folder: Path, store: Store) -> list[Record]:
    return run_cases(rows, some, KeptMaps(folder), recorded=store.recorded, save=store.save, progress=False)


def test_records_are_those_of_score_case(tmp_path: Path) -> None:
    rows = [row("first", threshold=0.5), row("second", threshold=0.7)]
    records = run(rows, cases(2), tmp_path, Store())
    assert [(r["case"], r["system"]) for r in records] == [
        (f"case {n}", name) for n in range(2) for name in ("first", "second")
    ]
    data = view(1)
    assert records[3] == score_case(
        sigmoid(predict(data)), data["label"], case="case 1", patient="patient 1", system="second", dataset="set",
        spacing_mm=(0.1, 0.1), region_name="breast", region=data["breast"], threshold=0.7, froc_thresholds=LEVELS,
        froc_map=predict(data), image=data["image"],
    )  # fmt: skip


def test_a_second_run_reads_nothing_and_gives_the_same(tmp_path: Path) -> None:
    loaded: list[int] = []
    store, some = Store(), cases(3, loaded)
    first = run([row()], some, tmp_path, store)
    assert loaded == [0, 1, 2]
    assert run([row()], some, tmp_path, store) == first
    assert loaded == [0, 1, 2]


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    loaded: list[int] = []
    store, some = Store(), cases(3, loaded)
    run([row()], some[:1], tmp_path, store)
    run([row(), row("b", threshold=0.6)], some[1:2], tmp_path, store)
    loaded.clear()
    records = run([row()], some, tmp_path, store)
    assert loaded == [2]
    assert [record["case"] for record in records] == ["case 0", "case 1", "case 2"]


@pytest.mark.parametrize(
    "other", [row(settings="other weights"), row(threshold=0.6), Row("a", row().system, 0.5, (-1.0, 1.0))]
)
def test_other_weights_thresholds_or_levels_are_scored_anew(other: Row, tmp_path: Path) -> None:
    loaded: list[int] = []
    store = Store()
    run([row()], cases(1), tmp_path, store)
    run([other], cases(1, loaded), tmp_path, store)
    assert loaded == [0]


def test_another_view_of_the_same_name_is_scored_anew() -> None:
    case = cases(1)[0]
    assert row().settings(case) != row().settings(case._replace(settings="v9"))


def test_rows_of_one_system_share_one_prediction(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(data: Any) -> np.ndarray:
        calls.append(1)
        return predict(data)

    run([row("a", call=counted), row("b", threshold=0.7, call=counted)], cases(2), tmp_path, Store())
    assert len(calls) == 2


def test_kept_maps_are_computed_once_per_weights(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(data: Any) -> np.ndarray:
        calls.append(1)
        return predict(data)

    maps, case = KeptMaps(tmp_path), cases(1)[0]
    kept, other = (MapSystem("s", counted, settings, keep=True) for settings in ("w1", "w2"))
    assert maps.kept(kept, case) is None
    first = maps.logits(kept, case, case.load())
    np.testing.assert_array_equal(maps.logits(kept, case, case.load()), first)
    np.testing.assert_array_equal(maps.probs(kept, case, case.load()), sigmoid(first))
    np.testing.assert_array_equal(maps.kept(kept, case), first)
    assert len(calls) == 1
    maps.probs(other, case, case.load())
    maps.probs(other, case._replace(settings="another view"), case.load())
    assert len(calls) == 3
    np.testing.assert_allclose(first, predict(case.load()), rtol=1e-3)


def test_what_moves_another_system_s_logits_starts_from_its_kept_map(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(data: Any) -> np.ndarray:
        calls.append(1)
        return predict(data)

    first = MapSystem("first", counted, "w", keep=True)
    moving = MapSystem("moving", lambda data: 1 / 0, "m", True, first, lambda data, logits: logits + 1)
    maps, case = KeptMaps(tmp_path), cases(1)[0]
    before = maps.logits(first, case, case.load())
    np.testing.assert_allclose(maps.logits(moving, case, case.load()), before + 1, atol=0.01)
    assert len(calls) == 1
    np.testing.assert_array_equal(maps.kept(first, case), before)


def test_maps_that_are_not_kept_leave_no_file(tmp_path: Path) -> None:
    maps, case = KeptMaps(tmp_path / "maps"), cases(1)[0]
    maps.probs(row().system, case, case.load())
    assert not (tmp_path / "maps").exists()
    assert maps.seconds["system"] > 0


def test_froc_thresholds_span_the_rates_that_are_read() -> None:
    rng = np.random.default_rng(0)
    views = [{"breast": np.ones((300, 300), bool), "spacing_mm": (0.1, 0.1)} for _ in range(2)]
    logits = [rng.normal(-4, 2, (300, 300)) for _ in views]
    levels = np.array(froc_logits(logits, views))
    rates = fp_per_cm2_curve(levels, logits, [v["breast"] for v in views], spacing_mm=[v["spacing_mm"] for v in views])
    assert np.all(np.diff(levels) > 0)
    assert 0.8 * HIGHEST_RATE < rates[0] <= HIGHEST_RATE
    assert np.max(-np.diff(rates)) < 0.2 * HIGHEST_RATE
    assert rates[-1] == 0
    np.testing.assert_array_equal(levels[-len(FAR_LOGITS) :], FAR_LOGITS)
    assert 20 <= len(levels) - len(FAR_LOGITS) <= 40


def test_froc_thresholds_without_any_false_positive_are_still_a_curve() -> None:
    views = [{"breast": np.ones((30, 30), bool), "spacing_mm": (0.1, 0.1)}]
    levels = froc_logits([np.full((30, 30), -20.0)], views)
    assert LOGIT_GRID[0] == levels[0] < levels[1] < FAR_LOGITS[0]


def test_a_curve_goes_on_where_every_probability_is_one(tmp_path: Path) -> None:
    def sure(data: Any) -> np.ndarray:
        # True calcifications are surer than a false object, and both are 1 as a probability in single precision.
        logits = np.where(data["label"] == 1, 120.0, -5.0)
        logits[30:32, 5:7] = 60.0
        return logits

    (record,) = run([replace(row(call=sure), froc_logits=(0.0, *FAR_LOGITS))], cases(1), tmp_path, Store())
    assert record["false_objects"] == 1
    curve = record["froc"]
    assert (curve["tp"][0], curve["fp"][0]) == (2, 1)
    assert (2, 0) in set(zip(curve["tp"], curve["fp"], strict=True))
    assert (curve["tp"][-1], curve["fp"][-1]) == (0, 0)


def test_the_paper_s_refinement_costs_186_passes_a_window() -> None:
    # 136 steps of the generator with K = ceil(4 (1 - t)) and 50 passes of the segmentor.
    settings = preset("paper")
    assert settings.iterations == 50
    assert refinement_passes(settings) == 186


def test_passes_follow_steps_draws_and_method() -> None:
    settings = RefinementSettings(iterations=3, steps=2, draws=2)
    assert refinement_passes(settings) == 2 * 3 * (2 + 1)
    heun = RefinementSettings(iterations=3, steps=2, draws=1, method="heun")
    assert refinement_passes(heun) == 3 * (4 + 1)

"""Studies of the refinement on toy networks: what a trial is, that a study goes on, what is written."""

import csv
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from bundle.engines.tuning import best_control, check_tuning, tune
from bundle.engines.tuning_cases import (
    CONTROL_THRESHOLDS,
    Refinement,
    TuningCase,
    count_view,
    figures_of,
    labelled_cases,
)
from bundle.engines.tuning_claims import Claims
from bundle.engines.tuning_study import (
    Outcome,
    best_trial,
    check_space,
    finished,
    importances,
    open_study,
    random_parameters,
    run_trials,
)
from bundle.functional.objects import ObjectCounts, count_objects
from bundle.functional.refinement_settings import RefinementSettings
from bundle.inferers import TTGPRInferer

pytestmark = pytest.mark.train
WINDOW_PX = 32
LINE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}


class Velocity(nn.Module):
    """A generator of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.weight * state


class Counted(nn.Conv2d):
    """A segmentor of one pixel that counts its windows."""

    def __init__(self) -> None:
        super().__init__(1, 1, 1)
        self.windows = 0
        with torch.no_grad():
            self.weight.fill_(20.0)
            self.bias.fill_(0.0)  # type: ignore[union-attr]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.windows += len(image)
        return super().forward(image)


def view(seed: int, *, dots: int = 6) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (64, 64)), 4) + rng.normal(0, 0.03, (64, 64)) - 0.5
    label = np.zeros(image.shape, np.uint8)
    label[rng.integers(10, 54, dots), rng.integers(10, 54, dots)] = 1
    label = ndimage.binary_dilation(label).astype(np.uint8)
    image = np.clip(image + 0.4 * label, -0.99, 1).astype(np.float32)
    return {"image": image, "label": label, "region": np.ones(label.shape, bool), "spacing_mm": (0.1, 0.1)}


def refinement(folder: Path, *, dots: int = 6, **overrides: Any) -> Refinement:
    cases = [TuningCase(f"v{n}", str(n), lambda n=n: view(n, dots=dots if n else 0)) for n in range(3)]  # type: ignore[misc]
    return Refinement(cases, TTGPRInferer(Velocity(), window_px=WINDOW_PX, overrides=overrides), Counted(), folder)


def toy(parameters: Mapping[str, Any]) -> Iterator[Outcome]:
    """Best at x = 0.7; y does nothing; the constraint wants x at most 0.6."""
    value = 1 - (parameters["x"] - 0.7) ** 2
    for step in range(1, 4):
        yield Outcome(value, parameters["x"] - 0.6, {"steps": float(step)})


def run(study: Any, evaluate: Any, space: Mapping[str, Any], folder: Path, **options: Any) -> None:
    run_trials(study, evaluate, space, claims=Claims(folder / "claims"), **options)


def study_in(folder: Path, **options: Any) -> Any:
    return open_study(f"sqlite:///{folder / 'study.db'}", name="toy", identity="a", **options)


def test_the_best_trial_meets_the_constraint(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    run(study, toy, LINE, tmp_path, trials=14, seed=0, steps=3)
    best = best_trial(study)
    assert best is not None
    assert best.params["x"] <= 0.6
    met = [t.value for t in study.trials if t.state.name == "COMPLETE" and t.params["x"] <= 0.6]
    assert best.value == max(met)
    assert any(t.params["x"] > 0.6 for t in study.trials)


def test_a_study_stopped_and_begun_again_is_the_one_that_was_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = study_in(tmp_path / "a")
    run(whole, toy, LINE, tmp_path / "a", trials=13, seed=3, steps=3, first={"x": 0.5})

    def killed(parameters: Mapping[str, Any]) -> Iterator[Outcome]:
        yield Outcome(1.0, 0.0, {})
        raise KeyboardInterrupt

    run(study_in(tmp_path / "b"), toy, LINE, tmp_path / "b", trials=11, seed=3, steps=3, first={"x": 0.5})
    with pytest.raises(KeyboardInterrupt):
        run(study_in(tmp_path / "b"), killed, LINE, tmp_path / "b", trials=13, seed=3, steps=3)
    parts = study_in(tmp_path / "b")
    run(parts, toy, LINE, tmp_path / "b", trials=13, seed=3, steps=3)
    assert [t.params for t in finished(parts)] == [t.params for t in finished(whole)]
    assert whole.trials[0].params["x"] == 0.5


def test_a_trial_whose_process_died_is_failed_when_the_study_goes_on(tmp_path: Path) -> None:
    study = study_in(tmp_path, heartbeat_s=1, grace_s=1)
    with pytest.warns(UserWarning, match="Heartbeat"):
        dead = study.ask()
    study._storage.record_heartbeat(dead._trial_id)
    assert study_in(tmp_path, heartbeat_s=1, grace_s=1).trials[0].state.name == "RUNNING"
    time.sleep(2.2)
    again = study_in(tmp_path, heartbeat_s=1, grace_s=1)
    assert again.trials[0].state.name == "FAIL"
    run(again, toy, LINE, tmp_path, trials=1, seed=0, steps=3)
    assert [t.state.name for t in again.trials] == ["FAIL", "COMPLETE"]


def test_a_trial_below_the_median_is_pruned_after_a_third_of_the_cases(tmp_path: Path) -> None:
    values = iter([0.8, 0.8, 0.8, 0.8, 0.8, 0.1])

    def evaluate(parameters: Mapping[str, Any]) -> Iterator[Outcome]:
        value = next(values)
        for step in range(1, 7):
            yield Outcome(value, -0.1, {"steps": float(step)})

    study = study_in(tmp_path)
    run(study, evaluate, LINE, tmp_path, trials=6, seed=0, steps=6)
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 5 + ["PRUNED"]
    assert study.trials[-1].user_attrs["steps"] == 2
    assert study.trials[-1].constraints == {"precision": -0.1}


def test_importance_is_of_what_changes_the_value(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    run(study, toy, LINE, tmp_path, trials=3, seed=0, steps=3)
    assert importances(study) == {}
    run(study, toy, LINE, tmp_path, trials=14, seed=0, steps=3)
    shares = importances(study)
    assert list(shares) == ["x", "y"]
    assert shares["x"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    study_in(tmp_path)
    with pytest.raises(ValueError, match="got one of others"):
        open_study(f"sqlite:///{tmp_path / 'study.db'}", name="toy", identity="b")


def test_drawn_parameters_lie_in_the_space_and_whole_numbers_stay_whole() -> None:
    space = {"n": {"low": 1, "high": 4}, "w": {"low": 0.1, "high": 10.0, "log": True}, "c": [None, 0.2]}
    drawn = random_parameters(space, count=40)
    assert {type(one["n"]) for one in drawn} == {int}
    assert {one["n"] for one in drawn} == {1, 2, 3, 4}
    assert {one["c"] for one in drawn} == {None, 0.2}
    assert 0.3 < np.median([one["w"] for one in drawn]) < 3


@pytest.mark.parametrize("given", [3, [], {"low": 1}, {"low": 2, "high": 1}, {"low": 1, "high": 2, "steps": 3}])
def test_a_space_that_is_none_is_refused_in_one_line(given: Any) -> None:
    with pytest.raises(ValueError, match="Expected x of the search space") as refusal:
        check_space({"x": given})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("space", "options", "line"),
    [
        ({"iteration": {"low": 1, "high": 2}}, {}, "did you mean 'iterations'"),
        ({"beta": {"low": -1.0, "high": 2.0}}, {}, "Expected beta to be 0 or more"),
        ({"mixing": ["every", "never"]}, {}, "Expected mixing to be one of"),
        ({}, {"trials": 0}, "at least one trial"),
        ({}, {"min_precision": 1.2}, "--min-precision"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    space: dict[str, Any], options: dict[str, Any], line: str
) -> None:
    with pytest.raises(ValueError, match=line):
        check_tuning(space, **{"trials": 1, "min_precision": None, "base": RefinementSettings(), **options})


def test_counts_are_those_of_the_metrics() -> None:
    one = view(1)
    probs = ndimage.gaussian_filter(one["label"].astype(float), 1)
    expected = count_objects(probs >= 0.3, one["label"], spacing_mm=(0.1, 0.1), region=one["region"])
    assert count_view(one, probs, 0.3) == expected
    assert expected.tp > 0


def test_points_count_by_position() -> None:
    one = view(1, dots=0) | {"points": np.array([[20.0, 20.0], [40.0, 40.0]])}
    probs = np.zeros((64, 64))
    probs[20:22, 20:22] = probs[5, 5] = 1
    assert count_view(one, probs, 0.5)[:3] == (1, 1, 1)


def test_figures_are_worked_out_by_hand() -> None:
    figures = figures_of(ObjectCounts(6, 2, 4, 5.0))
    assert figures == pytest.approx({"f2": 30 / (30 + 16 + 2), "recall": 0.6, "precision": 0.75, "fp_per_cm2": 0.4})
    assert figures_of(ObjectCounts(0, 0, 4, 5.0))["precision"] == 1


def test_the_control_is_the_best_threshold_that_is_precise_enough() -> None:
    control = [ObjectCounts(8, 8, 2, 1.0)] * 36 + [ObjectCounts(7, 3, 3, 1.0)] + [ObjectCounts(2, 0, 8, 1.0)] * 36
    best = best_control(control, 0.6)
    assert best is not None
    assert (best["threshold"], best["recall"]) == (0.5, 0.7)
    assert best_control(control[:36] + [ObjectCounts(8, 8, 2, 1.0)] * 37, 0.6) is None


def test_a_trial_is_the_refinement_with_its_settings(tmp_path: Path) -> None:
    parameters = {"iterations": 2, "w_stabilisation": 20.0, "threshold_logit": math.log(0.4 / 0.6)}
    used = refinement(tmp_path)
    counts = list(used.count(parameters))
    inferer = TTGPRInferer(Velocity(), window_px=WINDOW_PX, overrides={"iterations": 2, "w_stabilisation": 20.0})
    for number, one in enumerate(counts):
        image = view(number, dots=6 if number else 0)
        logits = inferer(torch.from_numpy(image["image"])[None, None], Counted())[0, 0]
        expected = count_view(image, torch.sigmoid(logits.double()).float().numpy(), 0.4)
        assert one == expected
    assert sum(one.tp for one in counts) > 0


def test_the_first_pass_is_made_once_and_changes_nothing(tmp_path: Path) -> None:
    # 64 px in windows of 32 px at half overlap: 3 x 3 windows in each of 3 views.
    used = refinement(tmp_path, iterations=0)
    first = list(used.count({}))
    assert used.network.windows == 27
    assert list(used.count({})) == first
    assert used.network.windows == 27
    again = refinement(tmp_path, iterations=0)
    assert list(again.count({})) == first
    assert again.network.windows == 0


def test_the_control_reads_one_half_where_the_segmentor_is_untouched(tmp_path: Path) -> None:
    used = refinement(tmp_path, iterations=0)
    total = np.sum([tuple(one) for one in used.count({"threshold_logit": 0.0})], axis=0)
    assert CONTROL_THRESHOLDS[36] == 0.5
    assert tuple(used.control()[36]) == pytest.approx(tuple(total))


def test_the_price_counts_windows_with_evidence_once_they_are_known(tmp_path: Path) -> None:
    used, space = refinement(tmp_path, gate_threshold=0.0), {"iterations": {"low": 2, "high": 3}}
    assert "27 windows. First passes to make: 27" in used.price(space, trials=10)
    used.control()
    text = used.price(space, trials=10)
    assert "First passes to make: 0" in text
    assert "refines 27 windows" in text
    assert "refines 0 windows" in refinement(tmp_path, gate_threshold=1.0).price(space, trials=1)


SPACE = {"iterations": {"low": 0, "high": 2}, "w_stabilisation": {"low": 1.0, "high": 60.0, "log": True}}
SPACE["threshold_logit"] = {"low": -3.0, "high": 3.0}


def test_a_study_writes_what_it_found_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tune(refinement(tmp_path), SPACE, output_dir=tmp_path, trials=4, min_precision=0.0)
    assert "4 trials" in capsys.readouterr().out
    result = tune(refinement(tmp_path), SPACE, output_dir=tmp_path, trials=8, min_precision=0.0)
    assert result == json.loads((tmp_path / "best.json").read_text())
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(number) for number in range(8)]
    # The first trial is where the settings start from, as far as the space holds it.
    assert (rows[0]["threshold_logit"], rows[0]["w_stabilisation"]) == ("0.0", "8.0")
    done = [row for row in rows if row["state"] == "complete"]
    assert result["figures"]["f2"] == max(float(row["value"]) for row in done)
    assert set(result["overrides"]) == {"iterations", "w_stabilisation"}
    with (tmp_path / "importances.csv").open() as file:
        assert sum(float(row["importance"]) for row in csv.DictReader(file)) == pytest.approx(1)
    assert (tmp_path / "importances.png").stat().st_size > 1000
    # What was chosen is what its settings and threshold give.
    logit = math.log(result["threshold"] / (1 - result["threshold"]))
    counts = list(refinement(tmp_path).count(result["overrides"] | {"threshold_logit": logit}))
    assert figures_of(ObjectCounts(*np.sum(counts, axis=0)))["f2"] == pytest.approx(result["figures"]["f2"])


def test_a_constraint_that_nothing_meets_and_views_without_truth_are_refused(tmp_path: Path) -> None:
    space = {"threshold_logit": {"low": -9.0, "high": -8.9}}
    with pytest.raises(ValueError, match="take more trials or allow less"):
        tune(refinement(tmp_path), space, output_dir=tmp_path, trials=1, min_precision=1.0)
    with pytest.raises(ValueError, match="at least one calcification to tune on"):
        tune(refinement(tmp_path, dots=0), SPACE, output_dir=tmp_path / "none", trials=1)


def test_the_price_alone_writes_nothing(tmp_path: Path) -> None:
    assert tune(refinement(tmp_path), SPACE, output_dir=tmp_path / "out", trials=2, price_only=True) is None
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_trial_is_a_run_of_mlflow_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for trials in (1, 2):
        options: dict[str, Any] = {"output_dir": tmp_path, "trials": trials, "min_precision": 0.0, "tracking": True}
        tune(refinement(tmp_path), SPACE, **options)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tuning").experiment_id])
    assert {run.data.tags["trial"] for run in runs} == {"0", "1"}
    assert len(runs) == 2
    first = next(run for run in runs if run.data.tags["trial"] == "0")
    assert first.info.status == "FINISHED"
    assert first.data.params["threshold_logit"] == "0.0"
    assert 0 <= first.data.metrics["f2"] <= 1
    assert len(client.get_metric_history(first.info.run_id, "f2_so_far")) == 3


def test_cases_of_a_folder_are_in_one_order_and_change_with_their_files(tmp_path: Path) -> None:
    class Folder:
        reading, region, points_as_pixels = {"voi": 0}, "breast", False

        def __iter__(self) -> Iterator[Any]:
            for name in "abcd":
                (tmp_path / name).write_text(name) if not (tmp_path / name).exists() else None
                yield type("Case", (), {"case": name, "image": tmp_path / name, "mask": None, "roi": None})

    first = [case[:2] for case in labelled_cases(Folder())]
    assert [case[:2] for case in labelled_cases(Folder())] == first
    assert sorted(name for name, _ in first) == list("abcd")
    (tmp_path / "a").write_text("other")
    changed = dict(first).items() ^ dict(case[:2] for case in labelled_cases(Folder())).items()
    assert {name for name, _ in changed} == {"a"}


# Several processes.


def study_of(folder: Path) -> Any:
    """The study that a run of `tune` left."""
    import optuna

    return optuna.load_study(study_name="refinement", storage=f"sqlite:///{folder / 'study.db'}")


def _processes(folder: Path, trials: int, *kills: str) -> list[int]:
    """Status of each process."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.killed_studies", str(folder), str(trials), *kills],
        cwd=Path(__file__).resolve().parents[2],
        env=environment | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_processes_killed_in_a_study_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    assert _processes(tmp_path, 8, "no", "trial", "tracking") == [0, -9, -9]
    study = study_of(tmp_path)
    states = [trial.state.name for trial in study.trials]
    # The killed trial is failed at once and its place taken; nobody began one too many.
    assert len(finished(study)) == 8
    assert states.count("FAIL") == 1
    assert len(states) == 9
    assert json.loads((tmp_path / "best.json").read_text())["trials"] == 8
    # A second run goes on to the number that it is asked for, together with a third.
    assert _processes(tmp_path, 11, "no", "no") == [0, 0]
    study = study_of(tmp_path)
    assert [trial.state.name for trial in study.trials[:9]] == states
    assert len(finished(study)) == 11
    assert len(study.trials) == 12
    parameters = [tuple(trial.params.values()) for trial in finished(study)]
    # Two processes that begin at the same moment may draw the same place.
    assert len(set(parameters)) >= 9
    with (tmp_path / "trials.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [str(number) for number in range(12)]
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tuning").experiment_id])
    assert sorted(int(run.data.tags["trial"]) for run in runs) == list(range(12))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED", "FAILED"}
    assert all("f2" in run.data.metrics for run in runs if run.info.status == "FINISHED")


def test_a_trial_that_was_taken_for_dead_does_not_count(tmp_path: Path) -> None:
    from optuna.trial import TrialState

    study, others = study_in(tmp_path), study_in(tmp_path)

    def slept(parameters: Mapping[str, Any]) -> Iterator[Outcome]:
        number = others.get_trials()[-1].number
        if number == 0:
            others.tell(number, state=TrialState.FAIL)
        yield Outcome(1.0, 0.0, {})

    run(study, slept, LINE, tmp_path, trials=2, seed=0, steps=1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_an_error_in_a_trial_ends_the_run(tmp_path: Path) -> None:
    def broken(parameters: Mapping[str, Any]) -> Iterator[Outcome]:
        raise ValueError("our own")
        yield

    with pytest.raises(ValueError, match="our own"):
        run(study_in(tmp_path), broken, LINE, tmp_path, trials=2, seed=0, steps=1)


def test_a_trial_is_abandoned_when_nobody_holds_its_claim(tmp_path: Path) -> None:
    claims, others = Claims(tmp_path), Claims(tmp_path)
    assert not claims.abandoned(3)
    with claims.working_on(3):
        assert not others.abandoned(3)
    assert not others.abandoned(3)
    (tmp_path / "trial_3.lock").touch()
    assert others.abandoned(3)
    others.forget(3)
    assert not others.abandoned(3)

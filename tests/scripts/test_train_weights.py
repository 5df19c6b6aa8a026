"""Which trainings the command runs, with what; the trainings themselves are tested elsewhere."""

import ast
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts import train_weights
from scripts.compare_data import digests_of
from scripts.compare_systems import training_of

EXAMS = ("a_L.png", "a_R.png", "b.png", "c.png", "d.png")


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    folder = tmp_path / "normals"
    folder.mkdir()
    for name in EXAMS:
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Options of each training that was started; each one leaves weights that tell its number."""
    started: list[dict[str, str]] = []

    def run(command: list[str], **_: object) -> None:
        options = {name[2:]: value for name, value in zip(command[5::2], command[6::2], strict=True)}
        started.append(options)
        output = Path(options["output_dir"])
        output.mkdir(parents=True, exist_ok=True)
        name = "generator_ema.pt" if "generator" in options["config_file"] else "model.pt"
        torch.save(torch.tensor(len(started)), output / name)
        (output / "losses.csv").write_text(f"1,{len(started)}\n")

    monkeypatch.setattr(subprocess, "run", run)
    return started


def test_every_exam_is_judged_by_weights_that_never_saw_it(
    normals: Path, tmp_path: Path, runs: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    assert train_weights.main(["--normals", str(normals), "--output-dir", str(output), "--folds", "3"]) == 0
    by_number = {number: options for number, options in enumerate(runs, start=1)}
    excluded: list[str] = []
    for exam in "abcd":
        options = by_number[int(torch.load(output / "folds" / f"{exam}.pt", weights_only=True))]
        held_out = ast.literal_eval(options["exclude"])
        assert {name for name in EXAMS if name.startswith(exam)} <= set(held_out)
        assert options["dataset_dir"] == str(normals)
        excluded += held_out
        training = training_of(output / "folds" / f"{exam}.pt")
        assert training is not None
        assert training.seen.patients == digests_of({"a", "b", "c", "d"} - {name[0] for name in held_out})
        assert training.losses == (float(int(torch.load(output / "folds" / f"{exam}.pt", weights_only=True))),)
    assert set(excluded) == set(EXAMS)


def test_what_each_training_saw_is_recorded_beside_its_weights(
    normals: Path, tmp_path: Path, runs: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    train_weights.main(["--normals", str(normals), "--output-dir", str(output)])
    found = {name: training_of(output / name) for name in ("base/model.pt", "segmentor/model.pt")}
    found["generator"] = training_of(output / "generator" / "generator_ema.pt")
    seen = {name: training.seen.patients for name, training in found.items() if training}
    every = digests_of({"a", "b", "c", "d"})
    assert seen == {"base/model.pt": frozenset(), "segmentor/model.pt": every, "generator": every}


def test_the_base_sees_no_real_view_and_all_further_trainings_start_from_it(
    normals: Path, tmp_path: Path, runs: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    train_weights.main(["--normals", str(normals), "--output-dir", str(output)])
    warm, base, *others = runs
    assert "dataset_dir" not in warm | base
    assert base["initial_weights"] == str(output / "warm" / "model.pt")
    for options in others:
        if "generator" not in options["config_file"]:
            assert options["initial_weights"] == str(output / "base" / "model.pt")


def test_a_second_run_trains_nothing(normals: Path, tmp_path: Path, runs: list[dict[str, str]]) -> None:
    for _ in range(2):
        train_weights.main(["--normals", str(normals), "--output-dir", str(tmp_path / "out")])
    assert len(runs) == 2 + 1 + 2 + 1


def test_another_number_of_folds_takes_no_weights_of_the_first(
    normals: Path, tmp_path: Path, runs: list[dict[str, str]]
) -> None:
    options = ["--normals", str(normals), "--output-dir", str(tmp_path / "out"), "--stages", "folds"]
    for count in ("2", "4"):
        train_weights.main([*options, "--folds", count])
    for exam in "abcd":
        number = int(torch.load(tmp_path / "out" / "folds" / f"{exam}.pt", weights_only=True))
        held_out = ast.literal_eval(runs[number - 1]["exclude"])
        assert {name[0] for name in held_out} == {exam}


def test_more_folds_than_exams_are_refused_in_one_line(
    normals: Path, tmp_path: Path, runs: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_weights.main(["--normals", str(normals), "--output-dir", str(tmp_path), "--folds", "5"]) == 1
    assert capsys.readouterr().err.strip() == "train_weights: Expected 2 to 4 folds for 4 exams, got 5"
    assert not runs


def test_a_training_that_fails_ends_the_run(
    normals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", fail)
    assert train_weights.main(["--normals", str(normals), "--output-dir", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("train_weights: ")

"""One command for every system and data set: what it refuses, what it keeps, and that workers change nothing."""

import json
import os
import random
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from scipy import ndimage

from bundle.baselines import GRIDS, tune_classical
from bundle.baselines.registry import CLASSICAL, LEAST_EPOCHS, REGISTRY, TOLERANCE, Entry, entries_of, off_plateau
from bundle.data import MammogramError
from bundle.data.labelled_views import CEILING_COUNT
from bundle.data.shift_benchmark import CONDITIONS, SEED_RANGES, shift_cases
from bundle.engines.benchmark import Case
from bundle.functional.case_record import score_case
from scripts.compare import main
from scripts.compare_data import (
    Dataset,
    Item,
    Part,
    Seen,
    all_seen,
    by_file,
    digests_of,
    labelled_items,
    real_dataset,
    some,
    trial,
)
from scripts.compare_overlap import refuse_training_overlap
from scripts.compare_run import Crew
from scripts.compare_systems import (
    NO_WEIGHTS,
    NOT_BUILT,
    NOT_CONVERGED,
    NOT_RECORDED,
    Folders,
    Recipe,
    Status,
    network_of,
    read_losses,
    status_of,
    training_of,
)
from scripts.compare_tracking import nameless
from scripts.compare_train import main as train_main
from scripts.compare_train import train as train_system
from scripts.compare_train import training_words
from scripts.shipped import ROOT, shipped_inferers
from scripts.training_records import PHANTOMS, seen_in_training, write_record

SIDE = 160
SPACING = ["--spacing-mm", "0.1"]
FLAT = [1.0] * LEAST_EPOCHS


def view(seed: int, *, dots: int) -> tuple[np.ndarray, np.ndarray]:
    """A breast that fills the left of a square, 8 bit, with bright dots, and their mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = ((rows - SIDE / 2) / (0.48 * SIDE)) ** 2 + (columns / (0.9 * SIDE)) ** 2 < 1
    texture = 40 * ndimage.gaussian_filter(rng.normal(0, 1, inside.shape), 5) + rng.normal(100, 3, inside.shape)
    label = np.zeros(inside.shape, bool)
    label[rng.integers(50, 110, dots), rng.integers(30, 90, dots)] = True
    label = ndimage.binary_dilation(label)
    image = np.where(inside, np.clip(texture + 60 * label, 40, 230), 0)
    return image.astype(np.uint8), label


def labelled(folder: Path, seeds: list[int], prefix: str = "", dots: tuple[int, ...] = (5, 0)) -> Path:
    """Views with masks in one folder; those of odd numbers are clean."""
    folder.mkdir()
    for number, seed in enumerate(seeds):
        image, label = view(seed, dots=dots[number % 2])
        Image.fromarray(image).save(folder / f"{prefix}{seed}.png")
        Image.fromarray(np.where(label, 255, 0).astype(np.uint8)).save(folder / f"{prefix}{seed}_mask.png")
    return folder


def words(tmp_path: Path, *more: str, systems: tuple[str, ...] = ("top-hat", "difference-of-gaussians")) -> list[str]:
    listed = ["--datasets", str(tmp_path / "test"), "--tuning", str(tmp_path / "tuning"), "--systems", *systems]
    return [*listed, *SPACING, "--weights-dir", str(tmp_path / "runs"), "--output-dir", str(tmp_path / "out"), *more]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    labelled(tmp_path / "test", [1, 2, 3, 4])
    labelled(tmp_path / "tuning", [11, 12, 13, 14])
    return tmp_path


# From folders to the page.


def test_a_table_has_a_line_for_every_system_and_goes_on_where_it_stopped(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    chosen = words(folders, systems=("top-hat", "difference-of-gaussians", "segai"))
    main([*chosen, "--price-only"])
    assert "Price: about" in capsys.readouterr().out
    assert not (folders / "out" / "records").exists()
    main(chosen)
    out = capsys.readouterr().out
    assert out.index("Price: about") < out.index("report.html")
    table = (folders / "out" / "table.md").read_text()
    assert "SegAI U-Net (no weights) | no weights" in table
    assert "python -m scripts.compare_train segai" in table
    assert "trial" not in table
    read = json.loads((folders / "out" / "table.json").read_text())
    assert [row["system"] for row in read["rows"]] == ["white top-hat (SP2)", "difference of Gaussians (SP1)"]
    assert len(list((folders / "out" / "records").rglob("*.json"))) == 8
    # One record is lost; only that one is made again.
    lost = next((folders / "out" / "records").rglob("*.json"))
    lost.unlink()
    scored: list[str] = []
    monkeypatch.setattr("bundle.engines.benchmark.score_case", _counting(scored))
    main(chosen)
    assert len(scored) == 1
    assert (folders / "out" / "table.md").read_text() == table


def test_any_system_can_be_the_one_that_others_are_tested_against(folders: Path) -> None:
    main(words(folders, "--reference", "top-hat"))
    read = json.loads((folders / "out" / "table.json").read_text())
    assert [row["reference"] for row in read["rows"]] == [None, "white top-hat (SP2)"]
    refused(words(folders, "--reference", "hdog"), "error: --reference: Expected one of top-hat, .*got 'hdog'")


def _counting(scored: list[str]) -> Any:
    def counted(*args: Any, **options: Any) -> dict[str, Any]:
        scored.append(options["case"])
        return score_case(*args, **options)

    return counted


@pytest.mark.slow
def test_workers_change_nothing(folders: Path) -> None:
    chosen = words(folders)
    main(chosen)
    one = {path.name: path.read_text() for path in sorted((folders / "out" / "records").rglob("*.json"))}
    table = (folders / "out" / "table.csv").read_text()
    shutil.rmtree(folders / "out")
    main([*chosen, "--workers", "2"])
    assert {path.name: path.read_text() for path in sorted((folders / "out" / "records").rglob("*.json"))} == one
    assert (folders / "out" / "table.csv").read_text() == table


@pytest.mark.slow
def test_real_backgrounds_hold_out_one_exam_at_a_time(tmp_path: Path) -> None:
    normals = tmp_path / "normals"
    normals.mkdir()
    rows, columns = np.mgrid[:400, :320]
    inside = ((rows - 200) / 190) ** 2 + (columns / 300) ** 2 < 1
    for seed, name in enumerate(("a_1", "b_1", "c_1")):
        rng = np.random.default_rng(seed)
        texture = 25 * ndimage.gaussian_filter(rng.normal(0, 30, inside.shape), 6) + rng.normal(120, 4, inside.shape)
        Image.fromarray(np.where(inside, np.clip(texture, 40, 220), 0).astype(np.uint8)).save(normals / f"{name}.png")
    chosen = ["--datasets", "real", "--normals", str(normals), "--systems", "top-hat", "high-pass", *SPACING]
    chosen += ["--crop-mm", "15", "--crops", "1", "--injections", "1", "--output-dir", str(tmp_path / "out")]
    main(chosen)
    read = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [(row["dataset"], row["n_cases"], row["n_patients"]) for row in read["rows"]] == [("real", 6, 3)] * 2
    (choice,) = (tmp_path / "out" / "tuning").glob("top-hat-*.json")
    assert set(json.loads(choice.read_text())["folds"]) == {"a", "b", "c"}


def test_a_trial_says_so_everywhere(folders: Path) -> None:
    main(words(folders, "--cases", "2", systems=("top-hat",)))
    assert "supports no claim" in (folders / "out" / "table.md").read_text()
    assert "supports no claim" in (folders / "out" / "report.html").read_text()
    assert "test (trial of 2 cases)" in (folders / "out" / "table.csv").read_text()
    assert json.loads((folders / "out" / "table.json").read_text())["trial"] is True


@pytest.mark.train
def test_mlflow_gets_figures_and_no_names(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folders / 'store.db'}")
    main(words(folders, "--tracking", "mlflow", systems=("top-hat",)))
    client = MlflowClient(f"sqlite:///{folders / 'store.db'}")
    experiment = client.get_experiment_by_name("comparison")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    read = json.loads((folders / "out" / "table.json").read_text())
    assert run.data.metrics["labelled 1/top-hat/object_f2"] == pytest.approx(
        read["rows"][0]["figures"]["object_f2"]["value"]
    )
    assert run.data.params["systems"] == "top-hat"
    page = (folders / "out" / "mlruns" / run.info.run_id / "artifacts" / "report" / "report.html").read_text()
    assert str(folders) not in page


def test_other_peoples_folders_have_no_name_in_mlflow() -> None:
    assert nameless({"shift/dose", "real (trial of 2 cases)", "Jane Doe", "real Doe"}) == {
        "shift/dose": "shift/dose",
        "real (trial of 2 cases)": "real (trial of 2 cases)",
        "Jane Doe": "labelled 1",
        "real Doe": "labelled 2",
    }


# Refusals: one line each, before anything is scored.


def refused(chosen: list[str], match: str) -> None:
    with pytest.raises(SystemExit, match=match) as raised:
        main(chosen)
    assert "\n" not in str(raised.value)


def test_the_same_image_in_tuning_and_test_is_refused(folders: Path) -> None:
    for name in ("1.png", "1_mask.png"):
        shutil.copy(folders / "test" / name, folders / "tuning" / f"other_{name}")
    refused(
        words(folders), r"error: Expected tuning data apart from the test data \(test\), got the image with SHA-256"
    )
    assert not (folders / "out" / "records").exists()


def test_the_same_patient_in_tuning_and_test_is_refused(folders: Path) -> None:
    for name, first in (("test", 1), ("tuning", 11)):
        lines = [f"{first + n}.png,{name if n else 'p7'}" for n in range(4)]
        (folders / name / "patients.csv").write_text("image,patient\n" + "\n".join(lines))
    refused(
        words(folders),
        "error: Expected tuning data apart from the test data .*patient or exam with SHA-256 03fbd36c in both",
    )


def test_one_file_in_two_exams_is_refused(tmp_path: Path) -> None:
    for name in ("a_1.png", "b_1.png"):
        (tmp_path / name).write_bytes(b"the same")
    with pytest.raises(MammogramError, match="same image in exams 'a' and 'b'"):
        real_dataset(tmp_path, spacing_mm=0.1)


def test_seeds_of_one_generator_must_not_meet() -> None:
    tested = Seen(seeds=(("shift", 10, 20),))
    assert Seen(seeds=(("shift", 19, 30),)).overlap(tested) == "seeds 19 to 19 of the generator 'shift'"
    assert Seen(seeds=(("shift", 20, 30),)).overlap(tested) == ""
    assert Seen(seeds=(("phantom", 10, 20),)).overlap(tested) == ""


def dataset(name: str, *seen: Seen) -> Dataset:
    items = tuple(Item(Case(str(n), str(n), name, "", dict), False, str(n), one) for n, one in enumerate(seen))
    return Dataset(name, (Part("", items),))


def recorded(runs: Path, folder: str, seen: Seen, losses: list[float] | None = None) -> Path:
    """Weights that no network fits, with a record and losses."""
    weights = runs / folder / "model.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(folder.encode())
    write_record(weights, seen)
    lines = "".join(f"{n},{loss}\n" for n, loss in enumerate(losses or FLAT, start=1))
    (weights.parent / "losses.csv").write_text(lines)
    return weights


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen(images=frozenset({"abc"})), "image with SHA-256 abc"),
        (Seen(patients=frozenset({"p1"})), "patient or exam with SHA-256 p1 in"),
        (Seen(seeds=(("shift", 5, 9),)), "seeds 7 to 7 of the generator 'shift'"),
    ],
)
def test_what_was_trained_on_is_not_tested_on(tmp_path: Path, seen: Seen, said: str) -> None:
    recorded(tmp_path, "segai", seen)
    tested = Seen(frozenset({"abc"}), frozenset({"p1"}), (("shift", 7, 8),))
    entry, own = REGISTRY["segai"], Folders(tmp_path)
    with pytest.raises(
        MammogramError, match=rf"segai: Expected training data apart from the test data \(set\), got .*{said}"
    ):
        refuse_training_overlap([entry], own, [dataset("set", tested)])
    refuse_training_overlap([entry], own, [dataset("set", Seen(frozenset({"other"}), frozenset({"p2"})))])


def test_no_training_of_ours_meets_the_seeds_of_the_benchmark() -> None:
    cases = [*shift_cases("tuning", "reference"), *(case for name in CONDITIONS for case in shift_cases("test", name))]
    tested = Seen(seeds=tuple(("shift", case.parameters.seed, case.parameters.seed + 1) for case in cases))
    seen = seen_in_training(REGISTRY["supervised"], "")
    assert seen.seeds[0][0] == "shift"
    assert seen.overlap(tested) == seen_in_training(REGISTRY["segai"], "").overlap(tested) == ""
    tuned, scored = (Seen(seeds=(("shift", *SEED_RANGES[split]),)) for split in ("tuning", "test"))
    assert tuned.overlap(scored) == ""
    # The check is one: the ceiling's own views would be refused.
    assert seen.overlap(scored)


def test_as_many_views_are_recorded_as_the_configs_train_on() -> None:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / f"{name}.yaml") for name in ("train", "train_supervised")])
    assert (parser["phantom_count"], parser["ceiling_count"]) == (PHANTOMS, CEILING_COUNT)


def test_shipped_weights_on_real_normals_need_folds_or_a_record(tmp_path: Path) -> None:
    entry, real = REGISTRY["segmentor"], dataset("real", Seen(frozenset({"abc"})))
    (tmp_path / "model.pt").write_bytes(b"some")
    with pytest.raises(MammogramError, match="pass --folds DIR"):
        refuse_training_overlap([entry], Folders(tmp_path, tmp_path), [real])
    write_record(tmp_path / "model.pt", Seen(frozenset({"other"})))
    refuse_training_overlap([entry], Folders(tmp_path, tmp_path), [real])
    write_record(tmp_path / "model.pt", Seen(frozenset({"abc"})))
    with pytest.raises(MammogramError, match="image with SHA-256 abc"):
        refuse_training_overlap([entry], Folders(tmp_path, tmp_path), [real])


@pytest.mark.parametrize("file", ["model.pt", "generator_ema.pt"])
def test_what_the_shipped_weights_have_seen_is_recorded(file: str) -> None:
    training = training_of(ROOT / "models" / file)
    assert training is not None
    assert ("phantom", 0, 24) in training.seen.seeds
    assert len(training.seen.images) == 10  # the real normals of docs/data_license.txt
    assert len(training.seen.patients) == 7


SHIPPED = sorted((ROOT / "models" / "compared").glob("*/model.pt"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_compared_weights_that_come_with_the_bundle_fit_and_have_seen_no_real_view(path: Path) -> None:
    part = next(part for entry in REGISTRY.values() for part in entry.weights if part.folder == path.parent.name)
    training = training_of(path)
    assert training is not None
    assert training.seen.images == training.seen.patients == frozenset()
    assert len(training.losses) >= LEAST_EPOCHS
    network = network_of(part.configs, str(path))
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert not network.training


def test_wrong_words_are_one_line(folders: Path) -> None:
    refused(words(folders, systems=("top-cap",)), "error: Expected systems among all, segmentor, .*got 'top-cap'")
    refused(words(folders, "--workers", "0"), "error: --workers: Expected at least 1 process, got 0")
    refused(words(folders, "--cases", "1"), "error: --cases: Expected at least 2")
    refused([*words(folders), "--datasets", "nowhere"], "error: --datasets: Expected shift, real or an existing folder")
    refused([*words(folders), "--datasets", "real"], "error: --datasets real: Expected --normals FOLDER")
    refused(
        [*words(folders), "--datasets", str(folders / "test"), str(folders / "test")], "error: --datasets: .*two called"
    )
    refused(words(folders, systems=("segai",)), "error: --systems: Expected a system that can run")
    (folders / "tuning" / "11_mask.png").unlink()
    refused(words(folders), "error: .*11.png")


def test_outlines_and_points_are_not_masks(tmp_path: Path) -> None:
    labelled(tmp_path / "test", [1])
    items = labelled_items(tmp_path / "test", "test", spacing_mm=0.1)
    assert [item.clean for item in items] == [False]
    assert items[0].case.load()["label"].sum() > 0


def test_tuning_on_clean_views_alone_is_refused(folders: Path) -> None:
    labelled(folders / "clean", [21, 22], dots=(0, 0))
    refused(
        [*words(folders), "--tuning", str(folders / "clean")], "error: --tuning: Expected views with calcifications"
    )


# What a row may be used for.


def test_a_row_stands_as_its_files_say(tmp_path: Path) -> None:
    entry, own = REGISTRY["segai"], Folders(tmp_path)
    assert status_of(entry, own).word == NO_WEIGHTS
    assert status_of(entry, own).command == "python -m scripts.compare_train segai"
    weights = recorded(tmp_path, "segai", Seen())
    assert status_of(entry, own).word == ""
    (weights.parent / "losses.csv").write_text("1,0.9\n2,0.5\n")
    assert status_of(entry, own).word == NOT_CONVERGED
    (weights.parent / "losses.csv").unlink()
    assert status_of(entry, own).word == NOT_RECORDED
    # Other weights than those that were recorded.
    weights.write_bytes(b"retrained")
    assert status_of(entry, own).word == NOT_RECORDED
    (weights.parent / "training.json").write_text("{}")
    with pytest.raises(MammogramError, match=r"training\.json: Expected a record"):
        training_of(weights)


def test_a_system_without_code_is_not_built_and_does_not_run(tmp_path: Path) -> None:
    missing = Entry("x", "X", "trained", module="no_such_module", install="pip install x")
    status = status_of(missing, Folders(tmp_path))
    assert (status.word, status.why, status.runs) == (NOT_BUILT, "pip install x", False)
    assert status_of(REGISTRY["top-hat"], Folders(tmp_path)).word == ""


def test_a_fold_of_its_own_goes_before_the_weights_for_all(tmp_path: Path) -> None:
    own = Folders(tmp_path / "runs", tmp_path / "models", tmp_path / "folds")
    assert own.of(REGISTRY["segai"], "a") == [tmp_path / "runs" / "segai" / "model.pt"]
    fold = tmp_path / "runs" / "segai" / "folds" / "a.pt"
    fold.parent.mkdir(parents=True)
    fold.touch()
    assert own.of(REGISTRY["segai"], "a") == [fold]
    assert own.of(REGISTRY["segai"], "") == [tmp_path / "runs" / "segai" / "model.pt"]
    assert own.of(REGISTRY["segmentor"], "a") == [tmp_path / "folds" / "a.pt"]
    assert own.of(REGISTRY["ttgpr"], "a")[1] == tmp_path / "models" / "generator_ema.pt"


def test_views_that_nnunet_has_not_predicted_are_written_for_it(folders: Path) -> None:
    predictions = folders / "runs" / "nnunet" / "predictions"
    predictions.mkdir(parents=True)
    chosen = words(folders, systems=("nnunet", "top-hat"))
    main(chosen)
    table = (folders / "out" / "table.md").read_text()
    assert "nnU-Net v2 (no predictions) | no predictions | 8 views, now in nnunet/inputs | nnUNetv2_predict" in table
    inputs = sorted((folders / "runs" / "nnunet" / "inputs").iterdir())
    assert len(inputs) == 8
    assert not (folders / "out" / "losses.png").exists()
    (folders / "runs" / "nnunet" / "losses.csv").write_text("1,0.5\n2,-0.3\n")
    for number, path in enumerate(inputs):
        probabilities = np.random.default_rng(number).uniform(0, 0.6, (2, 1, SIDE, SIDE)).astype(np.float32)
        np.savez(predictions / path.name.replace("_0000.nii.gz", ".npz"), probabilities=probabilities)
    main(chosen)
    read = json.loads((folders / "out" / "table.json").read_text())
    assert "nnU-Net v2 (training not recorded)" in [row["system"] for row in read["rows"]]
    assert (folders / "out" / "losses.png").exists()


@pytest.mark.parametrize(
    ("change", "reached"), [(0.0, True), (0.019, True), (-0.019, True), (0.021, False), (-0.03, False)]
)
def test_a_plateau_is_two_quarters_within_two_percent(change: float, reached: bool) -> None:
    losses = [3.0] * 6 + [1.0] * 3 + [1.0 + change] * 3
    assert TOLERANCE == 0.02
    assert (off_plateau(losses) == "") is reached


def test_short_trainings_and_broken_ones_have_no_plateau() -> None:
    assert "11 epochs" in off_plateau([1.0] * (LEAST_EPOCHS - 1))
    assert off_plateau([]) == "its losses are not recorded"
    assert "no number" in off_plateau([*FLAT[1:], float("nan")])
    assert off_plateau([0.0] * LEAST_EPOCHS) == ""


def test_an_epoch_that_was_run_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("1,9\n2,5\n2,4\n3,3\n")
    assert read_losses(tmp_path / "losses.csv") == (9.0, 4.0, 3.0)
    (tmp_path / "losses.csv").write_text("epoch,loss\n")
    with pytest.raises(MammogramError, match="Expected lines of epoch,loss"):
        read_losses(tmp_path / "losses.csv")


def test_weights_of_folds_share_a_record_and_have_losses_of_their_own(tmp_path: Path) -> None:
    for exam, losses in (("a", FLAT), ("b", [2.0, 1.0])):
        (tmp_path / f"{exam}.pt").write_bytes(exam.encode())
        write_record(tmp_path / f"{exam}.pt", Seen(patients=frozenset({f"not {exam}"})), losses=f"{exam}.csv")
        (tmp_path / f"{exam}.csv").write_text("".join(f"{n},{loss}\n" for n, loss in enumerate(losses)))
    folders = Folders(tmp_path, tmp_path, tmp_path)
    assert status_of(REGISTRY["segmentor"], folders, ["a"]).word == ""
    assert status_of(REGISTRY["segmentor"], folders, ["a", "b"]).word == NOT_CONVERGED
    # The weights of fold a have seen everything but a: they may be tested on it, and on nothing that they saw.
    real = dataset("real", Seen(patients=frozenset({"a"})))
    part = Dataset("real", (Part("a", real.parts[0].items),))
    refuse_training_overlap([REGISTRY["segmentor"]], folders, [part])
    write_record(tmp_path / "a.pt", Seen(patients=frozenset({"a"})), losses="a.csv")
    with pytest.raises(MammogramError, match=r"\(real, exam a\), got patient or exam with SHA-256 a in both"):
        refuse_training_overlap([REGISTRY["segmentor"]], folders, [part])


# Training.


def test_a_training_knows_what_it_saw(tmp_path: Path) -> None:
    labelled(tmp_path / "normals", [1, 2], prefix="exam")
    seen = seen_in_training(REGISTRY["segai"], str(tmp_path / "normals"))
    assert seen.patients == digests_of(["exam1", "exam2"])
    assert ("phantom", 0, 24) in seen.seeds
    test = labelled_items(tmp_path / "normals", "test", spacing_mm=0.1)
    assert seen.overlap(all_seen(test)).startswith("the image")
    assert seen_in_training(REGISTRY["segai"], "").overlap(all_seen(test)) == ""


def test_names_of_patients_stay_out_of_records_and_lines(tmp_path: Path) -> None:
    labelled(tmp_path / "normals", [1, 2], prefix="SECRET^PATIENT_")
    labelled(tmp_path / "test", [3], prefix="SECRET^PATIENT_")
    (tmp_path / "test" / "patients.csv").write_text("image,patient\nSECRET^PATIENT_3.png,SECRET^PATIENT\n")
    seen = seen_in_training(REGISTRY["segai"], str(tmp_path / "normals"), exclude=["SECRET^PATIENT_2"])
    weights = recorded(tmp_path, "segai", seen)
    assert "SECRET" not in (weights.parent / "training.json").read_text()
    tested = Dataset("set", (Part("", labelled_items(tmp_path / "test", "set", spacing_mm=0.1)),))
    with pytest.raises(MammogramError, match=r"got patient or exam with SHA-256 [0-9a-f]{8} in both") as told:
        refuse_training_overlap([REGISTRY["segai"]], Folders(tmp_path), [tested])
    assert "SECRET" not in str(told.value)


def test_recording_and_strange_weights(tmp_path: Path) -> None:
    weights = tmp_path / "runs" / "segai" / "model.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"some")
    runs = ["--weights-dir", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match=r"error: .*Expected weights of this training, got others"):
        train_main(["segai", *runs])
    train_main(["segai", "--record", str(weights)])
    training = training_of(weights)
    assert training is not None
    assert training.seen == seen_in_training(REGISTRY["segai"], "")
    with pytest.raises(SystemExit, match="error: nnunet: Expected a system with a config"):
        train_main(["nnunet", *runs])
    with pytest.raises(SystemExit, match="error: --record: Expected a file of weights or a folder"):
        train_main(["segai", "--record", str(tmp_path / "nothing.pt")])


def test_a_training_that_is_recorded_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    weights = recorded(tmp_path, "segai", seen_in_training(REGISTRY["segai"], ""))
    write_record(weights, seen_in_training(REGISTRY["segai"], ""), options={"epochs": None})
    train_main(["segai", "--weights-dir", str(tmp_path)])
    assert "is there already" in capsys.readouterr().out


def test_our_segmentor_on_phantoms_alone_is_trained_as_the_shipped_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def run(words: list[str], **_: Any) -> None:
        options = dict(zip(words[5::2], words[6::2], strict=True))
        begun.append(options.get("--initial_weights", ""))
        assert "--dataset_dir" not in options
        output = Path(options["--output_dir"])
        output.mkdir(parents=True)
        (output / "model.pt").write_text(output.name)
        (output / "losses.csv").write_text("".join(f"{epoch},1.0\n" for epoch in range(1, 13)))

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        train_main(["segmentor-phantoms", "--weights-dir", str(tmp_path), "--normals", str(tmp_path)])
    weights = tmp_path / "segmentor" / "model.pt"
    assert begun == ["", str(tmp_path / "segmentor" / "warm" / "model.pt")]
    assert weights.read_text() == "base"
    training = training_of(weights)
    assert training is not None
    assert training.seen == seen_in_training(REGISTRY["segai"], "")
    assert status_of(REGISTRY["segmentor-phantoms"], Folders(tmp_path)) == Status()


def test_published_weights_are_half_as_large_and_keep_their_record(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    entry, folder = REGISTRY["segai"], tmp_path / "published"
    published = ["segai", "--weights-dir", str(tmp_path), "--publish", str(folder)]
    with pytest.raises(SystemExit, match=r"error: .*Expected weights and their record, got none"):
        train_main(published)
    seen = seen_in_training(entry, "")
    generator = torch.Generator().manual_seed(0)
    full = {"conv.weight": torch.rand(8, 4, 3, 3, generator=generator), "norm.running_var": torch.tensor([1e-9, 1e9])}
    weights = recorded(tmp_path, "segai", seen)
    torch.save(full, weights)
    write_record(weights, seen, options={"epochs": 12})
    train_main(published)
    target = folder / "segai" / "model.pt"
    assert capsys.readouterr().out.strip() == str(target)
    read = torch.load(target, weights_only=True)
    assert read["conv.weight"].dtype == torch.float16
    torch.testing.assert_close(read["conv.weight"].float(), full["conv.weight"], rtol=1e-3, atol=1e-6)
    assert torch.equal(read["norm.running_var"], full["norm.running_var"])
    assert training_of(target) == training_of(weights)
    assert status_of(entry, Folders(folder)).word == ""


def test_a_training_that_was_killed_is_gone_on_with_by_the_same_command_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, seen = REGISTRY["segai"], seen_in_training(REGISTRY["segai"], "")
    weights, other = tmp_path / entry.weights[0].folder / "model.pt", Seen(patients=frozenset({"p"}))

    def killed(words: list[str], **_: Any) -> Any:
        weights.parent.mkdir(exist_ok=True)
        weights.write_bytes(b"whole")
        raise KeyboardInterrupt

    def failed(words: list[str], **_: Any) -> Any:
        raise subprocess.CalledProcessError(-9, words)

    monkeypatch.setattr(subprocess, "run", failed)
    with pytest.raises(MammogramError, match="got status -9"):
        train_system(entry, entry.weights[0], tmp_path, {}, seen)
    with pytest.raises(MammogramError, match="Expected the training that was begun there"):
        train_system(entry, entry.weights[0], tmp_path, {}, other)
    # The training ends, and its command dies before it has written the record.
    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        train_system(entry, entry.weights[0], tmp_path, {}, seen)
    with pytest.raises(MammogramError, match="Expected weights of this training, got others"):
        train_system(entry, entry.weights[0], tmp_path, {}, other)
    assert training_of(weights) is None
    train_system(entry, entry.weights[0], tmp_path, {}, seen)
    training = training_of(weights)
    assert training is not None
    assert training.seen == seen
    assert {path.name for path in weights.parent.iterdir()} == {"model.pt", "training.json"}


@pytest.mark.slow
def test_a_comparison_killed_at_any_file_has_the_same_table(folders: Path) -> None:
    chosen = words(folders)
    rng = random.Random(0)
    # The comparison brings some twelve files to their place: choices, records, the page.
    kills = ["before", rng.randint(1, 2)], ["after", rng.randint(1, 3)], ["before", rng.randint(2, 4)]
    runs = [{"words": chosen, "kill": kill} for kill in kills] + [{"words": chosen}]
    whole = [*chosen[:-1], str(folders / "whole")]
    assert _killed([*runs, {"words": whole}]) == [-9, -9, -9, 0, 0]
    assert (folders / "out" / "table.csv").read_bytes() == (folders / "whole" / "table.csv").read_bytes()
    # What a killed run was writing stays under a hidden name, which nothing reads.
    roots = [folders / run / "records" for run in ("out", "whole")]
    found = [{path.relative_to(root): path.read_bytes() for path in root.rglob("[!.]*.json")} for root in roots]
    records, others = found
    assert records == others
    assert len(records) == 8


def _killed(runs: list[dict[str, Any]]) -> list[int]:
    """Status of each run of the comparison."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.scripts.killed_comparisons"],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=json.dumps(runs),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_training_is_the_documented_command(tmp_path: Path) -> None:
    said = " ".join(training_words(("train_segai",), tmp_path, {"epochs": 3}))
    assert "--config_file ['configs/train.yaml', 'configs/train_segai.yaml']" in said
    assert "--epochs 3" in said


# Parts.


def test_every_entry_has_a_name_of_its_own_and_configs_that_exist() -> None:
    assert [entry.name for entry in entries_of(["all"])] == list(REGISTRY)
    assert len({entry.title for entry in REGISTRY.values()}) == len(REGISTRY)
    configs = {name for entry in REGISTRY.values() if entry.built for part in entry.weights for name in part.configs}
    root = Path(__file__).resolve().parents[2] / "configs"
    assert all((root / f"{name}.yaml").exists() for name in configs)


@pytest.mark.parametrize("name", [e.name for e in REGISTRY.values() if e.kind == "trained" and e.built])
def test_a_trained_system_runs_from_its_weights(name: str, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2] / "configs"
    entry = REGISTRY[name]
    for part in entry.weights:
        parser = ConfigParser()
        parser.read_config([str(root / f"{config}.yaml") for config in ("train", *part.configs)])
        network = parser.get_parsed_content("network_def")
        (tmp_path / part.folder).mkdir()
        torch.save(network.state_dict(), tmp_path / part.folder / "model.pt")
    detector = {"difference-of-gaussians": (("inner_mm", 0.1), ("outer_mm", 0.3), ("threshold", 0.01))}
    parameters = detector.get(entry.signal, (("diameter_mm", 0.5), ("threshold", 0.1)) if entry.signal else ())
    recipe = Recipe(name, tuple(map(str, Folders(tmp_path).of(entry))), parameters)
    image, _ = view(0, dots=4)
    shown = np.where(image > 0, image / 128.0 - 0.99, -1).astype(np.float32)
    logits = recipe({"image": shown, "spacing_mm": (0.1, 0.1), "breast": shown > -1})
    assert logits.shape == shown.shape
    assert np.isfinite(logits).all()
    assert recipe.system().keep


def test_our_own_systems_run_with_the_weights_they_are_given(tmp_path: Path) -> None:
    segmentor, _, network = shipped_inferers(None, refine=False)
    image, _ = view(0, dots=4)
    shown = {"image": np.where(image > 0, image / 128.0 - 0.99, -1).astype(np.float32), "spacing_mm": (0.1, 0.1)}
    own = Recipe("segmentor", tuple(map(str, Folders(tmp_path).of(REGISTRY["segmentor"]))))
    segmentor.progress = False
    expected = segmentor(torch.from_numpy(shown["image"])[None, None], network)[0, 0]
    np.testing.assert_array_equal(own(shown), expected.numpy())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    fold = Folders(tmp_path, folds=tmp_path).of(REGISTRY["segmentor"], "a")
    other = Recipe("segmentor", tuple(map(str, fold)))
    assert np.ptp(other(shown)[shown["image"] > -1]) == 0
    assert other.system().settings != own.system().settings
    refined = [
        Recipe("ttgpr", (str(path), own.weights[0].replace("model.pt", "generator_ema.pt")))
        for path in (own.weights[0], tmp_path / "a.pt")
    ]
    assert refined[0].system().settings != refined[1].system().settings
    with pytest.raises(MammogramError, match=r"nothing\.pt: Expected weights of this system"):
        Recipe("segmentor", (str(tmp_path / "nothing.pt"),)).system()


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_every_detector_has_a_grid_and_is_tuned_to_find_dots(name: str) -> None:
    views = []
    for seed in range(2):
        image, label = view(seed, dots=5)
        shown = np.where(image > 0, image / 128.0 - 0.99, -1).astype(np.float32)
        views.append({"image": shown, "label": label.astype(np.uint8), "spacing_mm": (0.1, 0.1), "breast": shown > -1})
    tuned = tune_classical(CLASSICAL[name], views)
    assert len(tuned.trials) == np.prod([len(values) for values in GRIDS[CLASSICAL[name]].values()])
    assert tuned.f2 > 0.6


def test_a_trial_takes_calcified_and_clean_views_of_every_part() -> None:
    def items(exam: str) -> tuple[Item, ...]:
        return tuple(
            Item(Case(f"{exam}{n}", exam, "real", "", dict), n % 4 == 0, f"{exam}{n // 4}", Seen()) for n in range(8)
        )

    whole = Dataset("real", (Part("a", items("a")), Part("b", items("b"))), {"a": items("a"), "b": items("b")})
    part = trial(whole, 4)
    assert part.name == "real (trial of 4 cases)"
    assert [sum(item.clean for item in one.items) for one in part.parts] == [1, 1]
    assert [len(one.items) for one in part.parts] == [2, 2]
    assert {name: len(members) for name, members in part.tuning.items()} == {"a": 2, "b": 2}
    assert trial(whole, None) is whole
    assert [len(group) for group in by_file(whole.items)] == [4, 4, 4, 4]
    # Without clean views a trial is filled with others.
    assert len(some([item for item in whole.items if not item.clean], 4)) == 4


def threads_and(number: int) -> tuple[int, int]:
    return torch.get_num_threads(), number


def test_tasks_have_one_thread_and_give_their_results_in_order() -> None:
    before = torch.get_num_threads()
    with Crew(1) as crew:
        assert crew.run([partial(threads_and, n) for n in range(3)], what="x", unit="x") == [(1, 0), (1, 1), (1, 2)]
    assert torch.get_num_threads() == before

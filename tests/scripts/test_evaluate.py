"""The command on small phantoms, as a new user types it."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from bundle.data import phantom_datalist, phantom_seed
from bundle.inferers import AugmentedInferer
from scripts.evaluate import main, overrides, parse
from scripts.shipped import augmented_inferer, company_inferer

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 32.0, "view": "CC"}
SYSTEMS = "top-hat,high-pass"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calcified views and a clean one, each with its label beside it."""
    folder = tmp_path_factory.mktemp("phantoms")
    phantom_datalist(folder, count=2, first_seed=phantom_seed("tune", 60), **SMALL)
    phantom_datalist(folder, count=1, first_seed=phantom_seed("tune", 70), calcified=False, **SMALL)
    return folder


def _arguments(folder: Path, out: Path, *more: str, masks: Path | None = None) -> list[str]:
    return ["--images", str(folder), "--masks", str(masks or folder), "--output-dir", str(out), *more]


def _table(out: Path) -> dict[tuple[str, str], float]:
    with (out / "table.csv").open(newline="") as file:
        return {(row["system"], row["metric"]): float(row["value"] or "nan") for row in csv.DictReader(file)}


def test_a_folder_becomes_a_report_and_a_second_run_repeats_it(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = _arguments(phantoms, tmp_path, "--systems", SYSTEMS, "--reference", "top-hat")
    main(command)
    assert "3 views of 3 patients (each view its own); truth: 1 clean, 2 mask" in capsys.readouterr().out
    table = _table(tmp_path)
    assert {system for system, _ in table} == set(SYSTEMS.split(","))
    assert 0 < table["top-hat", "dice"] <= 1
    written = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".csv", ".md", ".html", ".png")
    }
    assert {path.suffix for path in written} == {".csv", ".md", ".html", ".png"}
    records = {path: path.stat().st_mtime_ns for path in tmp_path.glob("records/**/*.json")}
    assert len(records) == 6
    main(command)
    assert {path: path.stat().st_mtime_ns for path in records} == records
    assert {path: path.read_bytes() for path in written} == written


def test_pixel_counts_are_those_of_the_predicted_masks(phantoms: Path, tmp_path: Path) -> None:
    main(_arguments(phantoms, tmp_path, "--systems", "high-pass", "--region", "image"))
    for path in tmp_path.glob("records/**/*.json"):
        record = json.loads(path.read_text())["record"]
        pred = np.asarray(Image.open(next(tmp_path.glob(f"predictions/**/{path.stem}.png")))) > 0
        label = np.asarray(Image.open(phantoms / f"{record['case']}_label.png"))
        assert record["pixels"]["tp"] == np.count_nonzero(pred & (label == 1))
        assert record["pixels"]["fp"] == np.count_nonzero(pred & (label == 0))


def test_wrong_files_and_options_are_named_before_anything_is_written(phantoms: Path, tmp_path: Path) -> None:
    masks, images = tmp_path / "masks", tmp_path / "images"
    masks.mkdir(), images.mkdir()
    views = sorted(phantoms.glob("*.dcm"))
    for view in views:
        (images / view.name).write_bytes(view.read_bytes())
    Image.fromarray(np.zeros((320, 400), np.uint8)).save(masks / f"{views[0].stem}.png")
    Image.fromarray(np.full((400, 320), 7, np.uint8)).save(masks / f"{views[1].stem}.png")
    (images / "text.dcm").write_text("no view")
    arguments = _arguments(images, tmp_path / "out", "--threshold", "2", "--systems", "best", masks=masks)
    with pytest.raises(SystemExit) as status:
        main(arguments)
    *lines, last = str(status.value.code).splitlines()
    assert last == "7 problems; nothing was run, nothing was written"
    assert all(line.startswith("error: ") and "Expected" in line for line in lines)
    text = "\n".join(lines)
    systems = "segmentor, augmentation, company, evidence, ttgpr, top-hat, difference-of-gaussians, hdog, high-pass"
    assert f"among {systems}, got 'best'" in text
    said = ("transpose it", "got 7", "text.dcm", f"{views[2].name}: Expected a mask", "--threshold", "--systems")
    assert [text.count(word) for word in said] == [1, 1, 2, 1, 1, 1]
    assert not (tmp_path / "out").exists()


def test_a_spacing_that_contradicts_the_files_is_named(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)0\.1 x 0\.1 mm, got 0\.07 x 0\.07 mm.*3 problems"):
        main(_arguments(phantoms, tmp_path / "out", "--systems", "top-hat", "--spacing-mm", "0.07"))


@pytest.mark.parametrize(
    ("option", "value"), [("--spacing-mm", "-1"), ("--images", "nowhere"), ("--format", "jpeg"), ("--systems", "best")]
)
def test_a_wrong_option_is_one_line(phantoms: Path, tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(SystemExit) as status:
        main([*_arguments(phantoms, tmp_path / "out", "--systems", "top-hat"), option, value])
    errors = [line for line in str(status.value.code).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Expected" in errors[0]


def test_every_option_is_an_id_of_the_config() -> None:
    ids = ConfigParser.load_config_file(str(ROOT / "configs" / "evaluate.yaml"))
    options = overrides(parse(_arguments(Path("i"), Path("o"))))
    assert set(options) <= set(ids)
    for key in ("threshold", "region", "format", "systems", "reference", "name", "preset", "overrides", "voi"):
        assert options[key] == ids[key], key


def test_a_method_is_the_only_system_and_comes_with_its_settings() -> None:
    words = _arguments(
        Path("i"), Path("o"), "--method", "ttgpr", "--overrides", "{iterations: 2, seeds_complete: true}"
    )
    options = overrides(parse(words))
    assert options["systems"] == "ttgpr"
    assert options["overrides"] == {"iterations": 2, "seeds_complete": True}
    assert "method" not in options


@pytest.mark.parametrize(
    "words", [("--method", "hdog"), ("--method", "ttgpr", "--systems", "hdog"), ("--overrides", "2")]
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse(_arguments(Path("i"), Path("o"), *words))
    assert "argument --" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "inferer"),
    [
        ("segmentor", "WindowedInferer"),
        ("augmentation", "AugmentedInferer"),
        ("company", "EvidenceInferer"),
        ("evidence", "EvidenceInferer"),
        ("ttgpr", "TTGPRInferer"),
    ],
)
def test_each_method_is_judged_by_the_inferer_it_has_in_inference(method: str, inferer: str) -> None:
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "evaluate.yaml"))
    parser.update({"bundle_root": str(ROOT), **overrides(parse(_arguments(ROOT, ROOT, "--method", method)))})
    system = parser.get_parsed_content(f"available::{method}")
    assert type(system.inferer).__name__ == inferer
    if method == "company":
        shipped = company_inferer(augmented_inferer())
        assert system.inferer.settings == shipped.settings
        assert isinstance(system.inferer.first_pass, AugmentedInferer)
    if method == "augmentation":
        shipped = augmented_inferer()
        assert (system.inferer.augmentations, system.inferer.gate_threshold) == (8, shipped.gate_threshold)
        assert system.inferer.augmentations == shipped.augmentations


def test_it_builds_the_networks_and_views_of_inference() -> None:
    evaluate, inference = (
        ConfigParser.load_config_file(str(ROOT / "configs" / f"{name}.yaml")) for name in ("evaluate", "inference")
    )
    same = ("network_def", "generator_def", "preprocessing", "precision", "window_px", "segmentor_inferer")
    for key in (*same, "evidence_settings"):
        assert evaluate[key] == inference[key], key


@pytest.mark.train
@pytest.mark.slow
def test_the_bundle_s_command_with_tracking_logs_all_and_names_no_case(phantoms: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    command = [sys.executable, "-m", "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.yaml"]
    command += ["--images", str(phantoms), "--masks", str(phantoms), "--output_dir", str(tmp_path / "out")]
    command += ["--systems", "segmentor,top-hat", "--tracking", "mlflow"]
    # MLflow exports the store of earlier tests to the processes that follow.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    client = MlflowClient(f"sqlite:///{tmp_path / 'out' / 'mlruns.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("MC-GenRef").experiment_id])
    assert run.info.status == "FINISHED"
    assert "segmentor" in run.data.params["systems"]
    assert run.data.metrics["evaluation/top-hat/dice"] == _table(tmp_path / "out")["top-hat", "dice"]
    artifacts = {Path(item.path).suffix for item in client.list_artifacts(run.info.run_id, "report")}
    assert artifacts == {".csv", ".md", ".json", ".html", ".png"}
    logged = [path for path in (tmp_path / "out").glob("mlruns*/**/*") if path.is_file()]
    for path in (*logged, tmp_path / "out" / "mlruns.db"):
        assert not re.search(rb"phantom_\d+_", path.read_bytes()), path
        assert str(phantoms).encode() not in path.read_bytes(), path

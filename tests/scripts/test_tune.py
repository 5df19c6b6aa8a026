"""The command that tunes on a labelled folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from bundle.data import phantom_datalist, phantom_seed
from bundle.engines.tuning import check_tuning
from bundle.functional.refinement_settings import preset
from scripts.tune import main, overrides, parse, told

ROOT = Path(__file__).resolve().parents[2]
SMALL: dict[str, Any] = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 32.0, "view": "CC"}


def _config(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(ROOT / "configs" / f"{name}.yaml"))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calcified view and a clean one, each with its label beside it."""
    folder = tmp_path_factory.mktemp("phantoms")
    phantom_datalist(folder, count=1, first_seed=phantom_seed("tune", 60), **SMALL)
    phantom_datalist(folder, count=1, first_seed=phantom_seed("tune", 70), calcified=False, **SMALL)
    return folder


def test_every_option_is_an_id_of_the_config() -> None:
    ids, options = _config("tune"), overrides(parse(["--images", "i", "--masks", "m"]))
    assert set(options) <= set(ids)
    for key in (
        "trials",
        "seed",
        "workers",
        "min_precision",
        "preset",
        "storage",
        "region",
        "format",
        "voi",
        "log_to_mlflow",
    ):
        assert options[key] == ids[key], key


def test_it_tunes_the_networks_and_views_of_inference() -> None:
    tuned, inference = _config("tune"), _config("inference")
    for key in ("network_def", "generator_def", "preprocessing", "precision", "window_px", "sw_batch_size"):
        assert tuned[key] == inference[key], key
    plain = {key: value for key, value in inference["refined_inferer"].items() if key in tuned["inferer"]}
    assert tuned["inferer"] == plain


@pytest.mark.parametrize("name", ["default", "paper"])
def test_the_space_of_the_config_is_one_of_settings(name: str) -> None:
    space = _config("tune")["space"]
    check_tuning(space, trials=1, min_precision=None, base=preset(name))
    assert {"iterations", "t_start", "t_end", "w_tversky", "w_stabilisation", "w_edge", "beta", "eta", "rho"} < set(
        space
    )


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--images", "nowhere", "Expected an existing file or folder"),
        ("--region", "lobe", "Expected breast, image or roi:FOLDER"),
        ("--spacing-mm", "-1", "spacing"),
    ],
)
def test_a_wrong_option_is_one_line(phantoms: Path, tmp_path: Path, option: str, value: str, line: str) -> None:
    words = ["--images", str(phantoms), "--masks", str(phantoms), "--output-dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match=line) as status:
        main([*words, option, value])
    assert len([one for one in str(status.value.code).splitlines() if one.startswith("error: ")]) == 1
    assert not (tmp_path / "out").exists()


def test_the_result_is_told_beside_the_segmentor_alone(tmp_path: Path) -> None:
    figures = {"f2": 0.75, "recall": 0.8, "precision": 0.6, "fp_per_cm2": 0.25}
    alone = {"at 0.5": {**figures, "f2": 0.7}, "at its best threshold": None}
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"figures": figures, "threshold": 0.4, "segmentor": alone}))
    lines = told(path).splitlines()
    assert [line.split("F2 ")[1][:5] for line in lines[:-1]] == ["0.750", "0.700"]
    assert f"--settings {path}" in lines[-1]


@pytest.mark.train
@pytest.mark.slow
def test_the_bundle_s_command_tunes_and_segment_takes_the_result(phantoms: Path, tmp_path: Path) -> None:
    words = ["--config_file", "configs/tune.yaml", "--images", str(phantoms), "--masks", str(phantoms)]
    words += ["--output_dir", str(tmp_path), "--trials", "3", "--min_precision", "0", "--workers", "2"]
    words += ["--space", "{iterations: {low: 0, high: 1}, threshold_logit: {low: -2.0, high: 0.5}}"]
    _run("-m", "monai.bundle", "run", "tuning", *words)
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["trials"] == 3
    assert not list(tmp_path.glob("worker_*.log"))
    view = next(phantoms.glob("*.dcm"))
    _run("-m", "scripts.segment", str(view), "--output-dir", str(tmp_path), "--settings", str(tmp_path / "best.json"))
    findings = json.loads((tmp_path / f"{view.stem}_findings.json").read_text())
    assert findings["threshold"] == pytest.approx(best["threshold"])


def _run(*words: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]

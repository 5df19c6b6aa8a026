"""Every config runs as its opening comment says, from another folder; also one that is added later.

The folder is asked, not a list: configs, entry and options are read off the COMMAND in the comment. All runs share one
process, which sees nothing of this checkout but `--bundle_root`.
"""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from monai.bundle import ConfigParser

from bundle.data import phantom_datalist
from bundle.networks.weights_file import read_weights

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
COMMAND = re.compile(r'-m monai\.bundle run(?: (\w+))? --config_file (?:"(\[.+?\])"|(\S+))')
SMALL_PHANTOM = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}
# What a run is made short by, wherever a config has such an id.
SHORT: dict[str, Any] = {
    **{"epochs": 1, "iterations_per_epoch": 1, "batch_size": 2, "window_px": 64, "num_workers": 0, "val_interval": 100},
    **{"phantom_count": 0, "ceiling_count": 1, "inpainter_weights": "", "device": "cpu"},
    **{
        "systems": "segmentor,top-hat",
        "trials": 1,
        "overrides": {"iterations": 1, "gate_threshold": 0.5},
        "min_precision": 0.0,
    },
    **{"space": {"threshold_logit": {"low": -1.0, "high": 1.0}}},
}
PRESETS = ("fast", "paper")
# Runs one config after the other and writes what became of each.
RUN_ALL = """
import json, os, sys, traceback
from monai.bundle import run
from monai.utils import set_determinism
with open(sys.argv[1]) as file:
    runs = json.load(file)
told = {}
for name, options in runs.items():
    try:
        assert not any(os.path.exists(os.path.join(path or ".", "bundle", "inferers")) for path in sys.path), sys.path
        run(**options)
        told[name] = ""
    except (Exception, SystemExit):
        told[name] = traceback.format_exc()
    sys.path[:] = [path for path in sys.path if path != options["bundle_root"]]
    set_determinism(None)
    with open(sys.argv[2], "w") as file:
        json.dump(told, file)
"""


class Command(NamedTuple):
    """A command of an opening comment: launcher, entry and the configs that are laid over one another."""

    launcher: str
    entry: str
    files: tuple[str, ...]


def _opening(name: str) -> str:
    return (CONFIGS / f"{name}.yaml").read_text().split("\n\n")[0]


def _command(name: str) -> Command:
    """The first COMMAND of a config."""
    line = next(line for line in _opening(name).splitlines() if "# COMMAND" in line)
    found = COMMAND.search(line)
    assert found, line
    files = ast.literal_eval(found[2]) if found[2] else [found[3]]
    return Command(line.split()[2], found[1] or "run", tuple(files))


def _merged(command: Command) -> ConfigParser:
    return ConfigParser(ConfigParser.load_config_files([str(ROOT / file) for file in command.files]))


def _launched(name: str) -> list[Command]:
    """The command of a config, and the same on the other config that the comment names."""
    command = _command(name)
    others = re.findall(r"\(or (configs/\w+\.yaml) in its place\)", _opening(name))
    return [command, *(command._replace(files=(other, *command.files[1:])) for other in others)]


# As texts.


@pytest.mark.parametrize("name", NAMES)
def test_the_command_lays_over_one_another_what_exists_and_ends_with_the_config_itself(name: str) -> None:
    for command in _launched(name):
        assert all((ROOT / file).is_file() for file in command.files)
        assert command.files[-1] == f"configs/{name}.yaml"
        assert len(set(command.files)) == len(command.files)
        assert command.entry in _merged(command)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_that_the_comment_names_is_one(name: str) -> None:
    text = " ".join(line for line in _opening(name).splitlines() if "scripts." not in line)
    options = set(re.findall(r"--(\w+)", text)) - {"config_file", "tracking", "standalone", "nproc_per_node"}
    ids = {
        id for file in re.findall(r"configs/\w+\.yaml", text) for id in ConfigParser.load_config_file(str(ROOT / file))
    }
    assert options <= ids


@pytest.mark.parametrize("name", NAMES)
def test_scripts_that_the_comment_names_exist(name: str) -> None:
    for script in re.findall(r"-m (scripts\.\w+)", _opening(name)):
        assert find_spec(script), script


@pytest.mark.parametrize("name", NAMES)
def test_cost_and_result_are_told(name: str) -> None:
    for word in ("COST", "RESULT"):
        (told,) = re.findall(rf"^# {word} +(.+)$", _opening(name), flags=re.MULTILINE)
        assert len(told.split()) > 3, told


# As commands.


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A clean view, a calcified one with its mask, and room."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("normals", "labelled", "phantoms", "elsewhere")}
    phantom_datalist(made["normals"], count=1, first_seed=7, calcified=False, **SMALL_PHANTOM)
    phantom_datalist(made["labelled"], count=1, first_seed=9, **SMALL_PHANTOM)
    return {name: str(path) for name, path in made.items()}


def _options(command: Command, folders: dict[str, str], output: Path, **more: Any) -> dict[str, Any]:
    """Keywords of `monai.bundle.run`: what the command line makes of its options."""
    parser = _merged(command)
    data = folders["labelled"] if {"masks", "masks_dir"} & set(parser.config) else folders["normals"]
    ids = {**SHORT, "phantom_dir": folders["phantoms"], "dataset_dir": data, "masks_dir": data, "images": data}
    ids |= {"masks": data, "input": data, "ceiling_dir": folders["phantoms"], "output_dir": str(output), **more}
    options = {key: value for key, value in ids.items() if key in parser}
    if "validate" in parser:
        options |= {f"validate#files#{key}": value for key, value in {**SMALL_PHANTOM, "count": 1}.items()}
    files = [str(ROOT / file) for file in command.files]
    return {"run_id": command.entry, "config_file": files, "bundle_root": str(ROOT), **options}


def _runs() -> dict[str, tuple[Command, dict[str, Any]]]:
    """Every command of every config that one process can run, by a name."""
    found: dict[str, tuple[Command, dict[str, Any]]] = {}
    for name in NAMES:
        for command in _launched(name):
            if command.launcher != "torchrun":
                found[f"{name} {Path(command.files[0]).stem}"] = command, {}
    for preset in PRESETS:
        found[f"inference {preset}"] = _command("inference"), {"method": "ttgpr", "preset": preset}
    return found


RUNS = _runs()


@pytest.fixture(scope="module")
def told(folders: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of every run: "" or a traceback."""
    elsewhere, results = Path(folders["elsewhere"]), tmp_path_factory.mktemp("results")
    runs = {
        name: _options(command, folders, results / name.replace(" ", "_"), **more)
        for name, (command, more) in RUNS.items()
        if "hdogreg_published" not in name or find_spec("timm")
    }
    (results / "runs.json").write_text(json.dumps(runs))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN_ALL, str(results / "runs.json"), str(results / "told.json")]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=1800)
    assert (results / "told.json").exists(), done.stderr[-3000:]
    # Nothing is left where it was started.
    assert list(elsewhere.iterdir()) == []
    return json.loads((results / "told.json").read_text()) | {"results": str(results)}


def test_what_torchrun_starts_is_run_by_the_tests_of_several_processes() -> None:
    launched = {name for name in NAMES if _command(name).launcher == "torchrun"}
    assert launched == {"multi_gpu_train"}
    assert "multi_gpu_train" in (ROOT / "tests" / "engines" / "test_ranks.py").read_text()


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("name", RUNS)
def test_it_runs_from_another_folder_and_leaves_what_the_comment_says(name: str, told: dict[str, str]) -> None:
    if name not in told:
        pytest.skip("needs timm")
    assert told[name] == ""
    output = Path(told["results"]) / name.replace(" ", "_")
    assert any(output.iterdir())
    for pattern in re.findall(r"\b(?:OUTPUT_DIR|OUT)/([\w.*]+)", _opening(name.split()[0])):
        assert list(output.glob(pattern)), pattern
    for path in output.glob("*.pt"):
        assert all(value.isfinite().all() for value in read_weights(path).values()), path.name

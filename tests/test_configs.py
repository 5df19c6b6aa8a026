"""The configs as MONAI's hosts meet them: properties, references, targets, networks, overrides, one real run each."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np
import pytest
import torch
from fire.parser import DefaultParseValue
from monai.bundle import ConfigComponent, ConfigParser, ConfigWorkflow, ReferenceResolver, create_workflow
from monai.utils import set_determinism

from bundle.data import phantom_datalist

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
TRAININGS = ("train", "train_generator")
NAMES = (*TRAININGS, "inference", "evaluate", "tune")
# What is laid over one of these, as the second of a list. Compared systems go over `train` alone and have own tests.
COMPARED = {path.stem for path in CONFIGS.glob("train_*.yaml")} - set(TRAININGS)
OVERLAYS = tuple(path.stem for path in sorted(CONFIGS.glob("*.yaml")) if path.stem not in {*NAMES, *COMPARED})
# Where MONAI, its Label server and the model zoo enter a config.
ENTRIES = ("initialize", "run", "training", "evaluate", "tuning", "finalize")
# What MONAI reads off a config by name for `--tracking`.
TRACKING = ("tracking_uri", "experiment_name", "run_name", "save_execute_config")
# Sections of a config, which hold ids of their own.
SECTIONS = ("train", "validate")
# A small phantom that still has room for a breast.
SMALL_PHANTOM = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}


def _raw(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml"))


def _components(config: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary with a `_target_`, wherever it lies."""
    if isinstance(config, dict) and "_target_" in config:
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _components(value)


def _unreachable(config: dict[str, Any]) -> set[str]:
    """Ids of the top level and of the sections that no entry leads to: MONAI would ignore a change of them silently."""
    parser, seen, waiting = ConfigParser(config), set(), [entry for entry in ENTRIES if entry in config]
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += ReferenceResolver.find_refs_in_config(parser[found], found)
    ids = {key for key in config if key not in (*SECTIONS, *TRACKING, ConfigParser.meta_key)}
    ids |= {f"{section}::{key}" for section in SECTIONS if section in config for key in config[section]}
    return {id for id in ids if not any(f"{found}::".startswith(f"{id}::") for found in seen)}


# As texts.


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_opening_comment_tells_command_cost_and_result(path: Path) -> None:
    opening = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in opening.splitlines())
    for word in ("COMMAND", "COST", "RESULT"):
        assert f"# {word} " in opening, word


def test_an_id_that_nothing_uses_is_found_out() -> None:
    config = {"run": "$@train::loop + @a", "a": "@b", "b": {"c": 1}, "bb": 2, "train": {"loop": "@d::e", "lop": 3}}
    config |= {"d": {"e": 4}, "misspelt": "@misspelled", "misspelled": 5}
    assert _unreachable(config) == {"bb", "train::lop", "misspelt", "misspelled"}


@pytest.mark.parametrize("name", NAMES)
def test_every_id_is_used(name: str) -> None:
    assert _unreachable(_raw(name)) == set()


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_changes_what_is_there(name: str, training: str) -> None:
    """MONAI would add a misspelt id of the top level without a word."""
    overlay, base = _raw(name), ConfigParser(_raw(training))
    for key in overlay:
        assert key in base or key in ENTRIES, key
    merged = ConfigParser.load_config_files([str(CONFIGS / f"{training}.yaml"), str(CONFIGS / f"{name}.yaml")])
    assert _unreachable(merged) == set()
    assert isinstance(ConfigParser(merged).get_parsed_content("network_def"), torch.nn.Module)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_exists_and_takes_its_arguments(name: str) -> None:
    for component in _components(_raw(name)):
        target = locate(str(ConfigComponent(component).resolve_module_name()))
        assert callable(target), component["_target_"]
        arguments = {key: None for key in component if key not in ConfigComponent.non_arg_keys}
        try:
            inspect.signature(target).bind_partial(**arguments)
        except TypeError as error:
            pytest.fail(f"{component['_target_']}: {error}")


@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_a_string(name: str) -> None:
    """YAML reads 1e-4 as text."""

    def strings(config: Any) -> Iterator[str]:
        if isinstance(config, str):
            yield config
        for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
            yield from strings(value)

    for text in strings(_raw(name)):
        with pytest.raises(ValueError, match="could not convert"):
            float(text)


# As networks.


def _network(name: str, id: str) -> torch.nn.Module:
    return ConfigParser(_raw(name)).get_parsed_content(id)


@pytest.mark.parametrize(
    ("training", "id"), [("train", "network_def"), ("train_generator", "generator_def")], ids=["segmentor", "generator"]
)
def test_inference_builds_the_network_that_was_trained(training: str, id: str) -> None:
    trained, used = _network(training, "network_def"), _network("inference", id)
    used.load_state_dict(trained.state_dict())
    trained.eval(), used.eval()
    image, t, condition = torch.rand(1, 1, 64, 64), torch.rand(1), torch.rand(1, 2, 64, 64)
    inputs = (image, t, condition) if id == "generator_def" else (image,)
    with torch.no_grad():
        output = used(*inputs)
        assert torch.equal(output, trained(*inputs))
    assert output.shape == image.shape


@pytest.mark.parametrize(("id", "file"), [("network_def", "model.pt"), ("generator_def", "generator_ema.pt")])
def test_shipped_weights_fit_their_network(id: str, file: str) -> None:
    weights = torch.load(ROOT / "models" / file, weights_only=True)
    _network("inference", id).load_state_dict(weights)
    assert all(torch.isfinite(value).all() for value in weights.values())


# As workflows.


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small clean view."""
    folder = tmp_path_factory.mktemp("normals")
    phantom_datalist(folder, count=1, first_seed=7, calcified=False, **SMALL_PHANTOM)
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantoms")


@pytest.fixture(scope="module")
def random_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle root that holds weights nobody trained."""
    root = tmp_path_factory.mktemp("root")
    (root / "models").mkdir()
    for id, file in (("network_def", "model.pt"), ("generator_def", "generator_ema.pt")):
        torch.save(_network("inference", id).state_dict(), root / "models" / file)
    return root


def _small_training(normals: Path, phantoms: Path, output: Path) -> dict[str, Any]:
    """Overrides under which a training is over at once."""
    small = {f"validate::files::{key}": value for key, value in SMALL_PHANTOM.items()}
    return small | {
        **{"bundle_root": str(ROOT), "dataset_dir": str(normals), "phantom_dir": str(phantoms)},
        **{"phantom_count": 0, "validate::files::count": 1, "val_interval": 1, "output_dir": str(output)},
        **{"epochs": 1, "iterations_per_epoch": 2, "batch_size": 1, "window_px": 64, "num_workers": 0},
        **{"network_def::dim": 8},
    }


# MONAI's LoadImaged, which reads the labels, tries every reader it knows.
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_has_what_hosts_ask_for(name: str, normals: Path, phantoms: Path, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        str(CONFIGS / f"{name}.yaml"), workflow_type="train", **_small_training(normals, phantoms, tmp_path)
    )
    try:
        workflow.initialize()
        assert workflow.check_properties() == []
        assert workflow.evaluator is not None
        assert len(workflow.train_dataset_data) == 1
    finally:
        set_determinism(None)
    # MONAI Label runs `run`, people run `training`.
    assert workflow.parser["run"] in ("@training", workflow.parser["training"])


def _inference(root: Path, **overrides: Any) -> ConfigWorkflow:
    workflow = ConfigWorkflow(
        str(CONFIGS / "inference.yaml"), workflow_type="infer", bundle_root=str(root), device="cpu", **overrides
    )
    workflow.initialize()
    return workflow


def test_inference_has_what_hosts_ask_for(random_root: Path, normals: Path) -> None:
    workflow = _inference(random_root, input=str(normals))
    assert workflow.check_properties() == []


@pytest.mark.parametrize("name", ["evaluate", "tune"])
def test_evaluation_and_tuning_have_what_hosts_ask_for(name: str, random_root: Path, normals: Path) -> None:
    """Hosts know two kinds of workflow; these two are of the second."""
    options = {"images": str(normals), "output_dir": str(random_root), "bundle_root": str(random_root), "device": "cpu"}
    workflow = ConfigWorkflow(str(CONFIGS / f"{name}.yaml"), workflow_type="infer", logging_file=False, **options)
    workflow.initialize()
    assert workflow.check_properties() == []


def _typed(**texts: str) -> dict[str, Any]:
    """What the command line makes of options typed as texts."""
    return {key: DefaultParseValue(text) for key, text in texts.items()}


def test_options_arrive_from_the_command_line(random_root: Path, normals: Path, tmp_path: Path) -> None:
    options = _typed(
        input=str(normals),
        output_dir=str(tmp_path),
        method="ttgpr",
        preset="paper",
        overrides="{iterations: 2, k_max: 1}",
    )
    options |= _typed(window_px="64", sw_batch_size="2", precision="float32", threshold="0.3", trace="True")
    parser = _inference(random_root, **options).parser
    inferer = parser.get_parsed_content("inferer")
    assert (inferer.settings.iterations, inferer.settings.k_max, inferer.settings.rho > 2) == (2, 1, True)
    assert (inferer.windowed.window_px, inferer.windowed.sw_batch_size, inferer.windowed.dtype) == (64, 2, "float32")
    assert inferer.trace is True
    saver = parser.get_parsed_content("postprocessing").transforms[0]
    assert (saver.threshold, saver.method, saver.output_dir) == (0.3, "ttgpr", tmp_path)
    assert [Path(item["image"]).parent for item in parser.get_parsed_content("dataset").files()] == [normals]


@pytest.mark.parametrize(
    ("method", "inferer"),
    [("segmentor", "WindowedInferer"), ("augmentation", "AugmentedInferer"), ("ttgpr", "TTGPRInferer")],
)
def test_each_method_has_its_inferer_and_names_itself(
    random_root: Path, normals: Path, method: str, inferer: str
) -> None:
    parser = _inference(random_root, **_typed(input=str(normals), method=method)).parser
    assert type(parser.get_parsed_content("inferer")).__name__ == inferer
    assert parser.get_parsed_content("postprocessing").transforms[0].method == method


@pytest.mark.parametrize(("text", "expected"), [("0.05", (0.05, 0.05)), ("[0.05,0.06]", (0.05, 0.06))])
def test_a_given_pixel_size_replaces_the_stored_one(
    random_root: Path, normals: Path, text: str, expected: tuple[float, float]
) -> None:
    parser = _inference(random_root, **_typed(input=str(normals), spacing_mm=text)).parser
    (view,) = list(parser.get_parsed_content("dataset"))
    np.testing.assert_allclose(view["image"].meta["spacing_mm"], expected)


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_the_arguments_file_names_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    try:
        workflow = create_workflow(args_file="configs/train_args.json", seed=3)
    finally:
        set_determinism(None)
    assert workflow.parser["training"] == _raw("train")["training"]
    assert workflow.parser["seed"] == 3


# As commands.


def _run(*arguments: str, cwd: Path, overrides: dict[str, Any]) -> str:
    """`python -m monai.bundle run training ...`; what it printed."""
    typed = [text for key, value in overrides.items() for text in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "training", *arguments, *typed]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def _weights(path: Path, name: str) -> dict[str, torch.Tensor]:
    """A flat state dict that its network loads."""
    weights = torch.load(path, weights_only=True)
    parser = ConfigParser(_raw(name))
    parser["network_def::dim"] = 8
    parser.get_parsed_content("network_def").load_state_dict(weights)
    assert all(torch.isfinite(value).all() for value in weights.values())
    return weights


@pytest.mark.slow
@pytest.mark.train
def test_the_bare_command_trains_from_the_root_and_goes_on_where_it_stopped(
    normals: Path, phantoms: Path, tmp_path: Path
) -> None:
    overrides = _small_training(normals, phantoms, tmp_path)
    del overrides["bundle_root"]
    _run("--args_file", "configs/train_args.json", cwd=ROOT, overrides=overrides)
    first = _weights(tmp_path / "model.pt", "train")
    printed = _run("--args_file", "configs/train_args.json", cwd=ROOT, overrides=overrides | {"epochs": 2})
    assert "segmentor [2/2]" in printed
    assert "segmentor [1/2]" not in printed
    second = _weights(tmp_path / "model.pt", "train")
    assert any(not torch.equal(first[key], second[key]) for key in first)

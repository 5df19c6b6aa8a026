"""The configs of the compared systems: each is laid over `train`, builds its network, and trains for an epoch."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigComponent, ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.utils import set_determinism
from PIL import Image

from bundle.data import phantom_datalist
from bundle.functional.components import find_components
from bundle.functional.proximity import points_mask

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
SYSTEMS = {
    "train_csd": ("train_csd",),
    "train_csd_published": ("train_csd", "train_csd_published"),
    "train_deepmica": ("train_deepmica",),
    "train_deepmica_published": ("train_deepmica", "train_deepmica_published"),
    "train_hdogreg": ("train_hdogreg",),
    "train_hdogreg_published": ("train_hdogreg", "train_hdogreg_published"),
    "train_inpainter": ("train_inpainter",),
    "train_inpainter_published": ("train_inpainter", "train_inpainter_published"),
    "train_supervised": ("train_supervised",),
    "train_segai": ("train_segai",),
    "train_segai_published": ("train_segai", "train_segai_published"),
    "train_segai_genai": ("train_segai", "train_segai_genai"),
    "train_segai_genai_published": ("train_segai", "train_segai_genai", "train_segai_genai_published"),
}
PUBLISHED = tuple(name for name in SYSTEMS if name.endswith("published"))
# What is read off the evaluator: recall of a segmentor, the error of an inpainter.
METRICS = {"train_inpainter": "error_where_hidden"}
SMALL_PHANTOM = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}


def _files(name: str) -> list[str]:
    return [str(CONFIGS / f"{file}.yaml") for file in ("train", *SYSTEMS[name])]


def _merged(name: str) -> ConfigParser:
    return ConfigParser(ConfigParser.load_config_files(_files(name)))


def _components(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict) and "_target_" in config:
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _components(value)


def test_every_config_of_a_compared_system_is_tested() -> None:
    assert set(SYSTEMS) == {path.stem for path in CONFIGS.glob("train_*.yaml")} - {"train_generator"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_in_it_goes_unused(name: str) -> None:
    """MONAI would take a misspelt id of the top level without a word."""
    parser, seen, waiting = _merged(name), set(), ["initialize", "training"]
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += ReferenceResolver.find_refs_in_config(parser[found], found)
    overlay = ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml"))
    assert {key.lstrip("+").split("#")[0] for key in overlay} <= {id.split("::")[0] for id in seen}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_target_exists_and_takes_its_arguments(name: str) -> None:
    for component in _components(_merged(name).config):
        target = locate(str(ConfigComponent(component).resolve_module_name()))
        assert callable(target), component["_target_"]
        arguments = {key: None for key in component if key not in ConfigComponent.non_arg_keys}
        try:
            inspect.signature(target).bind_partial(**arguments)
        except TypeError as error:
            pytest.fail(f"{component['_target_']}: {error}")


@pytest.mark.parametrize("name", SYSTEMS)
def test_its_runs_bear_its_name(name: str) -> None:
    merged = _merged(name)
    assert merged["run_name"] not in ("segmentor", "generator")
    assert merged["parameters"]["system"] == "@run_name"


@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_is_changed_by_its_place_in_a_list(name: str) -> None:
    """A handler that is added or moved would turn such a change into another."""
    overlay = ConfigParser.load_config_file(str(CONFIGS / f"{name}.yaml"))
    assert not [key for key in overlay if re.search(r"(#|::)\d", key)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_network_is_built_and_runs_once(name: str) -> None:
    if "hdogreg" in name:
        pytest.importorskip("timm")
    parser = _merged(name)
    if "genai" in name:
        parser["inpainter_weights"] = ""
    network = parser.get_parsed_content("network_def").eval()
    seen, given = ((1, 1, 95, 95), (1, 2)) if "csd" in name else ((1, 1, 64, 64), (1, 1, 64, 64))
    if "inpainter" in name:
        seen = (1, 2, 64, 64)
    with torch.no_grad():
        assert network(torch.zeros(seen)).shape == given


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small clean view."""
    folder = tmp_path_factory.mktemp("normals")
    phantom_datalist(folder, count=1, first_seed=7, calcified=False, **SMALL_PHANTOM)
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small calcified view and its mask."""
    folder = tmp_path_factory.mktemp("labelled")
    phantom_datalist(folder, count=1, first_seed=9, **SMALL_PHANTOM)
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantoms")


def _trained(
    files: list[str], output: Path, phantoms: Path, metric: str = "val_recall", **options: Any
) -> ConfigWorkflow:
    """Two iterations and a validation."""
    small = {f"validate::files::{key}": value for key, value in SMALL_PHANTOM.items()}
    small |= {
        **{"bundle_root": str(ROOT), "phantom_dir": str(phantoms), "output_dir": str(output), "device": "cpu"},
        **{"phantom_count": 0, "validate::files::count": 1, "val_interval": 1, "num_workers": 0},
        **{"epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "window_px": 64},
    }
    workflow = ConfigWorkflow(files, workflow_type="train", **small, **options)
    try:
        workflow.initialize()
        assert workflow.check_properties() == []
        network = workflow.parser.get_parsed_content("network")
        before = {key: value.clone() for key, value in network.named_parameters()}
        workflow.run()
    finally:
        set_determinism(None)
    after = torch.load(output / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert 0 <= workflow.evaluator.state.metrics[metric] <= 1
    return workflow


# Other people's notes on reading PNG files.
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
@pytest.mark.train
@pytest.mark.parametrize(
    "name",
    # Validation in windows of 64 px, each with four passes of the inpainter, takes its time.
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "train_segai_genai" else [])
        for name in SYSTEMS
        if name not in PUBLISHED
    ],
)
def test_it_trains_for_an_epoch(name: str, normals: Path, labelled: Path, phantoms: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": str(normals)}
    if name == "train_supervised":
        options = {"dataset_dir": str(labelled), "masks_dir": str(labelled)}
    if name == "train_segai_genai":
        options["inpainter_weights"] = ""
    _trained(_files(name), tmp_path, phantoms, METRICS.get(name, "val_recall"), **options)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
@pytest.mark.train
def test_hdogreg_is_fine_tuned_on_points(labelled: Path, phantoms: Path, tmp_path: Path) -> None:
    points = tmp_path / "points"
    points.mkdir()
    (mask,) = labelled.glob("*_label.png")
    with Image.open(mask) as image:
        label = np.array(image)
    single = points_mask(find_components(label == 1).centroid_px, shape=label.shape)
    Image.fromarray(single.astype(np.uint8)).save(points / mask.name)
    start = tmp_path / "start.pt"
    torch.save(_merged("train_hdogreg").get_parsed_content("network_def").state_dict(), start)
    files = [str(CONFIGS / f"{name}.yaml") for name in ("train", "train_supervised", "train_hdogreg")]
    options = {"dataset_dir": str(labelled), "masks_dir": str(points), "initial_weights": str(start)}
    # Labels must not get lost on the way to a disk.
    options["cache_dir"] = str(tmp_path / "kept")
    workflow = _trained(files, tmp_path / "out", phantoms, **options)
    (item,) = workflow.parser.get_parsed_content("train::files")
    assert Path(item["label"]).parent == points

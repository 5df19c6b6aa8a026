"""What hosts of the bundle read off metadata.json, and that it tells the truth about this code."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from monai.bundle import ConfigParser, verify_net_in_out
from packaging.requirements import Requirement

import bundle

ROOT = Path(__file__).resolve().parents[1]
METADATA_PATH = ROOT / "configs" / "metadata.json"
METADATA: dict[str, Any] = json.loads(METADATA_PATH.read_text())
SCHEMA_PATH = ROOT.parent / "shared" / "data" / "schema" / "meta_schema_20240725.json"
FORMATS = ("network_data_format", "generator_data_format")


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if re.match(r"[\w-]+==", line))


@pytest.mark.skipif(not SCHEMA_PATH.exists(), reason="needs the schema of MONAI bundles")
def test_the_schema_accepts_it() -> None:
    jsonschema.validate(METADATA, json.loads(SCHEMA_PATH.read_text()))


def test_the_keys_that_the_schema_asks_for_are_there() -> None:
    texts = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description")
    for name in (*texts, "authors", "copyright", "data_source", "intended_use"):
        assert isinstance(METADATA[name], str), name
        assert METADATA[name], name
    for name in ("changelog", "required_packages_version", *FORMATS):
        assert isinstance(METADATA[name], dict), name
    assert all(isinstance(reference, str) for reference in METADATA["references"])


def test_version_is_the_packages_and_in_both_changelogs() -> None:
    assert METADATA["version"] == bundle.__version__
    assert METADATA["version"] in METADATA["changelog"]
    for version in METADATA["changelog"]:
        assert f"## {version}" in (ROOT / "docs" / "changelog.md").read_text()


def test_monai_and_torch_are_the_pinned_ones() -> None:
    pins = _pins("requirements.txt")
    assert METADATA["monai_version"] == pins["monai"]
    assert METADATA["pytorch_version"] == pins["torch"]


def test_numpy_is_the_oldest_supported_one_which_python_3_10_can_install() -> None:
    assert METADATA["numpy_version"] == _pins("requirements-compat.txt")["numpy"]


def test_every_dependency_is_listed_at_a_version_that_the_package_allows() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {
        name: METADATA[f"{key}_version"] for name, key in (("torch", "pytorch"), ("monai", "monai"), ("numpy", "numpy"))
    }
    listed = METADATA["required_packages_version"] | base
    for line in project["dependencies"]:
        requirement = Requirement(line)
        assert requirement.name in listed, line
        assert requirement.specifier.contains(listed[requirement.name]), line


@pytest.mark.parametrize("name", FORMATS)
def test_hosts_find_image_and_pred_first(name: str) -> None:
    assert next(iter(METADATA[name]["inputs"])) == "image"
    assert next(iter(METADATA[name]["outputs"])) == "pred"


def test_the_prediction_names_background_and_microcalcification() -> None:
    pred = METADATA["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "microcalcification"}


def test_the_window_is_the_one_of_every_config() -> None:
    for name in ("train", "train_generator", "inference"):
        window_px = ConfigParser.load_config_file(str(ROOT / "configs" / f"{name}.yaml"))["window_px"]
        for key in FORMATS:
            tensors = {**METADATA[key]["inputs"], **METADATA[key]["outputs"]}
            assert tensors["image"]["spatial_shape"] == [window_px, window_px]
            assert tensors["pred"]["spatial_shape"] == [window_px, window_px]


def test_the_segmentor_takes_and_gives_what_is_promised() -> None:
    config = str(ROOT / "configs" / "inference.yaml")
    verify_net_in_out(net_id="network_def", meta_file=str(METADATA_PATH), config_file=config, device="cpu")


def test_the_generator_takes_and_gives_what_is_promised() -> None:
    parser = ConfigParser(ConfigParser.load_config_file(str(ROOT / "configs" / "inference.yaml")))
    formats = METADATA["generator_data_format"]
    assert list(formats["inputs"]) == ["image", "t", "condition"]
    inputs = {
        key: torch.rand(1, *([tensor["num_channels"], *tensor["spatial_shape"]] if key != "t" else []))
        for key, tensor in formats["inputs"].items()
    }
    with torch.no_grad():
        velocity = parser.get_parsed_content("generator_def")(**inputs)
    pred = formats["outputs"]["pred"]
    assert velocity.shape == (1, pred["num_channels"], *pred["spatial_shape"])
    assert velocity.dtype == getattr(torch, pred["dtype"])


METRIC = re.compile(r"(?:shift_(\w+?)|real_backgrounds)_(segmentor|augmentation)_object_(f2|tpr_at_0\.4_fp_per_cm2)")
# Table and column of docs/results that a figure stands in.
PLACES = {"f2": ("Objects and clusters, pooled", "Object F2"), "tpr_at_0.4_fp_per_cm2": ("FROC", "TPR at 0.4 FP/cm2")}


def _table(page: str, section: str, table: str) -> dict[str, dict[str, str]]:
    """Cells of a table of docs/results by system and column, without marks of the best."""
    text = (ROOT / "docs" / "results" / f"{page}.md").read_text()
    (found,) = re.findall(
        rf"^## {section}$.*?^### {table}$\n\n(.*?)\n\n", f"{text}\n\n", flags=re.MULTILINE | re.DOTALL
    )
    head, _, *rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


@pytest.mark.parametrize("name", METADATA["eval_metrics"])
def test_a_figure_is_the_one_of_the_published_results(name: str) -> None:
    """F2 at threshold 0.5, recall along the FROC curve."""
    found = METRIC.fullmatch(name)
    assert found, name
    condition, system, figure = found.groups()
    place, column = PLACES[figure]
    rows = _table(*(("shift", f"shift/{condition}") if condition else ("real", "real")), place)
    fixed = f"{system} at 0.5"
    row = rows[fixed] if figure == "f2" and fixed in rows else rows[system]
    assert METADATA["eval_metrics"][name] == float(row[column].split()[0])
    # Only a figure with its interval is one.
    assert re.search(r"\[[\d.]+, [\d.]+\]", row[column])

"""What configs/train.yaml makes of the overrides of MONAI Label's training task, without its server."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import set_determinism
from PIL import Image

from bundle.data import MammogramError, phantom_datalist, root_mammogram_error

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "train.yaml"
SMALL = {"network_def::dim": 8, "window_px": 64, "batch_size": 2, "precision": "float32"}


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A phantom's file, and that of its label."""
    (item,) = phantom_datalist(
        tmp_path_factory.mktemp("view"),
        count=1,
        first_seed=7,
        calcified=True,
        spacing_mm=0.1,
        height_mm=60.0,
        width_mm=48.0,
    )
    return {"image": str(item["image"]), "label": str(item["label"])}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle's folder with weights of the small network."""
    (tmp_path / "models").mkdir()
    parser = ConfigParser(ConfigParser.load_config_file(str(CONFIG)))
    parser["network_def::dim"] = SMALL["network_def::dim"]
    torch.manual_seed(0)
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "models" / "model.pt")
    return tmp_path


def _workflow(
    root: Path, views: list[dict[str, str]], *, validated: list[dict[str, str]], **more: Any
) -> ConfigWorkflow:
    """As monailabel.tasks.train.bundle builds it."""
    handlers = ConfigParser.load_config_file(str(CONFIG))["train"]["handlers"]
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": str(root / "models" / "model.pt"),
        "load_dict": {"model": "$@network"},
        "strict": False,
    }
    overrides = {
        "bundle_root": str(root),
        "train#trainer#max_epochs": 1,
        "train#dataset#data": views,
        "device": "cpu",
        "train#handlers": [loader, *handlers],
        "validate#dataset#data": validated,
    }
    options = {"run_id": "run", **overrides, **SMALL, **more}
    return ConfigWorkflow(str(CONFIG), workflow_type="train", logging_file=False, **options)


def _train(root: Path, views: list[dict[str, str]], **more: Any) -> dict[str, torch.Tensor]:
    """Weights that a training leaves."""
    workflow = _workflow(root, views, validated=[], **more)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    finally:
        set_determinism(None)
    return torch.load(root / "models" / "model_labelled.pt", weights_only=True)


def _differ(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(first[key], second[key]) for key in first)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_labels_of_the_same_view_make_other_weights(view: dict[str, str], root: Path, tmp_path: Path) -> None:
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(np.asarray(Image.open(view["label"]))[::-1].copy()).save(mirrored)
    before = _sha256(root / "models" / "model.pt")
    start = torch.load(root / "models" / "model.pt", weights_only=True)
    learned = _train(root, [view])
    assert _differ(learned, start)
    assert not _differ(learned, _train(root, [view]))
    assert _differ(learned, _train(root, [{**view, "label": str(mirrored)}]))
    assert _sha256(root / "models" / "model.pt") == before
    assert not (root / "runs" / "segmentor").exists()
    assert not (root / "runs" / "phantoms").exists()


def test_a_training_that_changes_nothing_gives_back_the_weights_that_the_server_loaded(
    view: dict[str, str], root: Path
) -> None:
    start = torch.load(root / "models" / "model.pt", weights_only=True)
    left = _train(root, [view], learning_rate=0.0)
    # The average of equal numbers is rounded.
    for key, value in start.items():
        torch.testing.assert_close(left[key], value, rtol=1e-5, atol=1e-6)


def test_a_viewer_that_names_nothing_to_run_trains_once(view: dict[str, str], root: Path) -> None:
    """Slicer sends back every option as it is told, an empty `run_id` among them; MONAI evaluates the whole config."""
    _train(root, [view], run_id="", **{"train::files": [], "validate::files": []})
    assert len((root / "runs" / "labelled" / "losses.csv").read_text().splitlines()) == 1


def test_views_of_a_server_are_validated_on_where_it_holds_some_back(view: dict[str, str], root: Path) -> None:
    for held_back, handlers in (([view], 1), ([], 0)):
        workflow = _workflow(root, [view], validated=held_back)
        try:
            workflow.initialize()
            names = [type(handler).__name__ for handler in workflow.parser.get_parsed_content("train::handlers")]
        finally:
            set_determinism(None)
        assert names.count("ValidationHandler") == handlers
        assert names[0] == "CheckpointLoader"
        # Another training of the server would go on from it, and do nothing.
        assert "ResumableCheckpoints" not in names


def test_a_label_that_does_not_fit_its_view_is_told(view: dict[str, str], root: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((100, 100), np.uint8)).save(tmp_path / "other.png")
    workflow = _workflow(root, [{**view, "label": str(tmp_path / "other.png")}], validated=[])
    try:
        workflow.initialize()
        with pytest.raises(RuntimeError) as caught:
            workflow.run()
    finally:
        set_determinism(None)
    refusal = root_mammogram_error(caught.value)
    assert isinstance(refusal, MammogramError)
    assert "Expected the view's 600 x 480 pixels, got 100 x 100" in str(refusal)


def test_without_labels_pairs_are_made_as_ever(tmp_path: Path) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(str(CONFIG)))
    parser.update({"train::files": [{"image": "a.png", "weight": 1.0}], "bundle_root": str(tmp_path)})
    told = {id: parser.get_parsed_content(id) for id in ("from_labels", "output_dir", "weights_path")}
    assert told == {
        "from_labels": False,
        "output_dir": f"{tmp_path}/runs/segmentor",
        "weights_path": f"{tmp_path}/runs/segmentor/model.pt",
    }
    assert (parser.get_parsed_content("epoch_iterations"), parser.get_parsed_content("learning_rate")) == (100, 6.0e-4)

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigWorkflow
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedTrainer
from monai.handlers import MLFlowHandler, from_engine
from monai.inferers import SimpleInferer
from monai.utils import path_to_sqlite_uri
from numpy.testing import assert_allclose
from PIL import Image

import bundle
from bundle.engines import RefinementTrace, SamplePictures, TrackableLoss, TrackedParameters
from bundle.engines.pictures import (
    Panel,
    contact_sheet,
    crop_around,
    generator_panels,
    segmentor_panels,
    trace_figure,
)
from bundle.engines.tracking import findings_stem, trace_csv, tracked_run
from bundle.functional.flow import interpolate, velocity_target
from bundle.transforms import SaveFindingsd

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("t", "steps", "n_seeds", "n_windows", "energy", "tversky", "stabilisation", "edge", "step")
TRACE = [{"refine_iter": i, **{name: i + n / 8 for n, name in enumerate(NAMES)}} for i in range(3)]


def _batch() -> dict[str, torch.Tensor]:
    image = torch.linspace(-1, 1, 2 * 12 * 16).reshape(2, 1, 12, 16)
    label = torch.zeros_like(image)
    label[:, :, 2:4, 10:14], label[:, :, 8, 3] = 1, 2
    return {"image": image, "label": label, "pred": torch.full_like(image, -2.0)}


# Panels.


def _flow_sample(t: torch.Tensor) -> tuple[torch.Tensor, dict, dict]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 1, 12, 16, generator=generator) * 2 - 1
    z = torch.randn(x.shape, generator=generator)
    condition = torch.zeros(2, 2, 12, 16)
    condition[0, 0, 3, 11], condition[1, 1] = 1, 1
    batch = {"t": t, "condition": condition, "label": _batch()["label"]}
    # The second channel of the target is the weight of the loss.
    target = torch.cat([velocity_target(x, z), torch.ones_like(x)], dim=1)
    return x, batch, {"image": interpolate(x, z, t), "label": target, "pred": velocity_target(x, z)}


def test_the_true_velocity_leads_to_x_in_one_step() -> None:
    x, batch, output = _flow_sample(torch.tensor([0.25, 0.75]))
    for sample, panels in enumerate(generator_panels(batch, output)):
        state, _, estimate, target = panels
        assert_allclose(state.plane, output["image"][sample, 0])
        assert_allclose(estimate.plane, x[sample, 0], atol=1e-6)
        assert_allclose(target.plane, x[sample, 0], atol=1e-6)


def test_no_velocity_leaves_the_state() -> None:
    _, batch, output = _flow_sample(torch.tensor([0.25, 0.75]))
    output["pred"] = torch.zeros_like(output["pred"])
    for state, _, estimate, _ in generator_panels(batch, output):
        assert_allclose(estimate.plane, state.plane)


def test_seeds_are_counted_and_their_completeness_told() -> None:
    _, batch, output = _flow_sample(torch.tensor([0.25, 0.75]))
    assert [row[1].title for row in generator_panels(batch, output)] == [
        "1 seeds, unknown elsewhere",
        "0 seeds, complete",
    ]


def test_decollated_output_gives_the_same_sheet() -> None:
    whole = _batch()
    items = [{key: value[i] for key, value in whole.items()} for i in range(2)]
    for row, expected in zip(segmentor_panels(items, items), segmentor_panels(whole, whole), strict=True):
        for panel, other in zip(row, expected, strict=True):
            assert panel.title == other.title
            assert np.array_equal(panel.plane, other.plane)


def test_prediction_is_outlined_from_probability_one_half() -> None:
    batch = _batch()
    batch["pred"][0, 0, 5, 6], batch["pred"][0, 0, 5, 7] = 0.0, -1e-3
    (mask,) = segmentor_panels(batch, batch)[0][3].outlines.values()
    assert np.argwhere(mask).tolist() == [[5, 6]]


def test_outline_surrounds_its_pixels() -> None:
    mask = np.zeros((12, 16), bool)
    mask[0:2, 10:16] = True
    figure = contact_sheet([[Panel("", np.zeros((12, 16), np.float32), outlines={"red": mask})]])
    (line,) = figure.axes[0].collections[0].get_paths()
    # As (column, row); pixels reach half a pixel beyond their centres.
    assert_allclose(line.vertices.min(axis=0), [9.5, -0.5])
    assert_allclose(line.vertices.max(axis=0), [15.5, 1.5])


@pytest.mark.parametrize("pixel", [(0, 0), (399, 299), (200, 150), (399, 0), (130, 257)])
def test_crop_holds_the_label(pixel: tuple[int, int]) -> None:
    wanted = np.zeros((400, 300), bool)
    wanted[pixel] = True
    crop = crop_around(wanted, np.ones_like(wanted), crop_px=64)
    assert wanted[crop].shape == (64, 64)
    assert wanted[crop].sum() == 1


def test_crop_without_label_holds_breast() -> None:
    breast = np.zeros((400, 300), bool)
    breast[300:, 200:] = True
    crop = crop_around(np.zeros_like(breast), breast, crop_px=64)
    assert breast[crop].all()


def test_small_view_is_taken_whole() -> None:
    wanted = np.ones((40, 50), bool)
    assert wanted[crop_around(wanted, wanted, crop_px=64)].shape == (40, 50)


# Sample pictures.


def _pictured(directory: Path, name: str) -> Engine:
    engine = Engine(lambda _, batch: batch)
    SamplePictures(directory, name).attach(engine)
    return engine


def test_each_run_draws_its_first_batch_once(tmp_path: Path) -> None:
    trainer = _pictured(tmp_path, "train")
    trainer.run([_batch(), _batch()], max_epochs=2)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["train_epoch_0001.png"]
    trainer.run([_batch()], max_epochs=3)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir())[1:] == ["train_epoch_0003.png"]


def test_a_sheet_has_four_tiles_in_a_row_and_a_row_per_sample(tmp_path: Path) -> None:
    _pictured(tmp_path, "train").run([_batch()])
    with Image.open(tmp_path / "pictures" / "train_epoch_0001.png") as picture:
        assert picture.size == (4 * 300, 2 * 330)


def test_no_run_is_found_where_none_was_opened() -> None:
    assert tracked_run(Engine(lambda _, batch: batch)) is None


# The trace.


class Refiner:
    """As much of an inferer as the handler looks at."""

    def __init__(self, last_trace: list[dict[str, float]] | None) -> None:
        self.last_trace = last_trace


def _view(source: Path) -> dict[str, Any]:
    image = MetaTensor(torch.zeros(1, 12, 16), meta={"spacing_mm": [0.1, 0.1], "filename_or_obj": str(source)})
    return {"image": image, "pred": torch.zeros(1, 12, 16)}


def _traced(output: Path, inferer: Any, views: list[dict[str, Any]]) -> Engine:
    save = SaveFindingsd(output_dir=output, pictures=False)
    engine = Engine(lambda _, batch: [save(item) for item in batch])
    RefinementTrace(inferer, output).attach(engine)
    engine.run([[view] for view in views])
    return engine


@pytest.mark.parametrize("inferer", [Refiner([]), Refiner(None), object()], ids=["empty", "none", "of another kind"])
def test_without_a_trace_nothing_is_written(tmp_path: Path, inferer: Any) -> None:
    _traced(tmp_path, inferer, [_view(Path("a.dcm"))])
    assert not list(tmp_path.glob("*trace*"))


@pytest.mark.parametrize("name", ["1.2.840.113", "..hidden..nii.gz", "über größe.png", "x" * 200])
def test_trace_lies_beside_the_findings(tmp_path: Path, name: str) -> None:
    _traced(tmp_path, Refiner(TRACE), [_view(tmp_path / name)])
    (findings,) = tmp_path.glob("*_findings.json")
    stem = findings.name.removesuffix("_findings.json")
    assert {path.name for path in tmp_path.glob("*_trace.*")} == {f"{stem}_trace.csv", f"{stem}_trace.png"}


def test_two_views_of_one_name_keep_their_own_traces(tmp_path: Path) -> None:
    views = [_view(tmp_path / folder / "a.dcm") for folder in ("first", "second")]
    _traced(tmp_path, Refiner(TRACE), views)
    for view in views:
        stem = findings_stem(tmp_path, view["image"].meta["filename_or_obj"])
        assert (tmp_path / f"{stem}_trace.csv").exists()
    assert len(list(tmp_path.glob("*_trace.csv"))) == 2


def test_views_are_counted_where_there_are_no_findings(tmp_path: Path) -> None:
    engine = Engine(lambda _, batch: batch)
    RefinementTrace(Refiner(TRACE), tmp_path).attach(engine)
    engine.run([[_view(Path("a.dcm"))], [_view(Path("b.dcm"))]])
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["view_0001_trace.csv", "view_0002_trace.csv"]


def test_the_table_holds_the_trace() -> None:
    rows = csv.DictReader(trace_csv(TRACE).splitlines())
    assert [{name: float(value) for name, value in row.items()} for row in rows] == TRACE


def test_every_number_of_the_trace_is_drawn() -> None:
    lines = {line.get_label(): line for axes in trace_figure(TRACE).axes for line in axes.lines}
    assert set(lines) == set(NAMES)
    for name, line in lines.items():
        assert_allclose(line.get_xydata(), [[row["refine_iter"], row[name]] for row in TRACE])


# Configs under MONAI's default settings of tracking.


@pytest.mark.parametrize(
    ("config", "lists"),
    [
        ("train", ("train::handlers", "validate::handlers")),
        ("train_generator", ("train::handlers", "validate::handlers")),
        ("inference", ("handlers",)),
    ],
)
def test_tracking_extends_the_handlers_of_a_config(config: str, lists: tuple[str, ...], tmp_path: Path) -> None:
    path = str(ROOT / "configs" / f"{config}.yaml")
    plain = ConfigWorkflow(path, bundle_root=str(ROOT), output_dir=str(tmp_path), logging_file=False)
    tracked = ConfigWorkflow(
        path, bundle_root=str(ROOT), output_dir=str(tmp_path), logging_file=False, tracking="mlflow"
    )
    for name in lists:
        before, after = plain.parser.get(name), tracked.parser.get(name)
        assert after[:-1] == before
        assert after[-1]["_target_"] == "MLFlowHandler"
        owner = "evaluator" if name != "train::handlers" else "train::trainer"
        owner = owner if name != "validate::handlers" else "validate::evaluator"
        assert f"@{name}" in tracked.parser.get(owner).values()
    # The config as it ran holds paths.
    assert tracked.parser["save_execute_config"] is None


# With MLflow.


def _store(directory: Path) -> dict[str, Any]:
    """What MONAI's default settings give its handler."""
    return {
        "tracking_uri": path_to_sqlite_uri(str(directory / "mlruns.db")),
        "output_transform": from_engine(["loss"], first=True),
        "tag_name": "train_loss",
        "close_on_complete": True,
    }


def _train(directory: Path, experiment: str, *, learning_rate: float, fail_at: int = 0) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 1)
    items = [{key: value[0] for key, value in _batch().items()} for _ in range(4)]

    def loss(pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        losses.append(torch.nn.functional.mse_loss(pred, label))
        if len(losses) == fail_at:
            raise RuntimeError("power failure")
        return losses[-1]

    losses: list[torch.Tensor] = []
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(items, batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=learning_rate),
        loss_function=loss,
        inferer=SimpleInferer(),
        train_handlers=[
            TrackedParameters({"learning_rate": learning_rate, "window_px": 64}, description="Two curves."),
            SamplePictures(directory, "train"),
            TrackableLoss(),
            MLFlowHandler(experiment_name=experiment, **_store(directory)),
        ],
        decollate=False,
    ).run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: making its tables takes most of the time."""
    return tmp_path_factory.mktemp("Doe_Jane")


def _run_of(folder: Path, experiment: str) -> tuple[Any, Any]:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(_store(folder)["tracking_uri"])
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, run


@pytest.mark.train
def test_a_tracked_training_leaves_parameters_curves_and_pictures(folder: Path) -> None:
    _train(folder, "training", learning_rate=0.1)
    client, run = _run_of(folder, "training")
    assert run.info.status == "FINISHED"
    said = {"learning_rate": "0.1", "window_px": "64", "max_epochs": "1", "version": bundle.__version__}
    assert run.data.params.items() >= said.items()
    assert run.data.tags["mlflow.note.content"] == "Two curves."
    curve = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in curve] == [1, 2]
    assert curve[1].value < curve[0].value
    (picture,) = client.list_artifacts(run.info.run_id, "pictures")
    assert picture.path == "pictures/train_epoch_0001.png"
    assert (folder / "mlruns" / run.info.run_id / "artifacts" / picture.path).exists()


@pytest.mark.train
def test_a_training_that_goes_on_keeps_its_run_and_tells_what_changed(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="power failure"):
        _train(folder, "resumed", learning_rate=0.1, fail_at=2)
    _train(folder, "resumed", learning_rate=0.05)
    _, run = _run_of(folder, "resumed")
    assert run.data.params["learning_rate"] == "0.1"
    assert run.data.tags["learning_rate since epoch 1"] == "0.05"
    assert "window_px since epoch 1" not in run.data.tags


@pytest.mark.train
def test_a_tracked_trace_names_nobody(folder: Path) -> None:
    save = SaveFindingsd(output_dir=folder / "out", pictures=False)
    engine = Engine(lambda _, batch: [save(item) for item in batch])
    for handler in (
        RefinementTrace(Refiner(TRACE), folder / "out"),
        MLFlowHandler(experiment_name="trace", **{**_store(folder), "iteration_log": False}),
    ):
        handler.attach(engine)
    engine.run([[_view(folder / "Doe_Jane.dcm")]])
    client, run = _run_of(folder, "trace")
    assert set(run.data.metrics) == {f"view_0001/{name}" for name in NAMES}
    history = client.get_metric_history(run.info.run_id, "view_0001/energy")
    assert [(point.step, point.value) for point in history] == [(row["refine_iter"], row["energy"]) for row in TRACE]
    artifacts = [item.path for item in client.list_artifacts(run.info.run_id, "traces")]
    assert artifacts == ["traces/view_0001.png"]
    assert "Doe" not in json.dumps([run.data.to_dictionary(), run.inputs.to_dictionary(), artifacts])


@pytest.mark.train
def test_a_run_that_the_caller_opened_is_found(folder: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(_store(folder)["tracking_uri"])
    try:
        with mlflow.start_run(experiment_id=mlflow.create_experiment("own", (folder / "own").as_uri())) as run:
            _pictured(folder, "own").run([_batch()])
        (picture,) = mlflow.MlflowClient().list_artifacts(run.info.run_id, "pictures")
    finally:
        mlflow.set_tracking_uri(before)
    assert picture.path == "pictures/own_epoch_0001.png"

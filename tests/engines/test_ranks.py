"""Several processes train as one does: the same samples, losses and weights."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.utils import path_to_sqlite_uri, set_determinism
from torch import distributed, nn
from torch.utils.data import Dataset

from bundle.data import phantom_datalist
from bundle.data.synthetic_pairs import SampleNumberSampler, batch_size_of_rank
from bundle.engines import device_of_rank, over_ranks

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
SMALL_PHANTOM = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}
RANKS = 2


class Sixteen(Dataset):
    def __len__(self) -> int:
        return 16


# In one process.


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    distributed.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_without_a_group_a_batch_is_one_processes() -> None:
    assert batch_size_of_rank(7) == 7


def test_the_optimiser_holds_what_the_wrapped_network_trains(alone: None) -> None:
    network = nn.Linear(3, 1)
    wrapped = over_ranks(network)
    wrapped(torch.ones(2, 3)).sum().backward()
    assert wrapped.module is network
    torch.testing.assert_close(network.weight.grad, torch.full((1, 3), 2.0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_every_rank_has_the_cpu() -> None:
    assert device_of_rank() == torch.device("cpu")


def _as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, ranks: int) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: rank)
    monkeypatch.setattr(distributed, "get_world_size", lambda: ranks)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_batches_of_the_ranks_together_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    batches: list[set[int]] = [set() for _ in range(4)]
    for rank in range(ranks):
        _as_rank(monkeypatch, rank, ranks)
        size, sampler = batch_size_of_rank(4), SampleNumberSampler(Sixteen())
        sampler.set_epoch(3)
        numbers = list(sampler)
        assert len(numbers) == 16 // ranks
        for index, batch in enumerate(batches):
            batch.update(numbers[index * size : (index + 1) * size])
    assert batches == [set(range(32 + 4 * index, 36 + 4 * index)) for index in range(4)]


def test_a_batch_that_cannot_be_dealt_out_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _as_rank(monkeypatch, 0, 3)
    with pytest.raises(ValueError, match="multiple of the 3 processes, got 8"):
        batch_size_of_rank(8)


# As commands.


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("normals")
    phantom_datalist(folder, count=1, first_seed=7, calcified=False, **SMALL_PHANTOM)
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantoms")


def _options(normals: Path, phantoms: Path, output: Path) -> dict[str, Any]:
    """Overrides under which a training is over at once."""
    small = {f"validate#files#{key}": value for key, value in SMALL_PHANTOM.items()}
    return small | {
        **{"bundle_root": str(ROOT), "dataset_dir": str(normals), "phantom_dir": str(phantoms)},
        **{"phantom_count": 0, "validate#files#count": 1, "val_interval": 1, "output_dir": str(output)},
        **{"epochs": 2, "iterations_per_epoch": 3, "batch_size": 4, "window_px": 64, "num_workers": 0},
        **{"network_def#dim": 8, "precision": "float32", "lr_scheduler#warmup_steps": 2},
    }


def _run(launcher: list[str], configs: list[str], options: dict[str, Any], cwd: Path) -> None:
    typed = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    files = str([str(CONFIGS / f"{name}.yaml") for name in configs])
    command = [sys.executable, "-m", *launcher, "monai.bundle", "run", "training", "--config_file", files, *typed]
    # Processes that torchrun starts find the code of this checkout by the path, not by the working directory.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]


def _losses(folder: Path) -> list[float]:
    with (folder / "losses.csv").open() as file:
        rows = list(csv.reader(file))
    # One line per epoch: only the first rank writes.
    assert [int(epoch) for epoch, _ in rows] == [1, 2]
    return [float(mean) for _, mean in rows]


def _check_the_one_tracked_run(folder: Path, name: str) -> None:
    """The first process alone has told MLflow, and its losses are those of the whole batches."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(path_to_sqlite_uri(str(folder / "mlruns.db")))
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert (run.info.run_name, run.info.status) == (name, "FINISHED")
    curve = [point.value for point in client.get_metric_history(run.info.run_id, "train_loss")]
    assert len(curve) == 6
    assert _losses(folder) == pytest.approx([sum(curve[:3]) / 3, sum(curve[3:]) / 3], abs=1e-5)


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize(("name", "file"), [("train", "model.pt"), ("train_generator", "generator_ema.pt")])
def test_torchrun_on_two_processes_trains_as_one_process_does(
    name: str, file: str, normals: Path, phantoms: Path, tmp_path: Path
) -> None:
    options = _options(normals, phantoms, tmp_path / "one")
    if name == "train":
        options["lambda_objects"] = 1.0
    _run([], [name], options, tmp_path)
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={RANKS}", "-m"]
    two_options = options | {"output_dir": str(tmp_path / "two"), "tracking": "mlflow"}
    _run(torchrun, [name, "multi_gpu_train"], two_options, tmp_path)
    _check_the_one_tracked_run(tmp_path / "two", "segmentor" if name == "train" else "generator")
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), rel=1e-4)
    one, two = (torch.load(tmp_path / folder / file, weights_only=True) for folder in ("one", "two"))
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], atol=1e-4, rtol=1e-3)
    # One process goes on from where several stopped.
    _run([], [name], options | {"output_dir": str(tmp_path / "two"), "epochs": 3}, tmp_path)
    assert (tmp_path / "two" / "losses.csv").read_text().splitlines()[2].startswith("3,")


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
@pytest.mark.parametrize("name", ["train", "train_generator"])
def test_the_overlay_has_what_hosts_ask_for(
    name: str, normals: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"MASTER_ADDR": "localhost", "MASTER_PORT": "0", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    for key, value in one.items():
        monkeypatch.setenv(key, value)
    files = [str(CONFIGS / f"{file}.yaml") for file in (name, "multi_gpu_train")]
    workflow = ConfigWorkflow(files, workflow_type="train", **_options(normals, phantoms, tmp_path))
    try:
        workflow.initialize()
        assert distributed.is_initialized()
        assert workflow.check_properties() == []
        trained, held = workflow.trainer.network, workflow.parser.get_parsed_content("network")
        assert trained.module is held
    finally:
        # Ends the group as the workflow's own finalize does, and lets ignite know.
        idist.finalize()
        set_determinism(None)

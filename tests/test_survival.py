"""Trainings of both networks, killed with SIGKILL at random moments and started again by the same command."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.data import phantom_datalist
from bundle.engines.checkpoints import read_whole

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
SMALL_PHANTOM = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 32.0}
# Two epochs of two iterations. Per epoch losses.csv and the checkpoint are written, at the end the weights.
ITERATIONS, FIRST_CHECKPOINT, SECOND_CHECKPOINT, WEIGHTS = 2, 2, 4, 5
WEIGHTS_OF = {"train": "model.pt", "train_generator": "generator_ema.pt"}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: one with a clean view, and one for phantoms."""
    folder = tmp_path_factory.mktemp("views")
    phantom_datalist(folder / "normals", count=1, first_seed=7, calcified=False, **SMALL_PHANTOM)
    return folder


def _training(config: str, views: Path, output_dir: Path, **options: Any) -> dict[str, Any]:
    small = {f"validate::files::{key}": value for key, value in SMALL_PHANTOM.items()}
    small |= {"bundle_root": str(ROOT), "dataset_dir": str(views / "normals"), "phantom_dir": str(views / "phantoms")}
    small |= {"phantom_count": 0, "validate::files::count": 1, "val_interval": 2, "output_dir": str(output_dir)}
    small |= {"epochs": 2, "iterations_per_epoch": ITERATIONS, "batch_size": 1, "window_px": 64, "num_workers": 0}
    small |= {"network_def::dim": 8, "network_def::num_blocks": [1, 1, 1, 1], "device": "cpu"}
    if config == "train_generator":
        small["validate::dataset::samples_per_epoch"] = 1
    return {"config": config, "options": {**small, **options}}


def _run(trainings: list[dict[str, Any]]) -> tuple[list[int], str]:
    """Status of each and what they said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_trainings"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=json.dumps(trainings),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *said, statuses = done.stdout.splitlines()
    return json.loads(statuses), "\n".join(said)


@pytest.mark.parametrize("config", ["train", "train_generator"])
def test_a_training_killed_at_any_step_ends_with_the_same_bits(config: str, views: Path, tmp_path: Path) -> None:
    rng = random.Random(config)
    kills = [
        ["iteration", rng.randint(1, ITERATIONS)],
        ["write", FIRST_CHECKPOINT, rng.randint(1, 50_000)],
        ["iteration", ITERATIONS + rng.randint(1, ITERATIONS)],
        # From here on the first epoch is not run again.
        ["rename", SECOND_CHECKPOINT - 2],
        ["write", WEIGHTS - 2, rng.randint(1, 50_000)],
    ]
    killed = _training(config, views, tmp_path / "killed")
    # The number of workers that make the samples changes nothing either.
    whole = _training(config, views, tmp_path / "whole", num_workers=2)
    statuses, said = _run([whole, *({**killed, "kill": kill} for kill in kills), killed])
    assert statuses == [0, *[-9] * len(kills), 0], said
    name = WEIGHTS_OF[config]
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    ends = [read_whole(tmp_path / run / "checkpoints" / "checkpoint_2.pt") for run in ("whole", "killed")]
    assert ends[0].keys() == {"network", "ema", "optimizer", "lr_scheduler", "trainer", "random_state"}
    _assert_same(*ends)
    # What an epoch leaves is there once.
    assert (tmp_path / "killed" / "losses.csv").read_text() == (tmp_path / "whole" / "losses.csv").read_text()
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "whole" / "pictures").iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "killed" / "pictures").iterdir()}
    assert pictures.items() <= again.items()
    # A resumed run shows what it goes on with.
    assert set(again) - set(pictures) == {"train_epoch_0002.png"}
    assert not list((tmp_path / "killed").glob(".*.part"))


def _assert_same(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            _assert_same(one, other)
    else:
        assert a == b

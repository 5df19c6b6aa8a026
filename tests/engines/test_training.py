import re
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from ignite.handlers import ProgressBar
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch.utils.data import Dataset

from bundle.data.synthetic_pairs import SampleNumberSampler
from bundle.engines import (
    ClipGradients,
    ResumableCheckpoints,
    StopOnNonFiniteLoss,
    TrainingProgress,
    prepare_flow_batch,
)
from bundle.engines.training import loss_of, newest_checkpoints


class Numbers(Dataset):
    """Sample n is the number n, whatever the epoch."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        value = torch.tensor([float(index % 7) / 7])
        return {"image": value, "label": 3 * value + 1}


def _gradient_norms(*handlers: object) -> list[float]:
    """Norm of the gradients that each step of a steep toy training uses."""
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)
    norms: list[float] = []

    class Recorded(torch.optim.SGD):
        def step(self, closure=None):  # type: ignore[no-untyped-def]
            norms.append(float(torch.stack([p.grad.square().sum() for p in network.parameters()]).sum().sqrt()))
            return super().step(closure)

    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Numbers(), batch_size=2),
        network=network,
        optimizer=Recorded(network.parameters(), lr=1e-3),
        loss_function=lambda pred, label: 1000 * (pred - label).square().mean(),
        inferer=SimpleInferer(),
        train_handlers=[make(network.parameters()) for make in handlers],  # type: ignore[operator]
        decollate=False,
    ).run()
    return norms


def test_gradients_are_clipped_before_the_step() -> None:
    assert min(_gradient_norms()) > 100
    assert max(_gradient_norms(lambda parameters: ClipGradients(parameters, max_norm=0.5))) == pytest.approx(
        0.5, rel=1e-3
    )


def _train(directory: Path, *, epochs: int) -> torch.nn.Linear:
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    dataset = Numbers()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(dataset, batch_size=2, sampler=SampleNumberSampler(dataset)),
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.MSELoss(),
        inferer=SimpleInferer(),
        train_handlers=[
            ResumableCheckpoints(str(directory), {"network": network, "optimizer": optimizer}),
            StopOnNonFiniteLoss(),
        ],
        decollate=False,
    )
    trainer.run()
    return network


def test_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", epochs=5)
    _train(tmp_path / "halves", epochs=2)
    resumed = _train(tmp_path / "halves", epochs=5)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)


def test_truncated_checkpoint_is_skipped(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", epochs=4)
    _train(tmp_path / "cut", epochs=3)
    newest = newest_checkpoints(tmp_path / "cut")[0]
    newest.write_bytes(newest.read_bytes()[:200])
    assert torch.equal(_train(tmp_path / "cut", epochs=4).weight, whole.weight)


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    _train(tmp_path, epochs=5)
    assert [path.name for path in newest_checkpoints(tmp_path)] == ["checkpoint_5.pt", "checkpoint_4.pt"]


def test_nan_stops_the_run() -> None:
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(batch)})
    StopOnNonFiniteLoss().attach(engine)
    with pytest.raises(RuntimeError, match="finite loss, got nan at iteration 3"):
        engine.run([1.0, 0.5, float("nan")], max_epochs=1)


def test_flow_batch_carries_time_and_condition() -> None:
    batch = {
        "image": torch.zeros(2, 1, 8, 8),
        "velocity": torch.ones(2, 1, 8, 8),
        "t": torch.rand(2),
        "condition": torch.zeros(2, 2, 8, 8),
    }
    inputs, target, args, kwargs = prepare_flow_batch(batch, "cpu")
    assert inputs is batch["image"]
    assert target is batch["velocity"]
    assert args == ()
    assert set(kwargs) == {"t", "condition"}


@pytest.mark.parametrize(
    "output", [{"loss": torch.tensor(0.5, requires_grad=True)}, [{"loss": 0.5}], [{"loss": torch.tensor(0.5)}]]
)
def test_loss_is_read_from_any_output(output: dict | list) -> None:
    assert loss_of(output) == 0.5


class SlowNumbers(Numbers):
    """Each sample takes its time."""

    def __getitem__(self, index: int) -> dict:
        time.sleep(0.02)
        return super().__getitem__(index)


def test_time_spent_on_slow_data_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(1, 1)
    said: list[str] = []
    monkeypatch.setattr(ProgressBar, "log_message", staticmethod(said.append))
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=DataLoader(SlowNumbers(), batch_size=2),
        network=network,
        optimizer=torch.optim.AdamW(network.parameters()),
        loss_function=torch.nn.MSELoss(),
        inferer=SimpleInferer(),
        train_handlers=[TrainingProgress("toy", losses_path=str(tmp_path / "losses.csv"))],
        decollate=False,
    ).run()
    shares = [float(match[1]) / 100 for line in said if (match := re.search(r"([0-9.]+)% of the time", line))]
    assert len(shares) == 2
    assert all(0.3 < share <= 1.0 for share in shares)

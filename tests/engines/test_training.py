import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from ignite.handlers import ProgressBar
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch.utils.data import Dataset

from bundle.engines import (
    ClipGradients,
    StopOnNonFiniteLoss,
    TrainingProgress,
    prepare_flow_batch,
    two_rates,
)
from bundle.engines.training import loss_of, write_loss


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


def test_an_epoch_that_is_run_again_has_one_line(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    for epoch, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (2, 2.0)):
        write_loss(path, epoch, loss)
    assert path.read_text() == "1,3.000000\n2,2.000000\n"


def test_a_line_that_a_stop_cut_short_goes(tmp_path: Path) -> None:
    (tmp_path / "losses.csv").write_text("1,3.000000\n2,2.0000\nx")
    write_loss(tmp_path / "losses.csv", 2, 2.0)
    assert (tmp_path / "losses.csv").read_text() == "1,3.000000\n2,2.000000\n"


def _rates(lr: float, *, steps: int, resumed_at: int | None = None) -> list[float]:
    """The rate of every step of a schedule that may be stopped and gone on with."""
    rates: list[float] = []
    states: list[dict] = []
    for _ in range(1 if resumed_at is None else 2):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        schedule = two_rates(optimizer, steps=steps)
        for part, state in zip((schedule, optimizer), states, strict=False):
            part.load_state_dict(state)
        while len(rates) < (steps if states or resumed_at is None else resumed_at):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        states = [schedule.state_dict(), optimizer.state_dict()]
    return rates


@pytest.mark.parametrize("resumed_at", [None, 30, 120])
def test_two_rates_warm_up_and_fall_to_a_tenth_in_the_middle(resumed_at: int | None) -> None:
    rates = _rates(2.0, steps=200, resumed_at=resumed_at)
    assert len(rates) == 200
    np.testing.assert_allclose(rates[:50], np.linspace(0.04, 2.0, 51)[:50])
    np.testing.assert_allclose(rates[50:100], 2.0)
    np.testing.assert_allclose(rates[100:], 0.2)


def test_a_short_training_has_two_rates_too() -> None:
    np.testing.assert_allclose(_rates(1.0, steps=4), [0.02, 0.51, 0.1, 0.1])

"""The running average: closed forms, and that of ignite in a run that was never stopped."""

import pytest
import torch
from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn

from bundle.engines import RunningAverage


def _engine(network: nn.Module) -> Engine:
    """Each iteration adds 1 to every weight."""

    def step(engine: Engine, batch: object) -> None:
        with torch.no_grad():
            for one in network.parameters():
                one.add_(1.0)

    return Engine(step)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_a_run_that_was_never_stopped_has_the_average_of_ignite() -> None:
    averages = []
    for make in (
        lambda network: RunningAverage(network, momentum=0.01, first_momentum=0.2, warmup_iterations=5),
        lambda network: EMAHandler(network, momentum=0.01, momentum_warmup=0.2, warmup_iters=5),
    ):
        network = _network()
        average, engine = make(network), _engine(network)
        average.attach(engine)
        engine.run([0] * 4, max_epochs=2)
        averages.append(average.ema_model.state_dict())
    ours, theirs = averages
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_momentum_falls_in_a_line_and_follows_the_iteration_alone() -> None:
    average = RunningAverage(_network(), momentum=0.1, first_momentum=0.5, warmup_iterations=5)
    assert [average.momentum_at(n) for n in (1, 3, 5, 9)] == pytest.approx([0.5, 0.3, 0.1, 0.1])
    rising = RunningAverage(_network(), momentum=0.5, first_momentum=0.1, warmup_iterations=5)
    assert [rising.momentum_at(n) for n in (1, 3, 5, 9)] == pytest.approx([0.1, 0.3, 0.5, 0.5])


def test_an_average_of_constant_weights_is_the_weights() -> None:
    network = _network()
    average, engine = RunningAverage(network), Engine(lambda engine, batch: None)
    average.attach(engine)
    engine.run([0] * 3, max_epochs=1)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(average.ema_model.state_dict()[name], value)


@pytest.mark.parametrize("momentum", [0.0, 1.0, -0.1])
def test_a_momentum_outside_zero_to_one_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        RunningAverage(_network(), momentum=momentum)

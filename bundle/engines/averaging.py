"""The running average of weights that is validated and shipped."""

from copy import deepcopy

import torch
from ignite.engine import Engine, Events
from torch import nn


class RunningAverage:
    """Exponential moving average of a network's weights, a <- (1 - m) a + m w after every iteration.

    m falls in a line from `first_momentum` to `momentum` over the first `warmup_iterations`, so that random first
    weights are soon forgotten. It follows the number of the iteration alone: ignite's `EMAHandler` counts from 0 in
    every resumed run, and would forget the average of a training that was stopped.

    Args:
        network: what is trained.
        momentum: weight of the newest weights, in (0, 1).
        first_momentum: that of the first iteration, in (0, 1).
        warmup_iterations: after how many `momentum` is reached.

    Attributes:
        ema_model: the network with averaged weights.

    Raises:
        ValueError: if a momentum is not in (0, 1).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        momentum: float = 0.005,
        first_momentum: float = 0.1,
        warmup_iterations: int = 300,
    ) -> None:
        for value in (momentum, first_momentum):
            if not 0 < value < 1:
                raise ValueError(f"Expected a momentum of the running average between 0 and 1, got {value}")
        self.network, self.momentum, self.first_momentum = network, momentum, first_momentum
        self.warmup_iterations = warmup_iterations
        self.ema_model = deepcopy(network).eval().requires_grad_(False)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def momentum_at(self, iteration: int) -> float:
        """Weight of the newest weights after an iteration, counted from 1."""
        fall = (self.momentum - self.first_momentum) * (iteration - 1) / max(1, self.warmup_iterations - 1)
        bound = min if self.momentum >= self.first_momentum else max
        return bound(self.momentum, self.first_momentum + fall)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Take the weights after an iteration in."""
        momentum = self.momentum_at(engine.state.iteration)
        for average, new in zip(self.ema_model.parameters(), self.network.parameters(), strict=True):
            average.mul_(1.0 - momentum).add_(new, alpha=momentum)
        for kept, newest in zip(self.ema_model.buffers(), self.network.buffers(), strict=True):
            kept.copy_(newest)


class AverageFromStart:
    """Lets a running average begin with the weights that the training starts with.

    A server loads weights into the network when the training starts, after the average was made of it. It goes before
    `ResumableCheckpoints`, which bring an average of their own.

    Args:
        average: what is attached.
    """

    def __init__(self, average: RunningAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Attach both to a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        self.average.attach(engine)

    def _start(self, engine: Engine) -> None:
        self.average.ema_model.load_state_dict(self.average.network.state_dict())

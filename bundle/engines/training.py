"""What MONAI's trainers lack: batches of the flow, two rates, clipped gradients, a stop at NaN, a progress bar."""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.engines.utils import IterationEvents
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, MultiStepLR, SequentialLR

from .durable import write_durably


def prepare_flow_batch(
    batchdata: dict[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor, tuple, dict[str, Tensor]]:
    """Batch of `RandFlowStated` to network input, target, and the keywords `t` and `condition`."""
    moved = {
        key: batchdata[key].to(device, non_blocking=non_blocking, **kwargs)
        for key in ("image", "velocity", "t", "condition")
    }
    return moved["image"], moved["velocity"], (), {"t": moved["t"], "condition": moved["condition"]}


def two_rates(optimizer: Optimizer, *, steps: int, warmup_steps: int = 50) -> SequentialLR:
    """A linear warmup, the optimiser's learning rate until the middle, and a tenth of it from there on.

    Both quarters of the second half run at one rate, so that their mean losses compare like with like: a loss that
    falls no more between them has nothing left to gain at that rate. Under a cosine they differ by the rate too.

    Args:
        optimizer: whose rate is changed, once a step.
        steps: of the whole training.
        warmup_steps: of the warmup, from a fiftieth of the rate; at most half of the steps.
    """
    warm = max(1, min(warmup_steps, steps // 2))
    stages = [LinearLR(optimizer, 0.02, total_iters=warm), MultiStepLR(optimizer, [steps // 2 - warm])]
    return SequentialLR(optimizer, stages, [warm])


class ClipGradients:
    """Scales the gradients of a step down to a largest norm.

    The overlap losses start with gradients thousands of times steeper than those that follow; unclipped, Adam's
    second moment remembers them and the training stands still.

    Args:
        parameters: what is trained.
        max_norm: largest Euclidean norm of all gradients together.
    """

    def __init__(self, parameters: Iterable[Tensor], *, max_norm: float = 1.0) -> None:
        self.parameters, self.max_norm = list(parameters), max_norm

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm)


def loss_of(output: Any) -> float:
    """The loss in a trainer's output, decollated or not."""
    loss = (output[0] if isinstance(output, list) else output)["loss"]
    return float(loss.detach() if isinstance(loss, Tensor) else loss)


class StopOnNonFiniteLoss:
    """Raises as soon as the loss is NaN or infinite, naming the iteration: a run must not go on from broken weights."""

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._check)

    def _check(self, engine: Engine) -> None:
        loss = loss_of(engine.state.output)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"Expected a finite loss, got {loss} at iteration {engine.state.iteration}; "
                "lower the learning rate and resume from the last checkpoint"
            )


class TrainingProgress:
    """A progress bar with the loss; for each epoch its mean, kept as CSV too, and the share of time spent on data.

    With workers, the time spent waiting for a batch is what they are too slow by; the first batch of a run, for which
    they start, is not counted. Of several processes only the first reports.

    Args:
        label: name of the network.
        losses_path: CSV file of `epoch,mean_loss`, each epoch once however often it was run; None keeps nothing.
    """

    def __init__(self, label: str, *, losses_path: str | None = None) -> None:
        self.label = label
        self.losses_path = None if losses_path is None else Path(losses_path)
        self.losses: list[float] = []
        self.asked_at, self.waited_s, self.since = 0.0, 0.0, 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._receive)
        bar = ProgressBar(desc=self.label, persist=False)
        bar.attach(engine, output_transform=lambda output: {"loss": loss_of(output)})
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report, bar)

    def _ask(self, engine: Engine) -> None:
        self.asked_at = time.perf_counter()

    def _receive(self, engine: Engine) -> None:
        now = time.perf_counter()
        if self.since:
            self.waited_s += now - self.asked_at
        else:
            self.since = now

    def _collect(self, engine: Engine) -> None:
        self.losses.append(loss_of(engine.state.output))

    def _report(self, engine: Engine, bar: ProgressBar) -> None:
        mean = sum(self.losses) / len(self.losses)
        now = time.perf_counter()
        waited = self.waited_s / max(now - self.since, 1e-9)
        self.losses, self.waited_s, self.since = [], 0.0, now
        bar.log_message(
            f"{self.label}: epoch {engine.state.epoch} of {engine.state.max_epochs}, mean loss {mean:.4f}, "
            f"{waited:.1%} of the time waiting for data"
        )
        if self.losses_path is not None:
            write_loss(self.losses_path, engine.state.epoch, mean)


def write_loss(path: Path, epoch: int, loss: float) -> None:
    """Put `epoch,loss` at the end of a CSV file; lines of this epoch and later ones, from before a stop, go."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if (first := line.split(",")[0]).isdigit() and int(first) < epoch]
    text = "".join(f"{line}\n" for line in [*kept, f"{epoch},{loss:.6f}"])
    write_durably(path, lambda file: file.write(text.encode()))

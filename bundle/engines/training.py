"""What MONAI's trainers lack: batches of the flow, checkpoints that resume, a stop at NaN, a progress bar."""

import math
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, ProgressBar
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader
from torch import Tensor


def prepare_flow_batch(
    batchdata: dict[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor, tuple, dict[str, Tensor]]:
    """Batch of `RandFlowStated` to network input, target, and the keywords `t` and `condition`."""
    moved = {
        key: batchdata[key].to(device, non_blocking=non_blocking, **kwargs)
        for key in ("image", "velocity", "t", "condition")
    }
    return moved["image"], moved["velocity"], (), {"t": moved["t"], "condition": moved["condition"]}


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


class ResumableCheckpoints:
    """Saves training atomically after every few epochs, and goes on from the newest readable checkpoint at the start.

    Args:
        directory: where `checkpoint_N.pt` lie, N the epoch.
        objects: what to save: networks, optimiser, schedule; the trainer itself is added.
        every_epochs: how often.
        keep: how many of the newest stay.
    """

    def __init__(self, directory: str, objects: dict[str, Any], *, every_epochs: int = 1, keep: int = 2) -> None:
        self.directory, self.objects, self.every_epochs, self.keep = Path(directory), objects, every_epochs, keep

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        objects = {**self.objects, "trainer": engine}
        engine.add_event_handler(Events.STARTED, self._resume, objects)
        save = Checkpoint(
            objects,
            DiskSaver(str(self.directory), require_empty=False, atomic=True),
            n_saved=self.keep,
            global_step_transform=lambda trainer, _: trainer.state.epoch,
        )
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every_epochs), save)

    def _resume(self, engine: Engine, objects: dict[str, Any]) -> None:
        for path in newest_checkpoints(self.directory):
            try:
                CheckpointLoader(str(path), objects, map_location={})(engine)
            except (RuntimeError, EOFError, KeyError, OSError) as error:
                engine.logger.warning(f"Skipped the unreadable checkpoint {path.name}: {type(error).__name__}")
                continue
            engine.logger.info(f"Resumed from {path.name} at epoch {engine.state.epoch}")
            return


def newest_checkpoints(directory: Path) -> list[Path]:
    """Checkpoints of a directory, newest epoch first."""
    found = [
        (int(match[1]), path)
        for path in directory.glob("checkpoint_*.pt")
        if (match := re.fullmatch(r"checkpoint_(\d+)", path.stem))
    ]
    return [path for _, path in sorted(found, reverse=True)]


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
        losses_path: CSV file to which `epoch,mean_loss` are appended; None keeps nothing.
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
            self.losses_path.parent.mkdir(parents=True, exist_ok=True)
            with self.losses_path.open("a") as file:
                file.write(f"{engine.state.epoch},{mean:.6f}\n")

"""Checkpoints that a training goes on from after a kill at any moment, and the weights at its end.

See docs/reliability.md for what is promised and docs/determinism.md for what is equal bit for bit.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn
from tqdm import tqdm

from .durable import why_unreadable, write_durably
from .random_state import random_state, set_random_state

RANDOM, TRAINER = "random_state", "trainer"
LOCK = ".lock"


class BrokenCheckpoint(ValueError):
    """A file that is no whole checkpoint."""


class ResumableCheckpoints:
    """Saves training after every few epochs, whole or not at all, and goes on from the newest sound checkpoint.

    A checkpoint holds the state of all objects, of the trainer and of the random number generators. One that is cut
    short or has a wrong bit is refused in one line, and the one before it is used. It goes last among a trainer's
    handlers, so that what the others write of an epoch is written before the epoch counts as done.

    Args:
        directory: where `checkpoint_N.pt` lie, N the epoch.
        objects: what to save: networks, optimiser, schedule; the trainer itself is added.
        every_epochs: how often.
        keep: how many of the newest stay, at least 2.

    Raises:
        ValueError: if fewer than two are to stay.
    """

    def __init__(self, directory: str, objects: dict[str, Any], *, every_epochs: int = 1, keep: int = 2) -> None:
        if keep < 2:
            raise ValueError(f"Expected at least 2 checkpoints to keep, got {keep}: the newest may turn out broken")
        self.directory, self.objects, self.every_epochs, self.keep = Path(directory), objects, every_epochs, keep
        self._lock: int | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every_epochs), self._save)
        engine.add_event_handler(Events.COMPLETED, self._release)

    def _start(self, engine: Engine) -> None:
        self._claim()
        self._resume(engine)

    def _claim(self) -> None:
        """Refuse a second training in this folder. The system gives the lock free when a process dies, however."""
        if idist.get_rank() > 0 or os.name != "posix":
            return
        import fcntl

        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Not flock: workers of the data loader inherit that one, and may outlive this process by seconds.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(
                f"Expected no other training on {self.directory}, found one that runs; wait for it, stop it, or give "
                "another --output_dir"
            ) from None

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _resume(self, engine: Engine) -> None:
        found = newest_checkpoints(self.directory)
        for path in found:
            try:
                state = read_whole(path)
            except BrokenCheckpoint as error:
                tqdm.write(f"Refused {path}: {error}; the one before it is used")
                continue
            self._load(engine, state, path)
            tqdm.write(f"Goes on from {path.name}, after epoch {engine.state.epoch} of {engine.state.max_epochs}")
            return
        if found:
            tqdm.write(f"None of the {len(found)} checkpoints in {self.directory} is sound: training begins anew")

    def _load(self, engine: Engine, state: Mapping[str, Any], path: Path) -> None:
        max_epochs = engine.state.max_epochs
        try:
            for name, one in {**self.objects, TRAINER: engine}.items():
                one.load_state_dict(state[name])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            first = " ".join(str(error).split())[:150]
            raise ValueError(
                f"Expected a checkpoint of this training in {path}, got one of other networks or settings ({first}); "
                "give another --output_dir"
            ) from error
        # Older ones have none.
        if RANDOM in state:
            set_random_state(state[RANDOM])
        engine.state.max_epochs = max_epochs
        if max_epochs is not None and engine.state.epoch > max_epochs:
            raise ValueError(
                f"Expected at least the {engine.state.epoch} epochs that {path} has behind it, got {max_epochs}; give "
                "more --epochs or another --output_dir"
            )

    def _save(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            path = self.directory / f"checkpoint_{engine.state.epoch}.pt"
            state = {name: one.state_dict() for name, one in {**self.objects, TRAINER: engine}.items()}
            save_whole(path, {**state, RANDOM: random_state()})
            # Those of later epochs were refused, and will be written over.
            done = [old for old in newest_checkpoints(self.directory) if epoch_of(old) <= engine.state.epoch]
            for old in done[self.keep :]:
                old.unlink()
        idist.barrier()


class FinalWeights:
    """Writes the weights when the training has come to its end, whole or not at all, and at no other time.

    MONAI's `CheckpointSaver` writes them in place, and after an error too, which looks like the end of a training.

    Args:
        path: the file.
        network: whose flat state dict it holds.
    """

    def __init__(self, path: str, network: nn.Module) -> None:
        self.path, self.network = Path(path), network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write."""
        if idist.get_rank() == 0:
            save_whole(self.path, self.network.state_dict())
        idist.barrier()


def save_whole(path: Path, state: Mapping[str, Any]) -> None:
    """Write with torch.save, whole or not at all.

    Raises:
        OSError: if it cannot be written, e.g. for want of room; older files are as they were.
    """
    try:
        write_durably(path, lambda file: torch.save(state, file))
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(
            f"Expected room for {path.name} in {path.parent}, got {cause.strerror!r}; free some and start the same "
            "command again: it goes on from the last checkpoint"
        ) from error


def read_whole(path: Path) -> Mapping[str, Any]:
    """What `save_whole` wrote.

    Raises:
        BrokenCheckpoint: if the file is cut short, has a wrong bit, or is something else.
    """
    if reason := why_unreadable(path):
        raise BrokenCheckpoint(reason)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, OSError, KeyError, ValueError) as error:
        raise BrokenCheckpoint(f"torch cannot read it ({type(error).__name__})") from error


def epoch_of(path: Path) -> int:
    """Epoch of a checkpoint by its name, -1 if it is none."""
    match = re.fullmatch(r"checkpoint_(\d+)\.pt", path.name)
    return int(match[1]) if match else -1


def newest_checkpoints(directory: Path) -> list[Path]:
    """Checkpoints of a directory, newest epoch first."""
    return sorted((path for path in directory.glob("*.pt") if epoch_of(path) >= 0), key=epoch_of, reverse=True)

"""Trainings that are killed: run as `python -m tests.killed_trainings`, with the trainings as JSON on standard input.

Each is {"config": NAME, "options": {...}} and may have a "kill": ["iteration", n] before iteration n of this run,
["write", n, bytes] when so many bytes of the n-th durable file of this run are written, ["rename", n] before it gets
its name. Prints the status of each as JSON, -9 for SIGKILL.
"""

import os
import signal
from pathlib import Path
from typing import Any, NoReturn

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

import bundle.engines
import bundle.inferers
import bundle.losses
import bundle.metrics
import bundle.transforms
from bundle.engines import durable
from tests.forks import run_in_forks

ROOT = Path(__file__).resolve().parents[1]


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL kills")


class _DeadlyFile:
    """A file whose process dies once so many bytes of it are on the disk."""

    def __init__(self, file: Any, left: int) -> None:
        self.file, self.left = file, left

    def write(self, content: Any) -> int:
        data = bytes(content)
        if len(data) >= self.left:
            self.file.write(data[: self.left])
            self.file.flush()
            os.fsync(self.file.fileno())
            _die()
        self.left -= len(data)
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _arm(kill: list[Any]) -> None:
    """Die at a durable write of this process."""
    count = 0
    write_durably, replace = durable.write_durably, os.replace

    def deadly_write(path: Path, write: Any) -> None:
        nonlocal count
        count += 1
        if kill[0] == "write" and count == kill[1]:
            write_durably(path, lambda file: (write(_DeadlyFile(file, kill[2])), _die()))
        write_durably(path, write)

    def deadly_replace(*paths: Any) -> None:
        if kill[0] == "rename" and count == kill[1]:
            _die()
        replace(*paths)

    durable.os.replace = deadly_replace  # type: ignore[attr-defined]
    for module in (bundle.engines.checkpoints, bundle.engines.training):
        module.write_durably = deadly_write  # type: ignore[attr-defined]


def _train(config: str, options: dict[str, Any], kill: list[Any] | None) -> None:
    workflow = ConfigWorkflow(
        str(ROOT / "configs" / f"{config}.yaml"),
        workflow_type="train",
        logging_file=False,
        meta_file=str(ROOT / "configs" / "metadata.json"),
        **options,
    )
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    if kill and kill[0] == "iteration":
        seen: list[int] = []
        trainer.add_event_handler(
            Events.ITERATION_STARTED, lambda: seen.append(1) or (_die() if len(seen) == kill[1] else None)
        )
    elif kill:
        _arm(kill)
    workflow.run()
    workflow.finalize()


if __name__ == "__main__":
    run_in_forks(lambda training: _train(training["config"], training["options"], training.get("kill")))

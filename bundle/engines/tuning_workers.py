"""More processes for a study: the command that is running, started again beside itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

# Tells a process that it is one of them, and starts none itself.
WORKER = "MCGENREF_TUNING_WORKER"


class Workers:
    """Runs the command of this process in further ones while it is entered, and waits for them at the end.

    Each writes to OUT/worker_N.log, which stays if it did not end well. They are processes like this one: whichever
    dies, the others go on. If this one ends with an error, they are stopped.

    Args:
        count: processes, this one included.
        output_dir: of the logs.
        command: what to run, without the interpreter; that of this process when None.

    Raises:
        ValueError: if the count is not positive, or this process was not started by a command that can be repeated.
    """

    def __init__(self, count: int, output_dir: str | Path, *, command: Sequence[str] | None = None) -> None:
        if count < 1:
            raise ValueError(f"Expected at least one worker, got {count}")
        self.count = 1 if WORKER in os.environ else count
        self.folder = Path(output_dir)
        self.command = list(sys.orig_argv[1:] if command is None else command)
        if self.count > 1 and "-m" not in self.command:
            raise ValueError(
                f"Expected one worker outside of a command such as python -m scripts.tune, got {count}; start the same "
                "program several times"
            )
        self.running: dict[int, subprocess.Popen] = {}

    def __enter__(self) -> Workers:
        """Start them."""
        for number in range(2, self.count + 1):
            with self._log(number).open("w") as log:
                self.running[number] = subprocess.Popen(
                    [sys.executable, *self.command], env=self._environment(number), stdout=log, stderr=log
                )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for them, or stop them after an error."""
        for number, process in self.running.items():
            if kind is not None:
                process.terminate()
            status = process.wait()
            if status == 0 or kind is not None:
                self._log(number).unlink(missing_ok=True)
            else:
                print(
                    f"Worker {number} ended with status {status}; the others made its trials. See {self._log(number)}"
                )

    def _log(self, number: int) -> Path:
        return self.folder / f"worker_{number}.log"

    def _environment(self, number: int) -> Mapping[str, str]:
        """That of this process, with threads for a part of the cores."""
        threads = str(max(1, (os.cpu_count() or 1) // self.count))
        return {"OMP_NUM_THREADS": threads, **os.environ, WORKER: str(number)}

"""Workers in processes of their own, by Ray: started, fed one thing at a time, replaced when they die."""

import logging
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.cohort_worker import Outcome, Worker, WorkerSettings
from scripts.processes import command_line, tree
from scripts.shipped import ROOT

DIED = "the worker's process died"
LONGEST_TEMPORARY = 40
"""Ray puts sockets below the temporary folder, and a socket's path has 107 characters at most."""
OBJECT_STORE_BYTES = 80 * 2**20
"""Nothing but paths and short answers goes through it; Ray wants so much at least."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on the loopback interface alone, as Ray does on a desktop
    "RAY_AUTH_MODE": "token",
    "TQDM_DISABLE": "1",  # read when a worker starts; the bar of this process is not touched
}
PATIENCE = {
    "RAY_worker_niceness": "0",  # that of this command; Ray's own choice is 15
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_health_check_failure_threshold": "10",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_prestart_worker_first_driver": "0",
}
"""A machine that does other things too is slow, not dead. What the user has set stays."""
STARTS = 3
"""So often a worker may die before it has begun."""
START_S = 900.0
"""Ray gives itself 30 s to start, which a busy machine exceeds; what it has begun goes on, and is joined then."""


@dataclass
class _Slot:
    actor: Any
    answer: Any = None
    since_s: float = 0.0


class RayPool:
    """A number of workers; at most one thing is on its way to each.

    Args:
        settings: of every worker.
        workers: their number, >= 1.
        gpus: share of a GPU of each, 0 for none.
        gpu_count: GPUs of the machine that may be used.
        timeout_s: a worker that takes longer over one thing is killed.

    Raises:
        ValueError: in one line, if Ray is missing, or no worker can be made.
    """

    def __init__(
        self, settings: WorkerSettings, *, workers: int, gpus: float = 0, gpu_count: int = 0, timeout_s: float = 3600
    ) -> None:
        self.settings, self.gpus, self.timeout_s = settings, gpus, timeout_s
        self._ray, self._temporary = _start(workers, gpu_count, settings.threads)
        try:
            self._slots = [_Slot(self._actor()) for _ in range(workers)]
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> None:
        for number in range(len(self._slots)):
            for trial in range(STARTS):
                try:
                    if broken := self._ray.get(self._slots[number].actor.ready.remote()):
                        raise ValueError(broken)
                    break
                except self._ray.exceptions.RayError as error:
                    if trial + 1 == STARTS:
                        raise ValueError(
                            f"Expected {len(self._slots)} workers to start, got {type(error).__name__}; is there "
                            "memory for them? Pass fewer --workers"
                        ) from error
                    self._slots[number] = _Slot(self._actor())

    def idle(self) -> list[int]:
        """Numbers of the workers that have nothing to do."""
        return [number for number, slot in enumerate(self._slots) if slot.answer is None]

    def submit(self, number: int, task: str, *arguments: Any) -> None:
        """Give an idle worker something to do.

        Args:
            number: of the worker.
            task: name of the method of `Worker`.
            *arguments: of the method.
        """
        slot = self._slots[number]
        slot.answer, slot.since_s = getattr(slot.actor, task).remote(*arguments), time.monotonic()

    def answers(self, wait_s: float = 1.0) -> Iterator[tuple[int, Outcome | str]]:
        """Numbers of the workers that are ready and what came of it, or why nothing came; dead ones are replaced.

        Args:
            wait_s: wait so long for the first.
        """
        waiting = {slot.answer: number for number, slot in enumerate(self._slots) if slot.answer is not None}
        ready, _ = self._ray.wait(list(waiting), num_returns=1, timeout=wait_s)
        for answer in ready:
            number = waiting.pop(answer)
            self._slots[number].answer = None
            try:
                yield number, self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                yield number, self._replaced(number, error)
        for number in waiting.values():
            if time.monotonic() - self._slots[number].since_s > self.timeout_s:
                self._ray.kill(self._slots[number].actor)
                self._slots[number] = _Slot(self._actor())
                yield number, f"it took longer than {self.timeout_s:g} s (--timeout-s)"

    def _replaced(self, number: int, error: Exception) -> str:
        """Put a new worker in the place of one that died; the reason, without the text of the error."""
        if isinstance(error, self._ray.exceptions.RayTaskError):
            return f"{type(error).__name__} of the worker"  # which is well
        self._ray.kill(self._slots[number].actor)
        self._slots[number] = _Slot(self._actor())
        return DIED

    def _actor(self) -> Any:
        made = self._ray.remote(Worker).options(num_cpus=1, num_gpus=self.gpus, max_restarts=0)
        return made.remote(self.settings)

    def close(self) -> None:
        """End all processes and remove Ray's folder."""
        _remove(self._ray, self._temporary)


def _start(workers: int, gpu_count: int, threads: int) -> tuple[Any, Path]:
    """Ray, running on this machine alone, and its folder.

    Raises:
        ValueError: if it is missing, or the temporary folder has too long a name.
    """
    root = tempfile.gettempdir()
    if len(root) > LONGEST_TEMPORARY:
        raise ValueError(f"Expected a temporary folder with a path of {LONGEST_TEMPORARY} characters at most, got "
                         f"{len(root)}; set TMPDIR")  # fmt: skip
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    token = secrets.token_hex(32)
    threads_text = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    wanted = ENVIRONMENT | threads_text | {"PYTHONPATH": path, "RAY_AUTH_TOKEN": token}
    os.environ.update({**PATIENCE, **os.environ, **wanted})
    try:
        import ray
    except ImportError:
        raise ValueError('Expected Ray, found none; pip install "mcgenref[cohort]"') from None
    temporary = Path(tempfile.mkdtemp(prefix="mcgenref-"))
    quietly: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        try:
            ray.init(
                address="local", num_cpus=workers, num_gpus=gpu_count, include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES, _temp_dir=str(temporary), **quietly,
            )  # fmt: skip
        except Exception as error:
            _join(ray, temporary, quietly, error)
    except BaseException:
        _remove(ray, temporary)
        raise
    return ray, temporary


def _join(ray: Any, temporary: Path, options: Mapping[str, Any], late: Exception) -> None:
    """Connect to what has begun to start below a folder, as soon as it can be.

    Raises:
        ValueError: if it never can.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for port in temporary.glob("session_2*/gcs_server_port_*"):
            try:
                ray.init(address=f"127.0.0.1:{int(port.read_text())}", **options)
                return
            except Exception as error:  # of many kinds, as long as it is not there
                late = error
                ray.shutdown()
        time.sleep(2)
    raise ValueError(
        f"Expected Ray to start within {START_S:g} s, got {type(late).__name__}; is the machine too busy? Give the "
        "same command later"
    ) from late


def _remove(ray: Any, temporary: Path) -> None:
    """End Ray, also one that has only half begun, and remove its folder; other children of this process live on."""
    ray.shutdown()
    begun = [pid for child in tree(os.getpid()) if str(temporary) in command_line(child) for pid in tree(child)]
    for pid in reversed(begun):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(temporary, ignore_errors=True)

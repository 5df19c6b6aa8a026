"""The pool on a stand-in for Ray: slow starts are waited for, dead and slow workers are replaced, all in one line."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bundle.data.manifest import DONE
from scripts import cohort_pool
from scripts.cohort_pool import DIED, RayPool
from scripts.cohort_worker import Outcome, WorkerSettings
from scripts.processes import tree

exceptions = pytest.importorskip("ray").exceptions


class FakeRay:
    """Answers are callables: what they return, or raise, comes of `get`; one that is None is never ready."""

    exceptions = exceptions

    def __init__(self, ready: str = "") -> None:
        self.made: list[Any] = []
        self.killed: list[Any] = []
        self.told = ready

    def remote(self, cls: type) -> Any:
        return self

    def options(self, **_: Any) -> Any:
        def make(settings: WorkerSettings) -> Any:
            actor = SimpleNamespace(
                ready=SimpleNamespace(remote=lambda: lambda: self.told),
                view=SimpleNamespace(remote=lambda answer: answer),
            )
            self.made.append(actor)
            return actor

        return SimpleNamespace(remote=make)

    def get(self, answers: Any) -> Any:
        return [answer() for answer in answers] if isinstance(answers, list) else answers()

    def wait(self, answers: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        ready = [answer for answer in answers if not getattr(answer, "slow", False)][:1]
        return ready, [answer for answer in answers if answer not in ready]

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def shutdown(self) -> None:
        self.made.clear()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(cohort_pool, "_start", lambda *_: (fake, tmp_path / "ray"))
    return fake


def _pool(workers: int = 1, **options: Any) -> RayPool:
    return RayPool(WorkerSettings(folder="out", options={}), workers=workers, **options)


def _dies() -> Outcome:
    raise exceptions.ActorDiedError()


def test_answers_come_with_the_number_of_their_worker(ray: FakeRay) -> None:
    pool = _pool(2)
    assert pool.idle() == [0, 1]
    pool.submit(1, "view", lambda: Outcome(DONE))
    assert pool.idle() == [0]
    assert list(pool.answers()) == [(1, Outcome(DONE))]
    assert pool.idle() == [0, 1]


def test_a_dead_worker_is_replaced_and_nothing_of_the_error_is_told(ray: FakeRay) -> None:
    pool = _pool(2)
    pool.submit(0, "view", _dies)
    assert list(pool.answers()) == [(0, DIED)]
    assert len(ray.made) == 3
    assert pool.idle() == [0, 1]


def test_an_error_of_the_call_keeps_the_worker(ray: FakeRay) -> None:
    def breaks() -> Outcome:
        raise exceptions.RayTaskError("view", "SENTINEL", KeyError("SENTINEL"))

    pool = _pool()
    pool.submit(0, "view", breaks)
    assert list(pool.answers()) == [(0, "RayTaskError of the worker")]
    assert len(ray.made) == 1


def test_a_worker_that_takes_too_long_is_killed_and_replaced(ray: FakeRay) -> None:
    def slow() -> Outcome:
        raise AssertionError("never asked for")

    slow.slow = True  # type: ignore[attr-defined]
    pool = _pool(timeout_s=0)
    pool.submit(0, "view", slow)
    ((number, reason),) = pool.answers()
    assert (number, reason) == (0, "it took longer than 0 s (--timeout-s)")
    assert len(ray.killed) == 1
    assert pool.idle() == [0]


def test_workers_that_cannot_work_are_one_line_and_ray_ends(ray: FakeRay) -> None:
    ray.told = "Expected weights, got none"
    with pytest.raises(ValueError, match="Expected weights"):
        _pool()
    assert ray.made == []


def test_a_worker_that_dies_before_it_has_begun_is_replaced(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = iter([True, True, False])
    monkeypatch.setattr(ray, "get", lambda answer: _dies() if next(deaths) else "")
    assert _pool().idle() == [0]
    assert len(ray.made) == 3


def test_workers_that_die_at_once_are_one_line(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda answers: _dies())
    with pytest.raises(ValueError, match="Expected 1 workers to start, got ActorDiedError"):
        _pool()


def test_the_end_kills_what_ray_has_begun_and_no_other_child(ray: FakeRay, tmp_path: Path) -> None:
    pool = _pool()
    (tmp_path / "ray").mkdir()
    other = subprocess.Popen(["sleep", "600"])
    # it outlives the one below it: bash returns from `wait` as soon as that is killed
    begun = subprocess.Popen(
        ["bash", "-c", "sleep 600 & echo $!; read", str(tmp_path / "ray")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert begun.stdout
    below = int(begun.stdout.readline())
    try:
        pool.close()
        assert begun.wait(30) == -signal.SIGKILL
        assert below not in tree(os.getpid())
        with suppress(FileNotFoundError):  # gone, or left to be collected
            assert "Z" in Path(f"/proc/{below}/stat").read_text()
        assert other.poll() is None
        assert not (tmp_path / "ray").exists()
    finally:
        for process in (begun, other):
            process.kill()
            process.communicate()


def test_a_slow_start_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "session_2026").mkdir()
    asked: list[str] = []

    def init(address: str, **_: Any) -> None:
        asked.append(address)
        if len(asked) < 3:
            raise RuntimeError("not there yet")

    monkeypatch.setattr(
        cohort_pool.time, "sleep", lambda s: (tmp_path / "session_2026/gcs_server_port_x").write_text("7")
    )
    cohort_pool._join(SimpleNamespace(init=init, shutdown=lambda: None), tmp_path, {}, RuntimeError("late"))
    assert asked == ["127.0.0.1:7"] * 3


def test_a_start_that_never_comes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_pool, "START_S", 0.0)
    with pytest.raises(ValueError, match="Expected Ray to start within 0 s, got RuntimeError") as error:
        cohort_pool._join(SimpleNamespace(), tmp_path, {}, RuntimeError("late"))
    assert "\n" not in str(error.value)


def test_a_temporary_folder_with_a_long_path_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_pool.tempfile, "gettempdir", lambda: "x" * 41)
    with pytest.raises(ValueError, match="set TMPDIR"):
        cohort_pool._start(1, 0, 1)

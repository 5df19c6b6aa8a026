"""Processes beside this one: started with its command, waited for, stopped with it."""

from pathlib import Path

import pytest

from bundle.engines.tuning_workers import WORKER, Workers

# A command with -m that runs a line of Python: timeit runs its statement once here.
LINE = ["-m", "timeit", "-n1", "-r1"]


def test_one_worker_starts_nothing(tmp_path: Path) -> None:
    with Workers(1, tmp_path, command=[]) as workers:
        assert workers.running == {}


def test_each_of_the_others_knows_its_number(tmp_path: Path) -> None:
    text = f"import os, pathlib; pathlib.Path({str(tmp_path)!r}, os.environ[{WORKER!r}]).touch()"
    with Workers(3, tmp_path, command=[*LINE, text]):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"2", "3"}


def test_a_worker_starts_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKER, "2")
    with Workers(3, tmp_path, command=LINE) as workers:
        assert workers.running == {}


def test_one_that_did_not_end_well_is_told_and_its_log_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workers(2, tmp_path, command=[*LINE, "import os; os.kill(os.getpid(), 9)"]):
        pass
    assert f"Worker 2 ended with status -9; the others made its trials. See {tmp_path}" in capsys.readouterr().out
    assert (tmp_path / "worker_2.log").exists()


def test_an_error_here_stops_the_others(tmp_path: Path) -> None:
    workers = Workers(2, tmp_path, command=[*LINE, "import time; time.sleep(600)"])
    with pytest.raises(KeyError), workers:
        raise KeyError
    assert workers.running[2].poll() is not None


def test_wrong_numbers_and_programs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        Workers(0, tmp_path)
    with pytest.raises(ValueError, match="outside of a command"):
        Workers(2, tmp_path, command=["program.py"])

"""The command on Ray with real faults: it loses nothing, and ends with what `scripts.segment` gives, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.data import phantom_datalist, phantom_seed
from bundle.data.cohort import views_of_input
from bundle.data.manifest import DONE, ENDS, NAME, REFUSED, Manifest, decoded, read_history
from scripts import cohort
from scripts.processes import tree
from scripts.soak_samples import WORKER

ROOT = Path(__file__).resolve().parents[2]
VIEWS = 5
OPTIONS = ["--method", "segmentor", "--no-report", "--no-dicom"]
PATIENCE_S = 1500
"""A machine that does other things too needs long for starting processes."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views of which two have equal names, and one that is cut short."""
    made = tmp_path_factory.mktemp("phantoms")
    first = phantom_seed("tune", 60)
    size: dict[str, Any] = {"spacing_mm": 0.1, "height_mm": 40.0, "width_mm": 30.0, "view": "CC"}
    items = phantom_datalist(made, count=VIEWS, first_seed=first, progress=False, **size)
    folder = tmp_path_factory.mktemp("in")
    for number, item in enumerate(items):
        path = folder / str(number % 3) / f"x{number // 3}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Path(item["image"]).read_bytes())
    content = Path(items[0]["image"]).read_bytes()
    (folder / "1" / "cut.dcm").write_bytes(content[: len(content) // 2])
    return folder


def _environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **changes}


@pytest.fixture(scope="module")
def expected(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What `scripts.segment` writes, by source and by what follows the stem."""
    out = tmp_path_factory.mktemp("segment")
    command = [sys.executable, "-m", "scripts.segment", str(inputs), "--output-dir", str(out), *OPTIONS]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert f"{VIEWS} segmented, 1 refused" in done.stdout, done.stderr
    return _results(list(out.glob("*_findings.json")))


def _results(findings: list[Path]) -> dict[str, dict[str, bytes]]:
    found = {}
    for path in findings:
        stem = path.name.removesuffix("findings.json")
        files = {file.name.removeprefix(stem): file for file in path.parent.iterdir() if file.name.startswith(stem)}
        found[json.loads(path.read_text())["source_id"]] = {name: file.read_bytes() for name, file in files.items()}
    return found


def _start(inputs: Path, out: Path, *options: str, **changes: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "scripts.cohort", str(inputs), "--output-dir", str(out), *OPTIONS, *options]
    return subprocess.Popen(
        command, cwd=ROOT, env=_environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _wait_for(condition: Callable[[], Any], running: subprocess.Popen) -> Any:
    """What a condition comes to as soon as it is true, or when the run has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def _ended(out: Path) -> int:
    return sum(entry.end is not None for entry in read_history(out).entries.values())


def _workers(driver: int) -> list[int]:
    found = []
    for pid in tree(driver):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        found += [pid] * command.startswith(WORKER)
    return found


def _assert_ended_once(out: Path, inputs: Path) -> None:
    """Every view has one end, in the file too."""
    views = {view.key: Path(view.path).name for view in views_of_input(str(inputs))}
    lines = [decoded(text) for text in (out / NAME).read_bytes().splitlines()]
    ends = [line for line in lines if line is not None and line["event"] in ENDS]
    assert sorted(line["key"] for line in ends) == sorted(views)
    for line in ends:
        assert line["event"] == (REFUSED if views[line["key"]] == "cut.dcm" else DONE)


def _assert_equal(out: Path, expected: dict[str, dict[str, bytes]]) -> None:
    found = _results(list(out.glob("views/*/*/*_findings.json")))
    assert found.keys() == expected.keys()
    for source, files in expected.items():
        assert found[source].keys() == files.keys()
        for name, content in files.items():
            assert found[source][name] == content, (source, name)
    assert {path.name for path in out.iterdir()} == {NAME, "views"}


@pytest.mark.slow
def test_driver_and_worker_killed_with_two_workers_ends_with_what_segment_gives(
    inputs: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    temporary = Path(tempfile.mkdtemp(prefix="c", dir=tempfile.gettempdir()))
    killed = _start(inputs, out, "--workers", "2", TMPDIR=str(temporary))
    assert _wait_for(lambda: _ended(out) >= 1, killed), killed.communicate()[0]
    before = read_history(out).entries
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()

    running = _start(inputs, out, "--workers", "2", TMPDIR=str(temporary))
    _wait_for(lambda: _ended(out) > len(before), running)
    for victim in _workers(running.pid)[:1]:
        os.kill(victim, signal.SIGKILL)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1, said
    assert f"{VIEWS + 1} views: {VIEWS} segmented, 1 refused, 0 failed" in said
    assert read_history(out).entries.items() >= before.items(), "what had ended stays as it was"
    _assert_ended_once(out, inputs)
    _assert_equal(out, expected)
    assert not list(temporary.glob("mcgenref-*/*/logs/*Phantom*"))
    assert len(list(temporary.glob("mcgenref-*"))) <= 1, "only the killed run leaves Ray's folder"


@pytest.mark.slow
def test_a_full_disk_and_sigterm_with_one_worker_end_with_what_segment_gives(
    inputs: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    largest = sum(map(len, max(expected.values(), key=lambda files: sum(map(len, files.values()))).values()))
    room = f"size={2 * largest // 1024}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", room, "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("Expected the right to mount a small tmpfs, got none")
    try:
        full = _start(inputs, disk / "out", "--workers", "1")
        said, _ = full.communicate(timeout=PATIENCE_S)
        assert full.returncode == 1
        assert "error: Expected room" in said
        assert "Traceback" not in said
        assert 1 <= _ended(disk / "out") < VIEWS
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)

        stopped = _start(inputs, disk / "out", "--workers", "1")
        so_far = _ended(disk / "out")
        _wait_for(lambda: _ended(disk / "out") > so_far, stopped)
        stopped.send_signal(signal.SIGTERM)
        said, _ = stopped.communicate(timeout=PATIENCE_S)
        assert stopped.returncode == cohort.INTERRUPTED, said
        assert "the same command goes on" in said

        whole = _start(inputs, disk / "out", "--workers", "1")
        said, _ = whole.communicate(timeout=PATIENCE_S)
        assert f"{VIEWS + 1} views: {VIEWS} segmented, 1 refused, 0 failed" in said
        for private in ("Phantom^", "PHANTOM", "Traceback"):
            assert private not in said + (disk / "out" / NAME).read_text()
        _assert_ended_once(disk / "out", inputs)
        _assert_equal(disk / "out", expected)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["nowhere"], "Expected an existing file or folder"),
        (["{inputs}", "--workers", "0"], "Expected --workers of at least 1, got 0"),
        (["{inputs}", "--threads", "-1"], "Expected --threads of at least 1"),
        (["{inputs}", "--threshold", "7"], "Expected a probability above 0 and below 1"),
        (["{inputs}", "--preset", "best"], "preset"),
        (["{inputs}", "--lists", "test"], "Expected a datalist"),
        (["{inputs}", "--output-dir", "{inputs}"], "Expected another folder than the input's"),
    ],
)
def test_wrong_arguments_give_one_line_and_leave_nothing(
    inputs: Path, tmp_path: Path, options: list[str], line: str
) -> None:
    filled = [option.format(inputs=inputs) for option in options]
    with pytest.raises(SystemExit, match=line) as stop:
        cohort.main(["--output-dir", str(tmp_path / "out"), *filled])
    assert len(str(stop.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not (inputs / NAME).exists()


def test_the_price_is_measured_and_nothing_is_begun(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        cohort.main([str(inputs), "--output-dir", str(tmp_path / "out"), *OPTIONS, "--workers", "4", "--price-only"])
    assert stop.value.code == 0
    assert f"{VIEWS + 1} views" in (said := capsys.readouterr().out)
    assert "hours of one worker" in said
    assert not (tmp_path / "out").exists()


def test_the_status_names_what_was_refused_while_a_run_goes_on(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    views = views_of_input(str(inputs))
    manifest = Manifest(tmp_path, {})
    manifest.end(views[0].key, REFUSED, "Expected a breast, found none")
    with pytest.raises(SystemExit):
        cohort.main([str(inputs), "--output-dir", str(tmp_path), *OPTIONS, "--status"])
    manifest.close()
    said = capsys.readouterr().out
    assert f"refused: {views[0].path}: Expected a breast, found none" in said
    assert f"{VIEWS + 1} views: 0 segmented, 1 refused, 0 failed, {VIEWS} to do" in said

"""What a long run says of itself: processes are found with their memory and files, tables tell growth from rest."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundle.data.manifest import DONE, REFUSED, Manifest, read_history
from scripts import cohort_scaling, soak_samples
from scripts.cohort_scaling import Speed
from scripts.processes import tree
from scripts.soak_samples import Sample
from scripts.soak_table import draw, table
from scripts.soak_views import mixed


@pytest.mark.parametrize(("small", "large"), [(500, 20), (50, 2), (3, 1), (0, 4), (5, 0)])
def test_large_views_lie_evenly_among_small_ones(small: int, large: int) -> None:
    sizes = mixed(small, large)
    assert (sizes.count("small"), sizes.count("large")) == (small, large)
    places = [number for number, size in enumerate(sizes) if size == "large"]
    steps = [second - first for first, second in itertools.pairwise(places)]
    assert not steps or max(steps) - min(steps) <= 1


def test_a_longer_run_of_the_same_mixture_begins_like_the_shorter() -> None:
    assert mixed(500, 20)[:52] == mixed(50, 2)


def test_a_process_below_is_seen_with_its_memory_files_and_time() -> None:
    code = (
        "import sys; held = bytes(50_000_000); f = [open('/dev/null') for _ in range(7)]; print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in list(tree(os.getpid()))
        found = {one.pid: one for one in soak_samples.samples(os.getpid(), at_s=1.0, done=3)}
        child.communicate(b"\n")
    assert found[os.getpid()].role == "driver"
    assert found[child.pid].role == "other"
    assert found[child.pid].files >= 10
    assert found[child.pid].rss_mb > 5
    assert found[child.pid].done == 3
    assert child.pid not in list(tree(os.getpid()))


def test_samples_are_read_as_they_were_written_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    rows = [Sample(time.time() // 1, number, "worker", 7, 100.5, 30, 1.25) for number in range(3)]
    soak_samples.append(path, rows[:1])
    soak_samples.append(path, rows[1:])
    with path.open("a") as file:
        file.write("17959,2,wor")
    assert soak_samples.read(path) == rows
    assert soak_samples.read(tmp_path / "nowhere") == []


def _samples(leak_mb: float) -> list[Sample]:
    return [
        Sample(float(done), done, role, pid, 500 + leak_mb * done, 30, float(done))
        for done in range(100)
        for role, pid in (("worker", 1), ("driver", 2))
    ]


def _history(folder: Path) -> Path:
    manifest = Manifest(folder, {})
    for number in range(20):
        name = f"{number:04d}_small.dcm"
        manifest.end(str(number), DONE, name=name, findings=0, seconds=3.0, cpu_seconds=2.0, bytes=1)
    manifest.end("x", REFUSED, "Expected a breast")
    manifest.end("study-1", DONE, seconds=1.0, cpu_seconds=1.0, bytes=1)
    manifest.close()
    return folder


@pytest.mark.parametrize(("leak_mb", "told"), [(0.0, "+0.0"), (0.5, "+50.0")])
def test_a_leak_is_told_per_hundred_views(tmp_path: Path, leak_mb: float, told: str) -> None:
    text = table(_samples(leak_mb), read_history(_history(tmp_path)))
    (line,) = (line for line in text.splitlines() if line.startswith("| memory of a worker"))
    assert line.split(" | ")[3] == told
    assert "Views: 20 done, 1 refused, 0 failed; pages and objects of 1 studies" in text
    assert "| processor s per view of 1024 x 832 | 2.0 | 2.0 | +0.0 | 2.0 |" in text


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(_samples(0.1), tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes()[:4] == b"\x89PNG"


def test_without_samples_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected samples of a worker"):
        table([], read_history(_history(tmp_path)))


def test_the_speed_of_a_run_is_that_of_its_views(tmp_path: Path) -> None:
    found = cohort_scaling.speed(_history(tmp_path), 2)
    assert (found.workers, found.views, found.cpu_seconds) == (2, 20, 2.0)
    assert found.seconds >= 3.0


def test_the_best_run_counts_and_ratios_are_to_the_fewest_workers() -> None:
    speeds = [Speed(1, 10, 60.0, 2.0), Speed(2, 10, 30.0, 2.0), Speed(1, 10, 120.0, 2.0), Speed(2, 10, 40.0, 2.0)]
    assert cohort_scaling.table(speeds).splitlines()[2:] == ["| 1 | 10.00 | 1.00 | 2.0 |", "| 2 | 20.00 | 2.00 | 2.0 |"]

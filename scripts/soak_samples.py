"""Memory, open files and processor time of a run's processes, read from /proc again and again, kept as a table."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.processes import PROC, tree

WORKER = "ray::Worker"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """A process at a moment.

    Attributes:
        at_s: seconds since the epoch.
        done: views that had ended.
        role: worker, driver or other.
        pid: of the process.
        rss_mb: memory in use, 10^6 bytes.
        files: open file handles.
        cpu_s: processor time so far.
    """

    at_s: float
    done: int
    role: str
    pid: int
    rss_mb: float
    files: int
    cpu_s: float


def samples(driver: int, *, at_s: float, done: int) -> list[Sample]:
    """All processes below a driver, and itself; those that end meanwhile are left out.

    Args:
        driver: its process ID.
        at_s: the time.
        done: views that have ended.
    """
    found = []
    for pid in tree(driver):
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            command = (PROC / str(pid) / "cmdline").read_text()
            files = len(os.listdir(PROC / str(pid) / "fd"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        role = "driver" if pid == driver else "worker" if command.startswith(WORKER) else "other"
        # After the name: state is field 3 of proc(5), utime and stime 14 and 15, rss 24.
        cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
        rss_mb = int(fields[21]) * PAGE_BYTES / 1e6
        found.append(Sample(round(at_s, 1), done, role, pid, round(rss_mb, 2), files, cpu_s))
    return found


def append(path: Path, rows: Sequence[Sample]) -> None:
    """Add samples to the table."""
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(Sample._fields)
        writer.writerows(rows)


def read(path: Path) -> list[Sample]:
    """The table; lines that a stop cut short are left out."""
    if not path.exists():
        return []
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                rows.append(
                    Sample(
                        float(row["at_s"]), int(row["done"]), row["role"], int(row["pid"]), float(row["rss_mb"]),
                        int(row["files"]), float(row["cpu_s"]),
                    )
                )  # fmt: skip
            except (TypeError, ValueError):
                continue
    return rows

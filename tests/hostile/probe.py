"""Reads files in a process that may crash, hang or run out of memory without taking the tests along."""

import json
import os
import re
import select
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .readers import attempt

HANG_SECONDS = 240.0
"""No measure of speed: a file that takes so long on any machine would take for ever."""
MEMORY_BYTES = 3 * 2**30
"""Address space beyond what the process has at its start."""
Job = tuple[str, Path]


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        line: "" if it was read, the line if it was refused.
        trouble: "" or what went wrong: an exception's text, a signal, a hang.
        peak_mb: memory at its highest above that before, in MB.
        seconds: how long it took.
    """

    line: str = ""
    trouble: str = ""
    peak_mb: int = 0
    seconds: float = 0.0


def outcomes(jobs: Sequence[Job]) -> list[Outcome]:
    """Read all files; one that ends the process costs itself alone.

    Args:
        jobs: reader and path of each.
    """
    found: list[Outcome] = []
    while len(found) < len(jobs):
        found += _batch(jobs[len(found) :])
    return found


def _batch(jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Outcomes up to the first that ends the child, which is then its own."""
    here, there = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks while threads run
        child = os.fork()
    if child == 0:
        try:
            os.close(here)
            _child(jobs, there)
        finally:
            os._exit(0)
    os.close(there)
    done = 0
    with os.fdopen(here, "rb") as answers:
        while done < len(jobs):
            ready, _, _ = select.select([answers], [], [], HANG_SECONDS)
            line = answers.readline() if ready else b""
            if not line.endswith(b"\n"):
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) and ready else "exit"
                yield Outcome(trouble=f"the process ended ({ended})" if ready else f"a hang of {HANG_SECONDS:g} s")
                return
            yield Outcome(**json.loads(line))
            done += 1
    os.waitpid(child, 0)


def _child(jobs: Sequence[Job], answers: int) -> None:
    import resource

    page_bytes = resource.getpagesize()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * page_bytes
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for reader, path in jobs:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, start = _status_kb("VmRSS"), time.monotonic()
        line = trouble = ""
        try:
            line = attempt(reader, path)
        except BaseException as error:
            trouble = f"{type(error).__name__}: {error}"[:300] + " | " + traceback.format_exc()[-600:]
        peak_mb = max(_status_kb("VmHWM") - before, 0) // 1024
        told = {"line": line, "trouble": trouble, "peak_mb": peak_mb, "seconds": time.monotonic() - start}
        os.write(answers, json.dumps(told).encode() + b"\n")


def _status_kb(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0

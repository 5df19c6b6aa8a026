"""Comparisons that are killed: `python -m tests.scripts.killed_comparisons`, with the runs as JSON on standard input.

Each is {"words": [...]}, the words of scripts.compare, and may
have a "kill": ["before", n] or ["after", n], SIGKILL before or after the n-th file gets its name. Prints each status.
"""

import os
import signal
import warnings
from typing import Any

from scripts.compare import main as compare
from tests.forks import run_in_forks


def _arm(when: str, number: int) -> None:
    count, replace = 0, os.replace

    def deadly(*paths: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if when != "before" or count != number:
            replace(*paths, **options)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = deadly  # type: ignore[assignment]


def _run(entry: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    _arm(*entry.get("kill", ("never", 0)))
    compare(entry["words"])


if __name__ == "__main__":
    run_in_forks(_run)

"""Comparisons that are killed: `python -m tests.scripts.killed_comparisons`, with the runs as JSON on standard input.

Everything is imported once, then each run is a fork. Each is {"words": [...]}, the words of scripts.compare, and may
have a "kill": ["before", n] or ["after", n], SIGKILL before or after the n-th file gets its name. Prints each status.
"""

import json
import os
import signal
import sys
import traceback
import warnings
from typing import Any

from scripts.compare import main as compare


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


def main() -> None:
    """Run all one after the other."""
    statuses = []
    for run in json.load(sys.stdin):
        if not (child := os.fork()):
            status = 1
            try:
                warnings.simplefilter("ignore")
                _arm(*run.get("kill", ("never", 0)))
                compare(run["words"])
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()

"""Runs that may be killed, each in a fork of one process that has imported everything once."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def run_in_forks(run: Callable[[dict[str, Any]], None]) -> None:
    """Run what stands as a JSON list on standard input, one after the other, and print each status, -9 for SIGKILL.

    Args:
        run: gets one entry of the list.
    """
    statuses = []
    for entry in json.load(sys.stdin):
        if not (child := os.fork()):
            status = 1
            try:
                run(entry)
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))

"""Several processes on one study, some killed: `python -m tests.engines.killed_studies FOLDER TRIALS KILL...`.

Everything is imported once; then one process per KILL is forked, each of which runs the study of test_tuning.py in
FOLDER: `no` to its end, `trial` until it kills itself with SIGKILL in the middle of its second trial, `tracking` until
it does so while it logs a trial to MLflow. Prints the status of each.
"""

import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundle.engines import tuning_tracking
from bundle.engines.tuning import tune
from tests.engines.test_tuning import SPACE, refinement

# Of a view, so that all processes have trials at the same time.
PAUSE_S = 0.1


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(folder: Path, trials: int, kill: str) -> None:
    warnings.simplefilter("ignore")
    used: Any = refinement(folder)
    count, begun = used.count, 0

    def slowly(parameters: Any) -> Iterator[Any]:
        nonlocal begun
        begun += 1
        for one in count(parameters):
            time.sleep(PAUSE_S)
            yield one
            if kill == "trial" and begun == 2:
                _die()

    used.count = slowly
    log = tuning_tracking._log

    def deadly_log(client: Any, experiment: str, trial: Any, identity: str) -> None:
        client.log_batch = lambda *_: _die()
        client.log_param = lambda *_: _die()
        log(client, experiment, trial, identity)

    if kill == "tracking":
        tuning_tracking._log = deadly_log
    tune(used, SPACE, output_dir=folder, trials=trials, min_precision=0.0, tracking=True)


def main() -> None:
    """Start all and wait for them."""
    folder, trials, children = Path(sys.argv[1]), int(sys.argv[2]), []
    for kill in sys.argv[3:]:
        if not (child := os.fork()):
            status = 1
            try:
                _work(folder, trials, kill)
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


if __name__ == "__main__":
    main()

"""A long run through the whole pipeline, watched: `python -m scripts.soak --output-dir OUT` (docs/cohort.md).

Do memory, time per view and open files stay where they are? The same command goes on where it was stopped.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from bundle.data.manifest import ENDS, NAME, read_history
from scripts import soak_samples
from scripts.cohort import INTERRUPTED
from scripts.command import one_line_errors
from scripts.shipped import ROOT
from scripts.soak_table import draw, table
from scripts.soak_views import write_views
from scripts.watch import terminated_like_interrupted

INTERVAL_S = 15.0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__)
    parser.add_argument("--output-dir", required=True, type=Path, help="for views, results, samples, table, picture")
    parser.add_argument("--small", type=int, default=500, help="views of 1024 x 832 (default: %(default)s)")
    parser.add_argument("--large", type=int, default=20, help="views of 3328 x 2560 (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--method", default="segmentor", help="of scripts.segment (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on (default: no limit)")
    parser.add_argument("--table-only", action="store_true", help="table and picture of what was sampled so far")
    return parser.parse_args(argv)


def soak(arguments: argparse.Namespace) -> int:
    """Run the cohort and sample its processes.

    Returns:
        Its exit status.
    """
    views = write_views(arguments.output_dir, small=arguments.small, large=arguments.large)
    results = arguments.output_dir / "results"
    command = [sys.executable, "-m", "scripts.cohort", str(views.resolve()), "--output-dir", str(results.resolve())]
    command += ["--workers", str(arguments.workers), "--method", arguments.method]
    started = time.monotonic()
    running = subprocess.Popen(command, cwd=ROOT)
    try:
        while running.poll() is None:
            if arguments.minutes and time.monotonic() - started > 60 * arguments.minutes:
                running.terminate()
                running.wait()
                break
            rows = soak_samples.samples(running.pid, at_s=time.time(), done=ended(results))
            soak_samples.append(arguments.output_dir / "samples.csv", rows)
            time.sleep(INTERVAL_S)
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()
    return running.returncode


def ended(results: Path) -> int:
    """How many views have ended."""
    if not (results / NAME).exists():
        return 0
    entries = read_history(results).entries
    return sum(entry.end in ENDS for key, entry in entries.items() if not key.startswith("study-"))


def main(argv: list[str] | None = None) -> None:
    """Soak, then print the table and draw the picture."""
    arguments = parse(argv)
    with one_line_errors():
        if min(arguments.small, arguments.large) < 0 or arguments.small + arguments.large < 1:
            raise ValueError("Expected at least one view, none of them negative, got others; change --small, --large")
        with terminated_like_interrupted():  # a run that nobody watches would go on
            status = 0 if arguments.table_only else soak(arguments)
        if status not in (0, -signal.SIGTERM, INTERRUPTED):
            raise SystemExit(status)
        samples = soak_samples.read(arguments.output_dir / "samples.csv")
        history = read_history(arguments.output_dir / "results")
        text = table(samples, history)
        (arguments.output_dir / "soak.md").write_text(text + "\n")
        draw(samples, arguments.output_dir / "soak.png")
    print(text)
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()

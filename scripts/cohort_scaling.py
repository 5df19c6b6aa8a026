"""Views per minute by number of workers: `python -m scripts.cohort_scaling INPUT --output-dir OUT` (docs/cohort.md).

Each round has one run with every number of workers, so that a machine that does other things too is unfair to all.
"""

import argparse
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bundle.data.manifest import DONE, NAME, decoded
from scripts.command import one_line_errors
from scripts.shipped import ROOT


class Speed(NamedTuple):
    """What a run came to.

    Attributes:
        workers: their number.
        views: that were done.
        seconds: from the beginning of the first view to the end of the last; starting Ray is not in it.
        cpu_seconds: of a view, the median.
    """

    workers: int
    views: int
    seconds: float
    cpu_seconds: float

    @property
    def per_minute(self) -> float:
        """Views per minute."""
        return 60 * self.views / self.seconds


def speed(folder: Path, workers: int) -> Speed:
    """Read a finished run.

    Args:
        folder: its output.
        workers: their number.

    Raises:
        ValueError: if no view was done.
    """
    lines = [decoded(text) for text in (folder / NAME).read_bytes().splitlines()]
    done = [line for line in lines if line and line["event"] == DONE and "findings" in line]
    if not done:
        raise ValueError(f"Expected views that were segmented in {folder}, found none; pass others")
    ends = [datetime.fromisoformat(line["at"]).timestamp() for line in done]
    began = min(end - line["seconds"] for end, line in zip(ends, done, strict=True))
    return Speed(workers, len(done), max(ends) - began, median(line["cpu_seconds"] for line in done))


def table(speeds: list[Speed]) -> str:
    """The best run of each number of workers, as a Markdown table; ratios are to the fewest workers.

    Args:
        speeds: at least one.
    """
    best = {
        workers: max((one for one in speeds if one.workers == workers), key=lambda one: one.per_minute)
        for workers in sorted({one.workers for one in speeds})
    }
    least = next(iter(best.values()))
    lines = ["| workers | views per minute | ratio | processor s per view |", "|---|---|---|---|"]
    for one in best.values():
        ratio = one.per_minute / least.per_minute
        lines.append(f"| {one.workers} | {one.per_minute:.2f} | {ratio:.2f} | {one.cpu_seconds:.1f} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.cohort_scaling", description=__doc__)
    parser.add_argument("input", help="of python -m scripts.cohort")
    parser.add_argument("--output-dir", required=True, type=Path, help="a new folder; a run goes to a folder in it")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts (default: %(default)s)")
    parser.add_argument("--method", default="segmentor", help="of scripts.segment (default: %(default)s)")
    arguments = parser.parse_args(argv)
    speeds = []
    with one_line_errors():
        if arguments.rounds < 1 or min(arguments.workers) < 1:
            raise ValueError("Expected --rounds and --workers of at least 1, got less; pass more")
        for number in range(arguments.rounds):
            for workers in arguments.workers:
                out = arguments.output_dir / f"{number}-{workers}"
                command = [
                    sys.executable,
                    "-m",
                    "scripts.cohort",
                    str(Path(arguments.input).resolve()),
                    "--output-dir",
                    str(out.resolve()),
                ]
                command += ["--workers", str(workers), "--method", arguments.method, "--no-report", "--no-dicom"]
                subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
                speeds.append(speed(out, workers))
                print(speeds[-1], f"{speeds[-1].per_minute:.2f} views per minute", flush=True)
    print(table(speeds))


if __name__ == "__main__":
    main()

"""Table and picture of `scripts.soak`: does anything grow over the run?"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bundle.data.manifest import DONE, ENDS, History
from bundle.data.whole_files import write_whole
from bundle.functional.flatness import Flatness, flatness
from bundle.reports.figures import COLOURS, DOTS_PER_INCH, png
from scripts.soak_samples import Sample

PIXELS = {"small": "1024 x 832", "large": "3328 x 2560"}
LEAST_VALUES = 10
"""Fewer say nothing of a trend."""


def table(samples: Sequence[Sample], history: History) -> str:
    """What was seen, as a Markdown table.

    Args:
        samples: of all processes.
        history: of the manifest.

    Raises:
        ValueError: if there is too little to tell.
    """
    chosen, workers = longest(samples, "worker")
    rows = [
        _row("memory of a worker, MB", "rss_mb", chosen),
        _row("open files of a worker", "files", chosen),
        _row("memory of the driver, MB", "rss_mb", longest(samples, "driver")[0]),
        _row("open files of the driver", "files", longest(samples, "driver")[0]),
    ]
    for size in PIXELS:
        ends = [entry for entry in history.entries.values() if entry.end == DONE]
        spent = [entry.details for entry in ends if f"_{size}." in entry.details.get("name", "")]
        for name, words in (("cpu_seconds", "processor s"), ("seconds", "s by the clock")):
            values = [details[name] for details in spent]
            if len(values) >= LEAST_VALUES:
                rows.append(_told(f"{words} per view of {PIXELS[size]}", flatness(range(len(values)), values)))
            elif values:
                rows.append(
                    f"| {words} per view of {PIXELS[size]} | mean of {len(values)} | {np.mean(values):.1f} | | |"
                )
    head = "| quantity | first fifth | last fifth | per 100 views | largest |\n|---|---|---|---|---|"
    counted = Counter(entry.end for key, entry in history.entries.items() if not key.startswith("study-"))
    studies = sum(entry.end == DONE for key, entry in history.entries.items() if key.startswith("study-"))
    ended = ", ".join(f"{counted[end]} {end}" for end in ENDS)
    hours = sum(sample.cpu_s for sample in last_of_each(samples)) / 3600
    return f"{head}\n" + "\n".join(rows) + (
        f"\n\nViews: {ended}; pages and objects of {studies} studies; {workers} worker processes, the longest-lived of "
        f"which is shown; {hours:.2f} processor hours of all processes."
    )  # fmt: skip


def longest(samples: Sequence[Sample], role: str) -> tuple[list[Sample], int]:
    """The samples of the process of a role that saw the most views, and how many such processes there were.

    Raises:
        ValueError: if there is none.
    """
    by_pid: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.role == role:
            by_pid.setdefault(sample.pid, []).append(sample)
    if not by_pid:
        raise ValueError(f"Expected samples of a {role}, found none; let the run go on")
    return max(by_pid.values(), key=lambda own: own[-1].done - own[0].done), len(by_pid)


def last_of_each(samples: Sequence[Sample]) -> list[Sample]:
    """The last sample of every process."""
    return list({sample.pid: sample for sample in samples}.values())


def _row(words: str, name: str, samples: Sequence[Sample]) -> str:
    return _told(words, flatness([one.done for one in samples], [getattr(one, name) for one in samples]))


def _told(words: str, flat: Flatness) -> str:
    return f"| {words} | {flat.first:.1f} | {flat.last:.1f} | {100 * flat.slope:+.1f} | {flat.largest:.1f} |"


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Memory and open files of the worker and the driver over the views done, as PNG."""
    figure = Figure(figsize=(8, 3), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for role, colour in (("worker", COLOURS[0]), ("driver", COLOURS[1])):
        own = longest(samples, role)[0]
        for axes, name, words in ((panels[0], "rss_mb", "memory, MB"), (panels[1], "files", "open files")):
            values = [getattr(one, name) for one in own]
            axes.plot([one.done for one in own], values, ".", color=colour, markersize=3, label=role)
            axes.set_xlabel("views done")
            axes.set_ylabel(words)
            axes.set_ylim(bottom=0)
    panels[0].legend()
    write_whole(path, lambda temporary: temporary.write_bytes(png(figure)))

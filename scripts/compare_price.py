"""What a comparison will cost, measured on a piece of the first view, before anything is run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bundle.baselines import GRIDS
from bundle.baselines.registry import CLASSICAL, REGISTRY
from bundle.data.records import record_path
from bundle.engines.benchmark import View
from scripts.compare_systems import Recipe
from scripts.map_price import seconds_per_pixel

if TYPE_CHECKING:
    from scripts.compare import Comparison

# Reading a view, and matching objects at some forty thresholds.
SECONDS_PER_SCORE = 1.0


def price(comparison: "Comparison", *, workers: int) -> str:
    """Minutes by system, in words: maps of test views without a record, and maps of tuning views.

    Time per view is measured on a piece of each data set's first view and scaled by area. Refinement costs more where
    there is more to refine, so its line is rough.

    Args:
        comparison: what will run.
        workers: processes that share the work.
    """
    lines, total = [], 0.0
    views = {dataset.name: dataset.items[0].case.load() for dataset in comparison.datasets}
    for entry in comparison.entries:
        seconds, count = 0.0, 0
        per_pixel = _seconds_per_pixel(comparison, entry.name, next(iter(views.values())))
        for dataset in comparison.datasets:
            todo = sum(not _recorded(comparison, entry.name, item.case) for item in dataset.items)
            seconds += todo * (per_pixel * views[dataset.name]["image"].size + SECONDS_PER_SCORE)
            count += todo
            if entry.kind == "classical" and count:
                tuned = sum(map(len, dataset.tuning.values()))
                seconds += tuned * _settings(entry.name) * per_pixel * views[dataset.name]["image"].size
        if count and any(not dataset.tuning for dataset in comparison.datasets) | (entry.kind != "classical"):
            trials = _settings(entry.name) if entry.kind == "classical" else 1
            size = comparison.tuning[0].case.load()["image"].size
            seconds += len(comparison.tuning) * trials * (per_pixel * size + SECONDS_PER_SCORE)
        lines.append(f"{entry.name:24} {count:5} cases to score, about {seconds / 60:6.1f} min")
        total += seconds
    head = f"Price: about {total / 60:.0f} minutes of one core"
    return "\n".join([*lines, f"{head}, {total / 60 / workers:.0f} with {workers} workers" if workers > 1 else head])


def _seconds_per_pixel(comparison: "Comparison", name: str, view: View) -> float:
    if REGISTRY[name].kind == "predicted":
        return 0.0  # Read from a file.
    return seconds_per_pixel(example(comparison, name), view)


def example(comparison: "Comparison", name: str) -> Recipe:
    """A system at default settings: what it costs hardly depends on them."""
    part = comparison.datasets[0].parts[0].name
    return Recipe(name, tuple(map(str, comparison.folders.of(REGISTRY[name], part))))


def _settings(name: str) -> int:
    """How many settings are tried."""
    return int(np.prod([len(values) for values in GRIDS[CLASSICAL[name]].values()]))


def _recorded(comparison: "Comparison", name: str, case: Sequence[Any]) -> bool:
    folder = comparison.output_dir / "records"
    return record_path(folder, system=name, dataset=str(case[2]), case=str(case[0])).exists()

"""How a comparison runs: tuning, then scoring, task by task in one process or several, with the same results."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from bundle import __version__
from bundle.baselines import GRIDS
from bundle.baselines.registry import CLASSICAL
from bundle.data import MammogramWarning
from bundle.data.records import load_record, save_record
from bundle.engines.benchmark import FIXED_LOGITS, Case, KeptMaps, MapSystem, Record, Row, run_cases
from bundle.engines.evaluation import fingerprint
from bundle.reports.panels import PanelCase
from scripts.benchmark_real import ClassicalFolds
from scripts.benchmark_systems import DEFAULT_THRESHOLD, cached, tune_classical_system, tune_learned
from scripts.compare_data import Dataset, Item, Part, by_file
from scripts.compare_systems import Recipe
from scripts.threads import threads_of

Result = TypeVar("Result")


class Crew:
    """Runs tasks and gives their results in order; used as a context.

    Args:
        workers: processes; 1 runs in this one. Each has a single thread, so results do not depend on the number.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Crew":
        """Start the processes."""
        if self.workers > 1:
            # Not forked: threads and GPUs do not survive that.
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
            )
        return self

    def __exit__(self, *error: object) -> None:
        """Stop them; tasks that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def run(
        self, tasks: Sequence[Callable[[], Result]], *, what: str, unit: str, sizes: Sequence[int] | None = None
    ) -> list[Result]:
        """Run tasks that can be pickled.

        Args:
            tasks: without arguments.
            what: for the progress bar, as is
            unit: of it,
            sizes: and how many units each task counts, 1 by default.

        Raises:
            Exception: the first error of a task.
        """
        counts = [1] * len(tasks) if sizes is None else list(sizes)
        with tqdm(total=sum(counts), desc=what, unit=unit) as bar:
            if self._pool is None:
                return [_counted(task, bar, count) for task, count in zip(tasks, counts, strict=True)]
            running: dict[Future, int] = {self._pool.submit(task): n for n, task in enumerate(tasks)}
            results: dict[int, Result] = {}
            waiting = set(running)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    results[running[future]] = future.result()
                    bar.update(counts[running[future]])
            return [results[n] for n in range(len(tasks))]


def _counted(task: Callable[[], Result], bar: tqdm, count: int) -> Result:
    with threads_of(1):
        result = task()
    bar.update(count)
    return result


# Tuning. Choices are kept in files: a task makes one, the main process reads it.


def tune_on(name: str, items: Sequence[Item], folder: Path) -> dict[str, Any]:
    """Settings and FROC thresholds of a classical system, tuned on views."""
    cases = [item.case for item in items]
    key = fingerprint(__version__, GRIDS[CLASSICAL[name]], FIXED_LOGITS, [case[:4] for case in cases])
    path = folder / f"{name}-{key}.json"
    return cached(path, lambda: tune_classical_system(name, lambda: [case.load() for case in cases]))


def tune_folds(name: str, tuning: Mapping[str, Sequence[Item]], folder: Path) -> dict[str, Any]:
    """Settings of a classical system per held-out exam, tuned on the others, and its FROC thresholds."""
    cases = {exam: [item.case for item in items] for exam, items in tuning.items()}
    return ClassicalFolds([name], cases, cache=folder).chosen[name]


def tune_threshold(recipe: Recipe, items: Sequence[Item], output_dir: Path) -> dict[str, Any]:
    """Threshold and FROC thresholds of a learned system, tuned on views; its maps of them are kept."""
    cases, system = [item.case for item in items], recipe.system()
    key = fingerprint(system.settings, FIXED_LOGITS, [case[:4] for case in cases])
    path = output_dir / "tuning" / f"{recipe.name}-{key}.json"
    maps = KeptMaps(output_dir / "maps")
    return cached(
        path, lambda: tune_learned(system, cases, lambda: [case.load() for case in cases], maps, progress=False)
    )


# Scoring.


def score_items(
    rows: Sequence[Row], items: Sequence[Item], output_dir: Path, *, shown: frozenset[str] = frozenset()
) -> list[Record]:
    """Records of all rows on a few cases, those of earlier runs included.

    Args:
        rows: lines of the table.
        items: cases.
        output_dir: of records and maps.
        shown: names of cases whose maps are kept for pictures, those of classical systems too.
    """
    folder, records = output_dir / "records", []

    def recorded(row: Row, case: Case) -> Record | None:
        with warnings.catch_warnings():
            # A record of other weights or settings is made anew; that is no news.
            warnings.simplefilter("ignore", MammogramWarning)
            identity = {"system": row.name, "dataset": case.dataset, "case": case.case}
            return load_record(folder, **identity, settings=row.settings(case))

    def save(row: Row, case: Case, record: Record) -> None:
        save_record(folder, record, settings=row.settings(case))

    for item in items:
        kept = [replace(row, system=_kept(row.system)) for row in rows] if item.case.case in shown else rows
        maps = KeptMaps(output_dir / "maps")
        records += run_cases(kept, [item.case], maps, recorded=recorded, save=save, progress=False)
    return records


def _kept(system: MapSystem) -> MapSystem:
    return replace(system, keep=True)


def panel_of(rows: Sequence[Row], item: Item, output_dir: Path) -> PanelCase:
    """A view with what every row marks."""
    view, maps = item.case.load(), KeptMaps(output_dir / "maps")
    preds = {row.name: maps.probs(_kept(row.system), item.case, view) >= row.threshold for row in rows}
    fields = {key: view[key] for key in ("image", "label", "spacing_mm")}
    return PanelCase(item.case.case, **fields, preds=preds, region=view["breast"])


def score_tasks(
    dataset: Dataset, rows: Mapping[str, Sequence[Row]], output_dir: Path, shown: frozenset[str]
) -> tuple[list[partial], list[int]]:
    """Tasks that score a data set, the cases of one file in one, and how many cases each has."""
    groups = [(part.name, group) for part in dataset.parts for group in by_file(part.items)]
    tasks = [partial(score_items, rows[name], group, output_dir, shown=shown) for name, group in groups]
    return tasks, [len(group) for _, group in groups]


def classical_row(name: str, chosen: Mapping[str, Any], part: Part) -> Row:
    """A classical system at its tuned setting, where its probability is 0.5."""
    parameters = chosen["folds"][part.name] if "folds" in chosen else chosen["parameters"]
    recipe = Recipe(name, parameters=frozen(parameters))
    return Row(name, recipe.system(), DEFAULT_THRESHOLD, tuple(chosen["froc_logits"]))


def learned_row(recipe: Recipe, chosen: Mapping[str, Any], part: Part) -> Row:
    """A learned system at its tuned threshold; folds share their FROC thresholds, or curves could not be pooled."""
    levels = FIXED_LOGITS if part.name else tuple(chosen["froc_logits"])
    return Row(recipe.name, recipe.system(), chosen["threshold"], levels)


def frozen(parameters: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Parameters as a key; lists of JSON become tuples."""
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in parameters.items())

"""Every system on every data set, on one page: `python -m scripts.compare --datasets shift --output-dir OUT`.

Data sets are shift, real (with --normals) and folders of views with masks. A run that was stopped goes on where it
stopped. See docs/compare.md.
"""

import argparse
import datetime
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bundle.baselines.registry import CLASSICAL, REGISTRY, Entry, entries_of
from bundle.data import MammogramError
from bundle.data.shift_benchmark import CONDITIONS
from bundle.engines.benchmark import Record, Row
from bundle.reports.compare import System, write_comparison
from bundle.reports.panels import PanelCase
from scripts.command import one_line_errors
from scripts.compare_data import BENCHMARKS, Dataset, Item, Part, labelled_items, real_dataset, shift_items, some, trial
from scripts.compare_overlap import refuse_training_overlap, refuse_tuning_overlap
from scripts.compare_price import price
from scripts.compare_run import (
    Crew,
    classical_row,
    frozen,
    learned_row,
    panel_of,
    score_tasks,
    tune_folds,
    tune_on,
    tune_threshold,
)
from scripts.compare_systems import (
    INPUTS,
    LOSSES,
    NO_PREDICTIONS,
    PREDICTIONS,
    Folders,
    Recipe,
    Status,
    status_of,
    without_predictions,
)
from scripts.compare_tracking import track
from scripts.shipped import ROOT

REFERENCE = "segmentor"
# Views of a data set in the pictures.
SHOWN = 2
Choices = dict[tuple[str, str], dict[str, Any]]


def datasets_of(arguments: argparse.Namespace) -> list[Dataset]:
    """The data sets that were asked for, read as far as their cases are known; rendered views are rendered.

    Raises:
        MammogramError: at whatever is wrong with one of them.
    """
    found: list[Dataset] = []
    for name in arguments.datasets:
        if name == "shift":
            views = arguments.output_dir / "views"
            for condition in arguments.conditions:
                items = shift_items(views, "test", condition)
                found.append(Dataset(f"shift/{condition}", (Part("", items),)))
        elif name == "real":
            if arguments.normals is None:
                raise MammogramError("--datasets real: Expected --normals FOLDER, negative views of two exams or more")
            options = {key: getattr(arguments, key) for key in ("spacing_mm", "crop_mm", "crops", "injections")}
            found.append(real_dataset(arguments.normals, exams_csv=arguments.exams, **options))
        else:
            found.append(Dataset(Path(name).name, (Part("", _labelled(Path(name), arguments)),)))
    names = [dataset.name for dataset in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise MammogramError(f"--datasets: Expected data sets of different names, got two called {twice!r}; rename one")
    return [trial(dataset, arguments.cases) for dataset in found]


def _labelled(folder: Path, arguments: argparse.Namespace) -> tuple[Item, ...]:
    if not folder.is_dir():
        known = ", ".join(BENCHMARKS)
        raise MammogramError(f"--datasets: Expected {known} or an existing folder of views, got {str(folder)!r}")
    options = {"missing_is_clean": arguments.missing_is_clean, "spacing_mm": arguments.spacing_mm}
    return labelled_items(folder, folder.name, **options)


def tuning_items(arguments: argparse.Namespace) -> tuple[Item, ...]:
    """What thresholds, and classical systems outside the real backgrounds, are tuned on."""
    if arguments.tuning is not None:
        items = _labelled(arguments.tuning, arguments)
    else:
        items = shift_items(arguments.output_dir / "views", "tuning", CONDITIONS[0])
    if all(item.clean for item in items):
        raise MammogramError("--tuning: Expected views with calcifications to tune on, got clean ones alone; add some")
    return some(items, arguments.cases)


class Comparison:
    """What is compared: systems that run, data sets, and what is tuned.

    Args:
        entries: systems that run.
        datasets: to test on.
        tuning: common tuning views.
        folders: where weights lie.
        output_dir: where everything is kept.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        datasets: Sequence[Dataset],
        tuning: Sequence[Item],
        folders: Folders,
        output_dir: Path,
    ) -> None:
        self.entries, self.datasets, self.tuning = entries, datasets, tuning
        self.folders, self.output_dir = folders, output_dir
        # What detectors are chosen by: their own rows, and those that take their signal.
        signals = {entry.signal for entry in entries if entry.signal}
        self.detectors = [name for name in CLASSICAL if name in {entry.name for entry in entries} | signals]
        self.chosen: Choices = {}

    def tune(self, crew: Crew) -> None:
        """Choose settings of classical systems, then thresholds of learned ones, which may need the former."""
        folder = self.output_dir / "tuning"
        tasks: dict[tuple[str, str], partial] = {}
        for dataset in self.datasets:
            for name in self.detectors:
                if dataset.tuning:
                    tasks[name, dataset.name] = partial(tune_folds, name, dataset.tuning, folder)
                else:
                    tasks[name, ""] = partial(tune_on, name, self.tuning, folder)
        results = crew.run(list(tasks.values()), what="Tuning detectors", unit="detector")
        self.chosen = dict(zip(tasks, results, strict=True))
        recipes = list(dict.fromkeys(self._recipes()))
        jobs = [partial(tune_threshold, recipe, self.tuning, self.output_dir) for recipe in recipes]
        self.thresholds = dict(zip(recipes, crew.run(jobs, what="Tuning thresholds", unit="system"), strict=True))

    def rows(self, dataset: Dataset, part: Part) -> list[Row]:
        """Rows of all systems on a part of a data set."""
        rows = []
        for entry in self.entries:
            if entry.kind == "classical":
                rows.append(classical_row(entry.name, self._choice(entry.name, dataset), part))
            else:
                recipe = self._recipe(entry, dataset, part)
                rows.append(learned_row(recipe, self.thresholds[recipe], part))
        return rows

    def score(self, crew: Crew) -> tuple[list[Record], dict[str, list[PanelCase]]]:
        """Records by the data sets' names, and views for the pictures."""
        records: list[Record] = []
        shown: dict[str, list[PanelCase]] = {}
        every_task: list[partial] = []
        sizes: list[int] = []
        spans: list[tuple[Dataset, int]] = []
        pictured: list[tuple[str, partial]] = []
        for dataset in self.datasets:
            rows = {part.name: self.rows(dataset, part) for part in dataset.parts}
            chosen = _shown(dataset)
            names = frozenset(item.case.case for _, item in chosen)
            tasks, counts = score_tasks(dataset, rows, self.output_dir, names)
            every_task, sizes = every_task + tasks, sizes + counts
            spans.append((dataset, len(tasks)))
            pictured += [(dataset.name, partial(panel_of, rows[part], item, self.output_dir)) for part, item in chosen]
        results = iter(crew.run(every_task, what="Cases", unit="case", sizes=sizes))
        for dataset, count in spans:
            for _ in range(count):
                records += [{**record, "dataset": dataset.name} for record in next(results)]
        panels = crew.run([task for _, task in pictured], what="Pictures", unit="view")
        for (name, _), panel in zip(pictured, panels, strict=True):
            shown.setdefault(name, []).append(panel)
        return records, shown

    def _recipes(self) -> list[Recipe]:
        learned = [entry for entry in self.entries if entry.kind != "classical"]
        return [
            self._recipe(entry, dataset, part)
            for entry in learned
            for dataset in self.datasets
            for part in dataset.parts
        ]

    def _recipe(self, entry: Entry, dataset: Dataset, part: Part) -> Recipe:
        parameters: Mapping[str, Any] = {}
        if entry.signal:
            choice = self._choice(entry.signal, dataset)
            parameters = choice["folds"][part.name] if "folds" in choice else choice["parameters"]
        return Recipe(entry.name, tuple(map(str, self.folders.of(entry, part.name))), frozen(parameters))

    def _choice(self, name: str, dataset: Dataset) -> dict[str, Any]:
        return self.chosen[name, dataset.name if dataset.tuning else ""]


def _shown(dataset: Dataset) -> list[tuple[str, Item]]:
    """The first calcified views of different files, with their parts."""
    found: dict[str, tuple[str, Item]] = {}
    for part in dataset.parts:
        for item in part.items:
            if not item.clean:
                found.setdefault(item.file, (part.name, item))
    return list(found.values())[:SHOWN]


def compare(arguments: argparse.Namespace) -> None:
    """Run a comparison.

    Raises:
        MammogramError: at wrong options or files, or if training or tuning data are tested on.
    """
    entries = entries_of(arguments.systems)
    if arguments.reference and arguments.reference not in {entry.name for entry in entries}:
        names = ", ".join(entry.name for entry in entries)
        raise MammogramError(f"--reference: Expected one of {names}, got {arguments.reference!r}; add it to --systems")
    folders = Folders(arguments.weights_dir, arguments.models_dir, arguments.folds)
    datasets, tuning = datasets_of(arguments), tuning_items(arguments)
    refuse_tuning_overlap(datasets, tuning)
    parts = list(dict.fromkeys(part.name for dataset in datasets for part in dataset.parts))
    standing = {entry.name: status_of(entry, folders, parts) for entry in entries}
    every_item = [*tuning, *(item for dataset in datasets for item in dataset.items)]
    for entry in entries:
        if entry.kind == "predicted" and standing[entry.name].runs:
            standing[entry.name] = _predicted(entry, standing[entry.name], folders, every_item)
    running = [entry for entry in entries if standing[entry.name].runs]
    refuse_training_overlap(running, folders, datasets)
    for entry in entries:
        print(_told(entry, standing[entry.name]))
    if not running:
        raise MammogramError("--systems: Expected a system that can run, got none; train one of them or name others")
    comparison = Comparison(running, datasets, tuning, folders, arguments.output_dir)
    print(price(comparison, workers=arguments.workers), flush=True)
    if arguments.price_only:
        return
    with Crew(arguments.workers) as crew:
        comparison.tune(crew)
        records, shown = comparison.score(crew)
    systems = [_line(entry, standing[entry.name]) for entry in entries]
    options: dict[str, Any] = {
        "title": "Comparison: a trial" if arguments.cases else "Comparison",
        "date": str(datetime.date.today()),
        "reference": arguments.reference or REFERENCE,
        "losses": _losses(running, folders),
        "trial": bool(arguments.cases),
    }
    page = write_comparison(arguments.output_dir, records, systems, command=arguments.command, cases=shown, **options)
    if arguments.tracking:
        track(arguments.output_dir, records, systems, shown, options)
    print(f"{page} holds the table, its plots and pictures")


def _losses(entries: Sequence[Entry], folders: Folders) -> dict[str, Path]:
    """The losses of trained networks, by their folders."""
    trained = [part.folder for entry in entries for part in entry.weights]
    predicted = [entry.name for entry in entries if entry.kind == "predicted"]
    names = dict.fromkeys([*trained, *predicted])
    paths = {name: folders.weights / name / LOSSES for name in names}
    return {name: path for name, path in paths.items() if path.exists()}


def _predicted(entry: Entry, status: Status, folders: Folders, items: Sequence[Item]) -> Status:
    """The status of a system whose views another program predicts, which may not yet have seen them."""
    (folder,) = folders.of(entry)
    count = without_predictions(folder, items)
    if not count:
        return status
    words = f"nnUNetv2_predict -i {INPUTS} -o {PREDICTIONS} -d NUMBER -c 2d --save_probabilities"
    return Status(NO_PREDICTIONS, f"{count} views, now in {folder.parent.name}/{INPUTS}", words)


def _line(entry: Entry, status: Status) -> System:
    return System(entry.name, entry.title, status.word, status.why, status.command)


def _told(entry: Entry, status: Status) -> str:
    if not status.word:
        return f"{entry.name:24} runs"
    return f"{entry.name:24} {status.word}: {status.why}" + (f"; {status.command}" if status.command else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.compare", description=__doc__)
    parser.add_argument("--datasets", nargs="+", required=True, help="shift, real, and folders of views with masks")
    parser.add_argument("--systems", nargs="+", default=["all"], help=f"all (default), or any of {', '.join(REGISTRY)}")
    parser.add_argument(
        "--reference", help=f"one of them, which others are tested against (default: {REFERENCE}, if it is there)"
    )
    parser.add_argument("--output-dir", type=Path, required=True, help="where everything goes")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="of shift")
    parser.add_argument("--normals", type=Path, help="of real: folder of normal views")
    parser.add_argument("--exams", help="of real: CSV with the columns image and exam")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument("--crop-mm", type=float, default=60.0, help="of real: side of a crop (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=2, help="of real: crops per view (default: %(default)s)")
    parser.add_argument("--injections", type=int, default=3, help="of real: per crop (default: %(default)s)")
    parser.add_argument("--missing-is-clean", action="store_true", help="views of a folder without a mask are clean")
    parser.add_argument(
        "--tuning", type=Path, help="folder of views with masks to tune on, instead of rendered tuning views"
    )
    parser.add_argument(
        "--weights-dir",
        type=Path,
        default=ROOT / "models" / "compared",
        help="trained systems: SYSTEM/model.pt (default: those of the repository, models/compared)",
    )
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models", help="our own weights (default: models)")
    parser.add_argument("--folds", type=Path, help="of real: EXAM.pt, our own weights trained without that exam")
    parser.add_argument("--cases", type=int, help="a trial on so many cases per data set; supports no claim")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--price-only", action="store_true", help="print what it will cost and stop")
    parser.add_argument("--tracking", choices=("mlflow",), help="log parameters, figures and the page to MLflow")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers out of their range."""
    if arguments.workers < 1:
        raise MammogramError(f"--workers: Expected at least 1 process, got {arguments.workers}; the cores are usual")
    if arguments.workers > 1 and torch.cuda.is_available():
        raise MammogramError(
            f"--workers: Expected 1 process where networks run on a GPU, got {arguments.workers}; leave the option out"
        )
    if arguments.cases is not None and arguments.cases < 2:
        raise MammogramError(f"--cases: Expected at least 2, one of them clean, got {arguments.cases}; 4 is enough")


def main(argv: list[str] | None = None) -> None:
    """Run a comparison."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words)
    arguments.command = shlex.join(["python", "-m", "scripts.compare", *words])
    start = time.perf_counter()
    with one_line_errors():
        _check(arguments)
        compare(arguments)
    print(f"Done in {(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()

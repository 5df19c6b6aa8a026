"""Segment a hundred thousand views: `python -m scripts.cohort INPUT --output-dir OUT` (docs/cohort.md).

INPUT is a folder, a datalist (.json), or the address of a DICOMweb archive. Results are those of `scripts.segment`;
whatever dies, the same command goes on.
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bundle.data.cohort import FETCHED, CohortView, studies_of, views_of_archive, views_of_input
from bundle.data.errors import printable
from bundle.data.manifest import DONE, ENDS, FAILED, REFUSED, Entry, Manifest, read_history
from scripts import dicom_results, segment, segment_dicom
from scripts.cohort_pool import RayPool
from scripts.cohort_price import price
from scripts.cohort_run import CohortRun
from scripts.cohort_settings import result_settings
from scripts.cohort_worker import STUDIES, VIEWS, WORK, Outcome, WorkerSettings
from scripts.command import one_line_errors
from scripts.config_values import Expression
from scripts.segment_view import ViewSegmenter, quiet
from scripts.watch import terminated_like_interrupted

INTERRUPTED = 130
CPU = Expression("$torch.device('cpu')")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.cohort", description=__doc__)
    parser.add_argument("input", help="a file, a folder, a datalist (.json), or http(s)://HOST/dicom-web")
    parser.add_argument("--output-dir", required=True, help="for the manifest and all results")
    parser.add_argument("--workers", type=int, help="processes (default: one per GPU, else cores / --threads)")
    parser.add_argument("--threads", type=int, default=1, help="of torch, of each worker (default: %(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: %(default)s)")
    parser.add_argument("--workers-per-gpu", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--attempts", type=int, default=3, help="how often a view is tried (default: %(default)s)")
    parser.add_argument("--timeout-s", type=float, default=3600, help="for one view (default: %(default)g)")
    parser.add_argument("--retry", action="store_true", help="try again what was refused or failed")
    parser.add_argument("--price-only", action="store_true", help="say what it will cost, from a few views, and end")
    parser.add_argument("--status", action="store_true", help="say what has been done, without doing more")
    parser.add_argument("--lists", nargs="+", help="of a datalist (default: all of them)")
    parser.add_argument("--user", help="of the archive; the password is read from $MCGENREF_ARCHIVE_PASSWORD")
    parser.add_argument("--since", help="only studies of the archive from this Study Date on (YYYYMMDD)")
    segment.add_options(parser)
    return parser.parse_args(argv)


def check(arguments: argparse.Namespace) -> None:
    """Refuse options that make no sense.

    Raises:
        ValueError: in one line.
    """
    for name, least in (("workers", 1), ("threads", 1), ("workers_per_gpu", 1), ("attempts", 1), ("timeout_s", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"Expected --{name.replace('_', '-')} of at least {least}, got {value:g}; pass more")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("Expected a CUDA device for --device cuda, found none; leave it out")
    if not is_archive(arguments.input):
        segment.check_output(arguments)
    if arguments.dicom:
        dicom_results.builders(dicom_results.KINDS)


def is_archive(input_path: str) -> bool:
    """Whether the input is the address of a DICOMweb service."""
    return input_path.lower().startswith(("http://", "https://"))


def find_views(arguments: argparse.Namespace) -> list[CohortView]:
    """All views of the input.

    Raises:
        ValueError: in one line, if there are none.
        ArchiveAwayError: if the archive is away.
    """
    if not is_archive(arguments.input):
        return views_of_input(arguments.input, lists=arguments.lists)
    try:
        from bundle.data.archive import PASSWORD_VARIABLE, Archive
    except ImportError as error:
        raise ValueError(f'Expected {error.name}, found none; pip install "mcgenref[archive]"') from None
    archive = Archive(**archive_options(arguments), password=os.environ.get(PASSWORD_VARIABLE, ""))
    views = views_of_archive(archive, Path(arguments.output_dir))
    if not views:
        raise ValueError(f"Expected mammograms For Presentation at {arguments.input}, found none; check --since")
    return views


def archive_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of `bundle.data.archive.Archive`, without the password."""
    return {"url": arguments.input, "user": arguments.user, "since": arguments.since}


def worker_settings(arguments: argparse.Namespace) -> WorkerSettings:
    """What the workers are made with.

    Raises:
        ValueError: in one line, if an option is wrong.
    """
    options = segment.overrides(arguments)
    if device(arguments) == "cpu":
        options["device"] = CPU
    return WorkerSettings(
        folder=os.path.abspath(arguments.output_dir),
        options=options,
        threads=arguments.threads,
        report=not arguments.no_report,
        dicom=segment_dicom.can_write() if arguments.dicom is None else arguments.dicom,
        show_patient=arguments.show_patient,
        archive=archive_options(arguments) if is_archive(arguments.input) else None,
    )


def device(arguments: argparse.Namespace) -> str:
    """Where the networks will be: cpu or cuda."""
    return "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"


def worker_count(arguments: argparse.Namespace) -> int:
    """How many workers there will be."""
    if arguments.workers:
        return int(arguments.workers)
    if device(arguments) == "cuda":
        return int(torch.cuda.device_count() * arguments.workers_per_gpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(max(1, cores // arguments.threads))


def make_pool(arguments: argparse.Namespace, settings: WorkerSettings, todo: int) -> RayPool:
    """The workers, not more than there is to do."""
    on_gpu = device(arguments) == "cuda"
    return RayPool(
        settings,
        workers=max(1, min(worker_count(arguments), todo)),
        gpus=1 / arguments.workers_per_gpu if on_gpu else 0,
        gpu_count=torch.cuda.device_count() if on_gpu else 0,
        timeout_s=arguments.timeout_s,
    )


class Progress:
    """The bar over the views, and a line for each that is no success.

    Args:
        views: of the cohort.
        manifest: what has been done before.
    """

    def __init__(self, views: Iterable[CohortView], manifest: Manifest) -> None:
        self.paths = {view.key: view.path for view in views}
        before = sum(manifest.entry(key).end in ENDS for key in self.paths)
        self.bar = tqdm(total=len(self.paths), initial=before, desc="Views", unit="view", smoothing=0.05)

    def __call__(self, key: str, outcome: Outcome, again: bool) -> None:
        """Tell what came of a view or study."""
        for remark in outcome.remarks:
            self.bar.write(printable(f"warning: {remark}"))
        if outcome.end != DONE:
            said = "tried, and will be again" if again else outcome.end
            self.bar.write(printable(f"{said}: {self.paths.get(key, key)}: {outcome.reason}"))
        if key in self.paths and not again:
            self.bar.update()


def forget(views: Iterable[CohortView]) -> None:
    """Remove what was fetched of views that will not be looked at again."""
    for view in views:
        if view.instance is not None:
            Path(view.path).unlink(missing_ok=True)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove what a stopped run left unfinished, in an output folder whose manifest is held."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)


def run(arguments: argparse.Namespace) -> Counter[str]:
    """Do what there is to do.

    Returns:
        Number of views by end.

    Raises:
        ValueError: in one line, if the run has to stop.
    """
    check(arguments)
    settings, folder = worker_settings(arguments), Path(arguments.output_dir)
    views = find_views(arguments)
    if arguments.status:
        return tell_status(views, read_history(folder).entries)
    if arguments.price_only:
        print(price([view.path for view in views if view.instance is None], settings, worker_count(arguments)))
        raise SystemExit(0)
    ViewSegmenter({**settings.options, "device": CPU})  # says now what is wrong with an option
    with closing(Manifest(folder, result_settings(settings, device(arguments)))) as manifest:
        if arguments.retry:
            manifest.forgive(key for key, entry in manifest.entries.items() if entry.end in (REFUSED, FAILED))
        remove_leftovers(folder, WORK)
        try:
            work(arguments, views, settings, manifest)
        finally:
            remove_leftovers(folder, WORK, FETCHED)
        return Counter(manifest.entry(view.key).end or "" for view in views)


def work(arguments: argparse.Namespace, views: list[CohortView], settings: WorkerSettings, manifest: Manifest) -> None:
    """Let workers do what the manifest does not have."""
    if manifest.damaged:
        print(f"{manifest.damaged} damaged lines in the manifest: their views are looked at again", flush=True)
    studies = studies_of(views) if settings.report or settings.dicom else []
    progress = Progress(views, manifest)
    cohort = CohortRun(views, studies, manifest, arguments.attempts, progress, forget)
    with closing(progress.bar):
        if cohort.waiting:
            # Again, since Ray has put a handler of its own in the place.
            with closing(make_pool(arguments, settings, cohort.todo)) as pool, terminated_like_interrupted():
                cohort.go(pool)


def tell_status(views: Iterable[CohortView], entries: Mapping[str, Entry]) -> Counter[str]:
    """Print what was refused or failed, by path."""
    ends: Counter[str] = Counter()
    for view in views:
        entry = entries.get(view.key, Entry())
        ends[entry.end or ""] += 1
        if entry.end in (REFUSED, FAILED):
            print(printable(f"{entry.end}: {view.path}: {entry.reason}"))
    return ends


def main(argv: list[str] | None = None) -> None:
    """Run a cohort; end with status 1 if a view was refused or failed, or the run had to stop."""
    arguments = parse(argv)
    quiet(lambda *_: None)
    try:
        with terminated_like_interrupted(), one_line_errors():
            ends = run(arguments)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED) from None
    told = f"{sum(ends.values())} views: {ends[DONE]} segmented, {ends[REFUSED]} refused, {ends[FAILED]} failed"
    print(f"{told}, {ends['']} to do" if ends[""] else told)
    print(f"Results in {arguments.output_dir}: {VIEWS}/, {STUDIES}/, manifest.jsonl")
    if sum(ends.values()) > ends[DONE]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Segment the mammograms of a DICOM archive as they come: `python -m scripts.watch --archive URL --output-dir OUT`."""

import argparse
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from bundle.data.archive_answers import ArchiveAwayError, ArchiveRefusedError
from bundle.data.archive_journal import Journal, hashed
from bundle.data.dicom_results import NOT_FOR_DIAGNOSIS
from bundle.functional.findings import METHODS
from scripts import segment
from scripts.command import one_line_errors
from scripts.watch_segment import segment_like_the_command
from scripts.watch_study import Batch, Worker, remove_leftovers

MAX_WAIT_S = 300.0
RETRY_S = 60.0
"""Until the second attempt; every further one waits four times as long."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.watch", description=__doc__)
    parser.add_argument("--archive", required=True, help="root of its DICOMweb service: http://HOST:8042/dicom-web")
    parser.add_argument("--output-dir", required=True, type=Path, help="for the journal and pictures")
    parser.add_argument("--user", help="of the archive; the password is read from $MCGENREF_ARCHIVE_PASSWORD")
    parser.add_argument("--since", help="only studies from this Study Date on (YYYYMMDD)")
    parser.add_argument("--once", action="store_true", help="do what is there, then end")
    parser.add_argument("--method", choices=METHODS, default=segment.DEFAULT_METHOD, help="(default: %(default)s)")
    parser.add_argument("--threshold", type=float, help="probability that counts as a finding (default: 0.5)")
    parser.add_argument("--interval-s", type=float, default=30.0, help="between two looks (default: %(default)g)")
    parser.add_argument(
        "--settle-s", type=float, default=60.0, help="a study is begun when no view came for so long (default: 60)"
    )
    parser.add_argument("--attempts", type=int, default=3, help="how often a view is tried (default: %(default)s)")
    parser.add_argument("--retry", action="store_true", help="try again what was given up")
    return parser.parse_args(argv)


class Settled:
    """Tells when the views of a study have stopped coming.

    Args:
        settle_s: how long nothing new may have come.
    """

    def __init__(self, settle_s: float) -> None:
        self.settle_s = settle_s
        self._seen: dict[str, tuple[int, float]] = {}

    def __call__(self, study_uid: str, count: int, now_s: float) -> bool:
        """Whether a study that now has `count` views has had them for long enough.

        Args:
            study_uid: the study.
            count: number of its views.
            now_s: of a clock that never goes back.
        """
        if self._seen.get(study_uid, (-1, 0.0))[0] != count:
            self._seen[study_uid] = (count, now_s)
        return now_s - self._seen[study_uid][1] >= self.settle_s


class Watcher:
    """Looks into an archive again and again.

    Args:
        worker: does a study.
        settled: says which can be begun.
    """

    def __init__(self, worker: Worker, settled: Settled) -> None:
        self.worker, self.settled = worker, settled
        self._finished: dict[str, int] = {}
        self._told: set[str] = set()
        self._not_before_s: dict[str, float] = {}

    def round(self) -> int:
        """Look once and do what there is to do.

        Returns:
            Number of failures.

        Raises:
            ArchiveAwayError: if the archive is away.
        """
        failures, batches = self._look()
        if batches:
            views = sum(len(batch.views) for batch in batches)
            studies = len({batch.study_uid for batch in batches})
            print(price(views, studies, self.worker.journal.seconds_per_view), flush=True)
        for number, batch in enumerate(batches, start=1):
            failures += self._do(batch, f"{number} of {len(batches)}")
        return failures

    def _look(self) -> tuple[int, list[Batch]]:
        failures, waiting = 0, []
        for study_uid, count in self.worker.archive.studies().items():
            if count is not None and self._finished.get(study_uid) == count:
                continue  # nothing came since there was nothing left to do
            if time.monotonic() < self._not_before_s.get(study_uid, 0.0):
                continue
            try:
                views, batches = self.worker.views(study_uid)
            except ArchiveRefusedError as error:
                failures += 1
                self._tell(f"study-{hashed(study_uid)}: {error}")
                continue
            if not batches and count is not None:
                self._finished[study_uid] = count
            elif self.settled(study_uid, len(views), time.monotonic()):
                waiting += batches
        return failures, waiting

    def _do(self, batch: Batch, number: str) -> int:
        started = time.monotonic()
        failed = self.worker.process(batch)
        says = f"failed: {failed}" if failed else "results are in the archive"
        seconds = time.monotonic() - started
        print(
            f"{number}: study-{hashed(batch.study_uid)}, views {len(batch.views)}, {seconds:.0f} s, {says}", flush=True
        )
        if failed:
            self._wait(batch)
        return bool(failed)

    def _wait(self, batch: Batch) -> None:
        """Leave the study of a failure alone for a while, and its views for good that were tried often enough."""
        attempts = [self.worker.journal.state(view).attempts for view in batch.names]
        self._not_before_s[batch.study_uid] = time.monotonic() + RETRY_S * 4 ** (max(attempts) - 1)
        for view, count in zip(batch.names, attempts, strict=True):
            if count >= self.worker.attempts and not self.worker.journal.state(view).stored:
                self._tell(f"view-{view}: given up after {count} attempts; --retry tries it again")

    def _tell(self, line: str) -> None:
        """Say it once."""
        if line not in self._told:
            self._told.add(line)
            print(line, flush=True)


def price(views: int, studies: int, seconds_per_view: float | None) -> str:
    """What there is to do, and how long it will take.

    Args:
        views: number of views.
        studies: number of their studies.
        seconds_per_view: from the last time, None if there was none.
    """
    work = f"{views} views of {studies} studies to do"
    if seconds_per_view is None:
        return f"{work}; how long they take is known after the first"
    return f"{work}, about {seconds_per_view * views / 60:.1f} minutes ({seconds_per_view:.0f} s per view)"


def make_watcher(arguments: argparse.Namespace) -> Watcher:
    """Build the watcher from the command line.

    Raises:
        ValueError: in one line, if something is missing or wrong.
    """
    try:
        import highdicom  # noqa: F401

        from bundle.data.archive import PASSWORD_VARIABLE, Archive
    except ImportError as error:
        raise ValueError(f'Expected {error.name}, found none; pip install "mcgenref[archive]"') from None

    if arguments.attempts < 1 or arguments.interval_s <= 0 or arguments.settle_s < 0:
        raise ValueError("Expected --attempts >= 1, --interval-s > 0 and --settle-s >= 0, got less; pass more")
    if arguments.threshold is not None and not 0 < arguments.threshold < 1:
        raise ValueError(f"Expected a threshold above 0 and below 1, got {arguments.threshold:g}; pass another")
    password = os.environ.get(PASSWORD_VARIABLE, "")
    archive = Archive(arguments.archive, user=arguments.user, password=password, since=arguments.since)
    archive.studies()
    options = ["--method", arguments.method]
    if arguments.threshold is not None:
        options += ["--threshold", str(arguments.threshold)]
    journal = Journal(arguments.output_dir, method=arguments.method)
    remove_leftovers(arguments.output_dir)
    given_up = [name for name, state in journal.views.items() if not state.stored and state.attempts > 0]
    if given_up and arguments.retry:
        journal.write("forgiven", given_up)
    elif given_up := [name for name in given_up if journal.state(name).attempts >= arguments.attempts]:
        print(f"given up earlier: {len(given_up)} views; --retry tries them again", flush=True)
    worker = Worker(
        archive, journal, arguments.output_dir, partial(segment_like_the_command, options=options),
        arguments.method, arguments.attempts,
    )  # fmt: skip
    return Watcher(worker, Settled(0.0 if arguments.once else arguments.settle_s))


def watch(watcher: Watcher, *, interval_s: float) -> None:
    """Look for ever; an archive that is away is asked again, ever more seldom.

    Args:
        watcher: looks.
        interval_s: between two looks.
    """
    wait_s = interval_s
    while True:
        try:
            watcher.round()
            wait_s = interval_s
        except (ArchiveAwayError, ArchiveRefusedError) as error:
            wait_s = min(2 * wait_s, max(MAX_WAIT_S, interval_s))
            print(f"{error}; asked again in {wait_s:.0f} s", flush=True)
        time.sleep(wait_s)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM in the block is what Ctrl-C is."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> None:
    """Watch an archive; end with status 1 if --once leaves something undone."""
    arguments = parse(argv)
    print(NOT_FOR_DIAGNOSIS, flush=True)
    failures = 0
    try:
        with terminated_like_interrupted(), one_line_errors():
            failures = _run(arguments)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", flush=True)
    if failures:
        raise SystemExit(1)


def _run(arguments: argparse.Namespace) -> int:
    """Number of failures."""
    watcher = make_watcher(arguments)
    with closing(watcher.worker.journal):
        print(f"watching {arguments.archive}; journal in {arguments.output_dir}", flush=True)
        if not arguments.once:
            watch(watcher, interval_s=arguments.interval_s)
        failures = watcher.round()
        print("done", flush=True)
        return failures


if __name__ == "__main__":
    main()

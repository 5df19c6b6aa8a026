"""What a worker of `scripts.cohort` does: one view, or one study of views that are done, into a folder of its own."""

import errno
import gc
import hashlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bundle.data.archive_answers import ArchiveAwayError, ArchiveRefusedError
from bundle.data.cohort import CohortStudy, CohortView
from bundle.data.dicom_results import read_header
from bundle.data.errors import line_start, reason_of, refuse, root_mammogram_error
from bundle.data.find import RESULTS
from bundle.data.manifest import DONE, FAILED, REFUSED
from bundle.data.whole_files import place_whole, write_whole
from scripts import segment_dicom
from scripts.command import refusal_line
from scripts.segment_report import write_reports
from scripts.segment_view import ViewSegmenter, quiet

STOP = "stop"
"""Nothing is wrong with the view: the whole run has to stop, and can go on later."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
VIEWS, STUDIES, WORK = "views", "studies", "work"


@dataclass(frozen=True)
class Outcome:
    """What came of a view or study.

    Attributes:
        end: DONE, REFUSED, FAILED or STOP.
        reason: one line without the path; of an error that is not ours to explain only its kind and the line of code,
            since its text may quote the header.
        details: of the result, for the manifest.
        remarks: lines for the user about an unusual view.
    """

    end: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is made with.

    Attributes:
        folder: of the whole output.
        options: ids of configs/inference.yaml.
        threads: of torch.
        report: make a page per study.
        dicom: make DICOM objects.
        show_patient: on the page.
        archive: arguments of `bundle.data.archive.Archive`, where the views are fetched from one.
    """

    folder: str
    options: Mapping[str, Any]
    threads: int = 1
    report: bool = True
    dicom: bool = True
    show_patient: bool = False
    archive: Mapping[str, Any] | None = None


class Worker:
    """Holds the networks and does one thing after the other.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        torch.set_num_threads(settings.threads)
        self.settings, self.folder = settings, Path(settings.folder)
        self.part = self.folder / WORK / f"{os.getpid()}-{time.monotonic_ns()}"
        self._remarks: list[str] = []
        quiet(lambda message, *_: self._remarks.append(str(message)))
        self._archive: Any = None
        self.broken = ""
        try:
            self._segment = ViewSegmenter({**settings.options, "output_dir": str(self.part)})
        except Exception as error:
            self.broken = refusal_line(error) or where(error)
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked at after every view

    def ready(self) -> str:
        """Why no view can be done, "" if they can."""
        return self.broken

    def view(self, view: CohortView) -> Outcome:
        """Segment a view into VIEWS/KEY; whatever goes wrong with it is told, not raised."""

        def make() -> None:
            self._fetch(view)
            self._segment(view.path)

        return self._made(make, self.folder / view_folder(view.key), {view.path})

    def study(self, study: CohortStudy, views: Mapping[str, CohortView], done: frozenset[str]) -> Outcome:
        """Make page and objects of a study into STUDIES/KEY, with the functions of `scripts.segment`.

        Args:
            study: its views have all ended.
            views: of the study, by key.
            done: keys of those that were segmented.
        """

        def make() -> None:
            for key in sorted(done):
                self._fetch(views[key])
            with linked([self.folder / view_folder(key) for key in study.views if key in done], self.part):
                if self.settings.report:
                    options, show = self.settings.options, self.settings.show_patient
                    write_reports([study.study], self.part, options, show_patient=show)
                if self.settings.dicom:
                    self._remarks += segment_dicom.write_where_possible([study.study], self.part)

        return self._made(make, self.folder / study_folder(study.key), {view.path for view in views.values()})

    def _made(self, make: Callable[[], None], target: Path, paths: set[str]) -> Outcome:
        """Let something be made in the worker's own folder, and give that its name when all is well."""
        started, started_cpu = time.monotonic(), time.process_time()
        self._remarks.clear()
        try:
            if not target.is_dir():
                self.part.mkdir(parents=True)
                make()
                place_whole(self.part, target)
            spent = {
                "seconds": round(time.monotonic() - started, 3),
                "cpu_seconds": round(time.process_time() - started_cpu, 3),
            }
            return Outcome(DONE, "", {**facts(target), **spent}, tuple(self._remarks))
        except Exception as error:
            return Outcome(*ending(error, paths), remarks=tuple(self._remarks))
        finally:
            shutil.rmtree(self.part, ignore_errors=True)
            gc.collect()

    def _fetch(self, view: CohortView) -> None:
        """Have the file of a view of an archive."""
        path = Path(view.path)
        if view.instance is None or path.exists():
            return
        content = self._service().fetch(view.study_uid, view.instance)
        write_whole(path, lambda temporary: temporary.write_bytes(content))
        header = read_header(str(path))
        if (header.StudyInstanceUID, header.SOPInstanceUID) != (view.study_uid, view.instance.sop_uid):
            path.unlink()
            raise refuse(path, "Expected the view that was asked for, got another; check the archive")

    def _service(self) -> Any:
        if self._archive is None:
            from bundle.data.archive import PASSWORD_VARIABLE, Archive

            assert self.settings.archive is not None
            self._archive = Archive(**self.settings.archive, password=os.environ.get(PASSWORD_VARIABLE, ""))
        return self._archive


def view_folder(key: str) -> str:
    """Where the results of a view lie, relative to the output folder."""
    return f"{VIEWS}/{key[:2]}/{key}"


def study_folder(key: str) -> str:
    """Where page and objects of a study lie, relative to the output folder."""
    return f"{STUDIES}/{key}"


def ending(error: Exception, paths: set[str]) -> tuple[str, str]:
    """End and reason of what an error stopped.

    Args:
        error: the error.
        paths: of the files that it may be about; they begin its line, and do not belong into the manifest.
    """
    if (refusal := root_mammogram_error(error)) is not None:
        line = str(refusal)
        about = max(paths, key=lambda path: (line.startswith(line_start(path)), len(path)), default="")
        return REFUSED, reason_of(refusal, about)
    if isinstance(error, ArchiveAwayError):
        return STOP, str(error)
    if isinstance(error, ArchiveRefusedError):
        return FAILED, f"the archive {error}"
    if (full := no_room(error)) is not None:
        return STOP, f"Expected room for results, got {os.strerror(full)}; make room, then give the same command"
    return FAILED, where(error)


def no_room(error: BaseException | None) -> int | None:
    """The errno of a disk that takes no more, anywhere in the chain of an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def where(error: BaseException) -> str:
    """Kind of an error and the line of code, in place of its text."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def facts(folder: Path) -> dict[str, Any]:
    """What the manifest says of a finished folder: a hash of all files, and of a view the numbers of its findings."""
    digest = hashlib.sha256()
    told: dict[str, Any] = {"bytes": 0}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        told["bytes"] += len(content)
        digest.update(f"{path.name} {len(content)} ".encode() + content)
        if path.name.endswith(RESULTS):
            report = json.loads(content)
            told |= {"name": report["image"], "findings": report["finding_count"], "clusters": report["cluster_count"]}
    return {**told, "sha256": digest.hexdigest()}


@contextmanager
def linked(folders: list[Path], target: Path) -> Any:
    """Results of several views as if they lay in one folder, under names that differ, for as long as the block runs.

    Args:
        folders: of the views.
        target: where the links are.
    """
    links, stems = [], set()
    for folder in folders:
        (findings,) = folder.glob(f"*{RESULTS}")
        stem = findings.name.removesuffix(RESULTS)
        own = f"{stem}-{folder.name[:8]}" if stem in stems else stem
        stems.add(own)
        for path in folder.iterdir():
            link = target / f"{own}{path.name.removeprefix(stem)}"
            link.symlink_to(path.resolve())
            links.append(link)
    try:
        yield
    finally:
        for link in links:
            link.unlink()

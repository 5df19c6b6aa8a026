"""One study of an archive: which of its views are still to do, and doing them (`scripts.watch`)."""

import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bundle.data.archive_answers import ArchiveAwayError, ArchiveRefusedError, Instance
from bundle.data.archive_journal import Journal, hashed
from bundle.data.archive_objects import give_own_uids, object_uid, own_series_uid, own_sop_uid
from bundle.data.dicom_results import read_header
from bundle.data.errors import MammogramError, reason_of, refuse
from scripts.dicom_results import KINDS

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PER_VIEW = ("seg", "probability")
PER_STUDY = tuple(kind for kind in KINDS if kind not in PER_VIEW)

Segment = Callable[[Path, Path], dict[str, str]]
"""From the folder of the views and that of the results to the reasons by view that was refused."""


class Service(Protocol):
    """What is asked of an archive; `bundle.data.archive.Archive` is one."""

    def studies(self) -> dict[str, int | None]:
        """Study UIDs and numbers of objects."""

    def instances(self, study_uid: str) -> list[Instance]:
        """Objects of a study."""

    def fetch(self, study_uid: str, instance: Instance) -> bytes:
        """An object."""

    def evidence(self, study_uid: str, instance: Instance) -> frozenset[str]:
        """Images of a report."""

    def store(self, study_uid: str, content: bytes) -> None:
        """Add an object."""


@dataclass(frozen=True)
class Batch:
    """Views of a study that make results together.

    Attributes:
        study_uid: the study.
        views: the views, at least one.
    """

    study_uid: str
    views: tuple[Instance, ...]

    @property
    def names(self) -> list[str]:
        """Hash of each view."""
        return [hashed(view.sop_uid) for view in self.views]


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run fetched and had not finished, in an output folder whose journal is held."""
    for left in folder.glob("study-*/*.part"):
        shutil.rmtree(left)


@dataclass
class Worker:
    """Brings the views of an archive through the segmentation, and the results back.

    Attributes:
        archive: where they come from and go to.
        journal: what has been done.
        folder: the journal's; results go below it.
        segment: makes the results.
        method: its name.
        attempts: how often a view is tried, >= 1.
    """

    archive: Service
    journal: Journal
    folder: Path
    segment: Segment
    method: str
    attempts: int = 3

    def views(self, study_uid: str) -> tuple[list[Instance], list[Batch]]:
        """All For Presentation views of a study, and those still to do, by what belongs together.

        What an earlier run segmented, or reported together, stays together; so do all views that nothing is known of.
        Views with all results in the archive are noted as stored.

        Raises:
            ArchiveAwayError, ArchiveRefusedError: from the archive.
        """
        instances = self.archive.instances(study_uid)
        views = [instance for instance in instances if instance.sop_class == FOR_PRESENTATION]
        new = [hashed(view.sop_uid) for view in views if hashed(view.sop_uid) not in self.journal.views]
        if new:
            self.journal.write("found", new, study=hashed(study_uid))
        waiting = [view for view in views if self._is_waiting(hashed(view.sop_uid))]
        return views, self._batches(study_uid, waiting, instances) if waiting else []

    def _is_waiting(self, name: str) -> bool:
        state = self.journal.state(name)
        return not state.stored and state.attempts < self.attempts

    def _batches(self, study_uid: str, views: Sequence[Instance], instances: Sequence[Instance]) -> list[Batch]:
        reports = self._reports(study_uid, instances)
        groups: dict[tuple[str, frozenset[tuple[str, str]]], list[Instance]] = {}
        for view in views:
            folder = self.journal.state(hashed(view.sop_uid)).folder or ""
            covering = frozenset(report for report, sources in reports.items() if view.sop_uid in sources)
            groups.setdefault((folder, frozenset()) if self._objects(folder) else ("", covering), []).append(view)
        there = {instance.sop_uid for instance in instances}
        batches = []
        for (_, covering), group in groups.items():
            batch = Batch(study_uid, tuple(group))
            reported = {kind for kind, _ in covering} == set(PER_STUDY)
            if reported and self._single_uids(group) <= there:
                self.journal.write("stored", batch.names, study=hashed(study_uid), reason="found in the archive")
            else:
                batches.append(batch)
        return batches

    def _single_uids(self, views: Iterable[Instance]) -> set[str]:
        """SOP Instance UIDs of the results that each view has for itself."""
        return {own_sop_uid([view.sop_uid], method=self.method, kind=kind) for view in views for kind in PER_VIEW}

    def _reports(self, study_uid: str, instances: Iterable[Instance]) -> dict[tuple[str, str], frozenset[str]]:
        """Views of each report of ours in the study, by kind and SOP Instance UID."""
        ours = {own_series_uid(study_uid, method=self.method, kind=kind): kind for kind in PER_STUDY}
        return {
            (ours[instance.series_uid], instance.sop_uid): self.archive.evidence(study_uid, instance)
            for instance in instances
            if instance.series_uid in ours
        }

    def _objects(self, folder: str) -> list[Path]:
        """Objects that wait for being stored; none in no folder."""
        return sorted((self.folder / folder).glob("*.dcm")) if folder else []

    def process(self, batch: Batch) -> str:
        """Segment a batch and store its results; whatever is wrong with it goes to the journal.

        Returns:
            Reason of the first failure, "" if there was none.

        Raises:
            ArchiveAwayError: if the archive is away: the attempt does not count.
            KeyboardInterrupt: if the user stops it: nor does it then.
            OSError: if the journal cannot be written.
        """
        self.journal.write("started", batch.names, study=hashed(batch.study_uid))
        folder = self.journal.state(batch.names[0]).folder or ""
        failed = ""
        try:
            if not self._objects(folder):
                folder, batch, failed = self._segment(batch)
            if batch.views:
                self._store(batch, folder)
        except (ArchiveAwayError, KeyboardInterrupt) as stop:
            if isinstance(stop, ArchiveAwayError) and self._answers():
                return self._fail(batch, "the archive broke off")
            self.journal.write("stopped", batch.names)
            raise
        except (ArchiveRefusedError, MammogramError) as error:
            return self._fail(batch, str(error))
        except Exception as error:  # its text may quote the header, where it was raised does not
            last = traceback.extract_tb(error.__traceback__)[-1]
            return self._fail(batch, f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}")
        return failed

    def _answers(self) -> bool:
        try:
            self.archive.studies()
        except (ArchiveAwayError, ArchiveRefusedError):
            return False
        return True

    def _fail(self, batch: Batch, reason: str, views: Sequence[str] | None = None) -> str:
        self.journal.write("failed", views or batch.names, study=hashed(batch.study_uid), reason=reason)
        return reason

    def _segment(self, batch: Batch) -> tuple[str, Batch, str]:
        """Make the objects of a batch, in a folder that appears whole; views that are refused leave the batch."""
        started = time.monotonic()
        study = self.folder / f"study-{hashed(batch.study_uid)}"
        folder = study / hashed(" ".join([self.method, *sorted(view.sop_uid for view in batch.views)]))[:8]
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        reasons = self._fetch(batch, part / "views")
        if len(reasons) < len(batch.views):
            reasons |= self.segment(part / "views", part)
        shutil.rmtree(part / "views")
        covered: set[str] = set()
        in_series = Counter(instance.series_uid for instance in self.archive.instances(batch.study_uid))
        for path in sorted(part.glob("*.dcm")):
            covered |= give_own_uids(path, method=self.method, kind=path.stem.rpartition("_")[2], in_series=in_series)
        done = tuple(view for view in batch.views if view.sop_uid in covered)
        failed = ""
        for view in batch.views:
            if view not in done:
                name = hashed(view.sop_uid)
                failed = self._fail(batch, reasons.get(name, "no results were made of it"), [name])
        if not done:
            shutil.rmtree(part)
            return "", Batch(batch.study_uid, ()), failed
        batch, relative = Batch(batch.study_uid, done), str(folder.relative_to(self.folder))
        seconds = round(time.monotonic() - started, 1)
        self.journal.write("segmented", batch.names, study=hashed(batch.study_uid), folder=relative, seconds=seconds)
        # In this order: a folder that no journal knows of would never be looked at again.
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        return relative, batch, failed

    def _fetch(self, batch: Batch, views_dir: Path) -> dict[str, str]:
        """Write the views as view-HASH.dcm; reasons of those that cannot be had."""
        views_dir.mkdir(mode=0o700, parents=True)
        reasons = {}
        for view in batch.views:
            path = views_dir / f"view-{hashed(view.sop_uid)}.dcm"
            try:
                path.write_bytes(self.archive.fetch(batch.study_uid, view))
                header = read_header(str(path))
                if (header.StudyInstanceUID, header.SOPInstanceUID) != (batch.study_uid, view.sop_uid):
                    raise refuse(path, "Expected the view that was asked for, got another; check the archive")
            except (ArchiveRefusedError, MammogramError) as error:
                path.unlink(missing_ok=True)
                reason = reason_of(error, path) if isinstance(error, MammogramError) else str(error)
                reasons[hashed(view.sop_uid)] = reason
        return reasons

    def _store(self, batch: Batch, folder: str) -> None:
        """Bring what is not there yet into the archive, and believe it when it is listed."""
        paths = {object_uid(path): path for path in self._objects(folder)}
        there = {instance.sop_uid for instance in self.archive.instances(batch.study_uid)}
        for uid, path in paths.items():
            if uid not in there:
                self.archive.store(batch.study_uid, path.read_bytes())
        there = {instance.sop_uid for instance in self.archive.instances(batch.study_uid)}
        if missing := paths.keys() - there:
            raise ArchiveRefusedError(f"{len(missing)} stored objects are not listed")
        for path in paths.values():  # they name the patient, and the archive has them
            path.unlink()
        self.journal.write("stored", batch.names, study=hashed(batch.study_uid), objects=len(paths))

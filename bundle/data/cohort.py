"""The views of a cohort: of a folder, of a datalist, or of a DICOMweb archive, and what belongs together as a study."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .archive_answers import Instance
from .archive_journal import hashed
from .datalist import views_of
from .errors import refuse
from .find import find_mammograms
from .studies import Study, group_files

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FETCHED = "fetched"
"""Folder of what is fetched from an archive, until its study is done."""
STUDY_FILES = 12
"""Files without a study are grouped by folder, which may hold all of them; so many make a page."""


class Service(Protocol):
    """What is asked of an archive; `bundle.data.archive.Archive` is one."""

    def studies(self) -> dict[str, int | None]:
        """Study UIDs and numbers of objects."""

    def instances(self, study_uid: str) -> list[Instance]:
        """Objects of a study."""

    def fetch(self, study_uid: str, instance: Instance) -> bytes:
        """An object."""


@dataclass(frozen=True)
class CohortView:
    """A view of a cohort.

    Attributes:
        key: 16 hexadecimal digits: of a hash of its path or SOP Instance UID.
        path: where its file lies, or will lie when it is fetched.
        study_uid: of a view that has to be fetched.
        instance: the same.
    """

    key: str
    path: str
    study_uid: str = ""
    instance: Instance | None = None


def views_on_disk(paths: Iterable[str]) -> list[CohortView]:
    """Files as views of a cohort, each once."""
    found = {os.path.abspath(path): path for path in paths}
    return [CohortView(hashed(absolute), path) for absolute, path in found.items()]


def views_of_input(input_path: str, *, lists: Sequence[str] | None = None) -> list[CohortView]:
    """The views of a file, a folder, or a datalist (a .json file).

    Args:
        input_path: the file or folder.
        lists: names of the lists of a datalist; all when None.

    Raises:
        MammogramError: in one line, if there is nothing to read.
    """
    if input_path.lower().endswith(".json") and Path(input_path).is_file():
        return views_on_disk(views_of(input_path, lists) if lists else views_of(input_path))
    if lists:
        raise refuse(input_path, "Expected a datalist (.json) with --lists, got another input; leave --lists out")
    return views_on_disk(item["image"] for item in find_mammograms(input_path))


def views_of_archive(archive: Service, folder: Path) -> list[CohortView]:
    """The For Presentation views of all studies of an archive, study by study; nothing is fetched yet.

    Args:
        archive: where they are.
        folder: the output folder, below which their files will lie.

    Raises:
        ArchiveAwayError, ArchiveRefusedError: from the archive.
    """
    views = []
    for study_uid in sorted(archive.studies()):
        for instance in sorted(archive.instances(study_uid), key=lambda one: one.sop_uid):
            if instance.sop_class == FOR_PRESENTATION:
                key = hashed(instance.sop_uid)
                path = folder / FETCHED / f"study-{hashed(study_uid)}" / f"view-{key}.dcm"
                views.append(CohortView(key, str(path), study_uid, instance))
    return views


@dataclass(frozen=True)
class CohortStudy:
    """Views that are reported together.

    Attributes:
        key: of a hash of the study and its views.
        study: for the page and the objects.
        views: keys of its views, in the order of the study's files.
    """

    key: str
    study: Study
    views: tuple[str, ...]


def studies_of(views: Sequence[CohortView]) -> list[CohortStudy]:
    """Group views: by Study Instance UID, and files without one by folder, twelve at a time.

    Headers of files on disk are read for it.
    """
    fetched: dict[str, list[CohortView]] = {}
    for view in views:
        if view.instance is not None:
            fetched.setdefault(view.study_uid, []).append(view)
    studies = [Study(hashed(uid)[:8], tuple(view.path for view in members), True) for uid, members in fetched.items()]
    for study in group_files(view.path for view in views if view.instance is None):
        step = len(study.files) if study.is_dicom else STUDY_FILES
        pieces = [study.files[start : start + step] for start in range(0, len(study.files), step)]
        studies += [Study(study.name, piece, study.is_dicom) for piece in pieces]
    keys = {view.path: view.key for view in views}
    return [_cohort_study(study, tuple(keys[path] for path in study.files)) for study in studies]


def _cohort_study(study: Study, keys: tuple[str, ...]) -> CohortStudy:
    digest = hashlib.sha256(os.fsencode(" ".join([study.name, *keys]))).hexdigest()
    return CohortStudy(f"study-{digest[:16]}", study, keys)

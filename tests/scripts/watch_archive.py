"""An archive and a segmentation in memory, which die when told to: what `scripts.watch` is run against."""

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bundle.data.archive_answers import ArchiveRefusedError, Instance
from bundle.data.archive_journal import Journal
from bundle.data.archive_objects import source_uids
from bundle.data.dicom_results import new_uid, write_dicom
from scripts.dicom_results import KINDS
from scripts.watch_study import PER_VIEW
from tests.data.dicom_exam import write_exam

BAD = "1.2.3.99"


class KilledError(BaseException):
    """SIGKILL: nobody catches it."""


@dataclass
class Fuse:
    """Kills at a step; what can be killed calls `step` before and after all that it does."""

    at: int = -1
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KilledError


@dataclass
class MemoryArchive:
    """Studies in memory. Storing an object twice is an error here.

    Attributes:
        files: content by study and SOP Instance UID.
        fuse: what may kill in the middle of a call.
        fault: called before each call with its name; raises what is to go wrong.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    fuse: Fuse = field(default_factory=Fuse)
    fault: Callable[..., Any] = lambda *_: None
    listed: dict[str, Instance] = field(default_factory=dict)

    def add(self, path: Path) -> str:
        """A file that comes from outside."""
        return self._put(path.read_bytes())

    def _put(self, content: bytes) -> str:
        dataset = pydicom.dcmread(BytesIO(content), force=True)
        uid = str(dataset.SOPInstanceUID)
        self.files.setdefault(str(dataset.StudyInstanceUID), {})[uid] = content
        self.listed[uid] = Instance(uid, str(dataset.SeriesInstanceUID), str(dataset.SOPClassUID))
        return uid

    def studies(self) -> dict[str, int | None]:
        self.fault("studies")
        return {study: len(files) for study, files in self.files.items()}

    def instances(self, study_uid: str) -> list[Instance]:
        self.fault("instances", study_uid)
        return [self.listed[uid] for uid in self.files[study_uid]]

    def fetch(self, study_uid: str, instance: Instance) -> bytes:
        self.fault("fetch", study_uid)
        return self.files[study_uid][instance.sop_uid]

    def evidence(self, study_uid: str, instance: Instance) -> frozenset[str]:
        return source_uids(pydicom.dcmread(BytesIO(self.files[study_uid][instance.sop_uid])))

    def store(self, study_uid: str, content: bytes) -> None:
        self.fault("store", study_uid)
        self.fuse.step()
        uid = str(pydicom.dcmread(BytesIO(content)).SOPInstanceUID)
        if uid in self.files[study_uid]:
            raise ArchiveRefusedError("stored twice")
        assert self._put(content) == uid
        self.fuse.step()

    def numbers(self, study_uid: str, kind: str) -> list[int]:
        """Instance numbers of our objects of a kind."""
        datasets = [pydicom.dcmread(BytesIO(content), force=True) for content in self.files[study_uid].values()]
        return [int(dataset.InstanceNumber) for dataset in datasets if dataset.get("SeriesDescription") == kind]

    def results(self, study_uid: str) -> dict[str, list[frozenset[str]]]:
        """By kind the views of each object of ours."""
        found: dict[str, list[frozenset[str]]] = {kind: [] for kind in KINDS}
        for content in self.files[study_uid].values():
            dataset = pydicom.dcmread(BytesIO(content), force=True)
            if dataset.Modality != "MG":
                found[dataset.SeriesDescription].append(source_uids(dataset))
        return found


class FusedJournal(Journal):
    """A journal that may die before or after a line is on the disk."""

    fuse = Fuse()

    def write(self, event: str, views: Any, **details: Any) -> None:
        self.fuse.step()
        super().write(event, views, **details)
        self.fuse.step()


@dataclass
class LittleSegmentation:
    """Writes what `scripts.segment --dicom` writes, with nothing in it but references. Refuses the view BAD."""

    fuse: Fuse = field(default_factory=Fuse)
    seen: list[str] = field(default_factory=list)

    def __call__(self, views_dir: Path, results_dir: Path) -> dict[str, str]:
        headers, reasons = {}, {}
        for path in sorted(views_dir.iterdir()):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if header.SOPInstanceUID == BAD:
                reasons[path.stem.removeprefix("view-")] = "Expected another view"
            else:
                headers[path.stem] = header
        self.seen += [str(header.SOPInstanceUID) for header in headers.values()]
        series = {kind: new_uid() for kind in KINDS}
        for kind in KINDS if headers else ():
            self.fuse.step()
            objects = {stem: [header] for stem, header in headers.items()} if kind in PER_VIEW else None
            objects = objects or {"study-12345678": list(headers.values())}
            for number, (stem, sources) in enumerate(objects.items(), start=1):
                made = _object(sources, kind, series[kind])
                made.InstanceNumber = number
                write_dicom(results_dir / f"{stem}_{kind}.dcm", made)
        self.fuse.step()
        return reasons


def _object(sources: list[Dataset], kind: str, series_uid: str) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, new_uid()
    # Comprehensive SR; which class does not matter here.
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    if pydicom.__version__ < "3":
        dataset.is_implicit_VR, dataset.is_little_endian = False, True
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = sources[0].StudyInstanceUID, series_uid
    dataset.PatientName, dataset.PatientID = sources[0].PatientName, sources[0].PatientID
    dataset.Modality, dataset.SeriesDescription = "SR", kind
    images = []
    for source in sources:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
        images.append(image)
    series = Dataset()
    series.SeriesInstanceUID = sources[0].SeriesInstanceUID
    if kind in PER_VIEW:
        series.ReferencedInstanceSequence = images
        dataset.ReferencedSeriesSequence = [series]
    else:
        series.ReferencedSOPSequence = images
        study = Dataset()
        study.StudyInstanceUID, study.ReferencedSeriesSequence = sources[0].StudyInstanceUID, [series]
        dataset.CurrentRequestedProcedureEvidenceSequence = [study]
    return dataset


def add_view(archive: MemoryArchive, folder: Path, *, study: str = "1.2.3", **changes: Any) -> str:
    """A new view in a study; its SOP Instance UID."""
    return archive.add(write_exam(folder / "view.dcm", StudyInstanceUID=study, **changes))

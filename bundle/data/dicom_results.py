"""What `scripts.segment` wrote of a DICOM view, beside the source's header: what SEG and SR objects are made of.

Patient and study are copied into the objects from the header at the very end, element by element, so that no library's
warning or error on the way can repeat them.
"""

import hashlib
import json
import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from .. import __version__
from .dicom import quiet_pydicom
from .dicom_header import check_header
from .errors import refuse
from .mammogram_reader import sniff
from .whole_files import write_whole

MANUFACTURER = "MC-GenRef (research software)"
NOT_FOR_DIAGNOSIS = "Research only, not a medical device, not for diagnosis"
ALGORITHMS = {"segmentor": "MC-GenRef segmentor", "ttgpr": "MC-GenRef segmentor refined by TT-GPR"}
EQUIPMENT = {
    "Manufacturer": MANUFACTURER,
    "ManufacturerModelName": "mcgenref",
    "DeviceSerialNumber": "not applicable",
    "SoftwareVersions": __version__,
}
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2: written empty where the source has none."""
OPTIONAL = (
    "SpecificCharacterSet", "IssuerOfPatientID", "PatientAge", "StudyDescription", "TimezoneOffsetFromUTC",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
)  # fmt: skip


@dataclass(frozen=True)
class ViewResults:
    """A view's findings and the header of the file that they are about.

    Attributes:
        header: the source, without pixels.
        mask: bool (rows, columns), in the source's pixel grid.
        probs: float32 (rows, columns), in [0, 1].
        report: what `findings_report` made.
        stem: what the names of the view's results begin with.
    """

    header: Dataset
    mask: NDArray[np.bool_]
    probs: NDArray[np.float32]
    report: dict[str, Any]
    stem: str

    @property
    def algorithm(self) -> str:
        """Name of the algorithm."""
        return ALGORITHMS[self.report["method"]]

    @property
    def parameters(self) -> dict[str, str]:
        """What the algorithm ran with."""
        return {"method": self.report["method"], "threshold": f"{self.report['threshold']:g}"}


@dataclass(frozen=True)
class Placement:
    """Where an object goes: its series, and its number there.

    Attributes:
        series_uid: of the series.
        series_number: of the series in the study, >= 1.
        instance_number: of the object in the series, >= 1.
    """

    series_uid: str
    series_number: int
    instance_number: int = 1


def read_results(path: str, *, results_dir: Path) -> ViewResults:
    """Read the header of a DICOM view and what was found in it.

    Args:
        path: the view, as it was given to `scripts.segment`.
        results_dir: the folder that `scripts.segment` wrote to.

    Raises:
        MammogramError: if the view is no mammographic DICOM file, lacks the identifiers of its study, has no results
            there, or its results are of another size.
    """
    if (kind := sniff(path)) != "dicom":
        raise refuse(path, f"Expected a DICOM view, got {kind}; SEG and SR are made from DICOM alone, leave it out")
    with quiet_pydicom(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        check_header(header, path=path, convert_raw=True)
    if missing := [keyword for keyword in REQUIRED if not header.get(keyword)]:
        raise refuse(path, f"Expected {', '.join(missing)} in the header, found none; export the view again")
    stem, report = _report_of(path, results_dir)
    try:
        mask = np.asarray(Image.open(results_dir / f"{stem}_mask.png")) > 0
        volume = nib.load(results_dir / f"{stem}_probability.nii.gz")
        probs = np.asarray(volume.dataobj, np.float32)[..., 0].T  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        raise refuse(path, "Expected its mask and probability map beside the JSON; segment it again") from error
    shapes = {(int(header.Rows), int(header.Columns)), mask.shape, probs.shape}
    if len(shapes) != 1:
        raise refuse(path, f"Expected results of the view's size, got sizes {sorted(shapes)}; segment it again")
    return ViewResults(header=header, mask=mask, probs=probs, report=report, stem=stem)


def _report_of(path: str, results_dir: Path) -> tuple[str, dict[str, Any]]:
    """Stem and content of the JSON whose source_id is that of the file, as SaveFindingsd writes it."""
    identity = hashlib.sha256(os.path.abspath(path).encode()).hexdigest()[:8]
    for file in sorted(Path(results_dir).glob("*_findings.json")):
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(report, dict) and report.get("source_id") == identity:
            return file.name.removesuffix("_findings.json"), report
    raise refuse(path, f"Expected its findings in {results_dir}, found none; run python -m scripts.segment on it first")


def copy_patient_and_study(header: Dataset, target: Dataset) -> None:
    """Give an object the source's patient and study; values go from element to element and nowhere else."""
    target.StudyInstanceUID = header.StudyInstanceUID
    for keyword in PATIENT_AND_STUDY:
        setattr(target, keyword, "")
    for keyword in (*PATIENT_AND_STUDY, *OPTIONAL):
        if keyword in header:
            target[keyword] = deepcopy(header[keyword])


def new_uid() -> str:
    """A fresh UID, from a random UUID."""
    return str(pydicom.uid.generate_uid(prefix=None))


def write_dicom(path: Path, dataset: Dataset) -> None:
    """Write an object as a whole file, with preamble and meta header."""

    def write(temporary: Path) -> None:
        try:
            pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)
        except TypeError:  # pydicom 2
            pydicom.dcmwrite(temporary, dataset, write_like_original=False)

    write_whole(path, write)

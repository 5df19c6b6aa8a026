"""What `scripts.segment` wrote of a DICOM view, beside the source's header: what SEG and SR objects are made of.

Patient and study are copied into the objects from the header at the very end, element by element, so that no library's
warning or error on the way can repeat them.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from .. import __version__
from .dicom_file import parse_dicom, quiet_pydicom
from .dicom_header import check_header
from .errors import refuse
from .mammogram_reader import sniff
from .whole_files import write_whole

MANUFACTURER = "MC-GenRef (research software)"
NOT_FOR_DIAGNOSIS = "Research only, not a medical device, not for diagnosis"
ALGORITHMS = {
    "segmentor": "MC-GenRef segmentor",
    "augmentation": "MC-GenRef segmentor, mean over flips and turns",
    "company": "MC-GenRef segmentor, candidates weighed by their company",
    "evidence": "MC-GenRef segmentor, candidates weighed by the generator",
    "ttgpr": "MC-GenRef segmentor refined by TT-GPR",
}
EQUIPMENT = {
    "Manufacturer": MANUFACTURER,
    "ManufacturerModelName": "mcgenref",
    "DeviceSerialNumber": "not applicable",
    "SoftwareVersions": __version__,
}
FINDINGS = "_findings.json"
FORMATS = {"flat": "PNG, TIFF or JPEG", "nifti": "NIfTI"}
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


def read_header(path: str) -> Dataset:
    """Header of a DICOM view, with the identifiers that other objects refer to it by.

    Raises:
        MammogramError: if the file is no mammographic DICOM view, or lacks them.
    """
    if (kind := sniff(path)) != "dicom":
        raise refuse(path, f"Expected a DICOM view, got {FORMATS[kind]}; SEG and SR are made from DICOM alone")
    with quiet_pydicom(path):
        header = parse_dicom(path)
        check_header(header, path=path, convert_raw=True)
        for _ in header.iterall():
            pass  # decodes every element here, where warnings that would quote a malformed value are held back
    if missing := [keyword for keyword in REQUIRED if not header.get(keyword)]:
        raise refuse(path, f"Expected {', '.join(missing)} in the header, found none; export the view again")
    if wrong := [keyword for keyword in REQUIRED if not _is_uid(header.get(keyword))]:
        raise refuse(path, f"Expected one UID of digits and dots as {', '.join(wrong)}, got another; export it again")
    return header


def _is_uid(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9.]{1,64}", value) is not None


def find_findings(results_dir: Path) -> dict[str, Path]:
    """The JSON of each segmented file in a folder, by its source_id."""
    found = {}
    for file in sorted(results_dir.glob(f"*{FINDINGS}")):
        try:
            found[str(json.loads(file.read_text(encoding="utf-8"))["source_id"])] = file
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # not ours, or cut short: its view is told to have no findings
    return found


def read_results(path: str, *, findings: Mapping[str, Path]) -> ViewResults:
    """Read the header of a DICOM view and what was found in it.

    Args:
        path: the view, as it was given to `scripts.segment`.
        findings: from `find_findings`.

    Raises:
        MammogramError: as `read_header`, or if the view has no results, or they are of another size.
    """
    header = read_header(path)
    identity = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:8]
    if identity not in findings:
        raise refuse(path, "Expected its findings, found none; run python -m scripts.segment on it first")
    file = findings[identity]
    stem = file.name.removesuffix(FINDINGS)
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        mask = np.asarray(Image.open(file.with_name(f"{stem}_mask.png"))) > 0
        volume = nib.load(file.with_name(f"{stem}_probability.nii.gz"))
        probs = np.asarray(volume.dataobj, np.float32)[..., 0].T  # type: ignore[attr-defined]
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(path, "Expected its mask and probability map beside the JSON; segment it again") from error
    shapes = {(int(header.Rows), int(header.Columns)), mask.shape, probs.shape}
    if len(shapes) != 1:
        raise refuse(path, f"Expected results of the view's size, got sizes {sorted(shapes)}; segment it again")
    return ViewResults(header=header, mask=mask, probs=probs, report=report, stem=stem)


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
    """Write an object as a whole file, with preamble and meta header.

    Raises:
        MammogramError: if an element cannot be written; nothing of it is repeated.
    """
    options = {"enforce_file_format": True} if pydicom.__version__ >= "3" else {"write_like_original": False}
    encoded = BytesIO()
    try:
        pydicom.dcmwrite(encoded, dataset, **options)
    except Exception as error:  # of any kind, with the element's value in its text
        reason = f"Expected elements that can be written, got {type(error).__name__}; correct the source's header"
        raise refuse(path, reason) from None
    write_whole(path, lambda temporary: temporary.write_bytes(encoded.getvalue()))

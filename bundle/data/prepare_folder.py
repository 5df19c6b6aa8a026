"""A folder of one's own: any views, with masks or without."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .annotations import read_annotation
from .datalist import ListedView, Listing, rule_of
from .dicom_file import parse_dicom, quiet_pydicom
from .errors import MammogramError, line_start, refuse
from .inbreast import Rois
from .mammogram_reader import sniff
from .pairing import Case, assign_patients, pair_cases
from .prepare_inbreast import regions_of_xml
from .prepare_tables import the_folder


def list_folder(
    source: str | Path,
    *,
    masks: str | Path | None = None,
    patients: str | Path | None = None,
    missing_is_clean: bool = False,
) -> Listing:
    """Views and their masks, paired as `python -m scripts.evaluate` pairs them.

    Patients come from the table; else from PatientID, which is replaced by a number; else from what stands before the
    first "_" of a file's name.

    Args:
        source: folder of views.
        masks: folder of masks (PNG, NIfTI, INbreast XML); the views' own folder if not given.
        patients: CSV with the columns image and patient.
        missing_is_clean: a view without a mask is a negative; otherwise it is left out.

    Returns:
        The listing.

    Raises:
        MammogramError: if a folder or the table is missing, or the folder holds no view.
    """
    folder = the_folder(source)
    cases, problems = pair_cases(folder, masks or folder, missing_is_clean=missing_is_clean)
    cases, _, more = assign_patients(cases, patients)
    listing = Listing(dataset="folder", split_name="folder")
    numbers = {} if patients else _patients(cases)
    problems += more if patients else []
    for case in cases:
        wrong = [
            line for line in problems if line.startswith((line_start(case.image), line_start(case.mask or case.image)))
        ]
        if wrong:
            listing.skip(case.case, rule_of(wrong[0]), wrong[0])
            continue
        listing.views.append(
            ListedView(
                name=case.case.replace("/", "_"),
                image=Path(case.image),
                patient=numbers.get(case.case, case.patient),
                truth=None if case.mask is None else partial(mask_truth, Path(case.mask)),
            )
        )
    known = {str(path) for case in cases for path in (case.image, case.mask) if path}
    for line in problems:
        if not any(line.startswith(line_start(path)) for path in known):
            listing.skip("mask or table", rule_of(line), line)
    if not listing.views:
        raise refuse(folder, "Expected views with masks, found none; add masks, or say --missing-is-clean for normals")
    return listing


def mask_truth(path: Path, shape: tuple[int, int]) -> Rois | NDArray[np.uint8]:
    """The label of a mask, or the regions of an XML file.

    Raises:
        MammogramError: if it is damaged or does not fit the view.
    """
    if path.suffix.lower() == ".xml":
        return regions_of_xml(path, shape)
    return read_annotation(path, shape=shape).label


def _patients(cases: list[Case]) -> dict[str, str]:
    """A number for everybody, so that no identifier leaves the headers."""
    keys = {case.case: _patient_key(case) for case in cases}
    numbers = {key: f"patient{number:04d}" for number, key in enumerate(dict.fromkeys(keys.values()), start=1)}
    return {name: numbers[key] for name, key in keys.items()}


def _patient_key(case: Case) -> str:
    if case.patient != case.case:
        return case.patient  # from INbreast's file names
    try:
        if sniff(case.image) == "dicom":
            with quiet_pydicom(case.image):
                header = parse_dicom(case.image, keywords=("PatientID",))
            if identifier := str(header.get("PatientID") or "").strip():
                return f"id {identifier}"
    except MammogramError:
        pass  # reading the view will report it
    return f"name {Path(case.image).stem.split('_')[0]}"

"""An asymmetric mammogram as a whole DICOM file, and the results that inference would write of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from bundle.functional.findings import find_objects, findings_report
from tests.data.mg_dicom import code, write_mg

ROWS, COLUMNS = 240, 90
SPACING_MM = (0.1, 0.08)
# Nothing here is symmetric: an L of three pixels, single pixels, a bar; five of them within 1 cm, one far away.
OBJECTS = (
    ((20, 30), (21, 30), (21, 31)),
    ((25, 40),),
    ((30, 33),),
    ((33, 50), (33, 51), (33, 52)),
    ((40, 45),),
)
STUDY_UID, SERIES_UID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"


def exam_mask(objects: Any = OBJECTS) -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), bool)
    for pixels in objects:
        for pixel in pixels:
            mask[pixel] = True
    return mask


def exam_probs(mask: np.ndarray) -> np.ndarray:
    """0.6 to 0.95 in the findings, 0 to 0.2 elsewhere; unequal in both axes."""
    rows, columns = np.indices(mask.shape) / np.array(mask.shape)[:, None, None]
    return np.where(mask, 0.6 + 0.35 * columns, 0.1 * rows + 0.1 * columns).astype(np.float32)


def write_exam(path: Path, **changes: Any) -> Path:
    """A For Presentation view with the identifiers that a clinical one has."""
    stored = (np.add.outer(np.arange(ROWS) * 7, np.arange(COLUMNS) * 3) % 4096).astype(np.uint16)
    view = code("399162004")
    view.CodeMeaning = "cranio-caudal"
    elements = {
        "StudyInstanceUID": STUDY_UID, "SeriesInstanceUID": SERIES_UID, "SeriesNumber": 1, "InstanceNumber": 1,
        "StudyID": "S1", "AccessionNumber": "A-77", "StudyDate": "20260102", "StudyTime": "101500",
        "ContentDate": "20260102", "ContentTime": "101600", "ReferringPhysicianName": "Secret^Doctor",
        "PatientBirthDate": "19600101", "PatientSex": "F", "PatientOrientation": ["A", "R"],
        "ViewCodeSequence": [view], "ImagerPixelSpacing": list(SPACING_MM), "SpecificCharacterSet": "ISO_IR 100",
    }  # fmt: skip
    return write_mg(path, stored, **elements | changes)


def write_exam_results(source: Path, folder: Path, *, objects: Any = OBJECTS, **changes: Any) -> dict[str, Any]:
    """What SaveFindingsd writes: mask, probability map and findings."""
    mask = exam_mask(objects)
    probs = exam_probs(mask)
    report = findings_report(
        find_objects(probs, threshold=0.5, spacing_mm=SPACING_MM),
        image_name=source.name, shape=mask.shape, spacing_mm=SPACING_MM, method="ttgpr", threshold=0.5,
        breast_area_cm2=1.0, created_by="mcgenref 0.1.0", view_position="CC", laterality="L",
    )  # fmt: skip
    report["source_id"] = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:8]
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{source.stem}_mask.png")
    nib.save(nib.Nifti1Image(probs.T[..., None], np.eye(4)), folder / f"{source.stem}_probability.nii.gz")
    (folder / f"{source.stem}_findings.json").write_text(json.dumps(report | changes))
    return report | changes

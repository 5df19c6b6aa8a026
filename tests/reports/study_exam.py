"""A screening exam as DICOM files, and the results that inference would write of it, with the real writer."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from bundle.data import LoadMammogramd
from bundle.data.studies import source_id
from bundle.transforms import BreastMaskd, MammogramWindowd, SaveFindingsd
from tests.data.mg_dicom import write_mg

ROWS, COLUMNS = 420, 300
SPACING_MM = (0.1, 0.1)
STUDY_UID = "1.2.826.0.1.3680043.8.498.9"
VIEWS = (("L", "MLO"), ("R", "CC"), ("L", "CC"), ("R", "MLO"))
"""Not in the order in which they hang."""
CLUSTER = ((150, 60), (165, 82), (180, 64), (172, 100), (190, 90), (158, 110))
"""Rows, and columns from the chest wall, of 3 x 3 squares; all within 1 cm."""
LONELY = (330, 60)
OPTIONS: dict[str, Any] = {
    "method": "augmentation", "preset": "default", "threshold": None, "fp_per_cm2": None, "spacing_mm": None,
    "voi": 0, "convert_raw": False,
}  # fmt: skip


def squares(side: str, places: Any, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    """3 x 3 squares about places given from the chest wall, bool (rows, columns)."""
    mask = np.zeros(shape, bool)
    for row, depth in places:
        column = depth if side == "L" else shape[1] - 1 - depth
        mask[row - 1 : row + 2, column - 1 : column + 2] = True
    return mask


def write_view(path: Path, side: str, position: str, *, places: Any = (*CLUSTER, LONELY), **changes: Any) -> Path:
    """Half an ellipse of breast at its chest wall, with texture, and squares that stand out."""
    row, column = np.indices((ROWS, COLUMNS))
    depth = column if side == "L" else COLUMNS - 1 - column
    inside = ((row - ROWS / 2) / (0.47 * ROWS)) ** 2 + (depth / (0.8 * COLUMNS)) ** 2 < 1
    texture = np.random.default_rng(0).integers(0, 200, (ROWS, COLUMNS))
    values = np.where(inside, 1200 + 2 * depth + texture + 1500 * squares(side, places), 0)
    elements = {
        "StudyInstanceUID": STUDY_UID, "SeriesInstanceUID": f"{STUDY_UID}.1", "ImageLaterality": side,
        "ViewPosition": position, "ImagerPixelSpacing": list(SPACING_MM), "PatientBirthDate": "19440404",
    }  # fmt: skip
    return write_mg(path, values.astype(np.uint16), **elements | changes)


def write_exam(folder: Path, **changes: Any) -> list[Path]:
    """Four views of one study."""
    folder.mkdir(exist_ok=True)
    return [write_view(folder / f"{n}.dcm", side, position, **changes) for n, (side, position) in enumerate(VIEWS)]


def write_results(
    path: Path,
    out: Path,
    *,
    places: Any = (*CLUSTER, LONELY),
    method: str = "augmentation",
    agreement: float | None = 0.75,
    spacing_mm: float | None = None,
) -> dict[str, Any]:
    """What inference writes of a view whose squares have probability 0.9; the one pass does not see the lonely one."""
    read = [LoadMammogramd("image", spacing_mm=spacing_mm), BreastMaskd("image"), MammogramWindowd("image")]
    data: Any = {"image": str(path)}
    for transform in read:
        data = transform(data)
    shape = tuple(data["image"].shape[1:])
    side = data["image"].meta["laterality"]
    probs = np.where(squares(side, places, shape), 0.9, 0.01).astype(np.float32)
    SaveFindingsd("pred", output_dir=out, sigmoid=False, pictures=False, method=method)(
        {**data, "pred": torch.from_numpy(probs)[None]}
    )
    (findings,) = (file for file in out.glob("*_findings.json") if source_id(path) in file.read_text())
    if method != "segmentor":
        seen = np.where(squares(side, [place for place in places if place != LONELY], shape), 0.8, 0.01)
        volume = nib.Nifti1Image(seen.astype(np.float32).T[..., None], np.eye(4))
        nib.save(volume, str(findings).replace("_findings.json", "_segmentor.nii.gz"))
    report = json.loads(findings.read_text())
    if agreement is not None:
        for finding in report["findings"]:
            spread = {"members": 8, "agreement": agreement, "peak_mean": 0.8, "peak_sd": 0.1, "pixel_sd": 0.1}
            finding["uncertainty"] = spread
        findings.write_text(json.dumps(report))
    return report

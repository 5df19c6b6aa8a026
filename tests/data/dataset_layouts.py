"""Small files in the layouts of public data sets, made here: no pixel of theirs."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.inbreast_files import POINT, POLYGON, write_inbreast
from tests.data.mg_dicom import JPEG_2000_LOSSLESS, write_mg

SHAPE = (160, 128)
SPACING = [0.1, 0.1]
POLYGON_AT, POINT_AT, IN_BOX = (71, 64), (100, 40), (70, 45)
"""Rows and columns; none of them falls into its region if the two are mixed up."""


def view(
    shape: tuple[int, int] = SHAPE,
    *,
    seed: int = 0,
    right: bool = False,
    bits: int = 12,
    spots: Sequence[tuple[int, int]] = (),
    reach: int = 1,
) -> np.ndarray:
    """A breast of smooth tissue in black air, uint16 (rows, columns), with bright squares of 2 reach + 1 px."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = 1 - ((rows - shape[0] / 2) / (0.45 * shape[0])) ** 2 - (columns / (0.8 * shape[1])) ** 2
    rng = np.random.default_rng(seed)
    tissue = 0.3 + 0.3 * np.sqrt(np.clip(inside, 0, 1)) + 0.005 * rng.standard_normal(shape)
    values = np.where(inside > 0, tissue * (2**bits - 1), 0).astype(np.uint16)
    values = values[:, ::-1].copy() if right else values
    for row, column in spots:
        values[row - reach : row + reach + 1, column - reach : column + reach + 1] = 0.95 * (2**bits - 1)
    return values


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], *, delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def dicom(path: Path, values: np.ndarray, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_mg(path, values, **({"ImagerPixelSpacing": SPACING} | changes))


def jpeg_2000(values: np.ndarray) -> bytes:
    """One frame, lossless."""
    from openjpeg.utils import encode_array

    return bytes(encode_array(values, bits_stored=12, photometric_interpretation=2))


def inbreast(root: Path, *, patients: int = 6) -> Path:
    """One view per patient: a polygon and a point, a polygon alone, a mass, nothing; in turn."""
    release = root / "INbreast Release 1.0"
    rows = []
    (release / "AllXML").mkdir(parents=True)
    for n in range(patients):
        number, side, position = 20000000 + n, "LR"[n % 2], ("CC", "MLO")[n % 2]
        name = f"{number}_{n:016x}_MG_{side}_{position.replace('MLO', 'ML')}_ANON.dcm"
        spots = [[POLYGON_AT, POINT_AT], [POLYGON_AT], [], []][n % 4]
        values = view(seed=n, right=side == "R", spots=spots)
        dicom(release / "AllDICOMs" / name, values, ImagerPixelSpacing=[0.07, 0.07])
        rows.append(["removed", "removed", side, position, "201001", number, n % 4 + 1, "1" if n % 4 == 3 else "4a"])
        row, column = POLYGON_AT
        corners = [(column + x, row + y) for y, x in ((-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0))]
        polygon = ("Calcification", POLYGON, corners)
        point = ("Calcification", POINT, [(float(POINT_AT[1]), float(POINT_AT[0]))])
        rois = [[polygon, point], [polygon], [("Mass", POLYGON, corners)]]
        if n % 4 < 3:
            write_inbreast(release / "AllXML" / f"{number}.xml", rois[n % 4])
    header = ["Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads"]
    table(release / "INbreast.csv", header, rows, delimiter=";")
    return release


RSNA_HEADER = [
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive", "BIRADS",
    "implant", "density", "machine_id", "difficult_negative_case",
]  # fmt: skip


def rsna(root: Path, *, patients: int = 5) -> Path:
    """Negatives in JPEG 2000, MONOCHROME1 with padding, no pixel size; a cancer, an implant, a biopsy, a lost file."""
    rows: list[list[Any]] = []
    for n in range(patients):
        rows.append([1, 100 + n, 9000 + n, "L", "CC", 60.0, 0, 0, 0, 1, 0, "B", 49 + n % 2, False])
        stored = 4095 - view(seed=n)  # bright is thin
        stored[:20] = 0
        dicom(
            root / "train_images" / str(100 + n) / f"{9000 + n}.dcm", stored,
            frame=jpeg_2000(stored), syntax=JPEG_2000_LOSSLESS, PhotometricInterpretation="MONOCHROME1",
            PixelPaddingValue=0, ImagerPixelSpacing=None, Manufacturer=None,
        )  # fmt: skip
    rows += [
        [1, 100, 9100, "R", "CC", 60.0, 1, 1, 1, "", 0, "B", 49, False],
        [1, 101, 9101, "R", "CC", 60.0, 0, 0, 0, "", 1, "B", 49, False],
        [1, 102, 9102, "R", "CC", 60.0, 0, 1, 0, "", 0, "B", 49, False],
        [1, 103, 9103, "R", "CC", 60.0, 0, 0, 0, "", 0, "B", 49, False],
        [1, 104, "", "R", "CC", 60.0, 0, 0, 0, "", 0, "B", 49, False],
    ]
    table(root / "train.csv", RSNA_HEADER, rows)
    return root


CBIS_HEADER = [
    "patient_id", "breast density", "left or right breast", "image view", "abnormality id", "abnormality type",
    "calc type", "calc distribution", "assessment", "pathology", "subtlety", "image file path",
    "cropped image file path", "ROI mask file path",
]  # fmt: skip
CBIS_BOX = (slice(60, 80), slice(30, 60))


def cbis_ddsm(root: Path) -> Path:
    """Calcified views of four training patients and a test patient, each with a crop and a mask, and mass views."""
    lists: dict[str, list[list[Any]]] = {}
    for n, (kind, split) in enumerate([*[("Calc", "Training")] * 4, ("Calc", "Test"), *[("Mass", "Training")] * 3]):
        folder = f"{kind}-{split}_P_{n:05d}_LEFT_CC"
        values = view(seed=n, spots=[IN_BOX] if kind == "Calc" else [], reach=2)
        images = root / "CBIS-DDSM" / folder / "08-07-2016-DDSM-NA-1" / "1.000000-full mammogram images-2"
        dicom(images / "1-1.dcm", values, ImagerPixelSpacing=None)
        mask = np.zeros(SHAPE, np.uint8)
        mask[CBIS_BOX] = 255
        regions = root / "CBIS-DDSM" / f"{folder}_1" / "08-07-2016-DDSM-NA-3" / "1.000000-ROI mask images-4"
        dicom(regions / "1-1.dcm", values[50:120, 20:90], ImagerPixelSpacing=None)  # the crop
        dicom(regions / "1-2.dcm", mask, ImagerPixelSpacing=None)
        paths = [
            f"{folder}/1.3.6/1.3.6/000000.dcm",
            f"{folder}_1/1.3/1.3/000001.dcm",
            f"{folder}_1/1.3/1.3/000000.dcm\n",
        ]
        row = [f"P_{n:05d}", n % 4 + 1, "LEFT", "CC", 1, "calcification", "X", "CLUSTERED", 4, "BENIGN", 3, *paths]
        lists.setdefault(f"{kind.lower()}_case_description_{split.lower()[:5].rstrip('i')}_set.csv", []).append(row)
    for name, rows in lists.items():
        table(root / name, CBIS_HEADER, rows)
    return root


BREAST_HEADER = [
    "study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
    "breast_density", "split",
]  # fmt: skip
FINDING_HEADER = [*BREAST_HEADER[:9], "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split"]


def vindr_mammo(root: Path) -> Path:
    """Per exam one view: BI-RADS 1, a box around calcifications, a mass, BI-RADS 2; the last exams are the test set."""
    breasts, findings = [], []
    for n in range(8):
        birads = ("BI-RADS 1", "BI-RADS 4", "BI-RADS 4", "BI-RADS 2")[n % 4]
        split = "test" if n >= 4 else "training"
        row = [f"study{n}", f"series{n}", f"image{n}", "L", "CC", *SHAPE, birads, "DENSITY C"]
        breasts.append([*row, split])
        kinds = {1: "['Suspicious Calcification', 'Mass']", 2: "['Mass']"}
        box = [30.0, 60.0, 59.0, 79.0] if n % 4 in kinds else ["", "", "", ""]
        findings.append([*row, kinds.get(n % 4, "['No Finding']"), birads, *box, split])
        spots = [IN_BOX] if n % 4 == 1 else []
        dicom(root / "images" / f"study{n}" / f"image{n}.dicom", view(seed=n, spots=spots))
    table(root / "breast-level_annotations.csv", BREAST_HEADER, breasts)
    table(root / "finding_annotations.csv", FINDING_HEADER, findings)
    table(root / "metadata.csv", ["SOP Instance UID", "Manufacturer"], [["image0", "SIEMENS"]])
    return root


MIAS_AT = (1023 - 700, 300)
MIAS_LINES = """
mdb001 F NORM
mdb002 G CALC B 300 700 40
mdb004 G CALC M *NOTE 3*
mdb005 F CIRC B 477 133 30
mdb006 D CALC M 300 700 40
mdb006 D CALC M 250 520 20
mdb007 G NORM
mdb008 G CALC B 300 700 40
mdb009 Q NORM
"""


def mini_mias(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "Info.txt").write_text(f"INFORMATION:\n1st column: MIAS database reference number.\n{MIAS_LINES}")
    for n in (1, 2, 6, 7, 8):
        # A calcification is a pixel or two at 0.2 mm.
        spots = {2: [MIAS_AT], 6: [MIAS_AT, (1023 - 520, 250)], 8: [MIAS_AT]}.get(n, [])
        values = view((1024, 1024), seed=n, bits=8, spots=spots, reach=0)
        Image.fromarray(values.astype(np.uint8)).save(root / f"mdb{n:03d}.pgm")
    return root


def folder(root: Path) -> Path:
    """Views of four patients, some with masks; DICOM files without a suffix among them."""
    for n in range(6):
        values = view(seed=n, spots=[POLYGON_AT] if n % 2 else [])
        dicom(root / "exams" / f"view{n}", values, PatientID=f"SECRET-{n // 2}")
        if n % 2:
            mask = np.zeros(SHAPE, np.uint8)
            mask[POLYGON_AT[0] - 1 : POLYGON_AT[0] + 2, POLYGON_AT[1] - 1 : POLYGON_AT[1] + 2] = 255
            Image.fromarray(mask).save(root / "exams" / f"view{n}_mask.png")
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "inbreast": inbreast,
    "rsna": rsna,
    "cbis-ddsm": cbis_ddsm,
    "vindr-mammo": vindr_mammo,
    "mini-mias": mini_mias,
    "folder": folder,
}
OPTIONS: dict[str, list[str]] = {"rsna": ["--spacing-mm", "0.1"], "folder": ["--missing-is-clean"]}

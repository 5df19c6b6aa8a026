"""VinDr-Mammo 1.0.0: breast-level_annotations.csv, finding_annotations.csv, images/STUDY/IMAGE.dicom.

Layout: Nguyen et al., Scientific Data 10 (2023) 277, and https://physionet.org/content/vindr-mammo/. Not run on the
data set itself, which is given out to credentialed users.
"""

import ast
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .datalist import ListedView, Listing
from .errors import MammogramError
from .inbreast import Rois
from .prepare import is_plain_name
from .prepare_tables import find_table, is_number, read_rows, short_word, the_folder

CALCIFICATION = "Suspicious Calcification"
BREAST_COLUMNS = (
    "study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads", "breast_density",
    "split",
)  # fmt: skip
SIDES = ("ymin", "xmin", "ymax", "xmax")
FINDING_COLUMNS = ("image_id", "finding_categories", *SIDES)
VENDOR_COLUMNS = ("SOP Instance UID", "Manufacturer")
MAX_LIST_CHARS = 1000
"""Of a finding's categories: Python's own parser can be crashed by long nested ones."""
Box = tuple[float, float, float, float]


def list_vindr(source: str | Path) -> Listing:
    """Views with boxes around suspicious calcifications, and views of breasts rated BI-RADS 1 as negatives.

    Benign findings are not marked, so breasts rated 2 may hold calcifications anywhere and are left out, as are views
    whose findings are of other kinds alone.

    Args:
        source: folder of the release.

    Returns:
        The listing; an exam stands for a patient, as patients are not told.

    Raises:
        MammogramError: if the folder or a table is missing.
    """
    folder = the_folder(source)
    table = find_table(folder, ["breast-level_annotations.csv"])
    listing = Listing(dataset="vindr-mammo", split_name="vindr-mammo-official-validation")
    boxes, damaged = _boxes(find_table(folder, ["finding_annotations.csv"]), listing)
    vendors = _vendors(table.with_name("metadata.csv"), listing)
    for number, row in read_rows(table, BREAST_COLUMNS):
        if row is None or not (is_number(row["height"]) and is_number(row["width"])):
            listing.skip(f"{table.name} row {number}", "row of a table that lacks a column or a number")
            continue
        if not (is_plain_name(row["study_id"]) and is_plain_name(row["image_id"])):
            listing.skip(f"{table.name} row {number}", "row whose study or image is no plain name")
            continue
        if row["image_id"] in damaged:
            listing.skip(row["image_id"], "a finding of it cannot be read")
            continue
        found = boxes.get(row["image_id"], [])
        if not found and row["breast_birads"] != "BI-RADS 1":
            rated = short_word(row["breast_birads"])
            listing.skip(row["image_id"], f"neither a marked calcification nor a normal breast ({rated})")
            continue
        view = ListedView(
            name=row["image_id"],
            image=table.parent / "images" / row["study_id"] / f"{row['image_id']}.dicom",
            patient=row["study_id"],
            view=row["view_position"],
            laterality=row["laterality"],
            vendor=vendors.get(row["image_id"], ""),
            density=row["breast_density"].removeprefix("DENSITY "),
            split=row["split"],
            truth=partial(box_regions, found) if found else None,
            shape=(int(row["height"]), int(row["width"])),
        )
        if view.split in ("training", "test"):
            listing.views.append(view)
        else:
            listing.skip(row["image_id"], "split neither training nor test")
    listing.notes.append("An exam counts as a patient: VinDr-Mammo does not tell which exams are of one patient.")
    return listing


def box_regions(boxes: Sequence[Box], shape: tuple[int, int]) -> Rois:
    """Boxes (first row, first column, last row, last column) in px as outlines, cut at the border of the view."""
    last = np.subtract(shape, 1.0)
    outlines = []
    for top, left, bottom, right in boxes:
        corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)
        outlines.append(np.clip(corners, 0.0, last))
    return Rois(polygons=(), points=np.zeros((0, 2)), clusters=tuple(outlines), others={})


def _boxes(table: Path, listing: Listing) -> tuple[dict[str, list[Box]], set[str]]:
    """Boxes of calcifications by image, and images with a finding that cannot be read."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    damaged: set[str] = set()
    for number, row in read_rows(table, FINDING_COLUMNS):
        try:
            if (box := _box(row)) is not None and row is not None:
                boxes[row["image_id"]].append(box)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            listing.skip(f"{table.name} row {number}", "finding that cannot be read")
            damaged.add("" if row is None else row["image_id"])
    return boxes, damaged


def _box(row: dict[str, str] | None) -> Box | None:
    """The box of a finding, None if it is no calcification."""
    if row is None:
        raise ValueError("Expected all columns")
    if len(row["finding_categories"]) > MAX_LIST_CHARS:
        raise ValueError("Expected a list of a few categories")
    if CALCIFICATION not in ast.literal_eval(row["finding_categories"]):
        return None
    top, left, bottom, right = (float(row[side]) for side in SIDES)
    if not (top < bottom and left < right):
        raise ValueError("Expected a box with an area")
    return top, left, bottom, right


def _vendors(table: Path, listing: Listing) -> dict[str, str]:
    """Maker of the detector by image, from metadata.csv, which nothing else depends on."""
    try:
        rows = [row for _, row in read_rows(table, VENDOR_COLUMNS) if row is not None]
    except MammogramError:
        listing.notes.append("metadata.csv could not be read: makers are those of the files' headers.")
        return {}
    return {row["SOP Instance UID"]: row["Manufacturer"] for row in rows}

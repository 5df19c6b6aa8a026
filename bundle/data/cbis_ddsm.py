"""CBIS-DDSM: calc_case_description_{train,test}_set.csv and DICOM files in folders that are named by view.

Layout: Lee et al., Scientific Data 4 (2017) 170177, and https://www.cancerimagingarchive.net/collection/cbis-ddsm/. Not
run on the data set itself.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours, label, regionprops

from .datalist import ListedView, Listing
from .dicom_file import parse_dicom, quiet_pydicom
from .errors import MammogramError, refuse
from .inbreast import Rois, Vertices
from .mammogram_reader import MammogramReader
from .prepare_tables import find_files, read_rows, the_folder

SPACING_MM = 0.0435
"""DDSM's films were scanned at 0.042 (DBA), 0.0435 (Howtek) and 0.050 mm (Lumisys); which film on which, the files of
CBIS-DDSM do not say. Howtek's, between the two others, is up to 13 % off."""
TABLES = {
    "calc_case_description_train_set.csv": "training",
    "calc_case_description_test_set.csv": "test",
    "mass_case_description_train_set.csv": "training",
    "mass_case_description_test_set.csv": "test",
}
COLUMNS = ("patient_id", "left or right breast", "image view", "image file path", "ROI mask file path")
FOLDER = re.compile(r"(?:Calc|Mass)-(?:Training|Test)_(P_\d+)_(LEFT|RIGHT)_(CC|MLO)(?:_\d+)?")
DENSITIES = dict(zip("1234", "ABCD", strict=True))
TOLERANCE_PX = 1.0
"""How far an outline may leave out the staircase of its mask."""


def list_cbis_ddsm(source: str | Path) -> Listing:
    """Views with calcifications, their regions, and views of the mass lists that have none as negatives.

    The masks outline whole groups, so they are regions. The official test set stays the test set; a patient of the mass
    lists goes where the calcification lists have them.

    Args:
        source: folder with the tables and the images.

    Returns:
        The listing.

    Raises:
        MammogramError: if the folder is missing, or has no table of calcifications.
    """
    folder = the_folder(source)
    listing = Listing(dataset="cbis-ddsm", split_name="cbis-ddsm-official-validation")
    tables = {name: found[0] for name in TABLES if (found := find_files(folder, name))}
    if not any(name.startswith("calc") for name in tables):
        raise refuse(folder, "Expected calc_case_description_train_set.csv or ..._test_set.csv, found none; add them")
    files = _files_by_folder(folder)
    views: dict[str, ListedView] = {}
    regions: dict[str, set[str]] = defaultdict(set)
    for name, table in tables.items():
        for number, row in read_rows(table, COLUMNS):
            _note(listing, f"{name} row {number}", row, split=TABLES[name], views=views, regions=regions)
    calcified = {_breast_and_view(views[name]) for name in regions}
    splits = {views[name].patient: views[name].split for name in regions}
    for name, view in views.items():
        if name in regions:
            _add(listing, view, sorted(regions[name]), files)
        elif _breast_and_view(view) not in calcified:
            _add(listing, replace(view, split=splits.get(view.patient, view.split)), (), files)
    listing.notes.append(
        f"Where the files state no pixel size, {SPACING_MM} mm is assumed; DDSM's scanners had 0.042, 0.0435, 0.05."
    )
    return listing


def _files_by_folder(folder: Path) -> dict[str, list[Path]]:
    """DICOM files by the part of their path that names a view or a region; what lies between depends on the tool."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in find_files(folder, "*.dcm"):
        for part in {part for part in path.parts[:-1] if FOLDER.fullmatch(part)}:
            files[part].append(path)
    return files


def _note(
    listing: Listing,
    what: str,
    row: dict[str, str] | None,
    *,
    split: str,
    views: dict[str, ListedView],
    regions: dict[str, set[str]],
) -> None:
    """Take a row's view, and its region if it is one of calcifications."""
    image, mask = (row[column].split("/")[0] if row else "" for column in ("image file path", "ROI mask file path"))
    found = FOLDER.fullmatch(image)
    if row is None or found is None or not FOLDER.fullmatch(mask):
        listing.skip(what, "row of a table without the paths of a view and a mask")
        return
    density = row.get("breast density") or row.get("breast_density") or ""
    views[image] = ListedView(
        name=image,
        image=Path(image),  # its file is found when all rows are known
        patient=found[1],
        laterality=found[2][0],
        view=found[3],
        vendor="film",
        density=DENSITIES.get(density, ""),
        split=split,
        spacing_mm=SPACING_MM,
    )
    if image.startswith("Calc"):
        regions[image].add(mask)


def _breast_and_view(view: ListedView) -> tuple[str, str, str]:
    return view.patient, view.laterality, view.view


def _add(listing: Listing, view: ListedView, regions: Sequence[str], files: dict[str, list[Path]]) -> None:
    """Add a view with its file and the files of its regions."""
    found = files.get(view.name, [])
    if len(found) != 1:
        listing.skip(view.name, "no single file of this view", f"found {len(found)}")
        return
    truth = partial(mask_regions, [files.get(region, []) for region in regions]) if regions else None
    listing.views.append(replace(view, image=found[0], truth=truth))


def mask_regions(candidates: Sequence[Sequence[Path]], shape: tuple[int, int]) -> Rois:
    """Outlines of the masks of a view.

    Of the two files of a region, a crop and a mask, which the tables mix up, the mask is the one of the view's size.

    Args:
        candidates: files of each region.
        shape: rows and columns of the view.

    Raises:
        MammogramError: if a region has no mask of this size, or an empty one.
    """
    outlines: list[Vertices] = []
    for paths in candidates:
        masks = [path for path in paths if _size(path) == shape]
        if len(masks) != 1:
            where = paths[0] if paths else "(no file)"
            raise refuse(where, f"Expected one mask of the view's {shape[0]} x {shape[1]} px, found {len(masks)}")
        pixels = MammogramReader(spacing_mm=SPACING_MM).view(masks[0]).pixels
        outlines += outlines_of(pixels > (pixels.min() + pixels.max()) / 2)
    return Rois(polygons=(), points=np.zeros((0, 2)), clusters=tuple(outlines), others={})


def outlines_of(mask: NDArray[np.bool_]) -> list[Vertices]:
    """The outer border of every object of a mask (rows, columns), float (n, 2) in px; holes are filled."""
    outlines = []
    for region in regionprops(label(mask)):
        contours = find_contours(np.pad(region.image_filled, 1).astype(float), 0.5)
        border = approximate_polygon(max(contours, key=len), TOLERANCE_PX)[:-1]
        outlines.append(np.clip(border - 1 + region.bbox[:2], 0, np.subtract(mask.shape, 1.0)))
    return outlines


def _size(path: Path) -> tuple[int, int] | None:
    """Rows and columns of a DICOM file, None if it cannot be read."""
    try:
        with quiet_pydicom(path):
            header = parse_dicom(path, keywords=("Rows", "Columns"))
            return int(header.Rows), int(header.Columns)
    except MammogramError:
        return None

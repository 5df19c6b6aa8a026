"""INbreast as it is distributed: AllDICOMs, AllXML and INbreast.csv.

Layout: Moreira et al., Academic Radiology 19 (2012) 236-248; columns of the table as tools that read it name them
(docs/datasets.md). Not run on the data set itself, which is given out by request only.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .annotations import read_annotation
from .datalist import ListedView, Listing
from .errors import MammogramError, refuse
from .inbreast import Rois, inbreast_names, read_rois
from .prepare_tables import find_files, read_rows, the_folder

SPACING_MM = 0.07
SHARES = (51, 17, 18)
"""Calcification cases of HDoGReg's training, validation and test set; which cases they were is not published."""
COLUMNS = ("Laterality", "View", "File Name", "ACR", "Bi-Rads")
NORMAL = "1"
DENSITIES = dict(zip("1234", "ABCD", strict=True))


def list_inbreast(source: str | Path) -> Listing:
    """Views, their regions and the table's words about them.

    A view without a region of calcifications is a negative, whatever else it shows: INbreast annotates all findings.

    Args:
        source: folder of the release.

    Returns:
        The listing.

    Raises:
        MammogramError: if the folder is missing or holds no view of INbreast.
    """
    folder = the_folder(source)
    listing = Listing(dataset="inbreast", shares=SHARES, split_name="inbreast-calcification")
    images = [path for path in find_files(folder, "*") if path.suffix.lower() in (".dcm", ".dicom")]
    if not any(inbreast_names(path.stem) for path in images):
        raise refuse(folder, "Expected INbreast's views (NUMBER_PATIENT_MG_L_CC_ANON.dcm), found none; check --source")
    if not (annotations := {path.stem: path for path in find_files(folder, "*.xml")}):
        raise refuse(folder, "Expected INbreast's annotations (NUMBER.xml), found none; unpack AllXML too")
    table = _table(folder, listing)
    for image in images:
        names = inbreast_names(image.stem)
        if names is None:
            listing.skip(image.relative_to(folder), "not named as INbreast names its views")
            continue
        _, _, _, side, position, *_ = image.stem.split("_")
        row = table.get(names[0], {})
        if names[0] not in annotations and row.get("Bi-Rads", NORMAL) != NORMAL:
            listing.skip(image.relative_to(folder), "no annotation, though it is not rated BI-RADS 1")
            continue
        view = ListedView(
            name=image.stem,
            image=image,
            patient=names[1],
            # The file names say ML for what the table and the publication call MLO.
            view=row.get("View") or {"ML": "MLO"}.get(position, position),
            laterality=row.get("Laterality") or side,
            density=DENSITIES.get(row.get("ACR", ""), ""),
            spacing_mm=SPACING_MM,
        )
        _add(listing, view, annotations.pop(names[0], None), folder)
    for path in annotations.values():
        listing.skip(path.relative_to(folder), "annotation without its view")
    calcified = {view.patient for view in listing.views if view.truth}
    listing.notes.append(
        f"{len(calcified)} patients have annotated calcifications (HDoGReg used 86), dealt out as "
        f"{':'.join(map(str, SHARES))}; the cases of its split are not published, so this one has a name of its own."
    )
    return listing


def _add(listing: Listing, view: ListedView, xml: Path | None, folder: Path) -> None:
    """Add a view with its regions; one whose annotation cannot be read is of no use, as positive or negative."""
    try:
        rois = None if xml is None else read_rois(xml)
    except MammogramError as error:
        listing.skip(view.image.relative_to(folder), "annotation that cannot be read", str(error))
        return
    if xml is None or rois is None:
        listing.views.append(view)
    elif rois.polygons or rois.clusters or len(rois.points):
        listing.views.append(replace(view, truth=partial(regions_of_xml, xml)))
    elif any(name.lower().startswith("cluster") for name in rois.others):
        listing.skip(view.image.relative_to(folder), "cluster without an outline")
    else:
        listing.views.append(view)


def regions_of_xml(path: Path, shape: tuple[int, int]) -> Rois | NDArray[np.uint8]:
    """Regions of an INbreast file that lie inside a view of this shape.

    Raises:
        MammogramError: if the file is damaged or belongs to another view.
    """
    read_annotation(path, shape=shape)
    return read_rois(path)


def _table(folder: Path, listing: Listing) -> dict[str, dict[str, str]]:
    """Rows of INbreast.csv by the number of the view."""
    found = find_files(folder, "INbreast.csv")
    if not found:
        listing.notes.append("INbreast.csv was not found: no densities, views and sides from file names.")
        return {}
    rows: dict[str, dict[str, str]] = {}
    for number, row in read_rows(found[0], COLUMNS, delimiter=";"):
        if row is None:
            listing.skip(f"INbreast.csv row {number}", "row of a table that lacks a column")
        else:
            rows[row["File Name"]] = row
    return rows

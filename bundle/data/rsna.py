"""RSNA Screening Mammography Breast Cancer Detection (2022): train.csv and train_images/PATIENT/IMAGE.dcm.

Layout: https://github.com/RSNA/AI-Challenge-Data/wiki/RSNA-Screening-Mammography-Breast-Cancer-Detection. Not run on
the data set itself.
"""

from pathlib import Path

from .datalist import ListedView, Listing
from .prepare_tables import find_table, is_number, read_rows, the_folder

COLUMNS = ("patient_id", "image_id", "laterality", "view", "cancer", "biopsy", "implant", "density", "machine_id")


def list_rsna(source: str | Path) -> Listing:
    """Views without cancer, as negatives.

    Left out: views with cancer, of which no outline is given, so they can neither train nor be scored; breasts that
    were biopsied, since calcifications are a common reason for it; implants.

    Args:
        source: folder with train.csv.

    Returns:
        The listing.

    Raises:
        MammogramError: if the folder or its table is missing.
    """
    folder = the_folder(source)
    table = find_table(folder, ["train.csv"])
    listing = Listing(dataset="rsna", split_name="rsna")
    for number, row in read_rows(table, COLUMNS):
        if row is None or not (is_number(row["patient_id"]) and is_number(row["image_id"])):
            listing.skip(f"{table.name} row {number}", "row of a table that lacks a column or a number")
            continue
        what = f"{row['patient_id']}/{row['image_id']}"
        if reason := _unusable(row):
            listing.skip(what, reason)
            continue
        view = ListedView(
            name=f"{row['patient_id']}_{row['image_id']}",
            image=table.parent / "train_images" / row["patient_id"] / f"{row['image_id']}.dcm",
            patient=row["patient_id"],
            view=row["view"],
            laterality=row["laterality"],
            density=row["density"],
            machine=row["machine_id"],
        )
        listing.views.append(view)
    listing.notes.append(
        "Negatives are views without cancer, not views without calcifications: benign ones are there, uncalled. Keep "
        "the screening of backgrounds on, and read false positives on these views as an upper bound."
    )
    return listing


def _unusable(row: dict[str, str]) -> str:
    if row["cancer"] not in ("0", "1"):
        return "cancer neither 0 nor 1"
    if row["cancer"] == "1":
        return "cancer, of which no outline is given"
    if row["implant"] not in ("0", ""):
        return "implant"
    return "biopsied, may hold calcifications that somebody called" if row["biopsy"] not in ("0", "") else ""

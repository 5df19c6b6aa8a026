"""mini-MIAS: mdb001.pgm to mdb322.pgm and Info.txt.

Layout: README of the database (Suckling et al., Excerpta Medica International Congress Series 1069 (1994) 375-378), as
quoted at https://easymed.ai/datasets/ClarissaAdler/MIAS-Mammography. Not run on the data set itself.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .datalist import ListedView, Listing
from .errors import refuse
from .files import read_text
from .inbreast import Rois
from .prepare_tables import find_files, find_table, the_folder

SPACING_MM = 0.2
SHAPE = (1024, 1024)
DENSITIES = {"F": "fatty", "G": "glandular", "D": "dense"}
CLASSES = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM", "NORM")
ROW = re.compile(r"(mdb\d{3})\s+([FGD])\s+([A-Z]{4})\b(?:\s+([BM])\b)?(.*)")
CIRCLE = re.compile(r"\s+(\d{1,5})\s+(\d{1,5})\s+(\d{1,5})\s*", re.ASCII)
CORNERS = 64
"""Of the polygon that stands for a circle: it is at most 0.12 % of the radius inside."""
Circle = tuple[int, int, int]


def list_mini_mias(source: str | Path) -> Listing:
    """Views with circles around calcifications, and normal views as negatives.

    Left out: calcifications without a circle (scattered all over the view), and views with other findings alone.

    Args:
        source: folder with Info.txt and the images.

    Returns:
        The listing. Films 2n - 1 and 2n are of one patient: left is even, right is odd, all are MLO.

    Raises:
        MammogramError: if the folder or its table is missing, or it lists no image.
    """
    folder = the_folder(source)
    table = find_table(folder, ["Info.txt", "info.txt", "INFO.txt"])
    listing = Listing(dataset="mini-mias", split_name="mini-mias")
    images = {path.stem: path for path in find_files(folder, "mdb*.pgm")}
    rows: dict[str, list[re.Match[str]]] = defaultdict(list)
    damaged: set[str] = set()
    for number, line in enumerate(read_text(table, encoding="latin-1").splitlines(), start=1):
        if not line.strip().lower().startswith("mdb"):
            continue  # the words around the list
        found = ROW.fullmatch(line.strip())
        if found is None or found[3] not in CLASSES:
            listing.skip(f"{table.name} line {number}", "line that cannot be read")
            damaged.add(line.split()[0])
        else:
            rows[found[1]].append(found)
    if not rows:
        raise refuse(table, "Expected lines such as 'mdb001 G CIRC B 535 425 197', found none; copy it again")
    for name in rows:
        if name not in damaged:
            _add(listing, name, rows[name], images.get(name, folder / f"{name}.pgm"))
    return listing


def _add(listing: Listing, name: str, rows: Sequence[re.Match[str]], image: Path) -> None:
    classes = {row[3] for row in rows}
    circles = [CIRCLE.fullmatch(row[5]) for row in rows if row[3] == "CALC"]
    if not all(circles):
        listing.skip(name, "calcifications without a place")
        return
    if not circles and classes != {"NORM"}:
        listing.skip(name, "finding of another kind alone")
        return
    number = int(name[3:])
    places = [(int(circle[1]), int(circle[2]), int(circle[3])) for circle in circles if circle]
    listing.views.append(
        ListedView(
            name=name,
            image=image,
            patient=f"pair{(number + 1) // 2:03d}",
            view="MLO",
            laterality="L" if number % 2 == 0 else "R",
            vendor="film",
            density=DENSITIES[rows[0][2]],
            truth=partial(circle_regions, places) if places else None,
            spacing_mm=SPACING_MM,
            shape=SHAPE,
        )
    )


def circle_regions(circles: Sequence[Circle], shape: tuple[int, int]) -> Rois:
    """Circles (x, y, radius) in px, y counted upwards from the bottom row, as outlines, cut where the view ends."""
    angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
    outlines = []
    for x, y, radius in circles:
        rows, columns = shape[0] - 1 - y + radius * np.sin(angles), x + radius * np.cos(angles)
        outlines.append(np.clip(np.stack([rows, columns], axis=1), 0, np.subtract(shape, 1.0)))
    return Rois(polygons=(), points=np.zeros((0, 2)), clusters=tuple(outlines), others={})

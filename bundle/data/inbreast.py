"""INbreast's annotations: one property list (XML, as OsiriX exports it) per view, found by the view's number.

`Images[0]["ROIs"]` holds dictionaries with `Name`, `Type` (19 a point, 15 a closed polygon), `NumberOfPoints` and
`Point_px`, a list of texts "(x, y)": x is the column, y the row. The layout is that of the publication (Moreira et al.
2012); nothing here was run on the data set itself, which is given out by request only.
"""

import plistlib
import re
from collections import Counter
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import refuse
from .property_list import described, read_property_list

TYPE_POINT, TYPE_POLYGON = 19, 15
MIN_VERTICES = 3
"""Fewer span no area: such a region is a point at their mean."""
_NUMBER = r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*"
_POINT = re.compile(rf"\({_NUMBER},{_NUMBER}\)")
_FILE_NAME = re.compile(r"(\d+)_([0-9a-fA-F]{16})_MG_[LR]_[A-Z]+_ANON")

Vertices = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rois:
    """What one file annotates. Positions are (row, column), 0-based.

    Attributes:
        polygons: outlines of single calcifications, each float (n, 2), n >= 3.
        points: calcifications that are marked by a position alone, float (m, 2).
        clusters: outlines around groups, each float (n, 2), n >= 3.
        others: name and number of the regions that are not about calcifications, e.g. "Mass".
    """

    polygons: tuple[Vertices, ...]
    points: Vertices
    clusters: tuple[Vertices, ...]
    others: dict[str, int]


def inbreast_names(stem: str) -> tuple[str, str] | None:
    """Number of the view and patient of an INbreast image, from its file name without suffix; None for other names.

    20586908_6c613a14b80a8591_MG_R_CC_ANON is view 20586908 of patient 6c613a14b80a8591.
    """
    found = _FILE_NAME.fullmatch(stem)
    return None if found is None else (found[1], found[2].lower())


def read_rois(path: str | PathLike[str]) -> Rois:
    """Read a view's regions of interest.

    Regions count by their name: "Calcification..." is one calcification, "Cluster..." an outline around several.

    Args:
        path: the XML file.

    Returns:
        The regions; all empty if the file lists none.

    Raises:
        MammogramError: if the file is missing, too large, no property list (or one that declares entities), or a region
            is not as the layout says.
    """
    polygons, points, clusters, others = [], [], [], Counter[str]()
    for number, roi in enumerate(_roi_entries(path), start=1):
        name, vertices = _named_vertices(roi, f"region {number}", path)
        if name.lower().startswith("calcification"):
            if len(vertices) >= MIN_VERTICES:
                polygons.append(vertices)
            else:
                points.append(vertices.mean(axis=0))
        elif name.lower().startswith("cluster") and len(vertices) >= MIN_VERTICES:
            clusters.append(vertices)
        else:
            others[name] += 1
    return Rois(
        polygons=tuple(polygons),
        points=np.array(points, np.float64).reshape(-1, 2),
        clusters=tuple(clusters),
        others=dict(others),
    )


def _roi_entries(path: str | PathLike[str]) -> list[Any]:
    """The list of regions, of files that have one image."""
    images = read_property_list(path).get("Images")
    if not (isinstance(images, list) and len(images) == 1 and isinstance(images[0], dict)):
        got = f"{len(images)} images" if isinstance(images, list) else "no list of images"
        raise refuse(path, f"Expected an INbreast annotation of one image, got {got}; check the file")
    entries = images[0].get("ROIs")
    if not isinstance(entries, list):
        raise refuse(path, "Expected a list `ROIs` in the image's dictionary, found none; check the file")
    return entries


def _named_vertices(roi: Any, where: str, path: str | PathLike[str]) -> tuple[str, Vertices]:
    if not isinstance(roi, dict) or not isinstance(roi.get("Name"), str) or not isinstance(roi.get("Point_px"), list):
        raise refuse(path, f"Expected a dictionary with `Name` and `Point_px` as {where}, got another; check the file")
    kind, texts = roi.get("Type", TYPE_POLYGON), roi["Point_px"]
    if isinstance(kind, bool) or kind not in (TYPE_POINT, TYPE_POLYGON):
        raise refuse(path, f"Expected {where} of type 19 (point) or 15 (polygon), got {described(kind)}; convert it")
    if not texts or (kind == TYPE_POINT and len(texts) != 1) or roi.get("NumberOfPoints", len(texts)) != len(texts):
        said = described(roi["NumberOfPoints"]) if "NumberOfPoints" in roi else "no number"
        raise refuse(path, f"Expected as many points as {where} of type {kind} says ({said}), got {len(texts)}")
    return roi["Name"], np.array([_row_column(text, where, path) for text in texts])


def _row_column(text: Any, where: str, path: str | PathLike[str]) -> tuple[float, float]:
    found = _POINT.fullmatch(text.strip()) if isinstance(text, str) and len(text) < 100 else None
    if found is None:
        raise refuse(path, f"Expected points of {where} as '(x, y)' in px, got {described(text)}; check the file")
    return float(found[2]), float(found[1])


def write_rois(path: Path, rois: Rois) -> None:
    """Write regions in INbreast's layout, for data sets whose truth are points or outlines.

    `read_rois` gives the same regions back, `others` aside.

    Args:
        path: the XML file.
        rois: positions as (row, column) in px; the file says "(column, row)".
    """
    entries = [_entry("Calcification", TYPE_POLYGON, polygon) for polygon in rois.polygons]
    entries += [_entry("Calcification", TYPE_POINT, point[None]) for point in rois.points]
    entries += [_entry("Cluster", TYPE_POLYGON, outline) for outline in rois.clusters]
    image = {"ImageIndex": 0, "NumberOfROIs": len(entries), "ROIs": entries}
    path.write_bytes(plistlib.dumps({"Images": [image]}))


def _entry(name: str, kind: int, vertices: Vertices) -> dict[str, Any]:
    points = [f"({float(column)!r}, {float(row)!r})" for row, column in vertices]
    return {"Name": name, "Type": kind, "NumberOfPoints": len(points), "Point_px": points}

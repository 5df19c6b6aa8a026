"""Annotations as INbreast publishes them: OsiriX's property lists."""

from collections.abc import Sequence
from pathlib import Path

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
)
POINT, POLYGON = 19, 15
Roi = tuple[str, int, Sequence[tuple[float, float]]]


def write_inbreast(path: Path, rois: Sequence[Roi]) -> Path:
    """Write regions (name, type, [(column, row), ...]) as one file."""
    path.write_text(f"{HEAD}<plist version='1.0'><dict><key>Images</key><array>{_image(rois)}</array></dict></plist>")
    return path


def _image(rois: Sequence[Roi]) -> str:
    entries = "".join(_roi(*roi) for roi in rois)
    return (
        "<dict><key>ImageIndex</key><integer>0</integer>"
        f"<key>NumberOfROIs</key><integer>{len(rois)}</integer><key>ROIs</key><array>{entries}</array></dict>"
    )


def _roi(name: str, kind: int, points: Sequence[tuple[float, float]]) -> str:
    px = "".join(f"<string>({column:f}, {row:f})</string>" for column, row in points)
    return (
        "<dict><key>Area</key><real>0.002</real><key>Center</key><string>(0.0, 0.0, 0.0)</string>"
        f"<key>IndexInImage</key><integer>0</integer><key>Name</key><string>{name}</string>"
        f"<key>NumberOfPoints</key><integer>{len(points)}</integer>"
        f"<key>Point_mm</key><array/><key>Point_px</key><array>{px}</array><key>Type</key><integer>{kind}</integer></dict>"
    )

"""A view of a study page as SVG: the picture, its marks in two layers, and everything in pixels of the view."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from .study_view import Layer, ViewPanel

ALIGNMENTS = {"left": "xMinYMid", "right": "xMaxYMid", "middle": "xMidYMid"}
FRAME_MARGIN_MM = 2.0
RING_MARGIN_PX = 3.0


def view_svg(panel: ViewPanel, *, key: str, label: str, align: str) -> str:
    """Draw a view.

    Args:
        panel: the view.
        key: its id on the page.
        label: what it is called.
        align: "left", "right" or "middle": where the view stands while its frame is wider.
    """
    report = panel.report
    rows, columns, ratio = report["rows"], report["columns"], pixel_ratio(report)
    only = "" if panel.first_pass else " only"
    layers = _layer(panel.method, kind=f"method{only}", key=key)
    if panel.first_pass:
        layers += _layer(panel.first_pass, kind="first", key=f"{key}-first")
    told = f"{label}, {report['finding_count']} findings and {report['cluster_count']} clusters marked"
    return (
        f'<svg tabindex="0" role="img" aria-label="{escape(told)}" viewBox="0 0 {columns} {rows * ratio:.6g}" '
        f'preserveAspectRatio="{ALIGNMENTS[align]} meet">'
        f'<image width="{columns}" height="{rows * ratio:.6g}" preserveAspectRatio="none" '
        f'href="{data_uri(panel.grey, "jpeg")}"/>{layers}</svg>'
    )


def _layer(layer: Layer, *, kind: str, key: str) -> str:
    """Map, outlines with their rings, and frames of clusters."""
    report, ratio = layer.report, pixel_ratio(layer.report)
    tiles = "".join(
        f'<image x="{tile.column}" y="{tile.row}" width="{tile.columns}" height="{tile.rows}" '
        f'preserveAspectRatio="none" image-rendering="pixelated" href="{data_uri(tile.png, "png")}"/>'
        for tile in layer.tiles
    )
    marks, rings = [], []
    for finding, path in zip(report["findings"], layer.paths, strict=True):
        colour = "isolated" if finding["cluster"] is None else "clustered"
        marks.append(f'<path id="{mark_id(key, "p", finding)}" class="mark {colour}" d="{path}"/>')
        row, column = finding["centroid_px"]
        top, left, bottom, right = finding["box_px"]
        own = max(bottom - top, right - left) / 2 + RING_MARGIN_PX
        rings.append(
            f'<circle class="ring {colour}" cx="{column + 0.5:.1f}" cy="{(row + 0.5) * ratio:.1f}" r="{own:.1f}" '
            f'style="--own: {own:.1f}"><title>{escape(finding_text(finding))}</title></circle>'
        )
    frames = "".join(_frame(cluster, report, key) for cluster in report["clusters"])
    turned = f'transform="scale(1 {ratio:.6g})"'
    return (
        f'<g class="layer {kind}"><g class="heat" {turned}>{tiles}</g><g class="marks"><g {turned}>{"".join(marks)}</g>'
        f"{''.join(rings)}{frames}</g></g>"
    )


def _frame(cluster: Mapping[str, Any], report: Mapping[str, Any], key: str) -> str:
    left, top, right, bottom = cluster_box(cluster, report)
    return (
        f'<rect id="{mark_id(key, "c", cluster)}" class="frame" x="{left:.1f}" y="{top:.1f}" '
        f'width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
    )


def mark_id(key: str, kind: str, item: Mapping[str, Any]) -> str:
    """Id on the page of a finding ("p") or cluster ("c"), escaped: it is read from a file."""
    return f"{key}-{kind}{escape(str(item['id']))}"


def cluster_box(cluster: Mapping[str, Any], report: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a cluster with a margin, in units of the drawing (a column is 1)."""
    top, left, bottom, right = cluster["box_px"]
    ratio, margin = pixel_ratio(report), FRAME_MARGIN_MM / report["spacing_mm"][1]
    return left - margin, top * ratio - margin, right + margin, bottom * ratio + margin


def pixel_ratio(report: Mapping[str, Any]) -> float:
    """Height of a pixel over its width."""
    return float(report["spacing_mm"][0]) / float(report["spacing_mm"][1])


def finding_text(finding: Mapping[str, Any]) -> str:
    """A finding in words."""
    text = (
        f"Finding {finding['id']}: diameter {finding['diameter_mm']:.2f} mm, probability "
        f"{finding['peak_probability']:.2f} at most, {finding['mean_probability']:.2f} on average"
    )
    spread = finding.get("uncertainty")
    return f"{text}; found by {spread['agreement']:.0%} of {spread['members']} passes" if spread else text


def data_uri(data: bytes, kind: str) -> str:
    """A picture in the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def plural(count: int, name: str) -> str:
    """A number and what it counts: 1 view, 2 views."""
    return f"{count} {name}{'s' * (count != 1)}"

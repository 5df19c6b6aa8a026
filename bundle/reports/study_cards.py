"""Clusters of a study page as cards, other findings as a table; each leads to its place in the view."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .study_svg import cluster_box, data_uri, mark_id, pixel_ratio, plural
from .study_view import ViewPanel

Report = Mapping[str, Any]

MAX_ISOLATED, OPEN_ISOLATED = 60, 12
FINDING_FRAME_MM = 4.0


def cluster_card(panel: ViewPanel, number: int, *, key: str, label: str) -> str:
    """A cluster: enlarged with outlines, and what is known of it.

    Args:
        panel: its view.
        number: its place among the clusters of the view.
        key: id of the view on the page.
        label: what the view is called.
    """
    report, cluster, crop = panel.report, panel.report["clusters"][number], panel.crops[number]
    members = [finding for finding in report["findings"] if finding["cluster"] == cluster["id"]]
    top, left = crop.box_px[:2]
    height, width = crop.box_px[2] - top, crop.box_px[3] - left
    ratio = pixel_ratio(report)
    outlines = "".join(f'<use href="#{mark_id(key, "p", finding)}"/>' for finding in members)
    place = " ".join(f"{value:.1f}" for value in cluster_box(cluster, report))
    told = f"{label}, cluster {cluster['id']}"
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in cluster_facts(cluster, members)
    )
    return (
        f'<a class="card" href="#{mark_id(key, "c", cluster)}" data-view="{key}" data-box="{place}" '
        f'aria-label="{escape(told)}: show it in the view">'
        f'<svg class="crop" aria-hidden="true" viewBox="{left} {top * ratio:.6g} {width} {height * ratio:.6g}">'
        f'<g transform="scale(1 {ratio:.6g})"><image x="{left}" y="{top}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none" href="{data_uri(crop.png, "png")}"/>{outlines}</g></svg>'
        f"<div><h3>{escape(told)}</h3><dl>{facts}</dl></div></a>"
    )


def cluster_facts(cluster: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Names and values: count, distribution, extent, probability over the members, agreement where it is known."""
    height, width = cluster["extent_mm"]
    area = sum(finding["area_mm2"] for finding in members)
    mean = sum(finding["mean_probability"] * finding["area_mm2"] for finding in members) / area
    peak = max(finding["peak_probability"] for finding in members)
    facts = [
        ("Calcifications", str(cluster["count"])),
        ("Distribution", cluster["distribution"]),
        ("Extent", f"{height:.1f} mm high, {width:.1f} mm wide"),
        ("Probability", f"mean {mean:.2f}, highest {peak:.2f}"),
    ]
    spreads = [finding["uncertainty"] for finding in members if finding.get("uncertainty")]
    if spreads:
        shares = [spread["agreement"] for spread in spreads]
        facts.append(("Found by", f"{sum(shares) / len(shares):.0%} of passes on average, lowest {min(shares):.0%}"))
    return facts


def isolated_table(views: Sequence[tuple[str, str, Report]]) -> str:
    """The findings outside clusters, the most probable first; "" if there are none.

    Args:
        views: id on the page, name and findings of each view.
    """
    rows = [
        (key, label, report, finding)
        for key, label, report in views
        for finding in report["findings"]
        if finding["cluster"] is None
    ]
    if not rows:
        return ""
    rows.sort(key=lambda row: -row[3]["peak_probability"])
    spread = any(finding.get("uncertainty") for *_, finding in rows)
    names = ["", "View", "From the top, mm", "From the left, mm", "Diameter, mm", "Probability, mean", "highest"]
    names += ["Found by, of passes"] * spread
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(_isolated_row(*row, spread=spread) for row in rows[:MAX_ISOLATED])
    left = len(rows) - MAX_ISOLATED
    more = f'<p class="quiet">and {left} less probable ones, in the findings JSON</p>' if left > 0 else ""
    return (
        f"<h2>Outside clusters</h2>\n<details{' open' * (len(rows) <= OPEN_ISOLATED)}>"
        f'<summary>{plural(len(rows), "finding")}</summary><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}</details>\n"
    )


def _isolated_row(key: str, label: str, report: Report, finding: Mapping[str, Any], *, spread: bool) -> str:
    row, column = finding["centroid_px"]
    ratio, half = pixel_ratio(report), FINDING_FRAME_MM / report["spacing_mm"][1]
    box = (column - half, row * ratio - half, column + half, row * ratio + half)
    place = " ".join(f"{value:.1f}" for value in box)
    link = (
        f'<a href="#{mark_id(key, "p", finding)}" data-view="{key}" data-box="{place}" '
        f'aria-label="Show finding {escape(str(finding["id"]))} in {escape(label)}">show</a>'
    )
    cells = [escape(label), *(f"{value:.1f}" for value in finding["position_mm"]), f"{finding['diameter_mm']:.2f}"]
    cells += [f"{finding['mean_probability']:.2f}", f"{finding['peak_probability']:.2f}"]
    known = finding.get("uncertainty")
    cells += [f"{known['agreement']:.0%}" if known else ""] * spread
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in [link, *cells])}</tr>"

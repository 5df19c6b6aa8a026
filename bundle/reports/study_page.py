"""One self-contained page per study for people: views as they hang, marks on a switch, clusters as cards."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import zip_longest
from typing import Any

from ..functional.hanging import hanging_rows
from .study_cards import cluster_card, isolated_table
from .study_script import SCRIPT
from .study_style import STYLE
from .study_svg import plural, view_svg
from .study_view import ViewPanel

SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
# The browser itself refuses whatever is not in the page, and every script but this one.
POLICY = (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'; "
    "base-uri 'none'; form-action 'none'"
)
NOTICE = (
    "<strong>Not a medical device.</strong> Research software, never validated on patients. Its marks are incomplete "
    "and partly wrong; do not use them for diagnosis or treatment."
)
METHOD_NAMES = {
    "segmentor": "segmentor, one pass",
    "augmentation": "segmentor, mean over flips and turns",
    "company": "segmentor, mean over flips and turns, candidates weighed by their company",
    "evidence": "segmentor, candidates weighed by the generator",
    "ttgpr": "segmentor refined by the generator (TT-GPR)",
}
MAX_REFUSED = 20


@dataclass(frozen=True)
class Study:
    """What a page is about.

    Attributes:
        name: of the study; nothing that leads to a patient.
        panels: its views, in the order of their files.
        refused: what the page calls a file that was left out, and why.
        facts: settings, version, weights, date.
        patient: name and so on, only if somebody asked for it.
        names: file names of the panels, only if somebody asked for them.
        part: number of this page and of all pages of the study.
    """

    name: str
    panels: Sequence[ViewPanel]
    refused: Sequence[tuple[str, str]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    patient: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    part: tuple[int, int] = (1, 1)


def render_study(study: Study) -> str:
    """Build the page; every text is escaped."""
    title = f"Microcalcifications, study {study.name}"
    labels = view_labels([panel.report for panel in study.panels])
    rows = hanging_rows([(panel.report["laterality"], panel.report["view_position"]) for panel in study.panels])
    order = [index for row in rows for index in row if index is not None]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="referrer" content="no-referrer"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>"
        f'<div class="notice" role="note">{NOTICE}</div>\n<main>'
        f"{_head(study, title)}{_warnings(study, labels)}{_toolbar(study)}"
        f"{_hanging(study, labels, rows)}{_cards(study, labels, order)}"
        f"{_isolated(study, labels, order)}{_refused(study)}{_views_table(study, labels, order)}"
        f"<h2>How it was made</h2>\n{_facts(study.facts)}"
        f"<footer>{NOTICE}</footer></main>\n<script>{SCRIPT}</script></body></html>\n"
    )


def view_labels(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a view is called: its side and projection, or its number; a second one of a name gets "(2)"."""
    labels: list[str] = []
    for number, report in enumerate(reports, start=1):
        name = " ".join(filter(None, (report["laterality"], report["view_position"]))) or f"View {number}"
        used = sum(label == name or label.startswith(f"{name} (") for label in labels)
        labels.append(f"{name} ({used + 1})" if used else name)
    return labels


def _head(study: Study, title: str) -> str:
    findings, clusters = (
        sum(panel.report[key] for panel in study.panels) for key in ("finding_count", "cluster_count")
    )
    parts = [plural(len(study.panels), "view"), plural(findings, "finding"), plural(clusters, "cluster")]
    parts += [f"{plural(len(study.refused), 'file')} left out"] * bool(study.refused)
    number, pages = study.part
    page = f'<p class="quiet">Page {number} of {pages} of this study.</p>' if pages > 1 else ""
    none = ""
    if study.panels and not findings:
        none = "<p>Nothing was marked at this operating point. That does not mean that there is nothing.</p>"
    patient = _facts(study.patient) if study.patient else ""
    return f'<h1>{escape(title)}</h1><p class="quiet">{", ".join(parts)}</p>{page}{none}{patient}\n'


def _warnings(study: Study, labels: Sequence[str]) -> str:
    lines = [
        f"<li><strong>{escape(label)}</strong>: {escape(', '.join(panel.report['warnings']))}</li>"
        for label, panel in zip(labels, study.panels, strict=True)
        if panel.report.get("warnings")
    ]
    if study.refused:
        lines.append(f'<li><a href="#left-out">{plural(len(study.refused), "file")} left out</a></li>')
    return f'<ul class="warnings" aria-label="Warnings">{"".join(lines)}</ul>\n' if lines else ""


def _toolbar(study: Study) -> str:
    if not study.panels:
        return ""
    maps = ""
    if any(panel.first_pass for panel in study.panels):
        method = escape(METHOD_NAMES[study.panels[0].report["method"]])
        maps = (
            "<fieldset><legend>Marks of</legend>"
            f'<label><input type="radio" name="map" id="method" checked> {method}</label>'
            '<label><input type="radio" name="map" id="first"> one pass</label></fieldset>'
        )
    return (
        '<div class="toolbar" role="group" aria-label="Overlay">'
        '<label><input type="checkbox" id="overlay" checked> Overlay</label>'
        '<label>Opacity <input type="range" id="opacity" min="5" max="100" value="90"></label>'
        '<label><input type="checkbox" id="outlines" checked> Outlines</label>'
        '<label><input type="checkbox" id="heat" checked> Probability</label>'
        f'{maps}<button type="button" class="whole">Whole views</button></div>\n'
        '<p class="quiet hint">Click a view, then wheel or <kbd>+</kbd> <kbd>-</kbd> to zoom, drag or arrow keys to '
        "move, <kbd>0</kbd> for the whole view. <kbd>o</kbd> switches the overlay"
        f"{', <kbd>m</kbd> the map' if maps else ''}.</p>\n"
        '<p class="legend"><span><b class="clustered"></b>in a cluster</span>'
        '<span><b class="isolated"></b>outside</span>'
        '<span><b class="frame"></b>cluster</span><span><b class="ramp"></b>probability 0.05 to 1</span></p>\n'
    )


def _hanging(study: Study, labels: Sequence[str], rows: Sequence[tuple[int | None, int | None]]) -> str:
    if not study.panels:
        return "<p>No view could be segmented; see below.</p>\n"
    if len(study.panels) == 1:
        return f'<section class="row single" aria-label="Views">{_figure(study, labels, 0)}</section>\n'
    return "".join(
        f'<section class="row" aria-label="Views">{"".join(_places(study, labels, row))}</section>\n' for row in rows
    )


def _places(study: Study, labels: Sequence[str], row: tuple[int | None, int | None]) -> Iterator[str]:
    for index, other, side in zip_longest(row, row[::-1], "RL"):
        if index is not None:
            yield _figure(study, labels, index)
        elif other is not None:
            report = study.panels[other].report
            known = report["laterality"] in ("R", "L") and report["view_position"]
            yield f'<p class="absent">{f"no {side} {escape(known)} in this study" if known else ""}</p>'


def _figure(study: Study, labels: Sequence[str], index: int) -> str:
    panel, label = study.panels[index], escape(labels[index])
    report, key = panel.report, f"v{index + 1}"
    row_mm, column_mm = report["spacing_mm"]
    # Chest walls meet in the middle, as on a hanging protocol.
    align = {"R": "right", "L": "left"}.get(report["laterality"], "middle")
    only = "" if panel.first_pass else " only"
    counts = f'<span class="quiet of-method{only}">{_counts(report)}</span>'
    if panel.first_pass:
        counts += f'<span class="quiet of-first">{_counts(panel.first_pass.report)}</span>'
    buttons = "".join(
        f'<button type="button" data-do="{what}" aria-label="{told} {label}">{text}</button>'
        for what, told, text in (("out", "Zoom out of", "&minus;"), ("in", "Zoom into", "+"), ("fit", "Whole", "Whole"))
    ).replace('<button type="button" data-do="in"', '<output></output><button type="button" data-do="in"')
    warned = f'<p class="warning">{escape(", ".join(report["warnings"]))}</p>' if report.get("warnings") else ""
    corner = "left" if align == "right" else "right"
    return (
        f'<figure class="view" id="{key}" data-width="{report["columns"]}" data-mm="{column_mm:.6g}" '
        f'data-height="{report["rows"] * row_mm / column_mm:.6g}" data-align="{align}">'
        f'<figcaption><h3>{label}</h3>{counts}<span class="tools">{buttons}</span></figcaption>{warned}'
        f'<div class="stage at-{corner}">{view_svg(panel, key=key, label=labels[index], align=align)}'
        f'<span class="side" aria-hidden="true">{label}</span>'
        '<div class="scale" aria-hidden="true"><i></i><span></span></div></div></figure>'
    )


def _counts(report: Mapping[str, Any]) -> str:
    return f"{plural(report['finding_count'], 'finding')}, {plural(report['cluster_count'], 'cluster')}"


def _cards(study: Study, labels: Sequence[str], order: Sequence[int]) -> str:
    cards = [
        cluster_card(study.panels[index], number, key=f"v{index + 1}", label=labels[index])
        for index in order
        for number in range(len(study.panels[index].crops))
    ]
    if not cards:
        return ""
    return f'<h2>Clusters</h2>\n<ul class="cards">{"".join(f"<li>{card}</li>" for card in cards)}</ul>\n'


def _isolated(study: Study, labels: Sequence[str], order: Sequence[int]) -> str:
    return isolated_table([(f"v{index + 1}", labels[index], study.panels[index].report) for index in order])


def _refused(study: Study) -> str:
    if not study.refused:
        return ""
    shown = study.refused[:MAX_REFUSED]
    lines = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in shown)
    more = f"<li>and {len(study.refused) - len(shown)} more</li>" if len(study.refused) > len(shown) else ""
    return f'<h2 id="left-out">Left out</h2>\n<ul>{lines}{more}</ul>\n'


def _views_table(study: Study, labels: Sequence[str], order: Sequence[int]) -> str:
    if not study.panels:
        return ""
    head = ["View", "Result", "Pixels", "Pixel size, mm", "Breast, cm2", "Findings", "Clusters", "One pass", "Warnings"]
    head += ["File"] * bool(study.names)
    body = ""
    for index in order:
        panel = study.panels[index]
        report = panel.report
        spacing = " x ".join(f"{side:.4g}" for side in report["spacing_mm"])
        one_pass = _counts(panel.first_pass.report) if panel.first_pass else ""
        cells = [labels[index], report.get("source_id", ""), f"{report['rows']} x {report['columns']}", spacing]
        cells += [
            f"{report['breast_area_cm2']:.0f}",
            str(report["finding_count"]),
            str(report["cluster_count"]),
            one_pass,
        ]
        cells += [", ".join(report.get("warnings", [])), *study.names[index : index + 1]]
        body += f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h2>Views</h2>\n<div class="scroll">{table}</div>\n'


def _facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>\n"

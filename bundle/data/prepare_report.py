"""What preparing a data set came to: report.json, and report.md for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .datalist import SPLITS, UNKNOWN, Listing

KINDS = ("label", "points", "outlines")


def report_of(listing: Listing, items: Sequence[Mapping[str, Any]], *, seed: int) -> dict[str, Any]:
    """Counts, spacings, remarks, and everything that was skipped, with the reason.

    Args:
        listing: of the adapter, with all that was skipped.
        items: views that can be used.
        seed: of the split.
    """
    return {
        "name": listing.dataset,
        "split_name": f"{listing.split_name}-seed{seed}",
        "seed": seed,
        "splits": {split: _counts([item for item in items if item["split"] == split]) for split in SPLITS},
        "spacings_mm": _tally(
            f"{item['spacing_mm'][0]:.4g} x {item['spacing_mm'][1]:.4g}{'' if item['spacing_stated'] else ' (assumed)'}"
            for item in items
        ),
        "vendors": _tally(item["vendor"] for item in items),
        "remarks": _tally(item["remarks"] for item in items if item["remarks"] != UNKNOWN),
        "notes": listing.notes,
        "reasons": _tally(skipped.reason for skipped in listing.skipped),
        "skipped": [vars(skipped) for skipped in listing.skipped],
    }


def _counts(items: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    kinds = Counter(next(kind for kind in KINDS if kind in item) for item in items if not item["negative"])
    return {
        "patients": len({item["patient"] for item in items}),
        "views": len(items),
        **{kind: kinds[kind] for kind in KINDS},
        "negative": sum(item["negative"] for item in items),
    }


def _tally(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write OUT/report.json and OUT/report.md; only the first names files."""
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(_page(report))


def _page(report: Mapping[str, Any]) -> str:
    columns = ("patients", "views", *KINDS, "negative")
    lines = [
        f"# {report['name']}, prepared",
        f"Split `{report['split_name']}`, patients never cross it. For research only.",
        _table(("split", *columns), [(split, *row.values()) for split, row in report["splits"].items()]),
        "`label`: views with a mask of calcifications; `points`: with positions; `outlines`: with regions around "
        "groups, which are never pixel targets; `negative`: nothing is marked.",
    ]
    for title, key in (("Pixel size, mm", "spacings_mm"), ("Vendor", "vendors"), ("Remark", "remarks")):
        if report[key]:
            lines.append(_table((title, "views"), report[key].items()))
    lines += [f"- {note}" for note in report["notes"]]
    lines.append(f"## Skipped: {len(report['skipped'])}")
    if report["reasons"]:
        lines.append(_table(("reason", "count"), report["reasons"].items()))
        lines.append("Which they were is in report.json, under `skipped`.")
    return "\n\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    """A value as text of one cell, which Markdown takes for nothing else."""
    return escape(" ".join(str(value).split()), quote=False).replace("|", "&#124;")

"""One self-contained HTML page: pictures as data URIs, tables that sort at a click, nothing from anywhere else."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .tables import Cell, Table

# The browser itself then refuses whatever is not in the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; padding: 0 1em; color: #1b1b1b; }
h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .6em; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { background: #eef2f5; } th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
td:first-child, th:first-child { position: sticky; left: 0; background: #fff; max-width: 22em; white-space: normal; }
.best { font-weight: 700; } img { max-width: 100%; height: auto; }
"""
# Missing values go last whichever way a column is sorted.
SCRIPT = """
document.querySelectorAll("th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.parentNode, body = head.closest("table").tBodies[0], column = head.cellIndex;
    var down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    var key = function (row) { return row.cells[column].dataset.key; };
    var rows = Array.from(body.rows).sort(function (a, b) {
      var x = key(a), y = key(b);
      if (x === "" || y === "") { return (x === "") - (y === ""); }
      return down * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
    });
    head.parentNode.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    rows.forEach(function (row) { body.appendChild(row); });
  });
});
"""


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows; the caption is its alternative text too."""

    caption: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, then tables and pictures."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """Build the page; every text is escaped.

    Args:
        title: of the page.
        facts: printed at the top, e.g. command, seed, date and region.
        sections: in order.
    """
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n<dl>{listed}</dl>\n"
        f"{''.join(map(_section, sections))}<script>{SCRIPT}</script></body></html>\n"
    )


def _section(section: Section) -> str:
    paragraph = f"<p>{escape(section.text)}</p>\n" if section.text else ""
    content = "".join(map(_table, section.tables)) + "".join(map(_picture, section.pictures))
    return f"<section><h2>{escape(section.title)}</h2>\n{paragraph}{content}</section>\n"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in table.columns)
    body = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>\n" for cells in table.cells)
    return (
        f'<h3>{escape(table.title)}</h3>\n<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _cell(cell: Cell) -> str:
    key = "" if isinstance(cell.key, float) and math.isnan(cell.key) else str(cell.key)
    best = ' class="best"' if cell.best else ""
    return f'<td data-key="{escape(key)}"{best}>{escape(cell.text)}</td>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>\n'
    )

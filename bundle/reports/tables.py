"""The table of `bundle.functional.summary` as text: CSV with one figure per line, Markdown, and strict JSON."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..functional.case_statistics import (
    CASE_METRICS,
    FROC_METRICS,
    LEVELS,
    METRICS,
    POOLED_METRICS,
    STRATA,
    STRATA_METRICS,
)

Row = Mapping[str, Any]

GROUPS = {
    "Pixels: mean of cases ± sd": tuple(CASE_METRICS),
    "Objects and clusters, pooled": tuple(POOLED_METRICS),
    "FROC": tuple(FROC_METRICS),
    "Object recall by stratum": tuple(STRATA_METRICS),
}
STRATUM_NAMES = {"cnr": "CNR", "size": "diameter (mm)", "interior": "interior density", "exterior": "exterior density"}
MISSING = "-"
FIGURE_FIELDS = ("value", "low", "high", "sd", "n_cases", "n_patients")
DIFFERENCE_FIELDS = ("value", "low", "high", "n_patients", "p", "p_holm")


@dataclass(frozen=True)
class Cell:
    """Text, what it is sorted by, and whether it is the best of its column."""

    text: str
    key: float | str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table to be printed: the first column holds the system."""

    title: str
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


def number(value: float | None) -> str:
    """Three decimals, more where those would say nothing, and a dash for what does not exist."""
    if value is None or math.isnan(value):
        return MISSING
    if 0.9995 <= abs(value) < 1:
        return f"{value:.6f}"
    if value == 0 or 0.01 <= abs(value) < 10:
        return f"{value:.3f}"
    if 0.001 <= abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.1f}" if 10 <= abs(value) < 10_000 else f"{value:.1e}"


def p_text(p: float) -> str:
    """A p-value of three decimals."""
    return MISSING if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def interval(figure: Row) -> str:
    """[low, high], or nothing if there is none."""
    return "" if math.isnan(figure["low"]) else f" [{number(figure['low'])}, {number(figure['high'])}]"


def stratum_label(stratum: str, level: str, edges: Mapping[str, Sequence[float]]) -> str:
    """Such as "CNR < 3"."""
    low, high = edges[stratum]
    if math.isnan(low):
        return f"{STRATUM_NAMES[stratum]} {level}"
    ranges = (f"< {low:.3g}", f"{low:.3g} to {high:.3g}", f"> {high:.3g}")
    return f"{STRATUM_NAMES[stratum]} {ranges[LEVELS.index(level)]}"


def metric_label(name: str, row: Row) -> str:
    """Name of a figure as printed, with the edges of its stratum."""
    for stratum in STRATA:
        for level in LEVELS:
            if name == f"recall_{stratum}_{level}":
                return stratum_label(stratum, level, row["strata_edges"])
    return METRICS[name].label


def by_dataset(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of each dataset, in the order given."""
    return [(name, list(members)) for name, members in groupby(rows, key=lambda row: row["dataset"])]


def caption(rows: Sequence[Row]) -> str:
    """What all figures of a dataset rest on."""
    first = max(rows, key=lambda row: row["n_cases"])
    views = "clean views" if first["fp_views"] == "clean" else "all views, none is clean"
    return (
        f"Region: {first['region']}; annotation: {first['annotation']}. {first['n_cases']} cases "
        f"({first['n_clean']} clean) of {first['n_patients']} patients, {first['n_objects']} objects. "
        f"False positives counted on {views}. In brackets: {first['level']:.0%} intervals of "
        f"{first['n_resamples']} bootstrap resamples of patients."
    )


def dataset_tables(rows: Sequence[Row]) -> list[Table]:
    """Tables of one dataset: what rows rest on, one per group of figures that exist, and the differences."""
    tables = [_basis(rows)]
    for title, names in GROUPS.items():
        known = [name for name in names if any(not math.isnan(row["figures"][name]["value"]) for row in rows)]
        if known:
            columns = ("System", *(metric_label(name, rows[0]) for name in known))
            cells = tuple((_system(row), *(_figure(name, row, rows) for name in known)) for row in rows)
            tables.append(Table(title, columns, cells))
    compared = [row for row in rows if row["differences"]]
    for title, names in GROUPS.items() if compared else ():
        known = [name for name in names if not math.isnan(compared[0]["differences"][name]["value"])]
        if known:
            columns = ("System", *(metric_label(name, rows[0]) for name in known))
            cells = tuple(
                (_system(row), *(_difference(row["differences"][name]) for name in known)) for row in compared
            )
            tables.append(Table(f"Difference to {compared[0]['reference']}. {title.split(':')[0]}", columns, cells))
    return tables


def to_markdown(rows: Sequence[Row]) -> str:
    """One section per dataset, one table per group of figures; the best of a column is bold."""
    parts = []
    for dataset, members in by_dataset(rows):
        parts += [f"## {_escaped(dataset)}", caption(members)]
        for table in dataset_tables(members):
            lines = [_line(map(_escaped, table.columns)), _line(["---"] * len(table.columns))]
            lines += [_line([_escaped(system.text), *map(_marked, others)]) for system, *others in table.cells]
            parts += [f"### {_escaped(table.title)}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """One line per dataset, system and figure; an empty field is a value that does not exist."""
    described = ("dataset", "system", "region", "annotation", "fp_views")
    fields = [*described, "metric", *FIGURE_FIELDS, "reference", *(f"difference_{name}" for name in DIFFERENCE_FIELDS)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        for name, figure in row["figures"].items():
            difference = row["differences"].get(name, {})
            values = [figure.get(field) for field in FIGURE_FIELDS]
            values += [row["reference"], *(difference.get(field) for field in DIFFERENCE_FIELDS)]
            writer.writerow([*(row[field] for field in described), name, *map(_known, values)])
    return text.getvalue()


def to_json(rows: Sequence[Row]) -> str:
    """The rows as they are, with null for nan: JSON knows no nan."""
    return json.dumps(_nan_to_none(rows), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _basis(rows: Sequence[Row]) -> Table:
    columns = ("System", "Threshold", "Cases", "Clean", "Patients", "Objects", "Notes")
    counts = ("n_cases", "n_clean", "n_patients", "n_objects")
    cells = []
    for row in rows:
        low, high = row["threshold"]
        threshold = Cell(f"{low:g}" if low == high else f"{low:g} to {high:g}", low)
        notes = "; ".join(row["notes"])
        cells.append((_system(row), threshold, *(Cell(str(row[k]), row[k]) for k in counts), Cell(notes, notes)))
    return Table("Systems", columns, tuple(cells))


def _system(row: Row) -> Cell:
    return Cell(row["system"], row["system"])


def _figure(name: str, row: Row, rows: Sequence[Row]) -> Cell:
    figure, better = row["figures"][name], METRICS[name].higher_is_better
    value = figure["value"]
    known = [other["figures"][name]["value"] for other in rows if not math.isnan(other["figures"][name]["value"])]
    best = len(known) > 1 and better is not None and value == (max(known) if better else min(known))
    spread = f" ± {number(figure['sd'])}" if "sd" in figure else ""
    return Cell(f"{number(value)}{spread}{interval(figure)}{_fewer(name, row)}", value, best)


def _fewer(name: str, row: Row) -> str:
    """How many cases a mean is over, where some that it should be over have no value."""
    expected = row["n_cases"] - (0 if name == "activation_rate" else row["n_clean"])
    n_cases = row["figures"][name].get("n_cases", expected)
    return f", n = {n_cases}" if n_cases < expected else ""


def _difference(figure: Row) -> Cell:
    value = figure["value"]
    sign = "+" if value > 0 else ""
    tests = "" if math.isnan(figure["p"]) else f", p {p_text(figure['p'])}, Holm {p_text(figure['p_holm'])}"
    return Cell(f"{sign}{number(value)}{interval(figure)}{tests}", value)


def _escaped(text: str) -> str:
    """Text that cannot break a Markdown table or start markup of its own."""
    for mark in "\\|<>*_`[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.best else cell.text


def _known(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _nan_to_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nan_to_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_to_none(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value

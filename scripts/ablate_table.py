"""The ablation as a table and as bars."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bundle.functional.case_statistics import METRICS
from bundle.reports.figures import COLOURS, new_figure
from bundle.reports.tables import by_dataset, caption, interval, number
from scripts.ablate_variants import CHANCE

Row = Mapping[str, Any]

SHOWN = ("object_f2", "tpr_at_0.4_fp_per_cm2", "pauc_fp_per_cm2", "fp_per_cm2", "dice")


def shown_figures(rows: Sequence[Row], order: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of `summarise` with the figures of the ablation alone, in the given order of systems."""
    return [
        {**row, "figures": _picked(row["figures"]), "differences": _picked(row["differences"])}
        for row in sorted(rows, key=lambda row: (row["dataset"], order.index(row["system"])))
    ]


def _picked(figures: Mapping[str, Row]) -> dict[str, Row]:
    return {name: figures[name] for name in SHOWN if name in figures}


def ablation_markdown(rows: Sequence[Row], what: Mapping[str, str]) -> str:
    """One table per dataset: a line per variant, each figure followed by its paired difference to the full recipe.

    Args:
        rows: of `shown_figures`.
        what: a line about each variant.
    """
    heads = [text for name in SHOWN for text in (METRICS[name].label, "difference")]
    parts = []
    for dataset, members in by_dataset(rows):
        lines = [_line(["Variant", "What", *heads]), _line(["---"] * (2 + len(heads)))]
        for row in members:
            cells = [text for name in SHOWN for text in (_value(row, name), _difference(row, name))]
            lines.append(_line([row["system"], what[row["system"]], *cells]))
        parts += [f"## {dataset}", caption(members), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _value(row: Row, name: str) -> str:
    return number(row["figures"][name]["value"]) + interval(row["figures"][name])


def _difference(row: Row, name: str) -> str:
    """Empty for the full recipe; bold where the interval leaves out zero."""
    if name not in row["differences"]:
        return ""
    figure = row["differences"][name]
    text = f"{'+' if figure['value'] > 0 else ''}{number(figure['value'])}{interval(figure)}"
    return f"**{text}**" if figure["low"] > 0 or figure["high"] < 0 else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bars(rows: Sequence[Row]) -> Any:
    """Paired differences to the full recipe with intervals, a panel per figure: what points to "worse" was of use.

    Grey is what another seed alone changes, to either side.

    Args:
        rows: of `shown_figures`, one dataset.
    """
    compared = [row for row in rows if row["differences"]]
    figure = new_figure(2.0 + 2.5 * len(SHOWN), 1.4 + 0.3 * max(len(compared), 2))
    for index, (axes, name) in enumerate(zip(figure.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True)):
        for place, row in enumerate(compared):
            known = row["differences"][name]
            if math.isnan(known["value"]):
                continue
            if row["system"] == CHANCE:
                axes.axvspan(-abs(known["value"]), abs(known["value"]), color="0.88", zorder=0)
            axes.barh(place, known["value"], color=COLOURS[index], alpha=0.75)
            if not math.isnan(known["low"]):
                axes.plot([known["low"], known["high"]], [place, place], color="0.15", linewidth=1.4)
        axes.axvline(0, color="0.15", linewidth=0.8)
        worse = "right" if METRICS[name].higher_is_better is False else "left"
        axes.set_title(f"{METRICS[name].label}\n(worse: {worse})", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=8)
        axes.set_yticks(range(len(compared)), [row["system"] for row in compared], fontsize=8)
        axes.set_ylim(len(compared) - 0.5, -0.5)
    figure.suptitle(
        f"{rows[0]['dataset']}: difference to the full recipe, {rows[0]['level']:.0%} intervals", fontsize=10
    )
    return figure

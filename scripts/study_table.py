"""The refinement study as tables and as forests of differences."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bundle.functional.case_statistics import METRICS, is_clean
from bundle.functional.statistics import Estimate, Pooled, bootstrap, bootstrap_difference, divide, draw_resamples
from bundle.functional.summary import summarise
from bundle.reports.figures import COLOURS, new_figure
from bundle.reports.tables import caption, interval, number
from scripts.study_variants import SEGMENTOR, Variant

Record = Mapping[str, Any]
Row = Mapping[str, Any]

# Differences beyond this are not drawn to scale.
FAR = 0.25
PRIMARY = ("tpr_at_0.4_fp_per_cm2", "tpr_at_1_fp_per_cm2", "pauc_fp_per_cm2")
SECONDARY = ("object_recall", "object_precision", "recall", "precision", "fp_per_cm2")
# A switch may leave recall at matched rates as it is and still move predictions at the threshold.
SWITCHED = ("pauc_fp_per_cm2", "object_recall", "object_precision", "recall")
# Differences below this are rounding.
DECIMALS = 9
BEST_F2 = "best_object_f2"
LABELS = {name: metric.label for name, metric in METRICS.items()} | {
    "recall": "Pixel recall",
    "precision": "Pixel precision",
    BEST_F2: "Object F2 at own best threshold",
}


def summary(records: Sequence[Record], variants: Sequence[Variant]) -> dict[str, list[dict[str, Any]]]:
    """Rows of `summarise` by what they are compared with: the segmentor first, then every other base.

    Args:
        records: of the variants and of the segmentor.
        variants: in the order of the table.
    """
    order = [variant.name for variant in variants]
    tables = {}
    for base in dict.fromkeys([SEGMENTOR, *(variant.base for variant in variants)]):
        names = {v.name for v in variants if base in (SEGMENTOR, v.base, v.name)}
        members = [record for record in records if record["system"] in names]
        rows = summarise(members, rng=np.random.default_rng(0), reference=base)
        for row in rows:
            row["figures"][BEST_F2], difference = best_f2_rows(members, row["system"], base)
            if row["differences"]:
                row["differences"][BEST_F2] = difference
        tables[base] = sorted(rows, key=lambda row: order.index(row["system"]))
    return tables


def best_f2(records: Sequence[Record]) -> Pooled:
    """Object F2 at the threshold of the FROC list where it is highest, on all crops; each resample chooses anew.

    Args:
        records: (cases,) of one system.
    """
    tp = np.array([record["froc"]["tp"] for record in records], np.float64)
    fp = np.array([record["froc"]["fp"] for record in records], np.float64)
    true = np.array([[len(record["objects"])] for record in records], np.float64)
    count = tp.shape[1]

    def function(sums: np.ndarray) -> np.ndarray:
        # Eq. 24 as 5 TP / (TP + 4 objects + FP).
        found, false, objects = sums[..., :count], sums[..., count:-1], sums[..., -1:]
        return divide(5 * found, found + 4 * objects + false).max(axis=-1)

    return Pooled(np.concatenate([tp, fp, true], axis=1), function, needs=(2 * count,))


def best_threshold_of(records: Sequence[Record]) -> float:
    """That threshold."""
    pooled = best_f2(records)
    sums = pooled.columns.sum(axis=0)
    count = (len(sums) - 1) // 2
    found, false = sums[:count], sums[count:-1]
    f2 = divide(5 * found, found + 4 * sums[-1] + false)
    best = np.flatnonzero(f2 == f2.max())
    return float(records[0]["froc"]["thresholds"][best[(len(best) - 1) // 2]])


def best_f2_rows(records: Sequence[Record], system: str, base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`best_f2` of a system and its difference to the base on the crops of both, as figures of `summarise`."""
    mine = sorted((r for r in records if r["system"] == system), key=lambda r: r["case"])
    cases = {record["case"] for record in mine}
    others = sorted((r for r in records if r["system"] == base and r["case"] in cases), key=lambda r: r["case"])
    patients = [str(record["patient"]) for record in mine]
    strata = [is_clean(record) for record in mine]
    resamples = draw_resamples(patients, rng=np.random.default_rng(0), strata=strata)
    one = bootstrap(best_f2(mine), patients, resamples)
    difference = bootstrap_difference(best_f2(mine), best_f2(others), patients, resamples)
    # A figure that every resample chooses anew is no mean over patients: no test by ranks.
    return _figure(one), {**_figure(difference), "p": np.nan, "p_holm": np.nan}


def _figure(estimate: Estimate) -> dict[str, Any]:
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {**{name: float(value) for name, value in values.items()}, "n_patients": estimate.n_patients}


def changed_crops(records: Sequence[Record], system: str, base: str) -> tuple[int, int]:
    """Crops where any count of a system, at any threshold, differs from its base's; and crops that both have."""
    counts = {
        name: {r["case"]: (r["froc"]["tp"], r["froc"]["fp"], r["pixels"]) for r in records if r["system"] == name}
        for name in (system, base)
    }
    both = counts[system].keys() & counts[base].keys()
    return sum(counts[system][case] != counts[base][case] for case in both), len(both)


def study_markdown(
    tables: Mapping[str, Sequence[Row]],
    records: Sequence[Record],
    variants: Sequence[Variant],
    gflop: Mapping[str, float],
) -> str:
    """Three tables: recall at matched false positives, figures at a fixed threshold, and each switch by itself.

    Args:
        tables: of `summary`.
        records: all.
        variants: in the order of the tables.
        gflop: mean 1e9 operations of the networks per crop, by variant.
    """
    by_name = {variant.name: variant for variant in variants}
    first, parts = tables[SEGMENTOR], []
    parts += ["## At matched false positives", caption(first), "Differences are to the segmentor, on the same crops;"]
    parts[-1] += " bold where the interval leaves out zero. GFLOP: of the networks, mean per crop."
    lines = [[f"{gflop[row['system']]:.0f}", *_pairs(row, (*PRIMARY, BEST_F2))] for row in first]
    parts.append(_table(["GFLOP", *_heads((*PRIMARY, BEST_F2))], first, lines, by_name))
    parts += ["## At a fixed threshold", "0.5, or the one that the row names. Pixels: mean over calcified crops."]
    lines = [[f"{row['threshold'][0]:.3g}", *_pairs(row, SECONDARY)] for row in first]
    parts.append(_table(["Threshold", *_heads(SECONDARY)], first, lines, by_name))
    parts += ["## Each switch alone", "Differences are to the row named under Base. Changed: crops where any count of"]
    parts[-1] += " objects or pixels at any threshold is another; a switch that changes none is inert."
    rows = [row for base, members in tables.items() for row in members if _own_base(row, base, by_name)]
    lines = []
    for row in rows:
        changed, both = changed_crops(records, row["system"], row["reference"])
        lines.append([row["reference"], f"{changed} of {both}", *_differences(row, (*PRIMARY, *SECONDARY))])
    heads = ["Base", "Changed", *(LABELS[name] for name in (*PRIMARY, *SECONDARY))]
    parts.append(_table(heads, rows, lines, by_name))
    return "\n\n".join(parts) + "\n"


def _own_base(row: Row, base: str, variants: Mapping[str, Variant]) -> bool:
    return row["system"] != base and variants[row["system"]].base == base


def _heads(names: Sequence[str]) -> list[str]:
    return [text for name in names for text in (LABELS[name], "difference")]


def _pairs(row: Row, names: Sequence[str]) -> list[str]:
    values = [f"{number(row['figures'][name]['value'])}{interval(row['figures'][name])}" for name in names]
    return [text for pair in zip(values, _differences(row, names), strict=True) for text in pair]


def _differences(row: Row, names: Sequence[str]) -> list[str]:
    """Empty for the reference itself; bold where the interval leaves out zero."""
    return [_difference(row["differences"][name]) if row["differences"] else "" for name in names]


def _difference(exact: Row) -> str:
    # The sum turns -0.0 into 0.0.
    figure = {name: round(exact[name], DECIMALS) + 0.0 for name in ("value", "low", "high")}
    text = f"{'+' if figure['value'] > 0 else ''}{number(figure['value'])}{interval(figure)}"
    return f"**{text}**" if figure["low"] > 0 or figure["high"] < 0 else text


def _table(
    heads: Sequence[str], rows: Sequence[Row], lines: Sequence[Sequence[str]], variants: Mapping[str, Variant]
) -> str:
    every = [["Variant", "What", *heads], ["---"] * (2 + len(heads))]
    for row, cells in zip(rows, lines, strict=True):
        note = f" ({'; '.join(row['notes'])})" if row["notes"] else ""
        every.append([row["system"], f"{variants[row['system']].what}{note}", *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in every)


def forest(rows: Sequence[Row], variants: Sequence[Variant], *, title: str, names: Sequence[str]) -> Figure:
    """Differences with intervals, a panel per figure and a line per variant, in the groups of the table.

    One beyond `FAR` is told by its number at the edge: at its place it would press all others together.

    Args:
        rows: of `summary`, those that have a difference.
        variants: in the order of the table.
        title: what the differences are to.
        names: figures.
    """
    by_name = {row["system"]: row for row in rows}
    shown = [variant for variant in variants if variant.name in by_name]
    groups = [list(members) for _, members in groupby(shown, key=lambda variant: variant.group)]
    lines: list[Variant | str] = []
    for members in groups:
        lines += [members[0].group, *members]
    figure = new_figure(2.4 + 2.9 * len(names), 1.4 + 0.21 * max(len(lines), 4))
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for place, line in enumerate(lines):
            if isinstance(line, Variant):
                colour = COLOURS[[members[0].group for members in groups].index(line.group) % len(COLOURS)]
                _mark(axes, by_name[line.name]["differences"][name], place, colour)
        axes.axvline(0, color="0.15", linewidth=0.8)
        axes.set_title(LABELS[name], fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=5)
        labels = [line.name if isinstance(line, Variant) else line.upper() for line in lines]
        axes.set_yticks(range(len(lines)), labels, fontsize=8)
        axes.set_ylim(len(lines) - 0.5, -0.5)
    figure.suptitle(title, fontsize=10)
    return figure


def _mark(axes: Any, known: Row, place: int, colour: str) -> None:
    if abs(known["value"]) > FAR:
        edge = float(known["value"] > 0)
        words = f"{known['value']:+.2f} →" if edge else f"← {known['value']:+.2f}"
        where = axes.get_yaxis_transform()
        axes.text(
            edge, place, words, color=colour, fontsize=8, va="center", ha=("left", "right")[int(edge)], transform=where
        )
        return
    if np.isfinite(known["low"]):
        axes.plot([known["low"], known["high"]], [place, place], color=colour, linewidth=1.6)
    if np.isfinite(known["value"]):
        axes.plot(known["value"], place, "o", color=colour, markersize=4)

"""Pictures of a comparison: box plots per metric, FROC curves with bands, recall by stratum.

They draw with matplotlib's canvas alone, so no display and no global state is involved. Colours are those of Okabe and
Ito, which colour-blind readers tell apart; beyond eight systems line style and marker tell them apart too.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..functional.case_statistics import CASE_METRICS, LEVELS, STRATA, case_values
from .tables import STRATUM_NAMES, stratum_label

Record = Mapping[str, Any]
Row = Mapping[str, Any]

DOTS_PER_INCH = 110
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#8C6D31")
MARKERS = "osD^vPX*"
LINES = ("-", "--", ":")
# The six of the paper's figures 6 and 8.
BOX_METRICS = ("dice", "balanced_accuracy", "recall", "g_mean", "f2", "fnr")
MARKED_RATE = 0.4
LONGEST_NAME = 44


def png(figure: Figure) -> bytes:
    """The picture as a PNG file without date or version, so that equal pictures are equal files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches, without pyplot."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def short(name: str) -> str:
    """A name that fits beside a plot, and that matplotlib does not take for a formula."""
    # Names often differ at their end, so it is the middle that goes.
    cut = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}...{name[-10:]}"
    return cut.replace("$", r"\$")


def box_plots(records: Sequence[Record], systems: Sequence[str], *, metrics: Sequence[str] = BOX_METRICS) -> Figure:
    """Per-case values of one dataset: quartiles, median line, whiskers to 1.5 quartile distances, a marker at the mean.

    Args:
        records: of one dataset.
        systems: from left to right.
        metrics: names in `CASE_METRICS`.
    """
    values = {name: case_values([record for record in records if record["system"] == name]) for name in systems}
    columns = min(3, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    figure = new_figure(columns * (1.6 + 0.26 * len(systems)), 2.6 * lines + 1.6)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        _boxes(axes, [values[name][metric] for name in systems])
        known = CASE_METRICS[metric]
        axes.set_title(known.label + (" (lower is better)" if known.higher_is_better is False else ""), fontsize=10)
        places, names = range(1, len(systems) + 1), [short(name) for name in systems]
        axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.grid(axis="y", alpha=0.3)
    for axes in grid.flat[len(metrics) :]:
        axes.set_axis_off()
    return figure


def _boxes(axes: Axes, columns: Sequence[NDArray[np.float64]]) -> None:
    axes.boxplot(
        [values[~np.isnan(values)] for values in columns],
        widths=0.6,
        patch_artist=True,
        showmeans=True,
        boxprops={"facecolor": "#BFDCEB", "edgecolor": "#1F3B4D"},
        medianprops={"color": "#1F3B4D", "linewidth": 1.8},
        meanprops={"marker": "D", "markersize": 4, "markerfacecolor": "#D55E00", "markeredgecolor": "white"},
        flierprops={"marker": ".", "markersize": 3, "markerfacecolor": "#1F3B4D", "markeredgecolor": "none"},
    )


def froc_rates(*, log: bool) -> NDArray[np.float64]:
    """False-positive rates a curve is drawn at: 0 to 1 per cm2, or 0.01 to 10; the marked rate is one of them."""
    spread = np.geomspace(0.01, 10, 61) if log else np.linspace(0, 1, 51)
    return np.unique(np.append(spread, MARKED_RATE))


def froc_plot(bands: Sequence[Row], *, log: bool = False) -> Figure:
    """FROC curves of one dataset with pointwise intervals, and a marker at 0.4 false positives per cm2.

    Args:
        bands: rows of `bundle.functional.summary.froc_bands`, in the order of the legend.
        log: false positives on a logarithmic axis.
    """
    figure = new_figure(9.5, max(4.4, 1.0 + 0.3 * len(bands)))
    axes = figure.subplots()
    for index, band in enumerate(bands):
        if not np.isnan(band["tpr"]).all():
            _curve(axes, band, index)
    unit = "cm2" if bands[0]["per"] == "cm2" else "image"
    if unit == "cm2":
        axes.axvline(MARKED_RATE, color="0.5", linewidth=0.8, linestyle=":")
    views = "clean views" if bands[0]["fp_views"] == "clean" else "all views"
    axes.set_xscale("log" if log else "linear")
    axes.set_xlim(bands[0]["rates"][0], bands[0]["rates"][-1])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"false positives per {unit} ({views})")
    axes.set_ylabel(f"{bands[0]['unit']}s found (TPR)")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(
            loc="outside right center",
            fontsize=8,
            frameon=False,
            title=f"TPR at {MARKED_RATE} FP/cm2" if unit == "cm2" else None,
        )
    return figure


def _curve(axes: Axes, band: Row, index: int) -> None:
    rates, tpr = np.array(band["rates"]), np.array(band["tpr"])
    line, colour, marker = _style(index)
    at = int(np.argmin(np.abs(rates - MARKED_RATE)))
    marked = [at] if band["per"] == "cm2" and math.isclose(rates[at], MARKED_RATE) else []
    value = f" {tpr[at]:.2f}" if marked else ""
    axes.plot(
        rates,
        tpr,
        line,
        color=colour,
        marker=marker,
        markevery=marked,
        label=short(band["system"]) + value,
        linewidth=1.6,
    )
    axes.fill_between(rates, band["low"], band["high"], color=colour, alpha=0.12, linewidth=0)


def strata_plot(rows: Sequence[Row]) -> Figure:
    """Object recall by contrast, size and densities, with intervals; one panel each, systems side by side.

    Args:
        rows: of `bundle.functional.summary.summarise`, one dataset, in the order of the legend.
    """
    figure = new_figure(12.5, max(6.0, 1.0 + 0.3 * len(rows)))
    for axes, stratum in zip(figure.subplots(2, 2, sharey=True).flat, STRATA, strict=True):
        for index, row in enumerate(rows):
            _stratum(axes, row, stratum, index, len(rows))
        labels = [stratum_label(stratum, level, rows[0]["strata_edges"]) for level in LEVELS]
        axes.set_xticks(range(len(LEVELS)), [label.removeprefix(STRATUM_NAMES[stratum]).strip() for label in labels])
        axes.set_title(STRATUM_NAMES[stratum], fontsize=10)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(axis="y", alpha=0.3)
    figure.supylabel("object recall", fontsize=10)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", fontsize=8, frameon=False)
    return figure


def _stratum(axes: Axes, row: Row, stratum: str, index: int, count: int) -> None:
    figures = [row["figures"][f"recall_{stratum}_{level}"] for level in LEVELS]
    values, low, high = (np.array([figure[key] for figure in figures]) for key in ("value", "low", "high"))
    places = np.arange(len(LEVELS)) + 0.8 * ((index + 0.5) / count - 0.5)
    _, colour, marker = _style(index)
    # A percentile interval may, rarely, lie beside its value; a bar cannot have a negative length.
    bars = np.nan_to_num(np.maximum([values - low, high - values], 0))
    axes.errorbar(
        places,
        values,
        yerr=bars,
        fmt=marker,
        color=colour,
        markersize=5,
        linewidth=1,
        capsize=2,
        label=short(row["system"]),
    )


def _style(index: int) -> tuple[str, str, str]:
    """Line style, colour and marker of the n-th system."""
    turn, place = divmod(index, len(COLOURS))
    return LINES[turn % len(LINES)], COLOURS[place], MARKERS[(place + 3 * turn) % len(MARKERS)]

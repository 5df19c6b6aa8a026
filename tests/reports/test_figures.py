"""Pictures show the numbers they are given."""

from typing import Any

import numpy as np
import pytest

from bundle.functional.case_statistics import CASE_METRICS, LEVELS, STRATA, case_values
from bundle.functional.summary import froc_bands, summarise
from bundle.reports.figures import BOX_METRICS, box_plots, froc_plot, froc_rates, png, short, strata_plot

from ..functional.case_records import made_up_records

SYSTEMS = [f"system {number}" for number in range(11)] + [
    "a very long name that costs $x^2$ of all the room there is, 1"
]
RECORDS = made_up_records(systems=SYSTEMS, n_patients=4)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("metric", BOX_METRICS)
def test_boxes_show_median_and_mean_of_every_system(metric: str) -> None:
    axes: Any = box_plots(RECORDS, SYSTEMS[:3], metrics=[metric]).axes[0]
    assert axes.get_title().startswith(CASE_METRICS[metric].label)
    medians = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.8]
    means = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "D"]
    values = [case_values([r for r in RECORDS if r["system"] == name])[metric] for name in SYSTEMS[:3]]
    np.testing.assert_allclose(medians, [np.nanmedian(column) for column in values])
    np.testing.assert_allclose(means, [np.nanmean(column) for column in values])


def test_a_system_without_values_keeps_its_place() -> None:
    records = [{**record, "pixels": None} if record["system"] == SYSTEMS[0] else record for record in RECORDS]
    (axes,) = box_plots(records, SYSTEMS[:2], metrics=["dice"]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == SYSTEMS[:2]


def test_only_what_should_be_low_says_so() -> None:
    titles = [axes.get_title() for axes in box_plots(RECORDS, SYSTEMS[:2]).axes]
    assert [title for title in titles if "lower is better" in title] == ["FNR (lower is better)"]


@pytest.mark.parametrize("log", [False, True])
def test_curves_are_the_bands_and_marked_at_the_rate(log: bool) -> None:
    bands = froc_bands(RECORDS, froc_rates(log=log), rng=rng(), n_resamples=20)
    axes: Any = froc_plot(bands, log=log).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(bands[0]["rates"])]
    assert len(curves) == len(SYSTEMS)
    for line, band in zip(curves, bands, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), band["tpr"])
        (marked,) = line.get_markevery()
        assert line.get_xdata()[marked] == 0.4
        assert line.get_label().endswith(f"{band['tpr'][marked]:.2f}")


@pytest.mark.parametrize(("per", "title"), [("cm2", "TPR at 0.4 FP/cm2"), ("image", "")])
def test_legend_names_the_rate_where_it_is_marked(per: str, title: str) -> None:
    bands = froc_bands(RECORDS, froc_rates(log=False), rng=rng(), per=per, n_resamples=20)
    (legend,) = froc_plot(bands).legends
    assert legend.get_title().get_text() == title
    assert (legend.get_texts()[-1].get_text() == bands[-1]["system"]) == (per == "image")


def test_twelve_systems_look_different() -> None:
    bands = froc_bands(RECORDS, froc_rates(log=False), rng=rng(), n_resamples=20)
    lines = froc_plot(bands).axes[0].lines[: len(SYSTEMS)]
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(styles) == len(SYSTEMS)


def test_a_curve_that_does_not_exist_is_not_drawn() -> None:
    clean = [record for record in RECORDS if not record["objects"]]
    bands = froc_bands(clean, froc_rates(log=False), rng=rng(), n_resamples=20)
    assert len(png(froc_plot(bands))) > 0


def test_strata_show_the_recall_of_the_table() -> None:
    rows = summarise(RECORDS, rng=rng(), n_resamples=20)[:3]
    figure: Any = strata_plot(rows)
    for axes, stratum in zip(figure.axes, STRATA, strict=True):
        drawn = [
            line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 3 and line.get_label() == "_nolegend_"
        ]
        expected = [[row["figures"][f"recall_{stratum}_{level}"]["value"] for level in LEVELS] for row in rows]
        for values in expected:
            assert any(np.array_equal(values, line, equal_nan=True) for line in drawn)


def test_equal_pictures_are_equal_files() -> None:
    first, second = (png(box_plots(RECORDS, SYSTEMS[:2], metrics=["f2"])) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_long_names_are_cut_in_the_middle_and_are_no_formula() -> None:
    assert short(SYSTEMS[-1]).endswith("re is, 1")
    assert len(short(SYSTEMS[-1])) <= 46
    assert short("$x$") == r"\$x\$"

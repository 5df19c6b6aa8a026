"""Pictures of one data set with more systems than fit into one: groups, each with what others are tested against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..functional.summary import froc_bands
from .figures import box_plots, froc_plot, froc_rates, png, strata_plot
from .page import Picture
from .panels import PanelCase, panel_sheet

Record = Mapping[str, Any]
Row = Mapping[str, Any]

# Curves, or columns of views, that one picture can show.
PER_PICTURE = 7


def groups_of(systems: Sequence[str], *, first: str = "", size: int = PER_PICTURE) -> list[list[str]]:
    """Systems in groups of even size, one of them in front of each.

    Args:
        systems: in order.
        first: that one; by default the first of all.
        size: largest group, at least 2.
    """
    if len(systems) <= size:
        return [list(systems)]
    first = first or systems[0]
    others = [name for name in systems if name != first]
    count = -(-len(others) // (size - 1))
    return [[first, *members.tolist()] for members in np.array_split(others, count)]


def dataset_pictures(
    records: Sequence[Record], rows: Sequence[Row], cases: Sequence[PanelCase], *, seed: int, n_resamples: int
) -> dict[str, Picture]:
    """Those of one data set that have something to show, by name.

    Args:
        records: of the data set.
        rows: its rows, in the order of the legends.
        cases: views to be shown.
        seed: of the bootstrap.
        n_resamples: number of bootstrap resamples.
    """
    region = f"Region: {rows[0]['region']}."
    systems = [row["system"] for row in rows]
    groups = groups_of(systems, first=next((row["reference"] for row in rows if row["reference"]), ""))
    pictures = {}
    if _any(rows, "dice"):
        text = f"Per case: quartiles and median, whiskers to 1.5 quartile distances, diamond at the mean. {region}"
        pictures["boxes"] = Picture(text, png(box_plots(records, systems)))
    for unit, per, log in _curves(rows):
        rng, rates = np.random.default_rng(seed), froc_rates(log=log)
        bands = froc_bands(records, rates, rng=rng, unit=unit, per=per, n_resamples=n_resamples)
        text = f"FROC per {unit} with pointwise {rows[0]['level']:.0%} bands. {region}"
        for number, group in enumerate(groups, start=1):
            ordered = sorted((b for b in bands if b["system"] in group), key=lambda b: group.index(b["system"]))
            pictures[f"froc_{unit}_{per}{'_log' if log else ''}_{number}"] = Picture(
                text, png(froc_plot(ordered, log=log))
            )
    if _any(rows, "object_recall"):
        text = f"Recall of objects by stratum, bars are {rows[0]['level']:.0%} intervals. {region}"
        for number, group in enumerate(groups, start=1):
            members = [row for row in rows if row["system"] in group]
            pictures[f"strata_{number}"] = Picture(text, png(strata_plot(members)))
    for number, group in enumerate(groups if cases else [], start=1):
        text = "Crops with most true pixels; objects are matched on the whole view."
        pictures[f"cases_{number}"] = Picture(text, png(panel_sheet(cases, group)))
    return pictures


def _curves(rows: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Which FROC curves exist: unit, per what, logarithmic."""
    objects = [("object", "cm2", False), ("object", "cm2", True)] if _any(rows, "pauc_fp_per_cm2") else []
    return objects + ([("cluster", "image", False)] if _any(rows, "cluster_pauc_fp_per_image") else [])


def _any(rows: Sequence[Row], metric: str) -> bool:
    return not all(np.isnan(row["figures"][metric]["value"]) for row in rows)

"""From case records to a folder of tables, pictures and one page."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..functional.statistics import N_RESAMPLES
from ..functional.summary import froc_bands, summarise
from .figures import box_plots, froc_plot, froc_rates, png, strata_plot
from .page import Picture, Section, render_page
from .panels import PanelCase, panel_sheet
from .tables import by_dataset, caption, dataset_tables, to_csv, to_json, to_markdown

Record = Mapping[str, Any]
Row = Mapping[str, Any]

PAGE = "report.html"


def write_report(
    folder: str | PathLike[str],
    records: Sequence[Record],
    *,
    title: str,
    command: str,
    date: str,
    seed: int = 0,
    reference: str | None = None,
    systems: Sequence[str] | None = None,
    cases: Mapping[str, Sequence[PanelCase]] | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Path:
    """Write table.csv, table.md, table.json, the pictures as PNG and report.html, which holds everything.

    The same arguments give the same files.

    Args:
        folder: made if it does not exist.
        records: of any number of datasets and systems.
        title: of the page.
        command: what made the records, as it would be typed.
        date: of the run.
        seed: of the bootstrap.
        reference: system the others are compared with.
        systems: order of rows and legends; alphabetical by default.
        cases: views to be shown, by dataset.
        n_resamples: number of bootstrap resamples.

    Returns:
        The path of the page.

    Raises:
        ValueError: on records that do not belong together, or systems that are not those of the records.
    """
    order = _order(records, systems)
    rows = _sorted(
        summarise(records, rng=np.random.default_rng(seed), reference=reference, n_resamples=n_resamples), order
    )
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("table.csv", to_csv(rows)), ("table.md", to_markdown(rows)), ("table.json", to_json(rows))):
        (out / name).write_text(text, encoding="utf-8")
    sections = []
    for number, (dataset, members) in enumerate(by_dataset(rows), start=1):
        mine = [record for record in records if record["dataset"] == dataset]
        pictures = _pictures(mine, members, order, seed, n_resamples, (cases or {}).get(dataset, ()))
        for name, picture in pictures.items():
            (out / f"{number:02d}_{_stem(dataset)}_{name}.png").write_bytes(picture.png)
        sections.append(Section(dataset, caption(members), dataset_tables(members), tuple(pictures.values())))
    page = out / PAGE
    page.write_text(render_page(title, _facts(rows, command, date, seed), sections), encoding="utf-8")
    return page


def _pictures(
    records: Sequence[Record],
    rows: Sequence[Row],
    order: Sequence[str],
    seed: int,
    n_resamples: int,
    cases: Sequence[PanelCase],
) -> dict[str, Picture]:
    """The pictures of one dataset that have something to show, by name."""
    region = f"Region: {rows[0]['region']}."
    systems = [row["system"] for row in rows]
    pictures = {}
    if _any(rows, "dice"):
        text = f"Per case: quartiles and median, whiskers to 1.5 quartile distances, diamond at the mean. {region}"
        pictures["boxes"] = Picture(text, png(box_plots(records, systems)))
    for unit, per, log in _curves(rows):
        rng, rates = np.random.default_rng(seed), froc_rates(log=log)
        bands = _sorted(froc_bands(records, rates, rng=rng, unit=unit, per=per, n_resamples=n_resamples), order)
        text = f"FROC per {unit} with pointwise {rows[0]['level']:.0%} bands. {region}"
        pictures[f"froc_{unit}_{per}{'_log' if log else ''}"] = Picture(text, png(froc_plot(bands, log=log)))
    if _any(rows, "object_recall"):
        text = f"Recall of objects by stratum, bars are {rows[0]['level']:.0%} intervals. {region}"
        pictures["strata"] = Picture(text, png(strata_plot(rows)))
    if cases:
        text = "Crops with most true pixels; objects are matched on the whole view."
        pictures["cases"] = Picture(text, png(panel_sheet(cases, systems)))
    return pictures


def _curves(rows: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Which FROC curves exist: unit, per what, logarithmic."""
    objects = [("object", "cm2", False), ("object", "cm2", True)] if _any(rows, "pauc_fp_per_cm2") else []
    return objects + ([("cluster", "image", False)] if _any(rows, "cluster_pauc_fp_per_image") else [])


def _any(rows: Sequence[Row], metric: str) -> bool:
    return not all(np.isnan(row["figures"][metric]["value"]) for row in rows)


def _facts(rows: Sequence[Row], command: str, date: str, seed: int) -> dict[str, str]:
    regions = ", ".join(sorted({row["region"] for row in rows}))
    reference = next((row["reference"] for row in rows if row["reference"]), None)
    facts = {"Command": command, "Date": date, "Seed": str(seed), "Region": regions}
    return {**facts, "Compared with": reference} if reference else facts


def _order(records: Sequence[Record], systems: Sequence[str] | None) -> list[str]:
    present = sorted({record["system"] for record in records})
    if systems is None:
        return present
    if sorted(systems) != present:
        raise ValueError(
            f"Expected the systems of the records ({', '.join(present)}) in order, got {', '.join(systems)}"
        )
    return list(systems)


def _sorted(rows: Sequence[Row], order: Sequence[str]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["dataset"], order.index(row["system"])))


def _stem(dataset: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", dataset).strip("_")[:60] or "dataset"

"""Many systems on many data sets: one table of figures and paired tests, then every data set's own, on one page.

A row that supports no claim (not converged, training not recorded) shows its figures and is not tested; one without
weights is there, and says how it is made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..functional.case_statistics import METRICS
from ..functional.statistics import N_RESAMPLES
from ..functional.summary import summarise
from .compare_pictures import dataset_pictures
from .figures import png
from .losses import loss_curves
from .page import Picture, Section, render_page
from .panels import PanelCase
from .tables import MISSING, Cell, Table, by_dataset, caption, dataset_tables, interval, number, p_text, to_csv, to_json

Record = Mapping[str, Any]
Row = Mapping[str, Any]

PAGE = "report.html"
MAIN_FIGURE = "object_f2"
"""Named before anything is run: Holm's correction is over systems, not over figures."""
FIGURES = (MAIN_FIGURE, "tpr_at_0.4_fp_per_cm2", "fp_per_cm2", "dice")
TRIAL = "A trial on a few cases: it shows that everything runs and supports no claim."
CURVES = "Mean loss of each epoch of every trained network; each has a loss of its own."
NO_CLAIM = "supports no claim"


@dataclass(frozen=True)
class System:
    """A line of the tables.

    Attributes:
        name: in the records.
        title: in tables and pictures.
        word: why it supports no claim, in two or three words; "" if it does.
        why: the same in a sentence.
        command: what would mend it.
    """

    name: str
    title: str
    word: str = ""
    why: str = ""
    command: str = ""

    @property
    def shown(self) -> str:
        """Title, and what is wrong with it."""
        return f"{self.title} ({self.word})" if self.word else self.title


def write_comparison(
    folder: str | PathLike[str],
    records: Sequence[Record],
    systems: Sequence[System],
    *,
    title: str,
    command: str,
    date: str,
    reference: str,
    cases: Mapping[str, Sequence[PanelCase]] | None = None,
    losses: Mapping[str, Path] | None = None,
    trial: bool = False,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Path:
    """Write table.csv, table.md, table.json, the pictures as PNG and report.html, which holds everything.

    Args:
        folder: made if it does not exist.
        records: of any number of data sets, by the systems' names.
        systems: all that were asked for, in order; those without records have a row all the same.
        title: of the page.
        command: what made the records, as it would be typed.
        date: of the run.
        reference: name of the system that others are tested against, if it has records.
        cases: views to be shown, by data set, with predictions by the systems' names.
        losses: losses.csv by name of the training, to be shown as curves.
        trial: everything is marked as supporting no claim.
        seed: of the bootstrap.
        n_resamples: number of bootstrap resamples.

    Returns:
        The path of the page.

    Raises:
        ValueError: on records that do not belong together, or of a system that is not listed.
    """
    named = {system.name: system for system in systems}
    strangers = sorted({str(record["system"]) for record in records} - set(named))
    if strangers:
        raise ValueError(f"Expected records of {', '.join(named)}, got some of {strangers[0]!r}; list it")
    renamed = [{**record, "system": named[record["system"]].shown} for record in records]
    rows = compared_rows(renamed, systems, reference=reference, seed=seed, n_resamples=n_resamples)
    front = [_standing(systems, trial), *overview(rows, systems, reference=reference)]
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    curves = [Picture(CURVES, png(loss_curves(losses)))] if losses else []
    for picture in curves:
        (out / "losses.png").write_bytes(picture.png)
    sections = [Section("All systems on all data sets", TRIAL if trial else _preface(rows), front, curves)]
    for number_, (dataset, members) in enumerate(by_dataset(rows), start=1):
        mine = [record for record in renamed if record["dataset"] == dataset]
        shown = [_with_titles(case, named) for case in (cases or {}).get(dataset, ())]
        pictures = dataset_pictures(mine, members, shown, seed=seed, n_resamples=n_resamples)
        for name, picture in pictures.items():
            (out / f"{number_:02d}_{name}.png").write_bytes(picture.png)
        tables = [_unmarked(table, systems) for table in dataset_tables(members)]
        sections.append(Section(dataset, caption(members), tables, list(pictures.values())))
    facts = {"Command": command, "Date": date, "Seed": str(seed), **({"Trial": TRIAL} if trial else {})}
    (out / "table.csv").write_text(to_csv(rows), encoding="utf-8")
    (out / "table.json").write_text(_json(rows, systems, trial), encoding="utf-8")
    (out / "table.md").write_text(_markdown(title, facts, sections), encoding="utf-8")
    page = out / PAGE
    page.write_text(render_page(title, facts, sections), encoding="utf-8")
    return page


def compared_rows(
    records: Sequence[Record], systems: Sequence[System], *, reference: str, seed: int, n_resamples: int
) -> list[Row]:
    """Rows of `summarise` by data set in the systems' order; only those that support claims are tested.

    Holm's correction is over these, so that rows without a claim cost the others nothing.

    Args:
        records: by the names that are shown.
        systems: all of them.
        reference: name of a system; one without a claim is tested against all the same.
        seed: of the bootstrap.
        n_resamples: number of bootstrap resamples.
    """
    against = next((system.shown for system in systems if system.name == reference), None)
    claims = {system.shown for system in systems if not system.word or system.shown == against}
    tested = [record for record in records if record["system"] in claims]
    if against not in {record["system"] for record in tested}:
        tested, against = [], None
    others = [record for record in records if against is None or record["system"] not in claims]
    rows: list[Row] = []
    for members, opponent in ((tested, against), (others, None)):
        if members:
            # The same seed: a data set's patients are drawn the same way in both.
            rng = np.random.default_rng(seed)
            rows += summarise(members, rng=rng, reference=opponent, n_resamples=n_resamples)
    order = [system.shown for system in systems]
    datasets = list(dict.fromkeys(str(record["dataset"]) for record in records))
    return sorted(rows, key=lambda row: (datasets.index(row["dataset"]), order.index(row["system"])))


def overview(rows: Sequence[Row], systems: Sequence[System], *, reference: str) -> list[Table]:
    """Systems by data sets, one table per figure of `FIGURES`; each data set has its value and its difference.

    Args:
        rows: of `compared_rows`.
        systems: every one has a line.
        reference: name of the system that others are tested against.
    """
    datasets = [name for name, _ in by_dataset(rows)]
    known = {(row["dataset"], row["system"]): row for row in rows}
    tables = []
    for metric in FIGURES:
        columns = ["System"]
        for dataset in datasets:
            columns += [dataset, "difference, Holm's p"]
        cells = []
        for system in systems:
            line = [Cell(system.shown, system.shown)]
            for dataset in datasets:
                line += _pair(
                    metric, known.get((dataset, system.shown)), _best(metric, dataset, rows), system, reference
                )
            cells.append(tuple(line))
        first = " (the main figure)" if metric == MAIN_FIGURE else ""
        tables.append(_unmarked(Table(f"{METRICS[metric].label}{first}", tuple(columns), tuple(cells)), systems))
    return tables


def _pair(metric: str, row: Row | None, best: float, system: System, reference: str) -> list[Cell]:
    if row is None:
        return [Cell(system.word or MISSING, float("nan")), Cell(MISSING, float("nan"))]
    figure = row["figures"][metric]
    value = Cell(f"{number(figure['value'])}{interval(figure)}", figure["value"], figure["value"] == best)
    if not row["differences"]:
        words = "reference" if system.name == reference else NO_CLAIM if system.word else MISSING
        return [value, Cell(words, float("nan"))]
    difference = row["differences"][metric]
    sign = "+" if difference["value"] > 0 else ""
    p = f", p {p_text(difference['p_holm'])}" if difference["p_holm"] == difference["p_holm"] else ""
    return [value, Cell(f"{sign}{number(difference['value'])}{interval(difference)}{p}", difference["value"])]


def _best(metric: str, dataset: str, rows: Sequence[Row]) -> float:
    """The best value of a column; nan where there is nothing to choose."""
    values = [row["figures"][metric]["value"] for row in rows if row["dataset"] == dataset]
    known = [value for value in values if not np.isnan(value)]
    if len(known) < 2:
        return float("nan")
    return max(known) if METRICS[metric].higher_is_better else min(known)


def _standing(systems: Sequence[System], trial: bool) -> Table:
    well = "a trial" if trial else "supports claims"
    cells = [
        tuple(Cell(text, text) for text in (system.shown, system.word or well, system.why, system.command))
        for system in systems
    ]
    return Table("What each row may be used for", ("System", "Standing", "Why", "Command"), tuple(cells))


def _preface(rows: Sequence[Row]) -> str:
    against = next((row["reference"] for row in rows if row["reference"]), None)
    tested = (
        f"Differences are to {against}, on the cases of both: interval of the bootstrap over patients, and p of "
        "Wilcoxon's signed-rank test over patients after Holm's correction over the systems that support claims"
        if against
        else "Nothing is tested: the system to test against has no row here"
    )
    return f"Brackets hold 95% intervals over patients. {tested}. The main figure is {METRICS[MAIN_FIGURE].label}."


def _unmarked(table: Table, systems: Sequence[System]) -> Table:
    """A table in which no row that supports no claim is marked as best."""
    silent = {system.shown for system in systems if system.word}
    cells = tuple(
        tuple(Cell(cell.text, cell.key) for cell in line) if line[0].text in silent else line for line in table.cells
    )
    return Table(table.title, table.columns, cells)


def _with_titles(case: PanelCase, named: Mapping[str, System]) -> PanelCase:
    preds = {named[name].shown: pred for name, pred in case.preds.items() if name in named}
    return PanelCase(case.name, case.image, case.label, preds, case.spacing_mm, case.region)


def _json(rows: Sequence[Row], systems: Sequence[System], trial: bool) -> str:
    listed = [vars(system) | {"shown": system.shown} for system in systems]
    return json.dumps({"trial": trial, "systems": listed, "rows": json.loads(to_json(rows))}, indent=1) + "\n"


def _markdown(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    parts = [f"# {_plain(title)}", "\n".join(f"- {name}: {_plain(text)}" for name, text in facts.items())]
    for section in sections:
        parts += [f"## {_plain(section.title)}", _plain(section.text)]
        for table in section.tables:
            lines = [table.columns, ["---"] * len(table.columns)]
            lines += [[f"**{_plain(c.text)}**" if c.best else _plain(c.text) for c in cells] for cells in table.cells]
            parts += [f"### {_plain(table.title)}", "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text that neither ends a cell of a Markdown table nor starts markup."""
    return " ".join(text.replace("|", "/").replace("<", "&lt;").split())

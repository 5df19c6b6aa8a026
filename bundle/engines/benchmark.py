"""Runs systems over the cases of a benchmark, case by case, so that a stopped run goes on where it stopped."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..functional.case_record import score_case
from ..functional.flow import ode_steps
from ..functional.froc import FAR_LOGITS, fp_per_cm2_curve
from ..functional.refinement import time_schedule
from ..functional.refinement_settings import RefinementSettings
from .evaluation import fingerprint

View = Mapping[str, Any]
Record = dict[str, Any]

# Thresholds that a FROC curve may have below `FAR_LOGITS`, which every curve has: equally far apart in logit.
LOGIT_GRID = np.linspace(-11.5, 14.0, 511)
# Thresholds of a curve that no clean tuning view chooses.
FIXED_LOGITS = tuple(float(level) for level in (*LOGIT_GRID[::10], *FAR_LOGITS))
# A curve starts where clean tuning views show this many false objects per cm2: nobody reads it further, and matching
# floods of objects takes long.
HIGHEST_RATE = 10.0
# Points of a curve where clean tuning views show false objects, and beyond.
FROC_POINTS, CLEAN_POINTS = 32, 8
# Evaluations of the velocity per integration step.
EVALUATIONS = {"euler": 1, "heun": 2}


class Case(NamedTuple):
    """One view of a benchmark.

    Attributes:
        case: name, one of its kind in the dataset.
        patient: all views of one patient share it.
        dataset: e.g. "shift/dose".
        settings: short text that changes with anything the view depends on.
        load: gives `image` in [-1, 1], `label` 0/1/2 and `breast` bool, all (rows, columns), and `spacing_mm`.
    """

    case: str
    patient: str
    dataset: str
    settings: str
    load: Callable[[], View]


@dataclass(frozen=True)
class MapSystem:
    """What makes a map of logits from a view.

    Attributes:
        name: of the system.
        predict: view -> logits, float (rows, columns).
        settings: short text that changes with anything the logits depend on: weights, options.
        keep: whether its maps are worth keeping in files.
        first: a system whose logits this one only moves; its maps are kept and used, in place of `predict`.
        move: (view, logits of `first`) -> logits, with `first`.
    """

    name: str
    predict: Callable[[View], NDArray[np.floating]]
    settings: str
    keep: bool = False
    first: "MapSystem | None" = None
    move: Callable[[View, NDArray[np.float32]], NDArray[np.floating]] | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table: a system at an operating threshold.

    Attributes:
        name: of the line.
        system: several lines may share one.
        threshold: operating threshold, a probability.
        froc_logits: (n,), thresholds of its curve, increasing; the same for all cases.
    """

    name: str
    system: MapSystem
    threshold: float
    froc_logits: tuple[float, ...]

    def settings(self, case: Case) -> str:
        """What its record of a case depends on."""
        return fingerprint(self.system.settings, self.threshold, self.froc_logits, case.settings)


@dataclass
class KeptMaps:
    """Maps of logits in files, each computed once; half precision, steps of 0.01 at a logit of 14.

    Attributes:
        folder: where they lie, a folder per system and its settings.
        seconds: time that each system took to compute in this run.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def path(self, system: MapSystem, case: Case) -> Path:
        """The file of one map."""
        return self.folder / f"{system.name}-{system.settings}" / f"{fingerprint(*case[:4])}.npz"

    def kept(self, system: MapSystem, case: Case) -> NDArray[np.float32] | None:
        """Logits (rows, columns) of an earlier run, or None."""
        path = self.path(system, case)
        if not (system.keep and path.exists()):
            return None
        with np.load(path) as file:
            return file["logits"].astype(np.float32)

    def probs(self, system: MapSystem, case: Case, view: View) -> NDArray[np.float32]:
        """Probabilities (rows, columns) of one system on one case."""
        return sigmoid(self.logits(system, case, view))

    def logits(self, system: MapSystem, case: Case, view: View) -> NDArray[np.float32]:
        """Logits (rows, columns) of one system on one case."""
        if (kept := self.kept(system, case)) is not None:
            return kept
        moved = None if system.first is None else self.logits(system.first, case, view)
        start = time.perf_counter()
        if moved is not None and system.move is not None:
            logits = np.asarray(system.move(view, moved))
        else:
            logits = np.asarray(system.predict(view))
        self.seconds[system.name] += time.perf_counter() - start
        if system.keep:
            logits = logits.astype(np.float16)
            _write(self.path(system, case), logits)
        return logits.astype(np.float32)


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities of logits of any precision."""
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _write(path: Path, logits: NDArray[np.float16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    np.savez_compressed(temporary, logits=logits)
    temporary.replace(path)


def froc_logits(logits: Sequence[NDArray], views: Sequence[View]) -> tuple[float, ...]:
    """Thresholds of a system's FROC curves, from its maps of clean tuning views; they end at 1000 for all.

    Args:
        logits: (rows, columns) per view.
        views: without microcalcifications.
    """
    breasts, spacings = [view["breast"] for view in views], [view["spacing_mm"] for view in views]
    rates = fp_per_cm2_curve(LOGIT_GRID, logits, breasts, spacing_mm=spacings)
    # At low thresholds objects run together and become few again, so the curve is read from its right end.
    last = int(np.max(np.flatnonzero(rates > 0), initial=0))
    first = min(int(np.max(np.flatnonzero(rates > HIGHEST_RATE), initial=-1)) + 1, last)
    parts = (np.linspace(first, last, FROC_POINTS), np.linspace(last, len(LOGIT_GRID) - 1, CLEAN_POINTS + 1))
    places = np.unique(np.concatenate(parts).round().astype(int))
    return tuple(float(level) for level in (*LOGIT_GRID[places], *FAR_LOGITS))


def refinement_passes(settings: RefinementSettings) -> int:
    """Network passes per refined window: the generator's steps and one of the segmentor, per iteration and draw."""
    times = time_schedule(settings.iterations, t_start=settings.t_start, t_end=settings.t_end)
    steps = [settings.steps or ode_steps(t, k_max=settings.k_max) for t in times]
    return settings.draws * sum(EVALUATIONS[settings.method] * count + 1 for count in steps)


def run_cases(
    rows: Sequence[Row],
    cases: Sequence[Case],
    maps: KeptMaps,
    *,
    recorded: Callable[[Row, Case], Record | None],
    save: Callable[[Row, Case, Record], object],
    progress: bool = True,
) -> list[Record]:
    """Score every row on every case; a case with all its records is not even read.

    Args:
        rows: lines of the table.
        cases: views.
        maps: where maps are kept.
        recorded: gives the record of an earlier run, or None.
        save: keeps a record.
        progress: show a progress bar.
    """
    records: list[Record] = []
    for case in tqdm(cases, desc="Cases", unit="case", disable=not progress):
        known = {row.name: recorded(row, case) for row in rows}
        missing = [row for row in rows if known[row.name] is None]
        if missing:
            for row, record in zip(missing, _score(missing, case, case.load(), maps), strict=True):
                save(row, case, record)
                known[row.name] = record
        records += [record for record in known.values() if record is not None]
    return records


def _score(rows: Sequence[Row], case: Case, view: View, maps: KeptMaps) -> list[Record]:
    """Records of several rows on one view; rows of one system share its map and its FROC counts."""
    records: list[Record] = []
    logits: dict[str, NDArray] = {}
    curves: dict[tuple[str, tuple[float, ...]], Any] = {}
    for row in rows:
        name, key = row.system.name, (row.system.name, row.froc_logits)
        if name not in logits:
            logits[name] = maps.logits(row.system, case, view)
        record = score_case(
            sigmoid(logits[name]),
            view["label"],
            case=case.case,
            patient=case.patient,
            system=row.name,
            dataset=case.dataset,
            spacing_mm=view["spacing_mm"],
            region_name="breast",
            region=view["breast"],
            threshold=row.threshold,
            froc_thresholds=row.froc_logits[:1] if key in curves else row.froc_logits,
            froc_map=logits[name],
            image=view["image"],
        )
        record["froc"] = curves.setdefault(key, record["froc"])
        records.append(record)
    return records

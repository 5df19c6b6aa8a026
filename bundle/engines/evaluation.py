"""Several systems over the cases of an evaluation: one record per system and case, then one report."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from tqdm import tqdm

from .. import __version__
from ..functional.case_record import score_case
from ..functional.confusion import MICROCALCIFICATION
from ..functional.errors import MammogramError
from ..functional.froc import FAR_LOGITS
from .tracking import tracked_run

Record = dict[str, Any]
View = dict[str, Any]
COMMAND = "python -m monai.bundle run evaluate --config_file configs/evaluate.yaml"
SHOWN = 4
# Thresholds of the FROC curves: equal steps of the logit, and beyond.
FROC_LOGITS = (*np.linspace(-9.0, 14.0, 93).tolist(), *FAR_LOGITS.tolist())


def system_names(systems: str | Sequence[str]) -> list[str]:
    """Names from "segmentor,top-hat" or from a list."""
    listed = systems.split(",") if isinstance(systems, str) else systems
    return list(dict.fromkeys(str(name).strip() for name in listed))


def check_evaluation(cases: Any, *, systems: str | Sequence[str], known: Sequence[str], threshold: float) -> None:
    """Name everything that is wrong with options and files, before anything is scored or written.

    Args:
        cases: `bundle.data.EvaluationCases`.
        systems: names of systems.
        known: those there are.
        threshold: operating threshold.

    Raises:
        SystemExit: status 1, with one line per problem.
    """
    problems = [
        f"--systems: Expected systems among {', '.join(known)}, got {name!r}"
        for name in system_names(systems)
        if name not in known
    ]
    if not (isinstance(threshold, (int, float)) and 0 < threshold < 1):
        problems.append(f"--threshold: Expected a probability above 0 and below 1, got {threshold!r}")
    problems += cases.check()
    if problems:
        lines = "\n".join(f"error: {problem}" for problem in problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise SystemExit(f"{lines}\n{count}; nothing was run, nothing was written")
    print(cases.summary())


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the compared systems.

    Attributes:
        inferer: takes a view (1, 1, rows, columns) and the network, and returns logits of that shape.
        network: the segmentor; None for a system without weights.
    """

    inferer: Callable[..., torch.Tensor]
    network: torch.nn.Module | None = None

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (rows, columns) of a view (1, rows, columns)."""
        return torch.as_tensor(self.inferer(image[None], self.network))[0, 0].float().cpu()


class Evaluation:
    """What an evaluator does with a case: every system whose record is missing predicts it and is scored.

    Args:
        cases: `bundle.data.EvaluationCases`.
        systems: by name.
        chosen: names of those to run.
        threshold: operating threshold.
        device: where networks run.
        froc_logits: thresholds of the FROC curves, increasing.

    Attributes:
        records: of this run's cases, old and new.
        refused: one line per case that failed.
    """

    def __init__(
        self,
        cases: Any,
        systems: Mapping[str, System | None],
        *,
        chosen: str | Sequence[str],
        threshold: float = 0.5,
        device: str | torch.device = "cpu",
        froc_logits: Sequence[float] = FROC_LOGITS,
    ) -> None:
        self.cases, self.device = cases, device
        self.systems = {name: _built(name, systems) for name in system_names(chosen)}
        self.threshold, self.froc_logits = float(threshold), list(froc_logits)
        common = (__version__, self.threshold, self.froc_logits)
        self.settings = {name: fingerprint(common, system) for name, system in self.systems.items()}
        self.records: list[Record] = []
        self.refused: list[str] = []
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator: shows a progress bar over systems and cases."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._stop)

    def __call__(self, engine: Engine, case: Any) -> list[Record]:
        """Score a case by each system; the iteration of the evaluator.

        Args:
            engine: the evaluator.
            case: of `cases`.

        Returns:
            Its records.
        """
        known = {name: self.cases.recorded(case, name, self.settings[name]) for name in self.systems}
        try:
            view = {} if all(known.values()) else self.cases.load(case)
        except MammogramError as error:
            self.refused.append(str(error))
            view, known = {}, {}
        for name, record in known.items():
            if record is None:
                logits = self.systems[name].logits(view["image"].to(self.device))
                probs = logits.sigmoid().numpy()
                record = self._score(name, case, view, probs, logits.numpy())
                # The record last: what has one is done.
                self.cases.save_prediction(case, name, probs >= self.threshold)
                self.cases.save(case, record, self.settings[name])
            known[name] = record
            if self._bar is not None:
                self._bar.update()
        records = list(known.values())
        self.records += records
        return records

    def _score(self, name: str, case: Any, view: Mapping[str, Any], probs: NDArray, logits: NDArray) -> Record:
        annotation = view["annotation"]
        kind = annotation.kind
        return score_case(
            probs,
            annotation.label,
            case=case.case,
            patient=case.patient,
            system=name,
            dataset=view["dataset"],
            spacing_mm=view["spacing_mm"],
            region_name=self.cases.region_name(),
            region=view["region"],
            threshold=self.threshold,
            froc_thresholds=self.froc_logits,
            froc_map=logits,
            image=np.asarray(view["image"])[0],
            annotation=kind,
            points=annotation.points_px if kind == "points" else None,
            outlines=annotation.outlines_px if kind == "outlines" else None,
        )

    def _start(self, engine: Engine) -> None:
        self.records, self.refused = [], []
        self._bar = tqdm(total=len(self.cases.cases) * len(self.systems), desc="Evaluating", unit="record")

    def _stop(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _built(name: str, systems: Mapping[str, System | None]) -> System:
    system = systems.get(name)
    if system is None:
        raise ValueError(f"Expected a system among {', '.join(systems)}, got {name!r}; choose one of them")
    return system


def fingerprint(*values: Any) -> str:
    """Short hash of settings.

    Of plain values, containers, functions and types by name, objects by their attributes, and networks by their
    weights and their own plain attributes.

    Raises:
        TypeError: on anything else, which could not be told from another of its kind.
    """
    digest = hashlib.sha256()
    _feed(digest, values)
    return digest.hexdigest()[:16]


def _feed(digest: Any, value: Any) -> None:
    digest.update(f"<{type(value).__qualname__}>".encode())
    if value is None or isinstance(value, (bool, int, float, str)):
        digest.update(repr(value).encode())
    elif isinstance(value, torch.nn.Module):
        own = {name: option for name, option in vars(value).items() if isinstance(option, (bool, int, float, str))}
        _feed(digest, {name: option for name, option in own.items() if name != "training"})
        for name, tensor in value.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        _feed(digest, [item for pair in sorted(value.items()) for item in pair])
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(digest, item)
    elif is_dataclass(value):
        _feed(digest, [(field.name, getattr(value, field.name)) for field in fields(value)])
    elif hasattr(value, "__qualname__"):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
    elif hasattr(value, "__dict__"):
        _feed(digest, vars(value))
    else:
        raise TypeError(f"Expected settings of plain values, got {type(value).__qualname__}; name them otherwise")


class EvaluationReport:
    """Writes the report when all cases are through; an open MLflow run gets the same without names and paths.

    In MLflow every figure of the table is a metric, DATASET/SYSTEM/FIGURE, and shown cases are numbered.

    Args:
        evaluation: the records.
        output_dir: made if it does not exist.
        write: `bundle.reports.report.write_report`.
        panel: `bundle.reports.panels.PanelCase`.
        reference: system that the others are compared with, if it is among them.
        options: ids of the config and their values, for the command on the page.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        output_dir: str | Path,
        write: Callable[..., Path],
        panel: Callable[..., Any],
        *,
        reference: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.evaluation, self.output_dir, self.write, self.panel = evaluation, Path(output_dir), write, panel
        self.reference = reference if reference in evaluation.systems else None
        self.options = dict(options or {})

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator, behind the evaluation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _finish(self, engine: Engine) -> None:
        if not self.evaluation.records:
            return
        views = shown_views(self.evaluation.cases, self.evaluation.records)
        self._write(self.output_dir, views, command_line(self.options))
        if (run := tracked_run(engine)) is None:
            return
        numbered = [{**view, "name": f"case {number}"} for number, view in enumerate(views, start=1)]
        with TemporaryDirectory() as folder:
            self._write(Path(folder), numbered, COMMAND)
            run.client.log_artifacts(run.run_id, folder, "report")
            rows = json.loads((Path(folder) / "table.json").read_text(encoding="utf-8"))
        for key, value in table_metrics(rows).items():
            run.client.log_metric(run.run_id, key, value)

    def _write(self, folder: Path, views: Sequence[View], command: str) -> None:
        shown: dict[str, list[Any]] = {}
        for view in views:
            options = {key: value for key, value in view.items() if key != "dataset"}
            shown.setdefault(view["dataset"], []).append(self.panel(**options))
        self.write(
            folder,
            self.evaluation.records,
            title=f"Evaluation: {self.evaluation.cases.name}",
            command=command,
            date=date.today().isoformat(),
            reference=self.reference,
            systems=list(self.evaluation.systems),
            cases=shown,
        )


def command_line(options: Mapping[str, Any]) -> str:
    """The command that makes the same records, for a shell."""
    given = [f"--{key} {shlex.quote(str(value))}" for key, value in options.items() if value is not None]
    return " ".join([COMMAND, *given])


def shown_cases(records: Sequence[Record], *, count: int = SHOWN) -> list[str]:
    """Names of the cases to show: by no choice of ours, from the best to the worst of the first system.

    Calcified cases in even steps of object recall, then fewer false objects; the last is the clean case with most false
    objects, if there is one. Cases with outlines are not shown.

    Args:
        records: of any number of systems.
        count: calcified cases at most.
    """
    first = [r for r in records if r["system"] == records[0]["system"] and r["annotation"] != "outlines"]
    calcified = sorted((r for r in first if r["objects"]), key=_difficulty)
    clean = sorted((r for r in first if not r["objects"]), key=_difficulty)
    steps = np.unique(np.linspace(0, len(calcified) - 1, count).round().astype(int)).tolist()
    return [record["case"] for record in (*(calcified[step] for step in steps if calcified), *clean[-1:])]


def _difficulty(record: Record) -> tuple[float, int, str]:
    objects = record["objects"]
    missed = sum(not item["hit"] for item in objects) / len(objects) if objects else 0.0
    return missed, record["false_objects"], record["case"]


def shown_views(cases: Any, records: Sequence[Record]) -> list[View]:
    """Views for the pictures: `dataset, name, image, label, preds` (bool by system), `spacing_mm` and `region`.

    Points are single pixels of the label here.
    """
    by_name = {case.case: case for case in cases}
    systems = list(dict.fromkeys(record["system"] for record in records))
    shown = []
    for name in shown_cases(records):
        case = by_name[name]
        view = cases.load(case)
        label = view["annotation"].label.copy()
        rows, columns = np.floor(view["annotation"].points_px + 0.5).astype(int).T
        label[rows, columns] = MICROCALCIFICATION
        preds = {system: cases.prediction(case, system) for system in systems}
        preds = {system: pred for system, pred in preds.items() if pred is not None}
        image = np.asarray(view["image"])[0]
        kept = {key: view[key] for key in ("dataset", "spacing_mm", "region")}
        shown.append({"name": name, "image": image, "label": label, "preds": preds, **kept})
    return shown


def table_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Every figure of table.json that exists, by dataset, system and name."""
    return {
        f"{row['dataset']}/{row['system']}/{name}": float(figure["value"])
        for row in rows
        for name, figure in row["figures"].items()
        if figure["value"] is not None
    }


def run_evaluation(evaluator: Engine, evaluation: Evaluation) -> None:
    """Evaluate every case; afterwards say what was taken from earlier runs and what failed.

    Raises:
        SystemExit: status 1 if a case failed.
    """
    evaluator.run()
    outdated = evaluation.cases.outdated
    if outdated:
        print(f"{len(outdated)} records were of other settings or files, or damaged; they were made anew")
    for line in evaluation.refused:
        print(f"refused: {line}", file=sys.stderr)
    if evaluation.refused:
        raise SystemExit(1)

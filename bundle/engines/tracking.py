"""What goes to MLflow beside MONAI's curves: settings, sample pictures, and the trace of a refinement.

Files are written with or without MLflow, which is never needed and never imported unless a run is open. Nothing that
goes to MLflow holds a file name or a path: views are counted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import ignite.distributed as idist
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from monai.handlers import MLFlowHandler

from .. import __version__
from .pictures import Batch, Panel, contact_sheet, segmentor_panels, trace_figure


class TrackedRun(NamedTuple):
    """An open run of MLflow and the client that knows its store."""

    client: Any
    run_id: str


def tracked_run(engine: Engine) -> TrackedRun | None:
    """The run of the MLFlowHandler attached to an engine, or else the caller's own `mlflow.start_run`, or None.

    MONAI's handler opens its run through a client, so `mlflow.active_run` knows nothing of it.
    """
    for handler, *_ in engine._event_handlers.get(Events.STARTED, []):
        owner = getattr(handler, "__self__", None)
        if isinstance(owner, MLFlowHandler) and owner.cur_run is not None:
            return TrackedRun(owner.client, owner.cur_run.info.run_id)
    # Whoever opened a run has imported mlflow.
    mlflow = sys.modules.get("mlflow")
    run = None if mlflow is None else mlflow.active_run()
    return None if mlflow is None or run is None else TrackedRun(mlflow.MlflowClient(), run.info.run_id)


class TrackedParameters:
    """Logs settings as parameters of the run; MONAI's handler logs `max_epochs` and `epoch_length` alone.

    A resumed run keeps its parameters, as MLflow wants it; one that has changed becomes a tag, `NAME since epoch N`.
    The version of this package is one of them.

    Args:
        parameters: name to value; no paths.
        description: what MLflow shows above the run's figures.
    """

    def __init__(self, parameters: Mapping[str, Any], *, description: str = "") -> None:
        self.parameters = {name: str(value) for name, value in parameters.items()} | {"version": __version__}
        self.description = description
        self._run_id = ""

    def attach(self, engine: Engine) -> None:
        """Attach to any engine."""
        # Not at STARTED: MONAI appends its handler, which opens the run, behind this one.
        engine.add_event_handler(Events.EPOCH_STARTED, self._log)

    def _log(self, engine: Engine) -> None:
        run = tracked_run(engine)
        if run is None or run.run_id == self._run_id:
            return
        self._run_id = run.run_id
        if self.description:
            run.client.set_tag(run.run_id, "mlflow.note.content", self.description)
        logged = run.client.get_run(run.run_id).data.params
        for name, value in self.parameters.items():
            if name not in logged:
                run.client.log_param(run.run_id, name, value)
            elif logged[name] != value:
                run.client.set_tag(run.run_id, f"{name} since epoch {engine.state.epoch}", value)


class TrackableLoss:
    """Hands on an output that was not decollated as a list of one, the only form whose loss MONAI's tracking can read.

    `from_engine(["loss"], first=True)` makes a tuple of a plain output, which MLflow refuses. Goes last among a
    trainer's handlers, before the one that MONAI appends.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._wrap)

    def _wrap(self, engine: Engine) -> None:
        output: Any = engine.state.output
        if isinstance(output, dict):
            engine.state.output = [output]  # type: ignore[assignment]


class SamplePictures:
    """Writes OUTPUT_DIR/pictures/NAME_epoch_N.png, a contact sheet of the first batch of each run of an engine.

    So a trainer shows what it trains on when it starts or resumes, and an evaluator what has been learnt at each
    validation. An open MLflow run gets the same file.

    Args:
        output_dir: made if it does not exist.
        name: first part of the file name.
        panels: batch and output of the engine -> tiles, `segmentor_panels` or `generator_panels`.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        name: str,
        panels: Callable[[Batch, Batch], list[list[Panel]]] = segmentor_panels,
    ) -> None:
        self.directory, self.name, self.panels = Path(output_dir) / "pictures", name, panels
        self._wanted = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._draw)

    def _start(self) -> None:
        self._wanted = idist.get_rank() == 0

    def _draw(self, engine: Engine) -> None:
        if not self._wanted:
            return
        self._wanted = False
        path = self.directory / f"{self.name}_epoch_{engine.state.epoch:04d}.png"
        batch, output = _batch(engine), cast(Batch, engine.state.output)
        write_figure(path, contact_sheet(self.panels(batch, output)))
        if (run := tracked_run(engine)) is not None:
            run.client.log_artifact(run.run_id, str(path), "pictures")


class RefinementTrace:
    """Writes STEM_trace.csv and STEM_trace.png per view that was refined, beside its STEM_findings.json.

    An open MLflow run gets the numbers as metrics view_N/energy and so on over the iterations, and the picture as
    traces/view_N.png; N counts views, because STEM is a file name and may name a person.

    Args:
        inferer: `TTGPRInferer`; nothing is written if it keeps no trace (or for any other inferer).
        output_dir: where the findings go.
    """

    def __init__(self, inferer: Any, output_dir: str | os.PathLike[str]) -> None:
        self.inferer, self.output_dir = inferer, Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator over single views."""
        # The findings are written at an earlier event, so their stem is known by now.
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)

    def _save(self, engine: Engine) -> None:
        trace = getattr(self.inferer, "last_trace", None)
        if not trace:
            return
        view = f"view_{engine.state.iteration:04d}"
        stem = findings_stem(self.output_dir, _source(_batch(engine))) or view
        figure = trace_figure(trace)
        _write_whole(self.output_dir / f"{stem}_trace.csv", trace_csv(trace).encode())
        write_figure(self.output_dir / f"{stem}_trace.png", figure)
        if (run := tracked_run(engine)) is not None:
            _log_trace(run, view, trace)
            run.client.log_figure(run.run_id, figure, f"traces/{view}.png")


def findings_stem(folder: Path, source: str) -> str:
    """STEM of the newest findings of an image in a folder, by the `source_id` in them; "" if there are none."""
    identity = hashlib.sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:8]
    # Not what a killed run was writing, under a hidden name.
    written = filter(Path.is_file, folder.glob("[!.]*_findings.json"))
    found = sorted(written, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found:
        if f'"source_id": "{identity}"' in path.read_text(encoding="utf-8", errors="replace"):
            return path.name.removesuffix("_findings.json")
    return ""


def trace_csv(trace: Sequence[Mapping[str, float]]) -> str:
    """A table with one line per iteration."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(trace[0]))
    writer.writeheader()
    writer.writerows(trace)
    return text.getvalue()


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG; the folder is made."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    _write_whole(path, picture.getvalue())


def _write_whole(path: Path, content: bytes) -> None:
    """The file appears at once and whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _batch(engine: Engine) -> Batch:
    # Ignite believes that batches and outputs are numbers.
    return cast(Batch, engine.state.batch)


def _source(batch: Batch) -> str:
    """File of the first view of a batch."""
    image = batch["image"] if isinstance(batch, Mapping) else batch[0]["image"]
    source = getattr(image, "meta", {}).get("filename_or_obj", "")
    return str(source if isinstance(source, (str, os.PathLike)) else source[0])


def _log_trace(run: TrackedRun, view: str, trace: Sequence[Mapping[str, float]]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(f"{view}/{name}", float(value), now, int(row["refine_iter"]))
        for row in trace
        for name, value in row.items()
        if name != "refine_iter"
    ]
    run.client.log_batch(run.run_id, metrics=metrics)

"""A comparison in MLflow: one run with its figures and its page, without file names, folders or exams."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bundle import __version__
from bundle.engines.benchmark import Record
from bundle.engines.evaluation import table_metrics
from bundle.reports.compare import System, write_comparison
from bundle.reports.panels import PanelCase

EXPERIMENT = "comparison"
COMMAND = "python -m scripts.compare"
# Data sets of ours, whose names are nobody's.
OWN = re.compile(r"(shift/\w+|real)( \(trial of \d+ cases\))?")


def track(
    output_dir: Path,
    records: Sequence[Record],
    systems: Sequence[System],
    shown: Mapping[str, Sequence[PanelCase]],
    options: Mapping[str, Any],
) -> None:
    """Log a comparison as one run: options as parameters, figures as metrics DATASET/SYSTEM/FIGURE, the page.

    Args:
        output_dir: the store is OUTPUT_DIR/mlruns.db, unless MLFLOW_TRACKING_URI is set.
        records: by the data sets' names.
        systems: all lines.
        shown: views for the pictures, by data set.
        options: of `write_comparison`.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(output_dir / 'mlruns.db').resolve().as_posix()}"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = (
        client.create_experiment(EXPERIMENT, artifact_location=(output_dir / "mlruns").resolve().as_uri())
        if experiment is None
        else experiment.experiment_id
    )
    run = client.create_run(number, run_name=str(options["title"])).info.run_id
    # Why a row supports no claim may name a file of weights, and that an exam.
    systems = [replace(system, why="") for system in systems]
    named = nameless({str(record["dataset"]) for record in records})
    parameters = {"version": __version__, "trial": options["trial"], "datasets": ", ".join(named.values())}
    for name, value in {**parameters, "systems": ", ".join(system.name for system in systems)}.items():
        client.log_param(run, name, value)
    with TemporaryDirectory() as folder:
        write_comparison(
            folder,
            [{**record, "dataset": named[str(record["dataset"])]} for record in records],
            systems,
            command=COMMAND,
            cases={named[name]: numbered(cases) for name, cases in shown.items()},
            **options,
        )
        client.log_artifacts(run, folder, "report")
        table = json.loads((Path(folder) / "table.json").read_text(encoding="utf-8"))
    names = {system.shown: system.name for system in systems}
    rows = [{**row, "system": names[row["system"]]} for row in table["rows"]]
    # MLflow knows neither commas nor brackets in a name.
    metrics = {key.replace("(", "").replace(")", ""): value for key, value in table_metrics(rows).items()}
    client.log_batch(run, metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()])
    client.set_terminated(run)


def nameless(datasets: set[str]) -> dict[str, str]:
    """Names of data sets that say nothing of a folder."""
    own = {name: name for name in sorted(datasets) if OWN.fullmatch(name)}
    others = [name for name in sorted(datasets) if name not in own]
    return own | {name: f"labelled {number}" for number, name in enumerate(others, start=1)}


def numbered(cases: Sequence[PanelCase]) -> list[PanelCase]:
    """Views without their names."""
    return [replace(case, name=f"case {number}") for number, case in enumerate(cases, start=1)]

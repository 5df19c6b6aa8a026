"""Trials of an Optuna study in MLflow: one run each. MLflow is one of the training extras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tuning_study import CONSTRAINT

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

EXPERIMENT = "tuning"
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def log_trials(study: Study, output_dir: Path) -> None:
    """Log every ended trial that MLflow does not know yet: parameters, figures, and F2 after each case.

    For one process at a time. A run that is not closed is of a process that died while it logged: it is deleted, and
    its trial logged anew.

    Args:
        study: any.
        output_dir: the store is OUTPUT_DIR/mlruns.db, unless MLFLOW_TRACKING_URI is set.
    """
    from mlflow import MlflowClient

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(output_dir / 'mlruns.db').resolve().as_posix()}"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = (
        client.create_experiment(EXPERIMENT, artifact_location=(output_dir / "mlruns").resolve().as_uri())
        if experiment is None
        else experiment.experiment_id
    )
    identity = str(study.user_attrs["identity"])
    known = set()
    for run in client.search_runs([number], filter_string=f"tags.study = '{identity}'", max_results=50000):
        if run.info.status == "RUNNING":
            client.delete_run(run.info.run_id)
        else:
            known.add(run.data.tags["trial"])
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished() and str(trial.number) not in known:
            _log(client, number, trial, identity)


def _log(client: Any, experiment: str, trial: FrozenTrial, identity: str) -> None:
    tags = {"study": identity, "trial": str(trial.number), "state": trial.state.name.lower()}
    started, ended = (
        None if moment is None else int(moment.timestamp() * 1000)
        for moment in (trial.datetime_start, trial.datetime_complete)
    )
    run = client.create_run(experiment, start_time=started, tags=tags, run_name=f"trial {trial.number}").info.run_id
    for name, value in trial.params.items():
        client.log_param(run, name, value)
    for name, value in trial.user_attrs.items():
        client.log_metric(run, name, value)
    for step, value in trial.intermediate_values.items():
        client.log_metric(run, "f2_so_far", value, step=step)
    if CONSTRAINT in trial.constraints:
        client.log_metric(run, "violation", trial.constraints[CONSTRAINT])
    client.set_terminated(run, status=STATUS[trial.state.name], end_time=ended)

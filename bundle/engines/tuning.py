"""Chooses settings of the refinement and a threshold: F2 of objects under a constraint on their precision.

See docs/tune.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

from ..functional.objects import ObjectCounts, add_counts
from ..functional.refinement_settings import RefinementSettings, change
from .durable import write_durably
from .evaluation import fingerprint
from .tracking import write_figure
from .tuning_cases import CONTROL_THRESHOLDS, THRESHOLD, Refinement, figures_of, threshold_of
from .tuning_claims import Claims
from .tuning_study import (
    Outcome,
    best_trial,
    check_space,
    finished,
    importances,
    inside,
    open_study,
    run_trials,
    trials_csv,
)
from .tuning_tracking import log_trials
from .tuning_workers import Workers

# The precision may fall by this much below the untouched segmentor's, if nothing else is asked for.
PRECISION_LOSS = 0.05
STUDY, SQLITE = "study.db", "sqlite:///"


def tune(
    refinement: Refinement,
    space: Mapping[str, Any],
    *,
    output_dir: str | Path,
    trials: int,
    seed: int = 0,
    min_precision: float | None = None,
    storage: str | None = None,
    tracking: bool = False,
    workers: int = 1,
    preset: str = "default",
    price_only: bool = False,
) -> dict[str, Any] | None:
    """Run the study and write what it found: best.json, trials.csv, importances.csv and importances.png.

    Several processes may do so in one folder, or with one storage, at the same time.

    Args:
        refinement: cases and networks.
        space: ranges or choices of `RefinementSettings` fields and of "threshold_logit"; see `check_space`.
        output_dir: made if missing; earlier trials in it count.
        trials: results wanted, earlier ones included.
        seed: of the sampler.
        min_precision: of objects, over all cases; the segmentor's at 0.5, less 0.05, when None.
        storage: URL of the study's database; sqlite:///OUTPUT_DIR/study.db when None.
        tracking: log every trial to MLflow, OUTPUT_DIR/mlruns.db unless MLFLOW_TRACKING_URI says otherwise.
        workers: processes that share the study; all but this one run the command that this one runs.
        preset: name of the settings that a trial starts from, for best.json.
        price_only: print the price and stop.

    Returns:
        The content of best.json; None for the price alone.

    Raises:
        ValueError: if an option is out of range, nothing is calcified, or no trial met the constraint.
    """
    check_tuning(space, trials=trials, min_precision=min_precision, base=refinement.base)
    print(refinement.price(space, trials=trials), flush=True)
    if price_only:
        return None
    folder = Path(output_dir)
    helpers = Workers(workers, folder)
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{(folder / STUDY).resolve().as_posix()}"
    claims = claims_of(url, folder)
    with claims.alone():
        # The first process makes the first passes, the others find them.
        control = refinement.control()
        if not control[0].tp + control[0].fn:
            raise ValueError("Expected at least one calcification to tune on, got none; add labelled views")
        untouched = figures_of(control[len(control) // 2])
        least = untouched["precision"] - PRECISION_LOSS if min_precision is None else float(min_precision)
        identity = fingerprint(refinement.identity, json.dumps(space, sort_keys=True), least)
        study = open_study(url, name="refinement", identity=identity)
    names = list(space)
    with helpers, tqdm(total=trials, initial=len(finished(study)), desc="Trials", unit="trial") as bar:

        def record(study: Any) -> None:
            with claims.alone():
                bar.update(len(finished(study)) - bar.n)
                write_text(folder / "trials.csv", trials_csv(study, names))
                if tracking:
                    log_trials(study, folder)

        run_trials(
            study,
            lambda parameters: _outcomes(refinement, parameters, least),
            space,
            trials=trials,
            seed=seed,
            steps=len(refinement.cases),
            claims=claims,
            first=_start(refinement.base, space),
            after=record,
        )
        # Of trials whose process died before it could.
        record(study)
    segmentor = {"at 0.5": untouched, "at its best threshold": best_control(control, least)}
    with claims.alone():
        return _write_best(study, folder, {"preset": preset, "min_precision": least, "segmentor": segmentor})


def claims_of(storage: str, folder: Path) -> Claims:
    """Claims of all processes of this machine on a study: beside a SQLite file, else in the output folder."""
    path = Path(storage.removeprefix(SQLITE)) if storage.startswith(SQLITE) else folder / STUDY
    return Claims(path.with_name(f"{path.name}.claims"))


def _write_best(study: Any, folder: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Write importances and best.json; returns its content.

    Raises:
        ValueError: if no trial met the constraint.
    """
    write_importances(importances(study), folder)
    best = best_trial(study)
    if best is None:
        raise ValueError(
            f"Expected a trial with a precision of at least {known['min_precision']:.3f}, got none; take more trials "
            "or allow less"
        )
    result = {
        "preset": known["preset"],
        "overrides": {name: value for name, value in best.params.items() if name != THRESHOLD},
        "threshold": threshold_of(best.params),
        "figures": best.user_attrs,
        "trial": best.number,
        "trials": len(finished(study)),
        "min_precision": known["min_precision"],
        "segmentor": known["segmentor"],
    }
    write_text(folder / "best.json", json.dumps(result, indent=1) + "\n")
    return result


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_durably(path, lambda file: file.write(text.encode()))


def check_tuning(
    space: Mapping[str, Any], *, trials: int, min_precision: float | None, base: RefinementSettings
) -> None:
    """Refuse options before anything is read.

    Raises:
        ValueError: in one line.
    """
    check_space(space)
    if trials < 1:
        raise ValueError(f"Expected at least one trial, got {trials}")
    if min_precision is not None and not 0 <= min_precision <= 1:
        raise ValueError(f"Expected --min-precision in [0, 1], got {min_precision:g}")
    for name, given in space.items():
        ends = (given["low"], given["high"]) if isinstance(given, Mapping) else given
        for value in ends:
            if name != THRESHOLD:
                change(base, **{name: value})


def _outcomes(refinement: Refinement, parameters: Mapping[str, Any], least: float) -> Iterator[Outcome]:
    """Figures of all cases so far, after each case."""
    total: list[ObjectCounts] = []
    for counts in refinement.count(parameters):
        total.append(counts)
        figures = figures_of(add_counts(total))
        yield Outcome(figures["f2"], least - figures["precision"], figures)


def _start(base: RefinementSettings, space: Mapping[str, Any]) -> dict[str, Any]:
    """The first trial: where the settings start from, as far as the space holds it."""
    values = {field.name: getattr(base, field.name) for field in fields(base)} | {THRESHOLD: 0.0}
    return {name: values[name] for name in space if inside(space, name, values[name])}


def best_control(control: Sequence[ObjectCounts], least: float) -> dict[str, float] | None:
    """Figures of the segmentor alone at its best threshold with at least that precision, what refinement must beat.

    Args:
        control: counts at each of `CONTROL_THRESHOLDS`.
        least: precision.
    """
    all_figures = [
        figures_of(counts) | {"threshold": level} for counts, level in zip(control, CONTROL_THRESHOLDS, strict=True)
    ]
    return max((one for one in all_figures if one["precision"] >= least), key=lambda one: one["f2"], default=None)


def write_importances(shares: Mapping[str, float], folder: Path) -> None:
    """Write importances.csv and importances.png; nothing if there are none."""
    if not shares:
        print("Too few different results for importances")
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("parameter", "importance"), *shares.items()])
    write_text(folder / "importances.csv", text.getvalue())
    figure = Figure(figsize=(6.0, 0.8 + 0.28 * len(shares)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(shares), list(shares.values()), color="#0072B2")
    axes.invert_yaxis()
    axes.set_xlabel("share of the variance of F2 (fANOVA)")
    write_figure(folder / "importances.png", figure)

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
from .evaluation import FROC_THRESHOLDS, fingerprint
from .tracking import write_figure
from .tuning_cases import THRESHOLD, Refinement, figures_of, threshold_of
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

# The precision may fall by this much below the untouched segmentor's, if nothing else is asked for.
PRECISION_LOSS = 0.05


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
    preset: str = "default",
    price_only: bool = False,
) -> dict[str, Any] | None:
    """Run the study and write what it found: best.json, trials.csv, importances.csv and importances.png.

    Args:
        refinement: cases and networks.
        space: ranges or choices of `RefinementSettings` fields and of "threshold_logit"; see `check_space`.
        output_dir: made if missing; earlier trials in it count.
        trials: results wanted, earlier ones included.
        seed: of the sampler.
        min_precision: of objects, over all cases; the segmentor's at 0.5, less 0.05, when None.
        storage: URL of the study's database; sqlite:///OUTPUT_DIR/study.db when None.
        tracking: log every trial to MLflow, OUTPUT_DIR/mlruns.db unless MLFLOW_TRACKING_URI says otherwise.
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
    folder.mkdir(parents=True, exist_ok=True)
    control = refinement.control()
    if not control[0].tp + control[0].fn:
        raise ValueError("Expected at least one calcification to tune on, got none; add labelled views")
    untouched = figures_of(control[len(control) // 2])
    least = untouched["precision"] - PRECISION_LOSS if min_precision is None else float(min_precision)
    study = open_study(
        storage or f"sqlite:///{(folder / 'study.db').resolve().as_posix()}",
        name="refinement",
        identity=fingerprint(refinement.identity, json.dumps(space, sort_keys=True), least),
    )
    names = list(space)
    with tqdm(total=trials, initial=len(finished(study)), desc="Trials", unit="trial") as bar:

        def after(study: Any) -> None:
            bar.update()
            (folder / "trials.csv").write_text(trials_csv(study, names), encoding="utf-8")
            if tracking:
                log_trials(study, folder)

        run_trials(
            study,
            lambda parameters: _outcomes(refinement, parameters, least),
            space,
            trials=trials,
            seed=seed,
            steps=len(refinement.cases),
            first=_start(refinement.base, space),
            after=after,
        )
    write_importances(importances(study), folder)
    best = best_trial(study)
    if best is None:
        raise ValueError(
            f"Expected a trial with a precision of at least {least:.3f}, got none; take more trials or allow less"
        )
    result = {
        "preset": preset,
        "overrides": {name: value for name, value in best.params.items() if name != THRESHOLD},
        "threshold": threshold_of(best.params),
        "figures": best.user_attrs,
        "trial": best.number,
        "trials": len(finished(study)),
        "min_precision": least,
        "segmentor": {"at 0.5": untouched, "at its best threshold": best_control(control, least)},
    }
    (folder / "best.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


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
        control: counts at each of `FROC_THRESHOLDS`.
        least: precision.
    """
    all_figures = [
        figures_of(counts) | {"threshold": level} for counts, level in zip(control, FROC_THRESHOLDS, strict=True)
    ]
    return max((one for one in all_figures if one["precision"] >= least), key=lambda one: one["f2"], default=None)


def write_importances(shares: Mapping[str, float], folder: Path) -> None:
    """Write importances.csv and importances.png; nothing if there are none."""
    if not shares:
        print("Too few different results for importances")
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("parameter", "importance"), *shares.items()])
    (folder / "importances.csv").write_text(text.getvalue(), encoding="utf-8")
    figure = Figure(figsize=(6.0, 0.8 + 0.28 * len(shares)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(shares), list(shares.values()), color="#0072B2")
    axes.invert_yaxis()
    axes.set_xlabel("share of the variance of F2 (fANOVA)")
    write_figure(folder / "importances.png", figure)

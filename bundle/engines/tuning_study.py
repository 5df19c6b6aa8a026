"""An Optuna study that goes on where it was stopped: its space, its trials, its best trial, its importances.

Optuna is one of the training extras; it is imported where it is used.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

# Of the TPE sampler: trials that are drawn at random before it models anything.
STARTUP_TRIALS = 10
# Of the median pruner: finished trials before it prunes anything.
PRUNER_TRIALS = 5
# A running trial says that it is alive this often, and is taken for dead after that long.
HEARTBEAT_S, GRACE_S = 30, 120
# Fewer finished trials than these tell nothing about importance.
LEAST_TRIALS = 4
CONSTRAINT = "precision"


class Outcome(NamedTuple):
    """Where a trial stands.

    Attributes:
        value: the objective, to be maximised.
        violation: of the constraint; 0 or less where it is met.
        figures: further figures, by name.
    """

    value: float
    violation: float
    figures: dict[str, float]


Evaluate = Callable[[Mapping[str, Any]], Iterator[Outcome]]


def check_space(space: Mapping[str, Any]) -> None:
    """Refuse a search space that is not by parameter a list of choices, or {low, high} with an optional log.

    Raises:
        ValueError: if a parameter is neither, or its range is empty.
    """
    for name, given in space.items():
        if isinstance(given, (list, tuple)) and given:
            continue
        keys = set(given) if isinstance(given, Mapping) else set()
        if not {"low", "high"} <= keys <= {"low", "high", "log"} or not given["low"] < given["high"]:
            raise ValueError(
                f"Expected {name} of the search space as a list of choices, or low and high (and log), got {given!r}"
            )


def suggest(trial: Trial, space: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a trial; ranges between whole numbers give whole numbers."""
    parameters: dict[str, Any] = {}
    for name, given in space.items():
        if not isinstance(given, Mapping):
            parameters[name] = trial.suggest_categorical(name, given)
        elif isinstance(given["low"], int) and isinstance(given["high"], int):
            parameters[name] = trial.suggest_int(name, **given)
        else:
            parameters[name] = trial.suggest_float(name, **given)
    return parameters


def inside(space: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether a value lies in the range of a parameter."""
    given = space[name]
    return given["low"] <= value <= given["high"] if isinstance(given, Mapping) else value in given


def random_parameters(space: Mapping[str, Any], *, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Evenly drawn points of a search space."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [suggest(study.ask(), space) for _ in range(count)]


def open_study(
    storage: str, *, name: str, identity: str, heartbeat_s: int = HEARTBEAT_S, grace_s: int = GRACE_S
) -> Study:
    """Open a study or begin it; trials whose process has died are failed.

    Args:
        storage: URL of a database, e.g. sqlite:///OUT/study.db; several processes may share it.
        name: of the study.
        identity: changes with everything that makes trials comparable.
        heartbeat_s: how often a running trial says that it is alive.
        grace_s: after how long without a word it is taken for dead.

    Raises:
        ValueError: if the study there is of something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        kept = optuna.storages.RDBStorage(storage, heartbeat_interval=heartbeat_s, grace_period=grace_s)
        study = optuna.create_study(storage=kept, study_name=name, direction="maximize", load_if_exists=True)
        optuna.storages.fail_stale_trials(study)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", identity)
    elif known != identity:
        raise ValueError(
            f"Expected the study in {storage} to be of these cases, weights and ranges, got one of others; "
            "give another output folder or storage"
        )
    return study


def finished(study: Study) -> list[FrozenTrial]:
    """Trials with a result: complete or pruned."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def run_trials(
    study: Study,
    evaluate: Evaluate,
    space: Mapping[str, Any],
    *,
    trials: int,
    seed: int,
    steps: int,
    first: Mapping[str, Any] | None = None,
    after: Callable[[Study], object] = lambda study: None,
) -> None:
    """Run trials until the study has `trials` results.

    The sampler (TPE, multivariate) is seeded anew for each trial by the number of results before it, so a study that
    was killed goes on as if it had not been. The pruner stops a trial that, after as many cases, is below the median
    of the others, from a third of the cases on.

    Args:
        study: from `open_study`.
        evaluate: parameters -> where the trial stands, after each case.
        space: as in `check_space`.
        trials: results wanted, earlier ones included.
        seed: processes that share a storage need different ones.
        steps: cases.
        first: parameters of the first trial.
        after: called after each trial.
    """
    import optuna

    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNER_TRIALS, n_warmup_steps=steps // 3)

    def objective(trial: Trial) -> float:
        return _follow(trial, evaluate(suggest(trial, space)))

    while (count := len(finished(study))) < trials:
        study.sampler = optuna.samplers.TPESampler(
            seed=seed + 1_000_003 * count, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=False
        )
        if not count and first:
            study.enqueue_trial(dict(first))
        study.optimize(objective, n_trials=1)
        after(study)


def _follow(trial: Trial, outcomes: Iterator[Outcome]) -> float:
    """Report every step; the last one, or the one that is pruned at, is the trial's result."""
    from optuna import TrialPruned

    outcome, pruned = Outcome(0.0, 0.0, {}), False
    for step, outcome in enumerate(outcomes, start=1):
        trial.report(outcome.value, step)
        if pruned := trial.should_prune():
            break
    trial.set_constraint(CONSTRAINT, outcome.violation)
    for name, value in outcome.figures.items():
        trial.set_user_attr(name, value)
    if pruned:
        raise TrialPruned
    return outcome.value


def best_trial(study: Study) -> FrozenTrial | None:
    """The complete trial of the highest value that meets the constraint; None if there is none."""
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    met = [trial for trial in complete if trial.constraints.get(CONSTRAINT, 0.0) <= 0]
    return max(met, key=lambda trial: (trial.value, -trial.number), default=None)


def importances(study: Study, *, seed: int = 0) -> dict[str, float]:
    """Share of the objective's variance that each parameter explains (fANOVA), the largest first.

    Pruned trials do not count. Empty if too few trials are complete, or if all have one value.
    """
    import optuna

    values = {t.value for t in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))}
    if len(values) < LEAST_TRIALS:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def trials_csv(study: Study, names: Sequence[str]) -> str:
    """One line per trial: number, state, value, violation, figures, parameters."""
    trials = study.get_trials(deepcopy=False)
    figures = sorted({name for trial in trials for name in trial.user_attrs})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", "violation", *figures, *names])
    for trial in trials:
        cells = [trial.number, trial.state.name.lower(), trial.value, trial.constraints.get(CONSTRAINT)]
        cells += [trial.user_attrs.get(name) for name in figures]
        writer.writerow([*cells, *(trial.params.get(name) for name in names)])
    return text.getvalue()

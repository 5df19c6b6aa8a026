"""An Optuna study that goes on where it was stopped: its space, its trials, its best trial, its importances.

Optuna is one of the training extras; it is imported where it is used.
"""

from __future__ import annotations

import csv
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from .tuning_claims import Claims

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

# Of the TPE sampler: trials that are drawn at random before it models anything.
STARTUP_TRIALS = 10
# Of the median pruner: finished trials before it prunes anything.
PRUNER_TRIALS = 5
# A running trial says that it is alive this often, and on another machine is taken for dead after that long.
HEARTBEAT_S, GRACE_S = 30, 120
# How long a process waits for the last trials of the others before it looks again, and for a busy SQLite file.
LOOK_AGAIN_S, BUSY_S = 0.5, 60
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
    """Open a study or begin it; trials that have not said for long that they are alive are failed.

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
        patience = {"connect_args": {"timeout": BUSY_S}} if storage.startswith("sqlite") else None
        kept = optuna.storages.RDBStorage(
            storage, engine_kwargs=patience, heartbeat_interval=heartbeat_s, grace_period=grace_s
        )
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


def running(study: Study) -> list[FrozenTrial]:
    """Trials that have begun and have no result."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def fail_abandoned(study: Study, claims: Claims) -> None:
    """Fail the running trials of processes that are dead, so that others take their place."""
    from optuna.trial import TrialState

    for trial in running(study):
        if claims.abandoned(trial.number):
            study.tell(trial.number, state=TrialState.FAIL)
            claims.forget(trial.number)


def run_trials(
    study: Study,
    evaluate: Evaluate,
    space: Mapping[str, Any],
    *,
    trials: int,
    seed: int,
    steps: int,
    claims: Claims,
    first: Mapping[str, Any] | None = None,
    after: Callable[[Study], object] = lambda study: None,
) -> None:
    """Run trials until the study has `trials` results, together with other processes that do the same.

    A trial is begun by one process at a time, and only as long as results and running trials together are fewer than
    `trials`; then a process waits, in case one that runs dies. The sampler (TPE, multivariate) is seeded anew for each
    trial by the number of trials before it that did not fail, so a study that was killed goes on as if it had not
    been, and processes draw different trials. The pruner stops a trial that, after as many cases, is below the median
    of the others, from a third of the cases on.

    Args:
        study: from `open_study`.
        evaluate: parameters -> where the trial stands, after each case.
        space: as in `check_space`.
        trials: results wanted, earlier ones included.
        seed: of the sampler.
        steps: cases.
        claims: of the processes that share the study on this machine.
        first: parameters of the first trial.
        after: called after each trial.
    """
    import optuna

    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNER_TRIALS, n_warmup_steps=steps // 3)
    while True:
        with ExitStack() as alone:
            alone.enter_context(claims.alone())
            fail_abandoned(study, claims)
            done, others = len(finished(study)), len(running(study))
            if done >= trials:
                return
            begins = done + others < trials
            if begins:
                study.sampler = _sampler(seed + 1_000_003 * (done + others), others=others)
                if not done + others and first:
                    study.enqueue_trial(dict(first), skip_if_exists=True)
                _run_one(study, evaluate, space, claims, alone)
        if begins:
            after(study)
        else:
            time.sleep(LOOK_AGAIN_S)


def _sampler(seed: int, *, others: int) -> Any:
    """The sampler of one trial, which keeps away from what other processes are trying."""
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=others > 0
    )


def _run_one(study: Study, evaluate: Evaluate, space: Mapping[str, Any], claims: Claims, alone: ExitStack) -> None:
    """Run one trial; once it has its parameters and is claimed, other processes may begin theirs."""
    from optuna.exceptions import UpdateFinishedTrialError

    lost = False
    with ExitStack() as mine:

        def objective(trial: Trial) -> float:
            nonlocal lost
            mine.enter_context(claims.working_on(trial.number))
            parameters = suggest(trial, space)
            alone.close()
            try:
                value = _follow(trial, evaluate(parameters))
            except UpdateFinishedTrialError:
                lost = True
                raise
            lost = study.get_trials(deepcopy=False)[trial.number].state.is_finished()
            return value

        try:
            study.optimize(objective, n_trials=1)
        except (UpdateFinishedTrialError, ValueError):
            # The computer slept: meanwhile the trial was taken for dead, and another one has its place.
            if not lost:
                raise


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

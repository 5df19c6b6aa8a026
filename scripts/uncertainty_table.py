"""Tables and pictures of the study of uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bundle.functional.reliability import (
    bootstrap_auroc,
    calibrated_error,
    calibration_error,
    crossed_probability,
    equal_mass_edges,
    halves,
    mean_values,
    reliability_columns,
    shares_true,
)
from bundle.functional.statistics import Estimate, FloatArray, Resamples, bootstrap, draw_resamples
from bundle.reports.figures import COLOURS, new_figure, png

Record = Mapping[str, Any]
RESAMPLING_SEED = 0
# Spreads that should be large for what is false.
SPREADS = {
    "peak_sd": "sd of the members' peak",
    "disagreement": "share of members that do not find it",
    "pixel_sd": "mean sd of its pixels",
}
REGRESSIONS = ("logistic regression on the peak, fitted on the other half", "the same with the spread")


class Curve(NamedTuple):
    """A reliability diagram.

    Attributes:
        what: title.
        values: mean probability of each bin, (bins,).
        shares: how many hold, with intervals, (bins,) each.
        error: expected calibration error.
        by_chance: mean and 95 % quantile of the error that calibrated probabilities would show; None where values are
            no independent events.
        number: of values,
        true: and true ones.
    """

    what: str
    values: FloatArray
    shares: Estimate
    error: Estimate
    by_chance: tuple[float, float] | None
    number: int
    true: int


class Figures(NamedTuple):
    """All figures.

    Attributes:
        curves: by name.
        ranks: of candidates and of findings: AUROC with interval of each way to rank false ones above true ones, and
            last the gain of the spread beyond the probability, paired.
    """

    curves: dict[str, Curve]
    ranks: dict[str, dict[str, Estimate]]


def figures_of(records: Sequence[Record]) -> Figures:
    """Everything, from the records of all crops."""
    patients = [str(record["patient"]) for record in records]
    resamples = draw_resamples(patients, rng=np.random.default_rng(RESAMPLING_SEED))
    tables = {kind: _columns(records, kind) for kind in ("candidates", "findings")}
    candidates, findings = tables["candidates"], tables["findings"]
    rescaled = crossed_probability(
        _logit(candidates["peak"]), candidates["true"] > 0, halves(_names(candidates, patients))
    )
    kept = {
        "candidate": ("peak of a candidate", candidates["peak"], candidates),
        "members": ("mean of the members' peaks of a candidate", candidates["peak_mean"], candidates),
        "rescaled": ("peak of a candidate, rescaled", rescaled, candidates),
        "finding": ("peak of a finding", findings["peak"], findings),
    }
    curves = {
        name: _curve(what, probs, table["true"], table["case"], patients, resamples)
        for name, (what, probs, table) in kept.items()
    }
    curves["pixels"] = _pixel_curve(records, patients, resamples)
    return Figures(curves, {kind: _ranks(table, patients, resamples) for kind, table in tables.items()})


def _ranks(table: Mapping[str, FloatArray], patients: Sequence[str], resamples: Resamples) -> dict[str, Estimate]:
    """AUROC of each way to rank false ones above true ones, and of the spread beyond the probability."""
    names, true, logit = _names(table, patients), table["true"] > 0, _logit(table["peak"])
    spread = np.stack([table["peak_sd"], table["disagreement"]], axis=1)
    alone, beyond = (
        1 - crossed_probability(features, true, halves(names)) for features in (logit, np.hstack([logit, spread]))
    )
    scores = [1 - table["peak"], *(table[name] for name in SPREADS), alone, beyond]
    *single, _ = bootstrap_auroc(scores, ~true, names, resamples)
    *_, gain = bootstrap_auroc([alone, beyond], ~true, names, resamples)
    what = ("low peak probability", *SPREADS.values(), *REGRESSIONS, "their difference")
    return dict(zip(what, (*single, gain), strict=True))


def _names(table: Mapping[str, FloatArray], patients: Sequence[str]) -> list[str]:
    """The patient of each object."""
    return [patients[case] for case in table["case"].astype(int)]


def _columns(records: Sequence[Record], kind: str) -> dict[str, FloatArray]:
    """Numbers of all objects of a kind, and the crop of each."""
    every = [{**one, "case": case} for case, record in enumerate(records) for one in record[kind]]
    names = ("peak", "peak_mean", "peak_sd", "agreement", "pixel_sd", "true", "case")
    table = {name: np.array([one[name] for one in every], np.float64) for name in names}
    return table | {"disagreement": 1 - table["agreement"]}


def _logit(probs: FloatArray) -> FloatArray:
    """As a column, (n, 1)."""
    inside = probs.clip(1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))[:, None]


def _curve(
    what: str,
    probs: FloatArray,
    true: FloatArray,
    case: FloatArray,
    patients: Sequence[str],
    resamples: Resamples,
) -> Curve:
    edges = equal_mass_edges(probs)
    columns = reliability_columns(probs, true, case.astype(int), edges=edges, count=len(patients))
    chance = calibrated_error(probs, edges=edges, rng=np.random.default_rng(RESAMPLING_SEED))
    return _made(what, columns, patients, resamples, chance)


def _pixel_curve(records: Sequence[Record], patients: Sequence[str], resamples: Resamples) -> Curve:
    """Of the pixels of candidates; neighbours are no independent events."""
    every, true = (np.array([record["pixels"][kind] for record in records], np.float64) for kind in (0, 1))
    case, level = np.nonzero(every)
    probs = (level + 0.5) / every.shape[1]
    edges = equal_mass_edges(probs, weights=every[case, level])
    weights = {"truth": true[case, level], "weights": every[case, level]}
    columns = reliability_columns(probs, cases=case, edges=edges, count=len(records), **weights)
    return _made("pixel of a candidate", columns, patients, resamples, None)


def _made(
    what: str,
    columns: FloatArray,
    patients: Sequence[str],
    resamples: Resamples,
    chance: tuple[float, float] | None,
) -> Curve:
    shares = bootstrap(shares_true(columns), patients, resamples)
    error = bootstrap(calibration_error(columns), patients, resamples)
    bins = columns.shape[1] // 3
    count, true = columns[:, -1].sum(), columns[:, 2 * bins : 3 * bins].sum()
    return Curve(what, mean_values(columns), shares, error, chance, int(count), int(true))


def markdown(figures: Figures) -> str:
    """The two tables."""
    lines = [
        "| probability | number, true | calibration error | if calibrated: mean, 95 % below |",
        "|---|---|---|---|",
    ]
    for curve in figures.curves.values():
        chance = "-" if curve.by_chance is None else "{:.3f}, {:.3f}".format(*curve.by_chance)
        lines.append(f"| {curve.what} | {curve.number}, {curve.true} | {_text(curve.error)} | {chance} |")
    kinds = list(figures.ranks)
    lines += ["", f"| AUROC, false above true | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    for name in figures.ranks[kinds[0]]:
        sign = "+" if name == list(figures.ranks[kinds[0]])[-1] else ""
        lines.append(f"| {name} | {' | '.join(_text(figures.ranks[kind][name], sign=sign) for kind in kinds)} |")
    return "\n".join(lines) + "\n"


def _text(estimate: Estimate, *, sign: str = "") -> str:
    value, low, high = (float(number) for number in estimate[:3])
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def picture(records: Sequence[Record], figures: Figures) -> bytes:
    """Reliability diagrams of candidates and of pixels, and the spread of true and false candidates, as PNG."""
    figure = new_figure(10.5, 4.7)
    left, middle, right = figure.subplots(1, 3)
    _diagram(left, [figures.curves[name] for name in ("candidate", "rescaled", "finding")], "objects")
    _diagram(middle, [figures.curves["pixels"]], "pixels")
    table = _columns(records, "candidates")
    for kind, colour, name in ((1.0, COLOURS[0], "true"), (0.0, COLOURS[5], "false")):
        chosen = table["true"] == kind
        _dots(right, table["peak"][chosen], table["peak_sd"][chosen], colour, f"{name} ({chosen.sum()})")
    right.set(xlabel="peak probability", ylabel="sd of the members' peak", xlim=(0, 1), ylim=(0, 0.5))
    right.set_title("candidates", fontsize=9)
    right.set_box_aspect(1)
    right.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, ncols=2)
    return png(figure)


def _diagram(axes: Axes, curves: Sequence[Curve], title: str) -> None:
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for curve, colour in zip(curves, COLOURS, strict=False):
        value, low, high = (np.asarray(one, np.float64) for one in curve.shares[:3])
        bars = np.abs(np.array([value - low, high - value]))
        label = f"{curve.what} ({curve.number})"
        axes.errorbar(curve.values, value, yerr=bars, fmt="o-", color=colour, markersize=4, linewidth=1, label=label)
    axes.set(xlabel="probability said", ylabel="share that holds", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(title, fontsize=9)
    axes.set_box_aspect(1)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)


def _dots(axes: Axes, across: NDArray, up: NDArray, colour: str, label: str) -> None:
    axes.plot(across, up, "o", color=colour, markersize=3, alpha=0.6, markeredgewidth=0, label=label)

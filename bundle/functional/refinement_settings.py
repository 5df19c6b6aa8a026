"""Every choice of the test-time refinement as a frozen record, and its presets; `docs/refinement.md` explains each."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from .edges import KINDS
from .flow import METHODS
from .seeds import MODES

REDUCTIONS = ("sum", "mean", "mass")
MIXINGS = ("every", "once", "annealed", "off")
MIXING_FORMS = ("printed", "logits")

_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "seed_mode": MODES,
    "stabilisation_reduction": REDUCTIONS,
    "edge_reduction": (*REDUCTIONS, "off"),
    "edge_kind": KINDS,
    "mixing": MIXINGS,
    "mixing_form": MIXING_FORMS,
}
_NOT_NEGATIVE = (
    *("iterations", "w_tversky", "w_stabilisation", "w_edge", "alpha", "beta", "eta", "rho", "stop_change"),
    *("seed_nms_px", "seed_cluster_radius_px", "edge_sharpness", "edge_erode_px", "edge_sigma_px", "mixing_sigma_px"),
)
_POSITIVE = ("k_max", "draws", "epsilon", "logit_limit")
_PROBABILITIES = ("t_start", "t_end", "gate_threshold", "seed_threshold")


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """Choices of the test-time generative posterior refinement (eqs. 7-16).

    Attributes:
        iterations: I, number of refinement iterations.
        t_start: projection time of the first iteration (eq. 7); t = 0 is noise, t = 1 data.
        t_end: projection time of the last iteration.
        k_max: K = ceil(k_max (1 - t)) integration steps per projection (eq. 8).
        steps: K itself for every iteration; None follows `k_max`.
        method: integration, "euler" or "heun".
        draws: noise samples per iteration, over which q is averaged.
        seed_mode: the seed operator A: "maxima", "points" or "skeleton".
        seed_threshold: pixels of p below it are no seeds.
        seed_nms_px: non-maximum suppression of the seeds.
        seed_second_threshold: second tier of seeds, near a first-tier seed; None has none.
        seed_cluster_radius_px: reach of the second tier.
        seeds_complete: tell the generator that an absent seed means "none", instead of "unknown".
        w_tversky: w_T (eq. 13).
        w_stabilisation: w_S (eq. 13).
        w_edge: w_E (eq. 13).
        alpha: alpha_T, weight of false positives (eq. 11).
        beta: weight of false negatives (eq. 11).
        epsilon: of eq. 11, and of the soft mass where a reduction is "mass".
        stabilisation_reduction: the squared norm of eq. 13 as "sum", "mean" or "mass" over a window's pixels.
        edge_reduction: edge-aware total variation as "sum", "mean" or "mass", or "off".
        edge_kind: e(x) as "sobel" magnitude, or "high_pass" with its sign.
        edge_sharpness: k of w = exp(-k |e|).
        edge_erode_px: rim of the breast left out of e(x).
        edge_sigma_px: of the Gaussian in the high-pass.
        eta: step size (eq. 14).
        max_step: largest change of a logit by eq. 14; None leaves it free.
        rho: rate of the high-pass mixing (eq. 15).
        mixing: eq. 15 in "every" iteration, "once" at the end, "annealed" to zero, or "off".
        mixing_form: "printed", rho e; or "logits", rho e (l - G*l).
        mixing_sigma_px: of the Gaussian in "logits".
        logit_limit: logits are clamped to +- this after each iteration.
        gate_threshold: windows whose largest initial probability is below it are not refined; 0 refines every window.
        stop_change: an image is done when no probability moves by more in an iteration; 0 never stops early.

    Raises:
        ValueError: a choice out of its range.
    """

    iterations: int = 3
    t_start: float = 0.8
    t_end: float = 0.95
    k_max: int = 2
    steps: int | None = None
    method: str = "euler"
    draws: int = 1
    seed_mode: str = "maxima"
    seed_threshold: float = 0.5
    seed_nms_px: int = 3
    seed_second_threshold: float | None = None
    seed_cluster_radius_px: int = 71
    seeds_complete: bool = False
    w_tversky: float = 32.0
    w_stabilisation: float = 8.0
    w_edge: float = 0.2
    alpha: float = 1.0
    beta: float = 1.0
    epsilon: float = 1.0
    stabilisation_reduction: str = "sum"
    edge_reduction: str = "sum"
    edge_kind: str = "sobel"
    edge_sharpness: float = 10.0
    edge_erode_px: int = 16
    edge_sigma_px: float = 1.5
    eta: float = 0.5
    max_step: float | None = 2.0
    rho: float = 0.0
    mixing: str = "off"
    mixing_form: str = "printed"
    mixing_sigma_px: float = 1.5
    logit_limit: float = 12.0
    gate_threshold: float = 0.5
    stop_change: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _require(self, name, getattr(self, name) in allowed, f"one of {allowed}")
        for name in _NOT_NEGATIVE:
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in _POSITIVE:
            _require(self, name, getattr(self, name) > 0, "more than 0")
        for name in _PROBABILITIES:
            _require(self, name, 0.0 <= getattr(self, name) <= 1.0, "a value in [0, 1]")
        _require(self, "seed_threshold", self.seed_threshold > 0, "more than 0")
        _require(self, "steps", self.steps is None or self.steps >= 1, "None, or 1 and more")
        _require(self, "max_step", self.max_step is None or self.max_step > 0, "None, or more than 0")
        second = self.seed_second_threshold
        _require(
            self,
            "seed_second_threshold",
            second is None or 0 < second < self.seed_threshold,
            "None, or below seed_threshold",
        )


def _require(settings: RefinementSettings, name: str, holds: bool, rule: str) -> None:
    """Refuse a choice in one line that names it."""
    if not holds:
        raise ValueError(f"Expected {name} to be {rule}, got {getattr(settings, name)!r}; see docs/refinement.md")


PRESETS: dict[str, dict[str, Any]] = {
    # Gated, few iterations, one generator call each: the defaults above.
    "default": {},
    # One iteration near the data: more than 50 times fewer network operations than `paper`.
    "fast": {"iterations": 1, "t_start": 0.9, "t_end": 0.9},
    # Table I of the paper to the last digit; what the paper leaves open as in docs/refinement.md.
    "paper": {
        "iterations": 50,
        "t_start": 0.09053149415704413,
        "t_end": 0.8052230726911125,
        "k_max": 4,
        "w_tversky": 128.15533098670937,
        "w_stabilisation": 57.88546958560159,
        "w_edge": 220.70931647468294,
        "beta": 2.6140537072408576,
        "eta": 0.4945043784053065,
        "rho": 2.8422788048947973,
        "alpha": 1.0,
        "epsilon": 1.0,
        "stabilisation_reduction": "sum",
        "edge_reduction": "mean",
        "mixing": "every",
        "mixing_form": "printed",
        "max_step": None,
        "gate_threshold": 0.0,
    },
}
"""What each preset changes of `RefinementSettings`'s defaults."""


def preset(name: str, **overrides: Any) -> RefinementSettings:
    """Settings by name, with some of them changed.

    Args:
        name: "default", "fast" or "paper".
        **overrides: fields of `RefinementSettings`.

    Raises:
        ValueError: unknown preset, unknown field, or a choice out of its range.
    """
    if name not in PRESETS:
        raise ValueError(f"Expected a refinement preset among {tuple(PRESETS)}, got {name!r}; choose one of them")
    return change(RefinementSettings(**PRESETS[name]), **overrides)


def change(settings: RefinementSettings, **overrides: Any) -> RefinementSettings:
    """The same settings with some fields changed.

    Raises:
        ValueError: unknown field, or a choice out of its range.
    """
    known = [field.name for field in dataclasses.fields(RefinementSettings)]
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "docs/refinement.md lists them"
            raise ValueError(f"Expected a field of the refinement settings, got {name!r}; {remedy}")
    return dataclasses.replace(settings, **overrides)

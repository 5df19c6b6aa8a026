"""Rows of the refinement study: open points switched in turn, controls at equal cost, the prior as evidence.

A row is a name and a way to make its inferer from the networks; a new one is one more entry here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from bundle.functional.evidence import CHANNELS, EvidenceSettings
from bundle.functional.flow import ode_steps
from bundle.functional.refinement import time_schedule
from bundle.functional.refinement_settings import PRESETS, RefinementSettings, preset
from bundle.inferers import AugmentedInferer, EvidenceInferer, TTGPRInferer
from scripts.benchmark_systems import Networks

SEGMENTOR, DEFAULT, PAPER, TABLE_1, BEST = "segmentor", "default", "paper", "table-1", "segmentor-best-threshold"
AUGMENTATIONS = 8
# As in configs/inference.yaml.
AUGMENTATION_GATE = 0.1
# Of Table I, what is not the schedule: the rest of `paper` at the price of the default.
SCHEDULE = ("iterations", "t_start", "t_end", "k_max", "gate_threshold")
WEIGHTS = {name: value for name, value in PRESETS["paper"].items() if name not in SCHEDULE}
RHO = PRESETS["paper"]["rho"]
PAPER_TIMES = {name: PRESETS["paper"][name] for name in ("t_start", "t_end")}

# Weights of the evidence are fitted on crops of their own: what is gathered, and which channels are used.
ONE_TIME, SIX_TRIALS = EvidenceSettings(), EvidenceSettings(times=(0.5, 0.7, 0.85), draws=2)
FINE = EvidenceSettings(times=(0.9,))
FITS: dict[str, tuple[EvidenceSettings, tuple[str, ...]]] = {
    "p": (ONE_TIME, ("logit",)),
    "p+high-pass": (ONE_TIME, ("logit", "high_pass")),
    "high-pass-added": (ONE_TIME, ("high_pass",)),
    "evidence": (ONE_TIME, ("logit", "score")),
    "evidence-added": (ONE_TIME, ("score",)),
    "evidence-added-fine": (FINE, ("score",)),
    "evidence-added+high-pass": (ONE_TIME, ("score", "high_pass")),
    "evidence+high-pass": (ONE_TIME, ("logit", "score", "high_pass")),
    "augmentation+evidence": (FINE, ("score",)),
    "evidence-six+high-pass": (SIX_TRIALS, ("logit", "score", "high_pass", "spread")),
}
# Fits whose candidates and logits are those of flips and turns, not of one pass.
ON_AUGMENTATION = ("augmentation+evidence",)
# The same before they are fitted, for prices: what has no weight is not computed.
UNFITTED = {
    name: replace(settings, **{f"weight_{channel}": float(channel in channels) for channel in CHANNELS})  # type: ignore[arg-type]
    for name, (settings, channels) in FITS.items()
}


class Parts(NamedTuple):
    """What inferers are made of: networks, fitted settings by name of the fit, and a segmentor trained otherwise."""

    networks: Networks
    fits: Mapping[str, EvidenceSettings]
    other_network: nn.Module | None = None


@dataclass(frozen=True)
class Variant:
    """A row.

    Attributes:
        name: as chosen and as in the table.
        group: heading in the table.
        what: one line for the reader.
        make: its inferer, (image, network) -> logits.
        base: the row that differs from it by one switch.
        crops: it is run on so many crops at most; None for all.
        fit: name in `FITS` of the settings it needs, if any.
    """

    name: str
    group: str
    what: str
    make: Callable[[Parts], Any]
    base: str = DEFAULT
    crops: int | None = None
    fit: str | None = None


class SeedBlind(nn.Module):
    """A generator that is told nothing: neither seeds nor whether they are complete."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Velocity under the empty condition."""
        return self.generator(state, t, torch.zeros_like(condition))


@dataclass
class OtherSegmentor:
    """The segmentor's inferer with another network than the one it is called with."""

    inferer: Any
    network: nn.Module

    def __call__(self, inputs: torch.Tensor, network: Any) -> torch.Tensor:
        """Logits of the other network."""
        return self.inferer(inputs, self.network)


# Group, name, line for the reader, and what is overridden in the default settings.
SWITCHES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Projection", "K-1", "one Euler step", {"steps": 1}),
    ("Projection", "K-2", "two Euler steps", {"steps": 2}),
    ("Projection", "K-4", "four Euler steps", {"steps": 4}),
    ("Projection", "heun", "Heun steps in place of Euler steps", {"method": "heun"}),
    ("Seeds", "seeds-points", "points at random places", {"seed_mode": "points"}),
    ("Seeds", "seeds-skeleton", "skeletons", {"seed_mode": "skeleton"}),
    ("Seeds", "seeds-second-tier", "second tier down to 0.2 within 5 mm", {"seed_second_threshold": 0.2}),
    ("Seeds", "seeds-from-0.2", "seeds wherever p is at least 0.2", {"seed_threshold": 0.2}),
    ("Seeds", "seeds-complete", "seeds are declared complete", {"seeds_complete": True}),
    ("Energy", "no-tversky", "w_T = 0", {"w_tversky": 0.0}),
    ("Energy", "no-stabilisation", "w_S = 0", {"w_stabilisation": 0.0}),
    ("Energy", "no-edge", "w_E = 0", {"w_edge": 0.0}),
    ("Energy", "alpha-0.3", "alpha_T = 0.3, that of training", {"alpha": 0.3}),
    ("Energy", "beta-2.6", "beta of Table I", {"beta": PRESETS["paper"]["beta"]}),
    ("Energy", "epsilon-1e-6", "epsilon = 1e-6", {"epsilon": 1e-6}),
    ("Energy", "squares-mean", "squared norm as a mean", {"stabilisation_reduction": "mean"}),
    ("Energy", "squares-mass", "squared norm over the soft mass", {"stabilisation_reduction": "mass"}),
    ("Energy", "edge-sum", "total variation as a sum", {"edge_reduction": "sum"}),
    ("Energy", "edge-mean", "total variation as a mean", {"edge_reduction": "mean"}),
    ("Energy", "edge-mass", "total variation over the soft mass", {"edge_reduction": "mass"}),
    ("Energy", "edge-high-pass", "e(x) as signed high-pass", {"edge_kind": "high_pass"}),
    ("Energy", "edge-blind", "total variation that sees no edges, k = 0", {"edge_sharpness": 0.0}),
    ("Eq. 15", "mixing-every", "rho e of Table I after every iteration", {"mixing": "every", "rho": RHO}),
    ("Eq. 15", "mixing-once", "once, after the last", {"mixing": "once", "rho": RHO}),
    ("Eq. 15", "mixing-annealed", "falling to zero", {"mixing": "annealed", "rho": RHO}),
    (
        *("Eq. 15", "mixing-logits", "rho e (l - G*l), every iteration"),
        {"mixing": "every", "rho": RHO, "mixing_form": "logits"},
    ),
    (
        *("Eq. 15", "mixing-high-pass", "rho e with the signed high-pass, every iteration"),
        {"mixing": "every", "rho": RHO, "edge_kind": "high_pass"},
    ),
    ("Schedule", "t-paper", "t from 0.09 to 0.81, that of Table I", PAPER_TIMES),
    ("Schedule", "t-coarse", "t from 0.3 to 0.5", {"t_start": 0.3, "t_end": 0.5}),
    ("Schedule", "t-middle", "t = 0.7", {"t_start": 0.7, "t_end": 0.7}),
    ("Schedule", "t-from-middle", "t from 0.5 to 0.8", {"t_start": 0.5, "t_end": 0.8}),
    ("Schedule", "iterations-1", "one iteration", {"iterations": 1}),
    ("Schedule", "iterations-3", "three iterations", {"iterations": 3}),
    ("Schedule", "iterations-8", "eight iterations", {"iterations": 8}),
    ("Schedule", "stop-early", "an image is done when no p moves by 0.02", {"stop_change": 0.02}),
    ("Noise and limits", "draws-4", "mean of four draws", {"draws": 4}),
    ("Noise and limits", "step-0.5", "no logit moves by more than 0.5", {"max_step": 0.5}),
    ("Noise and limits", "step-free", "steps of any size", {"max_step": None}),
    ("Noise and limits", "limit-6", "logits clamped to +-6", {"logit_limit": 6.0}),
    ("Noise and limits", "gate-off", "windows without evidence are refined too", {"gate_threshold": 0.0}),
)
# What is zeroed in Table I, at the default schedule.
WITHOUT: dict[str, tuple[str, dict[str, Any]]] = {
    "table-1-no-tversky": ("w_T = 0", {"w_tversky": 0.0}),
    "table-1-no-stabilisation": ("w_S = 0", {"w_stabilisation": 0.0}),
    "table-1-no-edge": ("w_E = 0", {"w_edge": 0.0}),
    "table-1-no-mixing": ("rho = 0", {"rho": 0.0}),
}


def all_variants(
    *, paper_crops: int = 20, overlapping: bool = False, other_network: bool = False
) -> dict[str, Variant]:
    """Every row by name, the segmentor and the default refinement first.

    Switches that have no effect on the default settings, since they are the default, are left out.

    Args:
        paper_crops: crops for `paper` in full.
        overlapping: crops are larger than a window, so the overlap of windows is a switch too.
        other_network: there is a segmentor trained with more weight on false negatives.
    """
    rows = [
        Variant(
            SEGMENTOR, "Reference", "the segmentor alone", lambda parts: parts.networks.segmentor_inferer, SEGMENTOR
        ),
        Variant(DEFAULT, "TT-GPR", "preset `default`", partial(_ttgpr, preset("default")), SEGMENTOR),
        Variant("fast", "TT-GPR", "preset `fast`", partial(_ttgpr, preset("fast")), SEGMENTOR),
        Variant(PAPER, "TT-GPR", "preset `paper`, in full", partial(_ttgpr, preset("paper")), crops=paper_crops),
        *_controls(other_network),
        *_evidence(),
    ]
    for group, name, what, overrides in SWITCHES:
        settings = preset("default", **overrides)
        if not same_effect(settings, preset("default")):
            rows.append(Variant(name, group, what, partial(_ttgpr, settings)))
    other_noise = partial(_ttgpr, preset("default"), noise_seed=1)
    rows.append(Variant("another-noise", "Noise and limits", "other noise: what differs is chance", other_noise))
    if overlapping:
        apart = partial(_ttgpr, preset("default"), overlap=0.0)
        rows.append(Variant("overlap-0", "Noise and limits", "windows side by side, in the first pass too", apart))
    table_1 = preset("default", **WEIGHTS)
    rows.append(Variant(TABLE_1, "Table I", "Table I's weights at the default schedule", partial(_ttgpr, table_1)))
    for name, (what, overrides) in WITHOUT.items():
        settings = replace(table_1, **overrides)
        rows.append(Variant(name, "Table I", what, partial(_ttgpr, settings), TABLE_1))
    return {row.name: row for row in rows}


def chosen_variants(every: Mapping[str, Variant], names: Sequence[str] | None) -> list[Variant]:
    """Rows to run: those named, their bases and the segmentor; all when None.

    Raises:
        ValueError: on an unknown name.
    """
    for name in names or ():
        if name not in every:
            raise ValueError(f"Expected variants among {', '.join(every)}, got {name!r}; choose some of these")
    if names is None:
        return list(every.values())
    wanted = {SEGMENTOR, *names, *(every[name].base for name in names)}
    return [variant for name, variant in every.items() if name in wanted]


def same_effect(one: RefinementSettings, other: RefinementSettings) -> bool:
    """Whether two settings refine alike: K may be said in two ways."""
    return _steps(one) == _steps(other) and replace(one, steps=1, k_max=1) == replace(other, steps=1, k_max=1)


def _steps(settings: RefinementSettings) -> list[int]:
    times = time_schedule(settings.iterations, t_start=settings.t_start, t_end=settings.t_end)
    return [settings.steps or ode_steps(t, k_max=settings.k_max) for t in times]


def _controls(other_network: bool) -> list[Variant]:
    controls = partial(Variant, group="Controls", base=SEGMENTOR)
    alone = preset("default", t_start=1.0, t_end=1.0)
    rows = [
        controls(name="augmentation", what=f"mean logits of {AUGMENTATIONS} flips and turns", make=_augmented),
        controls(
            name="augmentation-gated",
            what=f"the same where p reaches {AUGMENTATION_GATE:g}",
            make=partial(_augmented, gate_threshold=AUGMENTATION_GATE),
            base="augmentation",
        ),
        controls(
            name="p", what="candidates moved by p alone: basins, no new evidence", make=_without_generator("p"), fit="p"
        ),
        controls(
            name="p+high-pass",
            what="candidates moved by p and the multi-scale high-pass",
            make=_without_generator("p+high-pass"),
            fit="p+high-pass",
        ),
        controls(
            name="high-pass-added",
            what="candidates' logits stand, the multi-scale high-pass is added",
            make=_without_generator("high-pass-added"),
            fit="high-pass-added",
        ),
        controls(name="seed-blind", what="TT-GPR, the generator is told no seeds", make=_blind, base=DEFAULT),
        controls(
            name="no-generator", what="TT-GPR at t = 1: the projection is x", make=partial(_ttgpr, alone), base=DEFAULT
        ),
    ]
    if other_network:
        rows.append(controls(name="false-negatives", what="segmentor trained with more weight on misses", make=_other))
    return rows


def _evidence() -> list[Variant]:
    lines = {
        "evidence": "candidates moved by p and the generator's score at t = 0.7",
        "evidence+high-pass": "the same and the high-pass",
        "evidence-added": "candidates' logits stand, the generator's score at t = 0.7 is added",
        "evidence-added-fine": "the same at t = 0.9",
        "evidence-added+high-pass": "at t = 0.7, and the high-pass",
        "augmentation+evidence": "flips and turns, to whose candidates' logits the score at t = 0.9 is added",
        "evidence-six+high-pass": "the same at three t and two draws, and their spread",
    }
    against = {
        "evidence": "p",
        "evidence-added": SEGMENTOR,
        "evidence-added-fine": SEGMENTOR,
        "evidence-added+high-pass": "high-pass-added",
        "augmentation+evidence": "augmentation-gated",
        "evidence+high-pass": "p+high-pass",
        "evidence-six+high-pass": "p+high-pass",
    }
    return [
        Variant(name, "Evidence", what, partial(_with_generator, name), against[name], fit=name)
        for name, what in lines.items()
    ]


def window_options(parts: Parts) -> dict[str, Any]:
    """How windows are laid and run, as in the shipped inferers."""
    windowed = parts.networks.refined_inferer.windowed
    return {name: getattr(windowed, name) for name in ("window_px", "overlap", "sw_batch_size", "dtype")}


def _ttgpr(
    settings: RefinementSettings, parts: Parts, *, noise_seed: int = 0, overlap: float | None = None
) -> TTGPRInferer:
    options = window_options(parts) | ({} if overlap is None else {"overlap": overlap})
    return TTGPRInferer(parts.networks.refined_inferer.generator, settings=settings, noise_seed=noise_seed, **options)


def _blind(parts: Parts) -> TTGPRInferer:
    generator = SeedBlind(parts.networks.refined_inferer.generator)
    return TTGPRInferer(generator, preset="default", **window_options(parts))


def _augmented(parts: Parts, *, gate_threshold: float = 0.0) -> AugmentedInferer:
    return AugmentedInferer(augmentations=AUGMENTATIONS, gate_threshold=gate_threshold, **window_options(parts))


def _other(parts: Parts) -> OtherSegmentor:
    assert parts.other_network is not None
    return OtherSegmentor(parts.networks.segmentor_inferer, parts.other_network)


def _with_generator(fit: str, parts: Parts) -> EvidenceInferer:
    return evidence_inferer(parts, parts.fits[fit], augmented=fit in ON_AUGMENTATION)


def evidence_inferer(parts: Parts, settings: EvidenceSettings, *, augmented: bool) -> EvidenceInferer:
    """Evidence on candidates of one pass, or of flips and turns."""
    first = _augmented(parts, gate_threshold=AUGMENTATION_GATE) if augmented else None
    generator = parts.networks.refined_inferer.generator
    return EvidenceInferer(generator, settings=settings, first_pass=first, **window_options(parts))


def _without_generator(fit: str) -> Callable[[Parts], EvidenceInferer]:
    return lambda parts: EvidenceInferer(None, settings=parts.fits[fit], **window_options(parts))

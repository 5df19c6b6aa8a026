"""The systems of the benchmarks: learned ones, classical ones tuned on tuning views, and what they are tuned to."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from tqdm import tqdm

from bundle import __version__
from bundle.baselines import GRIDS, ClassicalInferer, best_threshold, sweep_classical
from bundle.baselines.registry import CLASSICAL
from bundle.engines.benchmark import (
    FIXED_LOGITS,
    LOGIT_GRID,
    Case,
    KeptMaps,
    MapSystem,
    Row,
    View,
    froc_logits,
)
from bundle.engines.evaluation import fingerprint
from bundle.functional.confusion import MICROCALCIFICATION
from bundle.functional.evidence import EvidenceSettings
from bundle.functional.findings import METHODS
from scripts.shipped import augmented_inferer, company_inferer, evidence_inferer, shipped_inferers

LEARNED = METHODS
# The segmentor's candidates moved by the high-pass alone: what refinement has to beat. Weights: fitted in the
# refinement study (row `p+high-pass` of docs/results/refinement.md).
CONTROL = "p+high-pass"
CONTROL_SETTINGS = EvidenceSettings(weight_logit=1.11, weight_high_pass=1.187, weight_score=0.0, bias=-5.077)
# Candidates moved by the company of others. Weights: `python -m scripts.fit_evidence --channels neighbours --threshold
# 0.005`, 2026-12-01.
NEIGHBOURS = "neighbours"
COMPANY = EvidenceSettings(threshold=0.005, weight_score=0.0, weight_neighbours=0.596, bias=-2.141)
WEIGHED = {CONTROL: CONTROL_SETTINGS, NEIGHBOURS: COMPANY}
SYSTEMS = (*LEARNED, *WEIGHED, *CLASSICAL)
# Ciecholewski's takes longer than all others together.
DEFAULT_SYSTEMS = ("segmentor", "augmentation", *(name for name in CLASSICAL if name != "ciecholewski"))
DEFAULT_THRESHOLD = 0.5
# What the name of a row ends with that runs at it, where the threshold is tuned too.
AT_DEFAULT = f" at {DEFAULT_THRESHOLD}"


class Networks(NamedTuple):
    """What `shipped_inferers` builds."""

    segmentor_inferer: Any
    refined_inferer: Any
    network: torch.nn.Module


def load_networks(models_dir: Path | None, *, refine: bool) -> Networks:
    """Networks and inferers of configs/inference.yaml, without progress bars of their own."""
    networks = Networks(*shipped_inferers(models_dir, refine=refine))
    for inferer in networks[:2]:
        if inferer is not None:
            getattr(inferer, "windowed", inferer).progress = False
    return networks


def learned_systems(names: Sequence[str], networks: Networks | None) -> dict[str, MapSystem]:
    """The learned ones among the names."""
    if networks is None:
        return {}
    network, augmented = networks.network, _augmented(networks)
    plain = _learned("segmentor", networks.segmentor_inferer, network)
    averaged = _learned("augmentation", augmented, network)
    systems = {"segmentor": plain, "augmentation": averaged}
    if "company" in names:
        systems["company"] = company_system(networks)
    for name, settings in WEIGHED.items():
        inferer = evidence_inferer(None, networks.segmentor_inferer, settings=settings)
        systems[name] = _moved(name, inferer, plain, network)
    if networks.refined_inferer is not None:
        generator = networks.refined_inferer.generator
        systems["evidence"] = _learned("evidence", evidence_inferer(generator, networks.segmentor_inferer), network)
        systems["ttgpr"] = _learned("ttgpr", networks.refined_inferer, network)
    return {name: systems[name] for name in (*LEARNED, *WEIGHED) if name in names}


def company_system(networks: Networks, settings: EvidenceSettings | None = None, *, name: str = "company") -> MapSystem:
    """Flips and turns whose candidates are moved by the company of others; its `first` is those without.

    Args:
        networks: of `load_networks`.
        settings: other ones than the shipped.
        name: of the system.
    """
    augmented = _augmented(networks)
    first = _learned("augmentation", augmented, networks.network)
    return _moved(name, company_inferer(augmented, settings=settings), first, networks.network)


def _augmented(networks: Networks) -> Any:
    """Flips and turns over the windows of the segmentor, whatever they are."""
    augmented = augmented_inferer()
    augmented.windowed = networks.segmentor_inferer
    return augmented


def _learned(name: str, inferer: Any, network: torch.nn.Module) -> MapSystem:
    settings = fingerprint(__version__, inferer, network)
    return MapSystem(name, partial(_learned_logits, inferer, network), settings, keep=True)


def _moved(name: str, inferer: Any, first: MapSystem, network: torch.nn.Module) -> MapSystem:
    """A system whose inferer moves the logits of another one."""

    def move(view: View, logits: NDArray[np.float32]) -> NDArray:
        return inferer.refined(view_image(view), torch.from_numpy(logits)[None, None])[0, 0].numpy()

    return replace(_learned(name, inferer, network), first=first, move=move)


def classical_system(name: str, inferer: ClassicalInferer) -> MapSystem:
    """A tuned classical detector; its probability is 0.5 at the tuned threshold."""
    return MapSystem(name, partial(_classical_logits, inferer), fingerprint(__version__, inferer))


def view_image(view: View) -> MetaTensor:
    """Image of a view as inferers take it, (1, 1, rows, columns)."""
    return MetaTensor(np.ascontiguousarray(view["image"])[None, None], meta={"spacing_mm": view["spacing_mm"]})


def _learned_logits(inferer: Callable[..., torch.Tensor], network: torch.nn.Module, view: View) -> NDArray:
    return inferer(view_image(view).to(next(network.parameters()).device), network)[0, 0].cpu().numpy()


def _classical_logits(inferer: ClassicalInferer, view: View) -> NDArray:
    image = torch.from_numpy(np.ascontiguousarray(view["image"]))[None, None]
    return inferer(image, spacing_mm=view["spacing_mm"])[0, 0].numpy()


def is_clean(view: View) -> bool:
    """Whether a view has no true calcification; what is to be ignored does not count."""
    return not np.any(np.asarray(view["label"]) == MICROCALCIFICATION)


def tuned_rows(
    names: Sequence[str],
    learned: Mapping[str, MapSystem],
    cases: Sequence[Case],
    maps: KeptMaps,
    *,
    cache: Path,
) -> list[Row]:
    """Rows of all systems: classical ones at their tuned setting, learned ones at their tuned threshold and at 0.5.

    Args:
        names: systems.
        learned: those with networks.
        cases: of the tuning split, calcified and clean.
        maps: where maps are kept.
        cache: folder for what was chosen; used again if nothing changed.
    """
    views: list[View] = []

    def loaded() -> list[View]:
        if not views:
            views.extend(case.load() for case in tqdm(cases, desc="Reading tuning views", unit="view"))
        return views

    rows = []
    identity = [case[:4] for case in cases]
    for name in SYSTEMS:
        if name in learned:
            system = learned[name]
            key = fingerprint(system.settings, FIXED_LOGITS, identity)
            chosen = cached(cache / f"{name}-{key}.json", partial(tune_learned, system, cases, loaded, maps))
            levels = tuple(chosen["froc_logits"])
            rows.append(Row(name, system, chosen["threshold"], levels))
            rows.append(Row(f"{name}{AT_DEFAULT}", system, DEFAULT_THRESHOLD, levels))
        elif name in names:
            key = fingerprint(__version__, GRIDS[CLASSICAL[name]], FIXED_LOGITS, identity)
            chosen = cached(cache / f"{name}-{key}.json", partial(tune_classical_system, name, loaded))
            system = classical_system(name, CLASSICAL[name](**chosen["parameters"]))
            rows.append(Row(name, system, DEFAULT_THRESHOLD, tuple(chosen["froc_logits"])))
    return rows


def cached(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Contents of a JSON file, made and written whole if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}_{path.name}")
        temporary.write_text(json.dumps(make(), indent=1))
        temporary.replace(path)
    return json.loads(path.read_text())


def tune_learned(
    system: MapSystem, cases: Sequence[Case], views: Callable[[], list[View]], maps: KeptMaps, *, progress: bool = True
) -> dict[str, Any]:
    """Threshold of a system with the highest pooled F2 on tuning views, and those of its FROC curves.

    Args:
        system: learned.
        cases: of the tuning split.
        views: gives them, read.
        maps: where maps are kept.
        progress: show a progress bar.
    """
    bar = tqdm(
        list(zip(cases, views(), strict=True)), desc=f"{system.name} on tuning views", unit="view", disable=not progress
    )
    logits = [maps.logits(system, case, view) for case, view in bar]
    clean = [(map_, view) for map_, view in zip(logits, views(), strict=True) if is_clean(view)]
    levels = _levels([map_ for map_, _ in clean], [view for _, view in clean])
    # An operating threshold is a probability: one below 1 in single precision.
    within = np.array([level for level in levels if level <= LOGIT_GRID[-1]])
    logit, f2 = best_threshold(logits, views(), within)
    return {"threshold": float(1 / (1 + np.exp(-logit))), "f2": f2, "froc_logits": levels}


def tune_classical_system(name: str, views: Callable[[], list[View]]) -> dict[str, Any]:
    """Settings of a classical system with the highest pooled F2 on tuning views, and thresholds of its FROC curves."""
    tuned = sweep_classical(CLASSICAL[name], views()).best()
    system = classical_system(name, tuned.inferer)
    clean = [view for view in views() if is_clean(view)]
    levels = _levels([system.predict(view) for view in clean], clean)
    return {"parameters": tuned.parameters, "f2": tuned.f2, "froc_logits": levels}


def _levels(logits: Sequence[NDArray], clean: Sequence[View]) -> tuple[float, ...]:
    """Thresholds of a FROC curve; equally far apart in logit where no tuning view is clean."""
    return froc_logits(logits, clean) if clean else FIXED_LOGITS

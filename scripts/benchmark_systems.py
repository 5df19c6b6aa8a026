"""The systems of the benchmarks: learned ones, classical ones tuned on tuning views, and the price of TT-GPR."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
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
    LOGIT_GRID,
    Case,
    KeptMaps,
    MapSystem,
    Row,
    View,
    froc_thresholds,
    refinement_passes,
    sigmoid,
)
from bundle.engines.evaluation import fingerprint
from bundle.functional.confusion import MICROCALCIFICATION
from bundle.functional.evidence import EvidenceSettings
from bundle.functional.findings import METHODS
from bundle.functional.windows import breast_windows, pad_to_window, window_peaks
from scripts.shipped import augmented_inferer, evidence_inferer, shipped_inferers

LEARNED = METHODS
# The segmentor's candidates moved by the high-pass alone: what refinement has to beat. Weights: fitted in the
# refinement study (row `p+high-pass` of docs/results/refinement.md).
CONTROL = "p+high-pass"
CONTROL_SETTINGS = EvidenceSettings(weight_logit=1.11, weight_high_pass=1.187, weight_score=0.0, bias=-5.077)
SYSTEMS = (*LEARNED, CONTROL, *CLASSICAL)
# Ciecholewski's takes longer than all others together.
DEFAULT_SYSTEMS = ("segmentor", "augmentation", *(name for name in CLASSICAL if name != "ciecholewski"))
DEFAULT_THRESHOLD = 0.5
# Thresholds of a curve that no clean tuning view chooses.
LEVELS = tuple(float(level) for level in sigmoid(LOGIT_GRID[::10]))
# Batches timed for the price, after one that is not.
TIMED = 3


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
    augmented = augmented_inferer()
    # The windows of the segmentor, whatever they are.
    augmented.windowed = networks.segmentor_inferer
    inferers = {"segmentor": networks.segmentor_inferer, "augmentation": augmented, "ttgpr": networks.refined_inferer}
    inferers[CONTROL] = evidence_inferer(None, networks.segmentor_inferer, settings=CONTROL_SETTINGS)
    if networks.refined_inferer is not None:
        inferers["evidence"] = evidence_inferer(networks.refined_inferer.generator, networks.segmentor_inferer)
    return {
        name: MapSystem(
            name,
            partial(_learned_logits, inferers[name], networks.network),
            fingerprint(__version__, inferers[name], networks.network),
            keep=True,
        )
        for name in (*LEARNED, CONTROL)
        if name in names
    }


def classical_system(name: str, inferer: ClassicalInferer) -> MapSystem:
    """A tuned classical detector; its probability is 0.5 at the tuned threshold."""
    return MapSystem(name, partial(_classical_logits, inferer), fingerprint(__version__, inferer))


def _learned_logits(inferer: Callable[..., torch.Tensor], network: torch.nn.Module, view: View) -> NDArray:
    image = MetaTensor(np.ascontiguousarray(view["image"])[None, None], meta={"spacing_mm": view["spacing_mm"]})
    return inferer(image.to(next(network.parameters()).device), network)[0, 0].cpu().numpy()


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
            key = fingerprint(system.settings, identity)
            chosen = cached(cache / f"{name}-{key}.json", partial(tune_learned, system, cases, loaded, maps))
            levels = tuple(chosen["froc_thresholds"])
            rows.append(Row(name, system, chosen["threshold"], levels))
            rows.append(Row(f"{name} at {DEFAULT_THRESHOLD}", system, DEFAULT_THRESHOLD, levels))
        elif name in names:
            key = fingerprint(__version__, GRIDS[CLASSICAL[name]], identity)
            chosen = cached(cache / f"{name}-{key}.json", partial(tune_classical_system, name, loaded))
            system = classical_system(name, CLASSICAL[name](**chosen["parameters"]))
            rows.append(Row(name, system, DEFAULT_THRESHOLD, tuple(chosen["froc_thresholds"])))
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
    probs = [maps.probs(system, case, view) for case, view in bar]
    clean = [(map_, view) for map_, view in zip(probs, views(), strict=True) if is_clean(view)]
    levels = _levels([map_ for map_, _ in clean], [view for _, view in clean])
    threshold, f2 = best_threshold(probs, views(), levels)
    return {"threshold": threshold, "f2": f2, "froc_thresholds": levels}


def tune_classical_system(name: str, views: Callable[[], list[View]]) -> dict[str, Any]:
    """Settings of a classical system with the highest pooled F2 on tuning views, and thresholds of its FROC curves."""
    tuned = sweep_classical(CLASSICAL[name], views()).best()
    system = classical_system(name, tuned.inferer)
    clean = [view for view in views() if is_clean(view)]
    levels = _levels([sigmoid(system.predict(view)) for view in clean], clean)
    return {"parameters": tuned.parameters, "f2": tuned.f2, "froc_thresholds": levels}


def _levels(probs: Sequence[NDArray], clean: Sequence[View]) -> tuple[float, ...]:
    """Thresholds of a FROC curve; equally far apart in logit where no tuning view is clean."""
    return froc_thresholds(probs, clean) if clean else LEVELS


class ToRefine(NamedTuple):
    """What TT-GPR has to do on some cases.

    Attributes:
        cases: all of them,
        views: and those without a map.
        first: windows of the first pass.
        gated: windows to refine.
        unknown: views whose evidence is not known, so that all their windows count as gated.
    """

    cases: int
    views: int
    first: int
    gated: int
    unknown: int


def count_to_refine(networks: Networks, cases: Sequence[Case], maps: KeptMaps) -> ToRefine:
    """Count windows: with evidence where the map of the segmentor is kept, else all windows of a case.

    Args:
        networks: both, with the weights that these cases are judged with: kept maps are theirs.
        cases: those to refine.
        maps: where maps are kept.
    """
    learned = learned_systems(["segmentor", "ttgpr"], networks)
    todo = [case for case in cases if not maps.path(learned["ttgpr"], case).exists()]
    counted = [
        _windows(case.load(), maps.kept(learned["segmentor"], case), networks.refined_inferer)
        for case in tqdm(todo, desc="Counting windows", unit="view")
    ]
    gated = sum(every if evident is None else evident for every, evident in counted)
    unknown = sum(evident is None for _, evident in counted)
    return ToRefine(len(cases), len(todo), sum(every for every, _ in counted), gated, unknown)


def price_of_refinement(networks: Networks, parts: Sequence[ToRefine]) -> str:
    """What TT-GPR will cost, in words: windows, network passes, and minutes as measured on one batch of windows.

    Args:
        networks: both.
        parts: from `count_to_refine`, one for every set of weights.
    """
    work = ToRefine(*(sum(column) for column in zip(*parts, strict=True)))
    per_window = refinement_passes(networks.refined_inferer.settings)
    passes = work.first + work.gated * per_window
    seconds = _seconds_per_pass(networks)
    upper = f"; {work.unknown} views are not segmented yet and count with all windows" if work.unknown else ""
    return (
        f"TT-GPR on {work.views} of {work.cases} views: {work.gated} windows x {per_window} passes + {work.first} "
        f"first passes = {passes} network passes, about {passes * seconds / 60:.0f} minutes at {seconds:.3f} s a pass"
        f"{upper}"
    )


def _windows(view: View, probs: NDArray | None, refined: Any) -> tuple[int, int | None]:
    """Windows with breast, and how many of them show evidence (None: not known)."""
    side, overlap = refined.windowed.window_px, refined.windowed.overlap
    frame = pad_to_window(torch.from_numpy(np.ascontiguousarray(view["image"]))[None, None], window_px=side)
    windows = breast_windows(frame, window_px=side, overlap=overlap)
    if probs is None:
        return len(windows), None
    padded = pad_to_window(torch.from_numpy(probs)[None, None], window_px=side, value=0.0)
    peaks = window_peaks(padded, windows, window_px=side)
    return len(windows), sum(peak >= refined.settings.gate_threshold for peak in peaks)


def _seconds_per_pass(networks: Networks) -> float:
    """Mean time of a pass of generator and segmentor per window, in batches as they will run."""
    windowed, generator = networks.refined_inferer.windowed, networks.refined_inferer.generator
    count, side = windowed.sw_batch_size, windowed.window_px
    device = next(networks.network.parameters()).device
    image = torch.zeros(count, 1, side, side, device=device)
    t, condition = torch.full((count,), 0.5, device=device), torch.zeros(count, 2, side, side, device=device)

    def both() -> None:
        with torch.no_grad(), windowed.autocast(device):
            generator(image, t, condition)
            networks.network(image)

    both()
    start = time.perf_counter()
    for _ in range(TIMED):
        both()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / (TIMED * 2 * count)

"""What a study tunes on: views with their truth, refined with a trial's settings, and objects counted.

The segmentor's first pass, which no setting changes, is made once and kept.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from .. import __version__
from ..functional.confusion import f2_score, precision, recall
from ..functional.objects import ObjectCounts, add_counts, find_reference, match_objects
from ..functional.points import match_points, points_inside
from ..functional.refinement_settings import RefinementSettings, change
from ..functional.windows import breast_windows, pad_to_window, window_peaks
from .benchmark import refinement_passes, sigmoid
from .evaluation import fingerprint
from .tuning_study import random_parameters

View = Mapping[str, Any]
# The threshold is drawn by its logit: a sure network's best one may be 0.01 as well as 0.999.
THRESHOLD = "threshold_logit"
# Of the segmentor alone, equal steps of the logit; 0.5 is among them.
CONTROL_THRESHOLDS = (1 / (1 + np.exp(-np.linspace(-9, 9, 73)))).tolist()
# Views in memory: a whole view is about 50 MB.
KEPT_VIEWS = 32
# Batches timed for the price, after one that is not; points of the search space whose cost is averaged.
TIMED, PRICED = 2, 256


class TuningCase(NamedTuple):
    """One view to tune on.

    Attributes:
        name: one of its kind.
        settings: short text that changes with anything the view depends on.
        load: gives `image` float32 in [-1, 1] and `label` 0/1/2, both (rows, columns), `spacing_mm`, `region` (bool
            (rows, columns), or None for the whole image), and `points` (n, 2) in pixels or None.
    """

    name: str
    settings: str
    load: Callable[[], View]


def labelled_cases(cases: Any) -> list[TuningCase]:
    """The cases of a labelled folder, in an order drawn once, so that calcified and clean ones mix.

    Args:
        cases: `bundle.data.evaluation_cases.EvaluationCases`, checked.
    """
    reading = (cases.reading, cases.region, cases.points_as_pixels)
    made = [
        TuningCase(case.case, fingerprint(reading, *_contents(case)), lambda case=case: _labelled(cases, case))  # type: ignore[misc]
        for case in cases
    ]
    return [made[index] for index in np.random.default_rng(0).permutation(len(made))]


def _contents(case: Any) -> list[str]:
    paths = [path for path in (case.image, case.mask, case.roi) if path is not None]
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def _labelled(cases: Any, case: Any) -> View:
    data = cases.load(case)
    annotation = data["annotation"]
    if annotation.kind == "outlines":
        raise ValueError(f"Expected calcifications, got outlines of groups alone in {case.mask}; leave the view out")
    return {
        "image": np.asarray(data["image"])[0],
        "label": annotation.label,
        "points": annotation.points_px if annotation.kind == "points" else None,
        **{key: data[key] for key in ("spacing_mm", "region")},
    }


def count_view(view: View, probs: NDArray, threshold: float) -> ObjectCounts:
    """Objects found, made up and missed in one view, one to one.

    Args:
        view: as `TuningCase.load` gives it.
        probs: (rows, columns).
        threshold: a pixel is positive at or above it.
    """
    reference = find_reference(view["label"], spacing_mm=view["spacing_mm"], region=view["region"])
    mask = probs.astype(np.float64) >= threshold
    if view.get("points") is None:
        return match_objects(mask, reference).counts(reference)
    points = points_inside(view["points"], reference.inside)
    match = match_points(mask, points, reference)
    found = float(len(match.pairs))
    return ObjectCounts(found, float(match.false.sum()), len(points) - found, reference.area_cm2)


def threshold_of(parameters: Mapping[str, Any]) -> float:
    """Threshold of a trial, 0.5 where it has none of its own."""
    return 1 / (1 + math.exp(-parameters.get(THRESHOLD, 0.0)))


def figures_of(counts: ObjectCounts) -> dict[str, float]:
    """F2, recall, precision (1 where nothing is predicted) and false objects per cm2."""
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    return {
        "f2": float(f2_score(tp, fp, fn, zero_division=0.0)),
        "recall": float(recall(tp, fn, zero_division=0.0)),
        "precision": float(precision(tp, fp, zero_division=1.0)),
        "fp_per_cm2": counts.fp_per_cm2,
    }


class FirstPass:
    """The refining inferer's own first pass of the segmentor, taken from a file once it was made.

    Takes the place of its `windowed`: everything else is handed on.

    Args:
        windowed: the inferer of the first pass.
        folder: of the files.
        settings: short text that changes with the network and the inferer.

    Attributes:
        case: whose view comes next.
    """

    def __init__(self, windowed: Any, folder: str | Path, settings: str) -> None:
        self.windowed, self.folder, self.settings = windowed, Path(folder), settings
        self.case: TuningCase | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.windowed, name)

    def __call__(self, inputs: torch.Tensor, network: Any) -> torch.Tensor:
        assert self.case is not None
        path = self.path(self.case)
        if path.exists():
            return torch.from_numpy(np.load(path)).to(inputs.device)
        logits = self.windowed(inputs, network)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}_{path.name}")
        np.save(temporary, torch.as_tensor(logits).cpu().numpy())
        temporary.replace(path)
        return logits

    def path(self, case: TuningCase) -> Path:
        """The file of one case."""
        return self.folder / f"{fingerprint(case.name, case.settings, self.settings)}.npy"


@dataclass
class Refinement:
    """Refines the cases with given settings and counts what is found.

    Attributes:
        cases: to tune on.
        inferer: `TTGPRInferer`; its settings are where a trial starts from.
        network: the segmentor.
        folder: of the kept first passes.
    """

    cases: Sequence[TuningCase]
    inferer: Any
    network: torch.nn.Module
    folder: str | Path

    def __post_init__(self) -> None:
        self.base: RefinementSettings = self.inferer.settings
        self.device = next(self.network.parameters()).device
        self.inferer.windowed.progress = False
        key = fingerprint(__version__, self.network, self.inferer.windowed)
        self.identity = fingerprint(key, self.inferer, [case[:2] for case in self.cases])
        self.first = self.inferer.windowed = FirstPass(self.inferer.windowed, self.folder, key)
        self.view = lru_cache(maxsize=KEPT_VIEWS)(lambda number: self.cases[number].load())

    def count(self, parameters: Mapping[str, Any]) -> Iterator[ObjectCounts]:
        """Counts of each case at a trial's settings and threshold."""
        overrides = {name: value for name, value in parameters.items() if name != THRESHOLD}
        self.inferer.settings = change(self.base, **overrides)
        for number in range(len(self.cases)):
            probs = self._probs(number, self.inferer)
            yield count_view(self.view(number), probs, threshold_of(parameters))

    def control(self) -> list[ObjectCounts]:
        """Counts of the segmentor alone over all cases, at each of `CONTROL_THRESHOLDS`."""
        total: list[list[ObjectCounts]] = []
        for number in tqdm(range(len(self.cases)), desc="Segmentor alone", unit="case"):
            probs = self._probs(number, self.first)
            total.append([count_view(self.view(number), probs, threshold) for threshold in CONTROL_THRESHOLDS])
        return [add_counts(counts) for counts in zip(*total, strict=True)]

    def _probs(self, number: int, inferer: Any) -> NDArray[np.float32]:
        self.first.case = self.cases[number]
        image = torch.from_numpy(np.ascontiguousarray(self.view(number)["image"]))[None, None].to(self.device)
        return sigmoid(torch.as_tensor(inferer(image, self.network))[0, 0].cpu().numpy())

    def price(self, space: Mapping[str, Any], *, trials: int) -> str:
        """What the study will cost, in words: windows, network passes, minutes as measured on one batch."""
        side = self.first.window_px
        windows = refined = new = 0
        for number, case in enumerate(tqdm(self.cases, desc="Counting windows", unit="case")):
            image = torch.from_numpy(np.ascontiguousarray(self.view(number)["image"]))[None, None]
            found = breast_windows(pad_to_window(image, window_px=side), window_px=side, overlap=self.first.overlap)
            windows += len(found)
            if not self.first.path(case).exists():
                new, refined = new + len(found), refined + len(found)
                continue
            probs = torch.sigmoid(torch.from_numpy(np.load(self.first.path(case))))
            peaks = window_peaks(pad_to_window(probs, window_px=side, value=0.0), found, window_px=side)
            refined += sum(peak >= self.base.gate_threshold for peak in peaks)
        passes = float(np.mean([refinement_passes(settings) for settings in self._priced(space)]))
        seconds = self._seconds_per_pass()
        minutes = refined * passes * seconds / 60
        limit = "at most " if new else ""
        return (
            f"{len(self.cases)} cases, {windows} windows. First passes to make: {new}, about {new * seconds / 60:.1f} "
            f"minutes. A trial refines {limit}{refined} windows with {passes:.1f} passes on average: {limit}"
            f"{minutes:.1f} minutes; {trials} trials: {limit}{trials * minutes:.0f} minutes at {seconds:.3f} s a pass, "
            "less what is pruned"
        )

    def _priced(self, space: Mapping[str, Any]) -> list[RefinementSettings]:
        points = random_parameters({name: one for name, one in space.items() if name != THRESHOLD}, count=PRICED)
        return [change(self.base, **point) for point in points]

    def _seconds_per_pass(self) -> float:
        """Mean time of a pass of generator and segmentor per window, in batches as they will run."""
        count, side = self.first.sw_batch_size, self.first.window_px
        image = torch.zeros(count, 1, side, side, device=self.device)
        t, condition = torch.full((count,), 0.5, device=self.device), torch.zeros(count, 2, side, side).to(self.device)
        seconds = []
        for _ in range(TIMED + 1):
            start = time.perf_counter()
            with torch.no_grad(), self.first.autocast(self.device):
                self.inferer.generator(image, t, condition)
                # Reading a value waits for the device.
                float(self.network(image).sum())
            seconds.append(time.perf_counter() - start)
        return sum(seconds[1:]) / (TIMED * 2 * count)

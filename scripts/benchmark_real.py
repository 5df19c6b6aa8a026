"""The benchmark on real backgrounds: its cases, and the systems of each fold, tuned without the held-out exam."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache as remembered
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bundle import __version__
from bundle.baselines import GRIDS, sweep_classical
from bundle.data import MammogramError
from bundle.data.real_backgrounds import REAL_VERSION, RealBackgrounds, crops_of
from bundle.engines.benchmark import FIXED_LOGITS, Case, KeptMaps, Row, View, froc_logits
from bundle.engines.evaluation import fingerprint
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.networks import load_weights
from scripts.benchmark_systems import (
    CLASSICAL,
    DEFAULT_THRESHOLD,
    Networks,
    cached,
    classical_system,
    company_system,
    is_clean,
    learned_systems,
)
from scripts.site_fit import fit_company

# What a row is called whose network has seen the exams that it is tested on.
SEEN = "trained on these exams"
# The row of "company" with weights of the site.
FITTED = "company, fitted"
# Of the views of other exams, this much is tuned on: the first crop, clean and with its first injection.
TUNING = {"crops_per_view": 1, "injections": 1}


def real_cases(
    exams: Mapping[str, Sequence[str]],
    backgrounds: RealBackgrounds,
    *,
    crops_per_view: int,
    injections: int,
    spacing_mm: float | None,
) -> dict[str, list[Case]]:
    """Cases by exam: every crop clean and with each injection; `spacing_mm` is what the views were read with."""
    options = (REAL_VERSION, backgrounds.crop_mm, backgrounds.jpeg_quality, backgrounds.screen, spacing_mm)
    cases: dict[str, list[Case]] = {exam: [] for exam in exams}
    for crop in crops_of(exams, crops_per_view=crops_per_view, injections=injections):
        settings = fingerprint(options, _content(crop.path), crop.number, crop.injection)
        load = partial(backgrounds.load, crop)
        cases[crop.exam].append(Case(crop.name, crop.exam, f"real/{crop.exam}", settings, load))
    return cases


@remembered
def _content(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def check_fold_weights(weights_dir: Path, exams: Iterable[str]) -> None:
    """Name what is missing before a long run: every exam needs EXAM.pt, and all of them a generator or none.

    Raises:
        MammogramError: if not so; a fold without a generator would run with that of the fold before it.
    """
    paths = [weights_dir / f"{exam}.pt" for exam in exams]
    generators = [generator_path(weights_dir, exam) for exam in exams]
    wanted = paths + (generators if any(path.exists() for path in generators) else [])
    missing = next((path for path in wanted if not path.exists()), None)
    if missing is not None:
        raise MammogramError(f"{missing}: Expected weights trained without this exam, found none; train them")


def put_fold_weights(networks: Networks, weights_dir: Path, exam: str) -> None:
    """Load EXAM.pt, and EXAM_generator.pt if it is there.

    Raises:
        MammogramError: if EXAM.pt is missing, or one of them does not fit the networks.
    """
    _fill(networks.network, weights_dir / f"{exam}.pt")
    if networks.refined_inferer is not None and generator_path(weights_dir, exam).exists():
        _fill(networks.refined_inferer.generator, generator_path(weights_dir, exam))


def generator_path(weights_dir: Path, exam: str) -> Path:
    """Where the generator of a fold lies."""
    return weights_dir / f"{exam}_generator.pt"


def _fill(network: torch.nn.Module, path: Path) -> None:
    try:
        load_weights(network, str(path), device=next(network.parameters()).device)
    except (OSError, ValueError) as error:
        raise MammogramError(f"{path}: Expected weights trained without this exam; {error}") from error


def learned_rows(systems: Sequence[str], networks: Networks | None, weights_dir: Path | None, exam: str) -> list[Row]:
    """Rows of the learned systems at threshold 0.5; one whose weights may have seen the exam says so."""
    rows = []
    for name, system in learned_systems(systems, networks).items():
        if weights_dir is None:
            name = f"{name} ({SEEN})"
        elif name in GENERATIVE_METHODS and not generator_path(weights_dir, exam).exists():
            name = f"{name} (generator {SEEN})"
        rows.append(Row(name, system, DEFAULT_THRESHOLD, FIXED_LOGITS))
    return rows


def fitted_row(
    networks: Networks,
    weights_dir: Path,
    site: Mapping[str, Sequence[Case]],
    exam: str,
    maps: KeptMaps,
    *,
    cache: Path,
) -> Row:
    """The method "company" at 0.5, its weights fitted without a label on exams that the network has not seen either.

    Those are the others with the same weights as the held-out exam: each was trained without its own exam.

    Args:
        networks: with the weights of the exam.
        weights_dir: EXAM.pt.
        site: by exam clean and injected crops, with calcifications of training's kind.
        exam: held out.
        maps: where maps are kept.
        cache: folder for what was fitted.

    Raises:
        MammogramError: if no other exam has these weights.
    """
    weights = {name: _content(str(weights_dir / f"{name}.pt")) for name in site}
    cases = [case for name in site if name != exam and weights[name] == weights[exam] for case in site[name]]
    if not cases:
        raise MammogramError(
            f"{weights_dir / exam}.pt: Expected another exam with the same weights, to fit company on; make fewer folds"
        )
    first = learned_systems(["augmentation"], networks)["augmentation"]
    settings = fit_company(first, cases, maps, cache=cache)
    return Row(FITTED, company_system(networks, settings, name=FITTED), DEFAULT_THRESHOLD, FIXED_LOGITS)


class ClassicalFolds:
    """Classical systems, tuned for each held-out exam on crops of the others.

    Args:
        systems: names; learned ones are left out.
        tuning: cases by exam, clean and with calcifications.
        cache: folder for what was chosen.
    """

    def __init__(self, systems: Sequence[str], tuning: Mapping[str, Sequence[Case]], *, cache: Path) -> None:
        self.tuning, self.cache = tuning, cache
        self._views: list[View] = []
        self.chosen = {name: self._choose(name) for name in CLASSICAL if name in systems}

    def rows(self, exam: str) -> list[Row]:
        """Rows of the fold that holds an exam out."""
        rows = []
        for name, chosen in self.chosen.items():
            system = classical_system(name, CLASSICAL[name](**chosen["folds"][exam]))
            rows.append(Row(name, system, DEFAULT_THRESHOLD, tuple(chosen["froc_logits"])))
        return rows

    def _choose(self, name: str) -> dict[str, Any]:
        identity = [case[:4] for cases in self.tuning.values() for case in cases]
        key = fingerprint(__version__, GRIDS[CLASSICAL[name]], FIXED_LOGITS, identity)
        return cached(self.cache / f"{name}-{key}.json", partial(self._tune, name))

    def _tune(self, name: str) -> dict[str, Any]:
        exam_of = np.array([exam for exam, cases in self.tuning.items() for _ in cases])
        views = self._loaded()
        sweep = sweep_classical(CLASSICAL[name], views)
        tuned = {exam: sweep.best(exam_of != exam) for exam in self.tuning}
        # One set of thresholds for all folds, or their curves could not be pooled.
        first = next(iter(self.tuning))
        system = classical_system(name, tuned[first].inferer)
        clean = [view for view, exam in zip(views, exam_of, strict=True) if exam != first and is_clean(view)]
        levels = froc_logits([system.predict(view) for view in clean], clean)
        return {"folds": {exam: choice.parameters for exam, choice in tuned.items()}, "froc_logits": levels}

    def _loaded(self) -> list[View]:
        if not self._views:
            cases = [case for members in self.tuning.values() for case in members]
            self._views = [case.load() for case in tqdm(cases, desc="Reading tuning crops", unit="crop")]
        return self._views

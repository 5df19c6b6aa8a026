"""Weights of the evidence for the refinement study, fitted on crops of their own."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bundle import __version__
from bundle.engines.benchmark import Case
from bundle.engines.evaluation import fingerprint
from bundle.functional.candidates import candidate_truth
from bundle.functional.evidence import Evidence, EvidenceSettings, fit_evidence
from bundle.inferers import EvidenceInferer
from scripts.benchmark_systems import Networks, cached
from scripts.study_variants import FITS, ON_AUGMENTATION, Parts, evidence_inferer


def fitted(names: Sequence[str], networks: Networks, cases: Sequence[Case], cache: Path) -> dict[str, EvidenceSettings]:
    """Settings of some fits of `FITS`, by name; what is gathered on a crop is kept, so a stopped run goes on.

    Args:
        names: of the fits.
        networks: both.
        cases: crops of known truth.
        cache: folder.
    """
    found, known = {}, {}
    for name in names:
        settings, channels = FITS[name]
        augmented = name in ON_AUGMENTATION
        key = fingerprint(settings, augmented)
        if key not in known:
            inferer = evidence_inferer(Parts(networks, {}), settings, augmented=augmented)
            known[key] = gathered(inferer, networks, cases, cache, desc=f"Fitting {name}")
        evidence, truth = zip(*known[key], strict=True)
        found[name] = fit_evidence(evidence, truth, settings, channels=channels)
    return found


def gathered(
    inferer: EvidenceInferer, networks: Networks, cases: Sequence[Case], cache: Path, *, desc: str
) -> list[tuple[Evidence, np.ndarray]]:
    """Evidence and truth of the candidates of each case; what was gathered before is read from the cache."""
    return [_kept(inferer, networks, case, cache) for case in tqdm(cases, desc=desc, unit="view")]


def _kept(inferer: EvidenceInferer, networks: Networks, case: Case, cache: Path) -> tuple[Evidence, np.ndarray]:
    """Evidence and truth of one crop's candidates, from a file if they were gathered before."""
    key = fingerprint(__version__, inferer, networks.network, case.settings)
    content = cached(cache / f"{case.case}-{key}.json", lambda: _gathered(inferer, networks, case))
    truth = np.array(content.pop("truth"), np.uint8)
    tested = np.array(content.pop("tested"), bool)
    return Evidence(**{name: np.array(values, float) for name, values in content.items()}, tested=tested), truth


def _gathered(inferer: EvidenceInferer, networks: Networks, case: Case) -> dict[str, Any]:
    view = case.load()
    device = next(networks.network.parameters()).device
    image = torch.from_numpy(view["image"])[None, None].to(device)
    logits = inferer.first_pass(image, networks.network)
    candidates, evidence = inferer.gather_evidence(image, logits, every_channel=True)
    truth = candidate_truth(candidates, view["label"][None, None])
    return {**{name: value.tolist() for name, value in asdict(evidence).items()}, "truth": truth.tolist()}

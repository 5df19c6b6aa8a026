"""Fit the weights of the evidence on whole rendered views: `python -m scripts.fit_evidence --channels neighbours`.

The views are those that the refinement study fits on, of the tuning split of the shift benchmark and in no benchmark;
company needs them whole, since a crop about a calcification holds hardly a candidate that is far from one.
"""

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.engines.benchmark import Case
from bundle.functional.confusion import IGNORE
from bundle.functional.evidence import CHANNELS, Evidence, EvidenceSettings, change_of_logits, fit_evidence
from scripts.benchmark_systems import load_networks
from scripts.command import one_line_errors
from scripts.shipped import ROOT, augmented_inferer, evidence_inferer
from scripts.study_crops import DATASET, load_whole, study_views
from scripts.study_fit import gathered

FIRST_PASSES = ("segmentor", "augmentation")


def whole_cases(count: int, directory: Path) -> list[Case]:
    """Whole views to fit on, rendered when they are first read."""
    return [
        Case(view.name, view.patient, DATASET, view.digest, partial(load_whole, view, directory))
        for view in study_views("fit", count)
    ]


def fit(arguments: argparse.Namespace) -> tuple[EvidenceSettings, float]:
    """Settings with fitted weights, and their cross-entropy over the candidates."""
    scored = bool({"score", "spread"} & set(arguments.channels))
    networks = load_networks(arguments.models_dir, refine=scored)
    chosen = {"threshold": arguments.threshold, "neighbour_mm": arguments.neighbour_mm}
    settings = EvidenceSettings(weight_score=float(scored), **chosen)
    generator = networks.refined_inferer.generator if scored else None
    inferer = evidence_inferer(generator, networks.segmentor_inferer, settings=settings)
    if arguments.first_pass == "augmentation":
        inferer.first_pass = augmented_inferer()
        inferer.first_pass.windowed = networks.segmentor_inferer
    cases = whole_cases(arguments.views, arguments.output_dir / "views")
    found = gathered(inferer, networks, cases, arguments.output_dir / "fit", desc="Fitting")
    evidence, truth = zip(*found, strict=True)
    fitted = fit_evidence(evidence, truth, settings, channels=arguments.channels)
    return fitted, sum(cross_entropy(one, label, fitted) for one, label in zip(evidence, truth, strict=True))


def cross_entropy(evidence: Evidence, truth: NDArray[np.uint8], settings: EvidenceSettings) -> float:
    """Sum over the candidates of a view that are true or false; smaller is better."""
    logit = evidence.features(settings)[:, 0] + change_of_logits(evidence, settings)
    return float(np.sum((np.logaddexp(0.0, logit) - truth * logit)[truth != IGNORE]))


def main(argv: list[str] | None = None) -> None:
    """Fit, and print what differs from the defaults."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.fit_evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--channels", nargs="+", choices=CHANNELS, required=True, help="that get a weight")
    parser.add_argument("--first-pass", choices=FIRST_PASSES, default=FIRST_PASSES[0], help="(default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.02, help="of candidates (default: %(default)s)")
    parser.add_argument("--neighbour-mm", type=float, default=5.0, help="reach of company (default: %(default)s)")
    parser.add_argument("--views", type=int, default=24, help="every third is clean (default: %(default)s)")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "evidence", help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        fitted, loss = fit(arguments)
    default = asdict(EvidenceSettings())
    changed = {name: value for name, value in asdict(fitted).items() if value != default[name]}
    print(f"Cross-entropy of the candidates: {loss:.2f}")
    print(", ".join(f"{name}: {value:.4g}" for name, value in changed.items()))


if __name__ == "__main__":
    main()

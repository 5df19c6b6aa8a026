"""Runs the rows of the refinement study, crop by crop, and keeps a record of each."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from bundle import __version__
from bundle.data import MammogramWarning
from bundle.data.records import load_record, save_record
from bundle.engines.benchmark import LOGIT_GRID, Case, Record, View, sigmoid
from bundle.engines.evaluation import fingerprint
from bundle.functional.case_record import score_case
from scripts.benchmark_systems import DEFAULT_THRESHOLD
from scripts.study_cost import counted_passes
from scripts.study_crops import DATASET
from scripts.study_variants import Parts, Variant

# Thresholds of the curves, probabilities.
LEVELS = tuple(float(level) for level in sigmoid(LOGIT_GRID[::10]))


class Line(NamedTuple):
    """A row as it is run: its variant, inferer and operating threshold, and what its records depend on."""

    variant: Variant
    inferer: Any
    threshold: float
    settings: str

    def key(self, case: Case) -> str:
        """Of its record of a crop."""
        return fingerprint(self.settings, self.threshold, LEVELS, case.settings)

    def cases(self, every: Sequence[Case]) -> Sequence[Case]:
        """The crops it is run on."""
        return every[: self.variant.crops]


def lines_of(variants: Sequence[Variant], parts: Parts) -> list[Line]:
    """Rows with their inferers; the networks' weights are part of what records depend on."""
    network = fingerprint(__version__, parts.networks.network)
    made = [(variant, variant.make(parts)) for variant in variants]
    return [Line(one, inferer, DEFAULT_THRESHOLD, fingerprint(network, inferer)) for one, inferer in made]


def run_lines(lines: Sequence[Line], cases: Sequence[Case], parts: Parts, records_dir: Path) -> list[Record]:
    """Records of every row on every crop, crop by crop; those of earlier runs are read."""
    records = []
    for case in tqdm(cases, desc="Crops", unit="crop"):
        view: View | None = None
        for line in tqdm(lines, desc=case.case, unit="variant", leave=False):
            if case not in line.cases(cases):
                continue
            record = recorded(line, case, records_dir)
            if record is None:
                view = case.load() if view is None else view
                record = scored(line, case, view, parts)
                save_record(records_dir, record, settings=line.key(case))
            records.append(record)
    return records


def recorded(line: Line, case: Case, records_dir: Path) -> Record | None:
    """The record of an earlier run with these weights and settings."""
    where = {"system": line.variant.name, "dataset": DATASET, "case": case.case}
    with warnings.catch_warnings():
        # A record of other weights is made anew; that is no news.
        warnings.simplefilter("ignore", MammogramWarning)
        return load_record(records_dir, **where, settings=line.key(case))


def scored(line: Line, case: Case, view: View, parts: Parts) -> Record:
    """Run a row on a crop and count; `passes` of the networks go with the record."""
    image = torch.from_numpy(view["image"])[None, None].to(next(parts.networks.network.parameters()).device)
    others = [] if parts.other_network is None else [parts.other_network]
    with counted_passes(parts.networks, *others) as passes:
        logits = line.inferer(image, parts.networks.network)[0, 0].cpu().numpy()
    record = score_case(
        sigmoid(logits),
        view["label"],
        case=case.case,
        patient=case.patient,
        system=line.variant.name,
        dataset=case.dataset,
        spacing_mm=view["spacing_mm"],
        region_name="breast",
        region=view["breast"],
        threshold=line.threshold,
        froc_thresholds=LEVELS,
        image=view["image"],
    )
    return {**record, "passes": passes}

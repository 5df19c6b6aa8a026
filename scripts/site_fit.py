"""What a site's own negatives give without a label: cases with synthetic calcifications, and weights of "company"."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bundle import __version__
from bundle.data import MammogramError
from bundle.data.operating_points import settings_row
from bundle.data.site_crops import SITE_VERSION, SiteCrop, SiteCrops
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from bundle.engines.evaluation import fingerprint
from bundle.functional.candidates import candidate_truth
from bundle.functional.evidence import EvidenceSettings, fit_evidence
from bundle.inferers import EvidenceInferer
from scripts.benchmark_systems import COMPANY, cached, view_image

CHANNELS = ("logit", "neighbours")
# What fitted log-odds are raised by, whatever the site: with it plain calcifications (p of 0.5 or more) keep their
# logits on average on the ten normals of docs/data_license.txt.
SHIFT = 2.834


def site_cases(
    paths: Sequence[str], crops: SiteCrops, *, crops_per_view: int, injections: int, reading: Any = None
) -> list[Case]:
    """Cases of a site's negatives; a patient is a view.

    Args:
        paths: of the views, of different names.
        crops: makes them.
        crops_per_view: at most.
        injections: per crop.
        reading: options of reading, which what is kept depends on.
    """
    contents = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths}

    def case(crop: SiteCrop) -> Case:
        settings = fingerprint(
            SITE_VERSION, contents[crop.path], crops.crop_mm, crops.seed, crop.number, crop.injection, reading
        )
        return Case(crop.name, Path(crop.path).name, "site", settings, partial(crops.load, crop))

    return [case(crop) for crop in crops.crops(paths, crops_per_view=crops_per_view, injections=injections)]


def fit_company(first: MapSystem, cases: Sequence[Case], maps: KeptMaps, *, cache: Path) -> EvidenceSettings:
    """Settings whose weights of logit and company are fitted on all candidates of some cases of known truth.

    The fitted log-odds are then raised by `SHIFT`: outlines of plain calcifications stay, thresholds mean about what
    they did, and the order of candidates is the fit's.

    Args:
        first: flips and turns, whose candidates are weighed.
        cases: clean and injected; whole crops, since company needs what lies between clusters too.
        maps: where maps are kept.
        cache: folder for the settings; used again if nothing changed.

    Raises:
        MammogramError: if the cases have no true or no false candidates.
    """
    key = fingerprint(__version__, COMPANY, SHIFT, first.settings, [case[:4] for case in cases])
    return EvidenceSettings(**cached(cache / f"company-{key}.json", lambda: settings_row(_fit(first, cases, maps))))


def _fit(first: MapSystem, cases: Sequence[Case], maps: KeptMaps) -> EvidenceSettings:
    inferer = EvidenceInferer(None, settings=replace(COMPANY, weight_neighbours=1.0))
    evidence, truth = [], []
    for case in tqdm(cases, desc="company", unit="case"):
        view = case.load()
        logits = torch.from_numpy(maps.logits(first, case, view))[None, None]
        candidates, found = inferer.gather_evidence(view_image(view), logits)
        evidence.append(found)
        truth.append(candidate_truth(candidates, view["label"][None, None]))
    try:
        settings = fit_evidence(evidence, truth, COMPANY, channels=CHANNELS)
    except ValueError as error:
        raise MammogramError(f"The weights of company: {error}") from error
    return replace(settings, bias=settings.bias + SHIFT)

"""The pages of `scripts.segment`: one per study, made of what is on disk, view by view."""

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from tqdm import tqdm

from bundle.data import LoadMammogramd, MammogramError, MammogramWarning
from bundle.data.dicom_results import find_findings
from bundle.data.errors import printable, reason_of, refuse, root_mammogram_error
from bundle.data.studies import Study, patient_facts, source_id
from bundle.data.view_maps import read_view_maps
from bundle.data.whole_files import write_whole
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.reports.study_page import METHOD_NAMES, render_study
from bundle.reports.study_page import Study as StudyPage
from bundle.reports.study_view import ViewPanel, view_panel
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.shipped import ROOT

MAX_VIEWS = 12
"""A page of four full-field views takes 5 to 10 MB; a folder without studies may hold thousands."""


def write_reports(
    studies: Sequence[Study],
    results_dir: Path,
    options: Mapping[str, Any],
    *,
    show_patient: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write REPORT.html of every study, at most MAX_VIEWS views each; one view is in memory at a time.

    Args:
        studies: from `group_studies`.
        results_dir: where the findings are and the pages go.
        options: ids of configs/inference.yaml that the findings were made with.
        show_patient: put names, IDs, dates of birth and file names on the page.
        left_out: why, by path, of files that are not to be looked at again.

    Returns:
        The pages.
    """
    findings, pages = find_findings(results_dir), []
    facts = run_facts(options)
    for study in tqdm(studies, desc="Reports", unit="study"):
        count = math.ceil(len(study.files) / MAX_VIEWS)
        for number in range(count):
            files = study.files[number * MAX_VIEWS : (number + 1) * MAX_VIEWS]
            page = _page(study, files, findings, options, show_patient, left_out or {}, facts, (number + 1, count))
            path = results_dir / f"report_{study.name}{f'_{number + 1}' if number else ''}.html"
            text = render_study(page)
            write_whole(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))  # type: ignore[misc]
            pages.append(path)
    return pages


def _page(
    study: Study,
    files: Sequence[str],
    findings: Mapping[str, Path],
    options: Mapping[str, Any],
    show_patient: bool,
    left_out: Mapping[str, str],
    facts: Mapping[str, str],
    part: tuple[int, int],
) -> StudyPage:
    panels, refused, names = [], [], []
    for number, path in enumerate(files, start=1):
        try:
            if path in left_out:
                raise MammogramError(left_out[path])
            panels.append(_panel(path, findings, options))
            names.append(path)
        except MammogramError as error:
            told = reason_of(error, path)
            refused.append((printable(path) if show_patient else f"File {number} of {len(files)}", told))
    used = {panel.report["threshold"] for panel in panels}
    point = {"Operating point": f"probability of at least {_listed(used)}{_chosen_by(options)}"} if used else {}
    patient = _patient(names) if show_patient else {}
    return StudyPage(
        name=study.name,
        panels=panels,
        refused=refused,
        facts={**point, **facts},
        patient=patient,
        names=[printable(name) for name in names] if show_patient else (),
        part=part,
    )


def _panel(path: str, findings: Mapping[str, Path], options: Mapping[str, Any]) -> ViewPanel:
    """A view of the page.

    Raises:
        MammogramError: if the file cannot be read, or has no findings, or they are of another size.
    """
    image = windowed_view(path, options)
    identity = source_id(path)
    if identity not in findings:
        raise refuse(path, "Expected findings, found none; segment the view again")
    try:
        maps = read_view_maps(findings[identity])
    except MammogramError as error:
        raise refuse(path, reason_of(error, findings[identity])) from error
    if maps.mask.shape != image.shape:
        raise refuse(path, "Expected findings of the view's size, got another; segment the view again")
    try:
        return view_panel(image, report=maps.report, mask=maps.mask, probs=maps.probs, first_pass=maps.first_pass)
    except ValueError as error:
        raise refuse(path, str(error)) from error


def windowed_view(path: str, options: Mapping[str, Any]) -> np.ndarray:
    """A view as inference saw it, float32 (rows, columns) in [-1, 1].

    Args:
        path: the file.
        options: ids of configs/inference.yaml: spacing_mm, voi, convert_raw.

    Raises:
        MammogramError: if it cannot be read.
    """
    reading = {key: options[key] for key in ("spacing_mm", "voi", "convert_raw") if key in options}
    read = Compose([LoadMammogramd("image", **reading), BreastMaskd("image"), MammogramWindowd("image")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MammogramWarning)  # told when the view was segmented, and in its findings
        try:
            return np.asarray(read({"image": path})["image"])[0]  # type: ignore[index, call-overload]
        except (RuntimeError, ValueError) as error:
            if (refusal := root_mammogram_error(error)) is None:
                raise
            raise MammogramError(str(refusal)) from error


def run_facts(options: Mapping[str, Any]) -> dict[str, str]:
    """Settings, weights and date, in words."""
    from bundle import __version__

    method = str(options["method"])
    facts = {"Method": METHOD_NAMES[method]}
    if method == "ttgpr":
        changed = ", ".join(f"{name} {value}" for name, value in dict(options.get("overrides") or {}).items())
        facts["Settings"] = f"preset {options['preset']}{', ' * bool(changed)}{changed}"
    reading = [f"VOI {options['voi']}"] + ["converted from raw"] * bool(options["convert_raw"])
    facts["Grey values"] = ", ".join(reading)
    if options["spacing_mm"]:
        facts["Pixel size"] = f"{options['spacing_mm']} mm, as given"
    facts["Clusters"] = "at least 5 findings within 1 cm; the distribution is a word of geometry, not a reading"
    facts["Version"] = f"mcgenref {__version__}"
    facts["Weights, SHA-256"] = ", ".join(f"{name} {digest}" for name, digest in _weights(method))
    facts["Made"] = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return facts


def _weights(method: str) -> Iterator[tuple[str, str]]:
    for name in ("model.pt", "generator_ema.pt")[: 1 + (method in GENERATIVE_METHODS)]:
        path = ROOT / "models" / name
        yield name, hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "not at hand"


def _chosen_by(options: Mapping[str, Any]) -> str:
    if options.get("fp_per_cm2") is not None:
        return f", for {options['fp_per_cm2']:g} false positives per cm2 of clean tissue"
    return ", as given" if options.get("threshold") is not None else ", the default"


def _listed(values: set[float]) -> str:
    return " or ".join(f"{value:.3g}" for value in sorted(values))


def _patient(paths: Sequence[str]) -> dict[str, str]:
    """What the headers of the views say, each value once."""
    said: dict[str, list[str]] = {}
    for path in paths:
        for name, value in patient_facts(path).items():
            if value not in said.setdefault(name, []):
                said[name].append(value)
    return {name: ", ".join(values) for name, values in said.items()}

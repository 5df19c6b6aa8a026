"""Findings of DICOM views as DICOM objects: `python -m scripts.dicom_results --input DICOM --results OUT`."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset
from tqdm import tqdm

from bundle.data import MammogramError, find_mammograms
from bundle.data.dicom_cad_sr import mammography_cad_sr
from bundle.data.dicom_file import silent_pydicom
from bundle.data.dicom_results import (
    Placement,
    ViewResults,
    find_findings,
    new_uid,
    read_header,
    read_results,
    write_dicom,
)
from bundle.data.errors import refuse
from scripts.command import one_line_errors

PerView = Callable[[ViewResults, Placement], Dataset]
PerStudy = Callable[[Sequence[ViewResults], Placement], Dataset]

KINDS = ("seg", "probability", "cad", "measurements")
FIRST_SERIES_NUMBER = 9901
"""Far from an exam's own; a kind's number is this plus its place in KINDS."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dicom_results", description=__doc__)
    parser.add_argument("--input", required=True, help="the file or folder that scripts.segment was given")
    parser.add_argument("--results", required=True, type=Path, help="its --output-dir; the objects go there too")
    parser.add_argument("--objects", nargs="+", choices=KINDS, default=list(KINDS), help="which (default: all)")
    return parser.parse_args(argv)


def builders(objects: Sequence[str]) -> tuple[dict[str, PerView], dict[str, PerStudy]]:
    """What makes the objects of a view and of a study, by kind.

    Raises:
        ValueError: if one needs highdicom and it is missing.
    """
    per_view: dict[str, PerView] = {}
    per_study: dict[str, PerStudy] = {"cad": mammography_cad_sr}
    if set(objects) - set(per_study):
        try:
            from bundle.data.dicom_measurements import measurement_report
            from bundle.data.dicom_seg import binary_segmentation, fractional_segmentation
        except ImportError as error:
            raise ValueError(
                f"Expected highdicom for {', '.join(objects)}, found none; install it, or pass --objects cad"
            ) from error
        per_view |= {"seg": binary_segmentation, "probability": fractional_segmentation}
        per_study["measurements"] = measurement_report
    return (
        {kind: build for kind, build in per_view.items() if kind in objects},
        {kind: build for kind, build in per_study.items() if kind in objects},
    )


def group_by_study(input_path: str) -> tuple[dict[str, list[str]], list[str]]:
    """Paths of the DICOM views by Study Instance UID, and one line per file that is left out."""
    studies: dict[str, list[str]] = {}
    refused = []
    for item in find_mammograms(input_path):
        try:
            header = read_header(item["image"])
        except MammogramError as error:
            refused.append(str(error))
            continue
        studies.setdefault(str(header.StudyInstanceUID), []).append(item["image"])
    return studies, refused


def write_study(views: Sequence[ViewResults], results_dir: Path, objects: Sequence[str]) -> list[str]:
    """Write the objects of one study: a series per kind; SEG per view, SR for the whole study.

    Returns:
        One line per object that could not be made of the headers.
    """
    left_out: list[str] = []
    per_view, per_study = builders(objects)
    for kind, build in per_view.items():
        series_uid = new_uid()
        for number, view in enumerate(views, start=1):
            placement = Placement(series_uid, FIRST_SERIES_NUMBER + KINDS.index(kind), number)
            left_out += _written(results_dir / f"{view.stem}_{kind}.dcm", partial(build, view, placement))
    # Not the UID itself, which leads to the patient in an archive.
    name = f"study-{hashlib.sha256(views[0].header.StudyInstanceUID.encode()).hexdigest()[:8]}"
    for kind, build_study in per_study.items():
        placement = Placement(new_uid(), FIRST_SERIES_NUMBER + KINDS.index(kind))
        left_out += _written(results_dir / f"{name}_{kind}.dcm", partial(build_study, views, placement))
    return left_out


def _written(path: Path, build: Callable[[], Dataset]) -> list[str]:
    """Write an object; or a line where the source's header allows none, which repeats nothing of it."""
    try:
        with silent_pydicom():
            write_dicom(path, build())
    except MammogramError as error:
        return [str(error)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ValueError) and str(error).startswith("Expected"):
            raise  # ours, about the results; highdicom's repeat the header's values
        reason = f"Expected a header that this object can be made of, got {type(error).__name__}"
        return [str(refuse(path, f"{reason}; correct the source's header"))]
    return []


def write_objects(input_path: str, results_dir: Path, *, objects: Sequence[str] = KINDS) -> list[str]:
    """Write the DICOM objects of every view with results.

    Args:
        input_path: the file or folder that `scripts.segment` was given.
        results_dir: where its results are and the objects go.
        objects: which of KINDS.

    Returns:
        One line per file that was left out.
    """
    findings = find_findings(results_dir)
    studies, refused = group_by_study(input_path)
    for paths in tqdm(studies.values(), desc="Studies", unit="study"):
        views = []
        for path in paths:
            try:
                views.append(read_results(path, findings=findings))
            except MammogramError as error:
                refused.append(str(error))
        if views:
            refused += write_study(views, results_dir, objects)
    return refused


def main(argv: list[str] | None = None) -> None:
    """Write the objects and end with status 1 if a file was left out."""
    arguments = parse(argv)
    with one_line_errors():
        builders(arguments.objects)
        refused = write_objects(arguments.input, arguments.results, objects=arguments.objects)
    for line in refused:
        print(f"left out: {line}")
    print(f"DICOM objects in {arguments.results}")
    if refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

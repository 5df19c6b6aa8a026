"""Find microcalcifications in a mammogram or a folder of them: `python -m scripts.segment INPUT --output-dir OUT`.

Per view: findings (JSON), overlay, mask, probability map. Per study: a page for people (docs/study_report.md) and, of
DICOM, SEG and SR objects (docs/dicom_results.md).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bundle.data import MammogramError, find_mammograms
from bundle.data.errors import refuse
from bundle.data.files import read_json
from bundle.data.studies import Study, group_studies
from bundle.functional.findings import METHODS
from bundle.functional.refinement_settings import RefinementSettings, change
from scripts import dicom_results, segment_dicom
from scripts.command import one_line_errors
from scripts.config_values import Expression
from scripts.segment_report import write_reports
from scripts.segment_view import ViewSegmenter, quiet

DEFAULT_METHOD = "augmentation"
WRONG_OVERRIDES = "Expected overrides that are numbers or words, got others; tune again"
KEEP_FIRST_PASS = {
    "_target_": "bundle.engines.first_pass.keep_first_pass",
    "evaluator": Expression("@evaluator"),
    "inferer": Expression("@inferer"),
    "output_dir": Expression("@output_dir"),
}
"""So that the page can show what the method changed; no part of inference.yaml, where nobody asks for a page."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.segment", description=__doc__)
    parser.add_argument("input", help="a file or a folder: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument("--output-dir", default="output", help="where results go (default: %(default)s)")
    add_options(parser)
    return parser.parse_args(argv)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `overrides` reads, and which results are wanted."""
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="segmentor: one pass; augmentation: mean over flips and turns where anything is seen; company: "
        "the same, candidates weighed by those near by; evidence: candidates weighed by the generator; ttgpr: "
        "refined by it "
        "(default: augmentation; ttgpr with --preset, --settings or --trace)",
    )
    parser.add_argument("--preset", help="preset of TT-GPR: default, fast, or paper (slow)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--threshold",
        type=float,
        help="probability that counts as a finding (default: the method's own)",
    )
    group.add_argument("--fp-per-cm2", type=float, help="wanted false positives per cm2 of clean tissue instead")
    parser.add_argument("--operating-points", help="a site's own table of thresholds, from python -m scripts.calibrate")
    parser.add_argument("--settings", type=Path, help="preset, settings and threshold chosen by python -m scripts.tune")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument(
        "--voi", default=0, help="number or name of the VOI LUT or window, or none (default: the first)"
    )
    parser.add_argument(
        "--convert-raw", action="store_true", help="accept For Processing views, converted by the logarithm"
    )
    parser.add_argument("--trace", action="store_true", help="write the refinement's energy per iteration")
    parser.add_argument(
        "--dicom",
        action=argparse.BooleanOptionalAction,
        help="DICOM SEG and SR of DICOM views (docs/dicom_results.md; default: if highdicom is installed)",
    )
    parser.add_argument("--no-report", action="store_true", help="no page per study (docs/study_report.md)")
    parser.add_argument(
        "--show-patient", action="store_true", help="name, ID, dates and file names on the page; left out by default"
    )


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Command line to ids of configs/inference.yaml."""
    voi = arguments.voi
    options: dict[str, Any] = {
        "input": arguments.input,
        "output_dir": arguments.output_dir,
        "method": _method(arguments),
        "preset": arguments.preset or "default",
        "threshold": arguments.threshold,
        "fp_per_cm2": arguments.fp_per_cm2,
        "spacing_mm": arguments.spacing_mm,
        "voi": int(voi) if str(voi).isdigit() else voi,
        "convert_raw": arguments.convert_raw,
        "trace": arguments.trace,
        "initialize": [KEEP_FIRST_PASS],
    }
    if arguments.operating_points:
        if not Path(arguments.operating_points).is_file():
            raise ValueError(
                f"Expected a table of thresholds at {arguments.operating_points}, found none; calibrate first"
            )
        options["operating_points"] = arguments.operating_points
    if arguments.settings:
        chosen = tuned_settings(arguments.settings)
        if any((arguments.threshold, arguments.fp_per_cm2, arguments.operating_points)):
            del chosen["threshold"]
        options |= chosen
    return options


def _method(arguments: argparse.Namespace) -> str:
    """The method asked for, by name or by an option that only TT-GPR has."""
    refined = bool(arguments.preset or arguments.settings or arguments.trace)
    if refined and arguments.method not in (None, "ttgpr"):
        raise ValueError(f"Expected --method ttgpr with --preset, --settings or --trace, got {arguments.method}")
    return arguments.method or ("ttgpr" if refined else DEFAULT_METHOD)


def tuned_settings(path: Path) -> dict[str, Any]:
    """Preset, overrides and threshold of a best.json.

    Raises:
        MammogramError: in one line, if the file is none.
    """
    try:
        best = read_json(path)
        chosen = {key: best[key] for key in ("preset", "overrides", "threshold")}
    except (ValueError, KeyError, TypeError) as error:
        raise refuse(path, "Expected best.json of python -m scripts.tune, got none; tune first") from error
    if not isinstance(chosen["preset"], str) or not isinstance(chosen["overrides"], dict):
        raise refuse(path, "Expected a preset by name and overrides by setting, got others; tune again")
    if not isinstance(chosen["threshold"], (int, float)):
        raise refuse(path, "Expected a threshold that is a number, got none; tune again")
    for name, value in chosen["overrides"].items():
        # A config would make an object of what has a "_target_".
        if not name.isidentifier() or name.startswith("_") or not isinstance(value, (int, float, str, type(None))):
            raise refuse(path, WRONG_OVERRIDES)
    try:
        change(RefinementSettings(), **chosen["overrides"])
    except TypeError as error:
        raise refuse(path, WRONG_OVERRIDES) from error
    except ValueError as error:
        raise refuse(path, str(error)) from error
    return chosen


def segment_all(options: Mapping[str, Any]) -> None:
    """Segment every view of the input; afterwards say what was refused.

    Args:
        options: from `overrides`.

    Raises:
        MammogramError: if there is nothing to read.
        SystemExit: status 1 if a view was refused.
    """
    files = find_mammograms(options["input"])
    segment, refused = ViewSegmenter(options), 0
    for item in tqdm(files, desc="Views", unit="view"):
        try:
            segment(item["image"])
        except MammogramError as refusal:
            refused += 1
            tqdm.write(f"refused: {refusal}")
    print(f"{len(files)} views: {len(files) - refused} segmented, {refused} refused")
    if refused:
        raise SystemExit(1)


def main(argv: list[str] | None = None) -> None:
    """Segment the views, then make objects and pages of what was written."""
    arguments = parse(argv)
    quiet(tell)
    refused = False
    try:
        with one_line_errors():
            if arguments.dicom:
                dicom_results.builders(dicom_results.KINDS)  # says at once if highdicom is missing
            options = overrides(arguments)
            check_output(arguments)
            segment_all(options)
    except SystemExit as stop:
        # Status 1 says that a view was refused; the others' objects are still wanted, and the status comes again.
        if stop.code != 1:
            raise
        refused = True
    with one_line_errors():
        studies = group_studies(arguments.input)
        if not arguments.no_report:
            pages = write_reports(studies, Path(arguments.output_dir), options, show_patient=arguments.show_patient)
        _write_objects(arguments, studies)
    print(f"Results in {arguments.output_dir}")
    for page in [] if arguments.no_report else pages[:3]:
        print(f"Report for people: {page}")
    if refused:
        raise SystemExit(1)


def check_output(arguments: argparse.Namespace) -> None:
    """Results among the views would be read as views."""
    if Path(arguments.output_dir).resolve() == Path(arguments.input).resolve():
        raise ValueError(f"Expected another folder than the input's for results, got {arguments.output_dir}; change it")


def tell(message: Warning | str, *_: Any) -> None:
    """An unusual view is told in one line; progress bars stay whole."""
    tqdm.write(f"warning: {message}")


def _write_objects(arguments: argparse.Namespace, studies: list[Study]) -> None:
    """DICOM objects: all that were asked for, or without being asked what is possible."""
    if arguments.dicom:
        dicom_results.main(["--input", arguments.input, "--results", arguments.output_dir])
    elif arguments.dicom is None and any(study.is_dicom for study in studies):
        if not segment_dicom.can_write():
            print('No DICOM SEG and SR: highdicom is not installed; pip install "mcgenref[dicom]"')
            return
        for line in segment_dicom.write_where_possible(studies, Path(arguments.output_dir)):
            print(f"no DICOM objects: {line}")


if __name__ == "__main__":
    main()

"""Find microcalcifications in a mammogram or a folder of them: `python -m scripts.segment INPUT --output-dir OUT`."""

import argparse
import json
import logging
import warnings
from pathlib import Path
from typing import Any

from bundle.functional.findings import METHODS
from scripts import dicom_results
from scripts.command import one_line_errors, run_config

DEFAULT_METHOD = "augmentation"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.segment", description=__doc__)
    parser.add_argument("input", help="a file or a folder: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument("--output-dir", default="output", help="where results go (default: %(default)s)")
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="segmentor: one pass; augmentation: mean over flips and turns where anything is seen; ttgpr: refined by "
        "the generator (default: augmentation; ttgpr with --preset, --settings or --trace)",
    )
    parser.add_argument("--preset", help="preset of TT-GPR: default, or paper (slow)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--threshold", type=float, help="probability that counts as a finding (default: 0.5)")
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
    parser.add_argument("--dicom", action="store_true", help="also write DICOM SEG and SR (docs/dicom_results.md)")
    return parser.parse_args(argv)


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
        ValueError: in one line, if the file is none.
    """
    try:
        best = json.loads(path.read_text(encoding="utf-8"))
        return {key: best[key] for key in ("preset", "overrides", "threshold")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"Expected best.json of python -m scripts.tune at {path}, got none; tune first") from error


def main(argv: list[str] | None = None) -> None:
    """Run configs/inference.yaml."""
    arguments = parse(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        with one_line_errors():
            if arguments.dicom:
                dicom_results.builders(dicom_results.KINDS)  # says at once if highdicom is missing
            run_config("inference", overrides(arguments))
    except SystemExit as stop:
        # Status 1 says that a view was refused; the others' objects are still wanted, and the status comes again.
        if not (arguments.dicom and stop.code == 1):
            raise
    if arguments.dicom:
        dicom_results.main(["--input", arguments.input, "--results", arguments.output_dir])
    print(f"Results in {arguments.output_dir}")


if __name__ == "__main__":
    main()

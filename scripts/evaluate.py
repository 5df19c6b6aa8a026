"""Measure systems on a folder of views and a folder of masks: `python -m scripts.evaluate --images DIR --masks DIR`."""

import argparse
import logging
import warnings
from typing import Any

import yaml

from bundle.functional.findings import METHODS
from scripts.command import one_line_errors, run_config


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate", description=__doc__)
    parser.add_argument("--images", required=True, help="folder of views: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument(
        "--masks", required=True, help="folder of masks: PNG (0/1, 0/255 or 0/1/2), NIfTI or INbreast XML"
    )
    parser.add_argument("--output-dir", default="output", help="where results go (default: %(default)s)")
    parser.add_argument("--name", default="evaluation", help="name of the data set in tables (default: %(default)s)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--systems",
        default="segmentor,ttgpr,top-hat",
        help="any of segmentor, augmentation, evidence, ttgpr, top-hat, difference-of-gaussians, hdog, high-pass "
        "(default: %(default)s)",
    )
    chosen.add_argument("--method", choices=METHODS, help="one method of python -m scripts.segment alone")
    parser.add_argument("--reference", default="segmentor", help="system that the others are compared with")
    parser.add_argument("--threshold", type=float, default=0.5, help="operating threshold (default: %(default)s)")
    parser.add_argument("--region", default="breast", help="breast, image, or roi:FOLDER (default: %(default)s)")
    parser.add_argument(
        "--format", default="auto", help="which files are masks: auto, png, nifti or inbreast (default: %(default)s)"
    )
    parser.add_argument("--missing-is-clean", action="store_true", help="views without a mask are clean")
    parser.add_argument("--points-as-pixels", action="store_true", help="single points are single pixels of a mask")
    parser.add_argument("--patients", help="CSV with the columns image and patient")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument(
        "--voi", default=0, help="number or name of the VOI LUT or window, or none (default: the first)"
    )
    parser.add_argument("--convert-raw", action="store_true", help="accept For Processing views")
    parser.add_argument(
        "--preset",
        default="default",
        help="of ttgpr: default, fast, or paper (slow) (default: %(default)s)",
    )
    parser.add_argument(
        "--overrides",
        type=_mapping,
        default={},
        help="settings of the preset to change, e.g. '{iterations: 2, draws: 4}'",
    )
    parser.add_argument("--tracking", choices=("mlflow",), help="log parameters, figures and report to MLflow")
    return parser.parse_args(argv)


def _mapping(text: str) -> dict[str, Any]:
    """Names and values as MONAI's command line takes them."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"Expected '{{name: value}}', got {text!r}; docs/refinement.md has the names")
    return found


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Command line to ids of configs/evaluate.yaml."""
    options = {key: value for key, value in vars(arguments).items() if key not in ("tracking", "method")}
    options["systems"] = arguments.method or arguments.systems
    return options | {"voi": int(options["voi"]) if str(options["voi"]).isdigit() else options["voi"]}


def main(argv: list[str] | None = None) -> None:
    """Run configs/evaluate.yaml."""
    arguments = parse(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with one_line_errors():
        run_config("evaluate", overrides(arguments), run_id="evaluate", tracking=arguments.tracking)
    print(f"Results in {arguments.output_dir}")


if __name__ == "__main__":
    main()

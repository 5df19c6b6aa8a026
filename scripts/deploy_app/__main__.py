"""Segment a DICOM folder as a MONAI Deploy application: `python -m scripts.deploy_app -i FOLDER -o OUT`.

Needs the environment of `make deploy`; see docs/monai_deploy.md.
"""

import argparse
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bundle.functional.findings import METHODS
from scripts import segment
from scripts.command import one_line_errors
from scripts.deploy_app.views import Intake, Wanted
from scripts.segment_view import quiet

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; defaults are those of the SDK's containers."""
    parser = argparse.ArgumentParser(prog="python -m scripts.deploy_app", description=__doc__)
    parser.add_argument(
        "-i",
        "--input",
        default=os.environ.get("HOLOSCAN_INPUT_PATH", "input"),
        help="folder of DICOM files, however deep",
    )
    parser.add_argument(
        "-o",
        "--output",
        dest="output_dir",
        default=os.environ.get("HOLOSCAN_OUTPUT_PATH", "output"),
        help="where results go",
    )
    segment.add_options(parser)
    parser.set_defaults(method=os.environ.get("MCGENREF_METHOD"))
    parser.add_argument("-l", "--log-level", choices=LEVELS, type=str.upper, help="let the SDK log; it names UIDs")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the application, and end with status 1 if something was left out."""
    arguments = parse(argv)
    quiet(segment.tell)
    # Before the SDK starts. Its logs quote UIDs and header values, so they are off unless they are asked for.
    os.environ["HOLOSCAN_LOG_LEVEL"] = arguments.log_level or "OFF"
    intake = Intake()
    with one_line_errors():
        check(arguments)
        run(arguments, intake)
    for line in intake.without_objects:
        print(f"no DICOM objects: {line}")
    files = len(intake.segmented) + len(intake.refused)
    print(f"{files} files: {len(intake.segmented)} segmented, {len(intake.refused)} refused")
    print(f"Results in {arguments.output_dir}")
    if intake.refused or intake.without_objects:
        raise SystemExit(1)


def check(arguments: argparse.Namespace) -> None:
    """Refuse in one line what makes no sense, before anything is loaded.

    Raises:
        ValueError: the line.
    """
    if not Path(arguments.input).is_dir():
        raise ValueError(f"Expected a folder of DICOM files, found none at {arguments.input}; pass one with --input")
    segment.check_output(arguments)
    if arguments.convert_raw:
        raise ValueError("Expected For Presentation views alone, got --convert-raw; use python -m scripts.segment")
    if arguments.method not in (None, *METHODS):
        raise ValueError(f"Expected MCGENREF_METHOD among {', '.join(METHODS)}, got {arguments.method}; change it")
    if find_spec("monai.deploy") is None:
        raise ValueError(
            "Expected the MONAI Deploy App SDK, found none; run make deploy, or pip install -r requirements-deploy.txt"
        )


def run(arguments: argparse.Namespace, intake: Intake) -> None:
    """Build the application and run it once.

    Args:
        arguments: from `parse`, checked.
        intake: gets what became of each file.

    Raises:
        ValueError: in one line, if options or weights are wrong, or there is nothing to read.
    """
    from monai.deploy.core.arg_parser import set_up_logging

    from scripts.deploy_app.app import MicrocalcificationApp

    if arguments.log_level:
        logging.disable(logging.NOTSET)
        set_up_logging(arguments.log_level)
    wanted = Wanted(
        dicom=arguments.dicom is not False, pages=not arguments.no_report, show_patient=arguments.show_patient
    )
    options = segment.overrides(arguments)
    MicrocalcificationApp(Path(arguments.input), [], options=options, intake=intake, wanted=wanted).run()


if __name__ == "__main__":
    main()

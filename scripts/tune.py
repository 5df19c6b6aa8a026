"""Choose refinement settings and a threshold on labelled views: `python -m scripts.tune --images DIR --masks DIR`.

An Optuna study; it goes on where it was stopped. See docs/tune.md.
"""

import argparse
import json
import logging
import warnings
from pathlib import Path
from typing import Any

from scripts.command import one_line_errors, run_config


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.tune", description=__doc__)
    parser.add_argument("--images", required=True, help="folder of views: MG DICOM, PNG, TIFF, JPEG or NIfTI")
    parser.add_argument(
        "--masks", required=True, help="folder of masks: PNG (0/1, 0/255 or 0/1/2), NIfTI or INbreast XML"
    )
    parser.add_argument("--output-dir", default="output", help="where results go (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=100, help="earlier ones included (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the study (default: %(default)s)")
    parser.add_argument(
        "--min-precision", type=float, help="of objects (default: what the segmentor alone has at 0.5, less 0.05)"
    )
    parser.add_argument("--preset", default="default", help="settings to start from: default, fast, or paper (slow)")
    parser.add_argument("--storage", help="URL of the study's database (default: sqlite, study.db where results go)")
    parser.add_argument("--price-only", action="store_true", help="print the price and stop")
    parser.add_argument("--region", default="breast", help="breast, image, or roi:FOLDER (default: %(default)s)")
    parser.add_argument(
        "--format", default="auto", help="which files are masks: auto, png, nifti or inbreast (default: %(default)s)"
    )
    parser.add_argument("--missing-is-clean", action="store_true", help="views without a mask are clean")
    parser.add_argument("--points-as-pixels", action="store_true", help="single points are single pixels of a mask")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument(
        "--voi", default=0, help="number or name of the VOI LUT or window, or none (default: the first)"
    )
    parser.add_argument("--convert-raw", action="store_true", help="accept For Processing views")
    parser.add_argument("--tracking", choices=("mlflow",), help="log every trial to MLflow")
    return parser.parse_args(argv)


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Command line to ids of configs/tune.yaml."""
    options = {key: value for key, value in vars(arguments).items() if key != "tracking"}
    options["voi"] = int(options["voi"]) if str(options["voi"]).isdigit() else options["voi"]
    return options | {"log_to_mlflow": arguments.tracking == "mlflow"}


def main(argv: list[str] | None = None) -> None:
    """Run configs/tune.yaml."""
    arguments = parse(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with one_line_errors():
        run_config("tune", overrides(arguments), run_id="tuning")
    if not arguments.price_only:
        print(told(Path(arguments.output_dir) / "best.json"))


def told(path: Path) -> str:
    """What a study chose, in words."""
    best = json.loads(path.read_text(encoding="utf-8"))
    rows = {"refined": best["figures"] | {"threshold": best["threshold"]}}
    rows |= {f"segmentor {name}": figures for name, figures in best["segmentor"].items() if figures}
    lines = [
        f"{name:34} F2 {figures['f2']:.3f}  recall {figures['recall']:.3f}  precision {figures['precision']:.3f}  "
        f"FP/cm2 {figures['fp_per_cm2']:.3f}"
        for name, figures in rows.items()
    ]
    return "\n".join([*lines, f"Settings in {path}; use them: python -m scripts.segment INPUT --settings {path}"])


if __name__ == "__main__":
    main()

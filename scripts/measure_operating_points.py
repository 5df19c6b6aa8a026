"""False positives per cm2 on clean views at many thresholds: `python -m scripts.measure_operating_points`.

Writes models/operating_points.json, from which `--fp-per-cm2` picks a threshold.
"""

import argparse
import datetime
import json
from pathlib import Path

import numpy as np

from bundle.functional.froc import fp_per_cm2_curve
from bundle.functional.operating_point import operating_table
from scripts.phantom_table import fingerprint, load_views, probability_maps
from scripts.shipped import ROOT, augmented_inferer, shipped_inferers

THRESHOLDS = 1 / (1 + np.exp(-np.linspace(-9.0, 9.0, 73)))


def main(argv: list[str] | None = None) -> None:
    """Measure all methods on clean tuning phantoms."""
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_operating_points", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "operating_points")
    parser.add_argument("--table", type=Path, default=ROOT / "models" / "operating_points.json")
    parser.add_argument("--clean", type=int, default=8, help="clean tuning phantoms (default: %(default)s)")
    parser.add_argument("--spacing-mm", type=float, default=0.085, help="pixel size (default: %(default)s)")
    arguments = parser.parse_args(argv)
    size = {"spacing_mm": arguments.spacing_mm, "height_mm": 110.0, "width_mm": 80.0}
    views = load_views(
        arguments.output_dir / "phantoms", split="tune", first=200, calcified=0, clean=arguments.clean, size=size
    )
    segmentor, refined, network = shipped_inferers()
    weights = [ROOT / "models" / "model.pt", ROOT / "models" / "generator_ema.pt"]
    curves = {}
    for name, inferer in (("segmentor", segmentor), ("augmentation", augmented_inferer()), ("ttgpr", refined)):
        cache = arguments.output_dir / "maps" / f"{name}-{fingerprint(*weights, vars(inferer).get('settings'))}"
        maps = probability_maps(lambda image, run=inferer: run(image, network), views, cache)  # type: ignore[misc]
        breasts, spacings = [v["breast"] for v in views], [v["spacing_mm"] for v in views]
        curves[name] = (THRESHOLDS, fp_per_cm2_curve(THRESHOLDS, maps, breasts, spacing_mm=spacings))
    made_by = (
        f"python -m scripts.measure_operating_points --clean {arguments.clean} --spacing-mm {arguments.spacing_mm}, "
        f"clean phantoms of the tuning seeds, {datetime.date.today()}"
    )
    arguments.table.write_text(json.dumps(operating_table(curves, made_by=made_by), indent=1) + "\n")
    print(f"Wrote {arguments.table}")


if __name__ == "__main__":
    main()

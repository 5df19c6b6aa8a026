"""False positives per cm2 on clean views, and the default threshold: `python -m scripts.measure_operating_points`.

Writes models/operating_points.json, from which `--fp-per-cm2` picks a threshold. Without it the threshold is that of
highest object F2 on the tuning split of the shift benchmark; TT-GPR keeps the 0.5 of the method, and so
does "company" (docs/evidence.md#company), whose weights in the table stay.
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.data import company_settings
from bundle.data.operating_points import settings_row
from bundle.data.shift_benchmark import CONDITIONS
from bundle.engines.benchmark import KeptMaps
from bundle.functional.findings import METHODS
from bundle.functional.froc import fp_per_cm2_curve
from bundle.functional.operating_point import operating_table
from scripts.benchmark import rendered_cases
from scripts.benchmark_systems import learned_systems, load_networks, tune_learned
from scripts.phantom_table import fingerprint, load_views, probability_maps
from scripts.shipped import ROOT, augmented_inferer, company_inferer, evidence_inferer, shipped_inferers

TUNED = ("segmentor", "augmentation", "evidence")
THRESHOLDS = 1 / (1 + np.exp(-np.linspace(-9.0, 9.0, 73)))


def best_thresholds(output_dir: Path, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Threshold with the highest pooled object F2 on rendered tuning views, and that F2, by method.

    Args:
        output_dir: where views and maps are kept.
        methods: names.
    """
    cases = rendered_cases(output_dir, "tuning", CONDITIONS[:1])
    views, maps = [case.load() for case in cases], KeptMaps(output_dir / "maps")
    best = {}
    for name, system in learned_systems(methods, load_networks(None, refine=True)).items():
        chosen = tune_learned(system, cases, lambda: views, maps)
        best[name] = {"best_threshold": chosen["threshold"], "best_f2": chosen["f2"]}
    return best


def main(argv: list[str] | None = None) -> None:
    """Measure all methods on clean tuning phantoms."""
    parser = argparse.ArgumentParser(prog="python -m scripts.measure_operating_points", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "operating_points")
    parser.add_argument("--table", type=Path, default=ROOT / "models" / "operating_points.json")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="the rows of others stay (default: all)"
    )
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
    inferers = {
        "segmentor": segmentor,
        "augmentation": augmented_inferer(),
        "company": company_inferer(augmented_inferer()),
        "evidence": evidence_inferer(refined.generator, segmentor),
        "ttgpr": refined,
    }
    for name, inferer in ((name, inferers[name]) for name in METHODS if name in arguments.methods):
        cache = arguments.output_dir / "maps" / f"{name}-{fingerprint(*weights, vars(inferer).get('settings'))}"
        maps = probability_maps(lambda image, run=inferer: run(image, network), views, cache)  # type: ignore[misc]
        breasts, spacings = [v["breast"] for v in views], [v["spacing_mm"] for v in views]
        curves[name] = (THRESHOLDS, fp_per_cm2_curve(THRESHOLDS, maps, breasts, spacing_mm=spacings))
    made_by = (
        f"python -m scripts.measure_operating_points --clean {arguments.clean} --spacing-mm {arguments.spacing_mm}, "
        "clean phantoms of the tuning seeds; best thresholds on the shift benchmark's tuning split; "
        f"{datetime.date.today()}"
    )
    old = json.loads(arguments.table.read_text())
    new: dict[str, Any] = operating_table(curves, made_by=made_by)
    for name, best in best_thresholds(arguments.output_dir, [name for name in TUNED if name in curves]).items():
        new[name] |= best
    if "company" in curves:
        new["company"]["settings"] = settings_row(company_settings(arguments.table))
    table = {name: new.get(name, old.get(name)) for name in (*METHODS, "made_by")}
    if len(curves) < len(METHODS):
        table["made_by"] = f"{old['made_by']}; {', '.join(curves)}: {made_by}"
    arguments.table.write_text(json.dumps(table, indent=1) + "\n")
    print(f"Wrote {arguments.table}")


if __name__ == "__main__":
    main()

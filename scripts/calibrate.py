"""Choose thresholds for a site from its own negatives, without a label: `python -m scripts.calibrate NEGATIVES`.

Clean crops say what is made up per cm2, the same crops with synthetic calcifications what is found. Goes on where it
was stopped. See docs/calibration.md.
"""

import argparse
import datetime
import json
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.bundle import ConfigParser
from monai.transforms import Compose
from numpy.typing import NDArray
from tqdm import tqdm

from bundle.data import LoadMammogramd, find_mammograms
from bundle.data.operating_points import settings_row
from bundle.data.site_crops import SiteCrops
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from bundle.engines.evaluation import fingerprint
from bundle.engines.tuning import tune
from bundle.engines.tuning_cases import Refinement, TuningCase
from bundle.functional.calibration import best_index, counts_at, f2_of_counts
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.functional.objects import region_area_cm2
from bundle.functional.operating_point import operating_table, operating_threshold
from bundle.functional.refinement_settings import change
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_systems import (
    LEARNED,
    Networks,
    cached,
    company_system,
    learned_systems,
    load_networks,
)
from scripts.command import one_line_errors
from scripts.map_price import price_of_maps
from scripts.measure_operating_points import THRESHOLDS
from scripts.shipped import ROOT
from scripts.site_fit import fit_company, site_cases

# What is measured unless others are named: all that need no generator.
CHEAP = ("segmentor", "augmentation", "company")
DEFAULT = int(np.argmin(np.abs(THRESHOLDS - 0.5)))
# False positives per cm2 whose thresholds are printed.
RATES = (0.1, 0.2, 0.4, 1.0)


class Measured(NamedTuple):
    """What one system finds in some views at each of THRESHOLDS.

    Attributes:
        counts: float (views, thresholds, 3): true, false and missed objects.
        area_cm2: float (views,), of breast.
    """

    counts: NDArray[np.float64]
    area_cm2: NDArray[np.float64]

    @property
    def clean(self) -> NDArray[np.bool_]:
        """Views without a true calcification, bool (views,)."""
        return self.counts[:, 0, 0] + self.counts[:, 0, 2] == 0

    @property
    def f2(self) -> NDArray[np.float64]:
        """F2 of objects over all views, clean ones included, (thresholds,)."""
        return f2_of_counts(self.counts.sum(axis=0))

    @property
    def fp_per_cm2(self) -> NDArray[np.float64]:
        """False objects per cm2 of the clean views, (thresholds,)."""
        return self.counts[self.clean, :, 1].sum(axis=0) / self.area_cm2[self.clean].sum()

    @property
    def best(self) -> int:
        """Place of the threshold of best F2."""
        return best_index(self.f2)


def measure(system: MapSystem, cases: Sequence[Case], maps: KeptMaps, folder: Path) -> Measured:
    """Counts of one system on some cases; those of earlier runs are read.

    Args:
        system: what makes maps.
        cases: views with a label, inside their breast.
        maps: where maps are kept.
        folder: of the kept counts.
    """

    def count(case: Case) -> dict[str, Any]:
        view = case.load()
        probs = maps.probs(system, case, view)
        shape = {"spacing_mm": view["spacing_mm"], "breast": view["breast"]}
        return {
            "counts": counts_at(THRESHOLDS, probs, view["label"], **shape).tolist(),
            "area_cm2": region_area_cm2(view["breast"], spacing_mm=view["spacing_mm"]),
        }

    rows = [
        cached(folder / f"{system.name}-{system.settings}" / f"{fingerprint(*case[:4])}.json", partial(count, case))
        for case in tqdm(cases, desc=system.name, unit="case")
    ]
    return Measured(np.array([row["counts"] for row in rows]), np.array([row["area_cm2"] for row in rows]))


def site_table(measured: Mapping[str, Measured], *, made_by: str) -> dict[str, Any]:
    """Table of operating points as models/operating_points.json has it, and the threshold of best F2 per method."""
    table: dict[str, Any] = operating_table(
        {name: (THRESHOLDS, one.fp_per_cm2) for name, one in measured.items()}, made_by=made_by
    )
    for name, one in measured.items():
        table[name] |= {"best_threshold": float(THRESHOLDS[one.best]), "best_f2": float(one.f2[one.best])}
    return table


def tuned_networks(arguments: argparse.Namespace, cases: Sequence[Case], networks: Networks) -> Networks | None:
    """Networks whose refinement has the settings that a study on the site's cases chose; None for the price alone."""
    views = [TuningCase(case.case, case.settings, partial(_tuning_view, case)) for case in cases]
    mixed = [views[index] for index in np.random.default_rng(0).permutation(len(views))]
    folder = arguments.output_dir
    chosen = tune(
        Refinement(mixed, networks.refined_inferer, networks.network, folder / "first_passes"),
        ConfigParser.load_config_file(str(ROOT / "configs" / "tune.yaml"))["space"],
        output_dir=folder,
        trials=arguments.trials,
        seed=arguments.seed,
        min_precision=arguments.min_precision,
        price_only=arguments.price_only,
    )
    if chosen is None:
        return None
    fresh = load_networks(arguments.models_dir, refine=True)
    fresh.refined_inferer.settings = change(fresh.refined_inferer.settings, **chosen["overrides"])
    return fresh


def _tuning_view(case: Case) -> dict[str, Any]:
    view = case.load()
    return {**view, "region": view["breast"]}


def calibrate(arguments: argparse.Namespace) -> None:
    """Calibrate and write OUT/operating_points.json."""
    if min(arguments.crops, arguments.injections) < 1:
        raise ValueError("Expected at least one crop and one injection; raise --crops or --injections")
    reading = {"spacing_mm": arguments.spacing_mm, "voi": arguments.voi, "convert_raw": arguments.convert_raw}
    paths = [view["image"] for view in find_mammograms(arguments.negatives)]
    crops = SiteCrops(
        Compose([LoadMammogramd(**reading), BreastMaskd(), MammogramWindowd()]),
        crop_mm=arguments.crop_mm or None,
        seed=arguments.seed,
    )
    networks = load_networks(
        arguments.models_dir, refine=arguments.refine or bool(set(arguments.systems) & set(GENERATIVE_METHODS))
    )
    cases = site_cases(paths, crops, crops_per_view=arguments.crops, injections=arguments.injections, reading=reading)
    maps = KeptMaps(arguments.output_dir / "maps")
    systems = [*LEARNED] if arguments.refine else arguments.systems
    price = price_of_maps(learned_systems(systems, networks), cases, maps)
    print(f"{len(paths)} negatives, {len(cases)} cases. {price}", flush=True)
    if arguments.refine:
        tuned = tuned_networks(arguments, cases, networks)
        networks = tuned or networks
    if arguments.price_only:
        return
    learned = learned_systems(systems, networks)
    fitted = {}
    if "company" in learned:
        first = learned_systems(["augmentation"], networks)["augmentation"]
        fitted["company"] = fit_company(first, cases, maps, cache=arguments.output_dir / "counts")
        learned["company"] = company_system(networks, fitted["company"])
    measured = {name: measure(one, cases, maps, arguments.output_dir / "counts") for name, one in learned.items()}
    made_by = f"python -m scripts.calibrate, {len(paths)} negatives, seed {arguments.seed}, {datetime.date.today()}"
    table = site_table(measured, made_by=made_by)
    for name, weights in fitted.items():
        table[name]["settings"] = settings_row(weights)
    path = arguments.output_dir / "operating_points.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(told(table, measured))
    settings = f" --settings {arguments.output_dir / 'best.json'}" if arguments.refine else ""
    print(f"Use it: python -m scripts.segment INPUT --operating-points {path}{settings}")


def told(table: Mapping[str, Any], measured: Mapping[str, Measured]) -> str:
    """What was chosen, in words."""
    lines = []
    for name, one in measured.items():
        found = int(one.counts[:, 0, [0, 2]].sum())
        lines.append(
            f"{name}: {found} synthetic calcifications, {one.area_cm2[one.clean].sum():.0f} cm2 of clean breast. "
            f"Best threshold {THRESHOLDS[one.best]:.3f}: F2 {one.f2[one.best]:.3f}, "
            f"{one.fp_per_cm2[one.best]:.3f} FP/cm2; at 0.5: F2 {one.f2[DEFAULT]:.3f}, "
            f"{one.fp_per_cm2[DEFAULT]:.3f} FP/cm2"
        )
        for rate in RATES:
            try:
                lines.append(f"  {rate:g} FP/cm2 at {operating_threshold(table, name, fp_per_cm2=rate):.4f}")
            except ValueError:
                lines.append(f"  {rate:g} FP/cm2 was not seen at any threshold")
    return "\n".join(lines)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.calibrate", description=__doc__)
    parser.add_argument("negatives", type=Path, help="folder of a site's views without a finding; a few will do")
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    parser.add_argument("--systems", nargs="+", choices=LEARNED, default=[*CHEAP], help=f"(default: {' '.join(CHEAP)})")
    parser.add_argument("--crops", type=int, default=2, help="per view, at most (default: %(default)s)")
    parser.add_argument("--crop-mm", type=float, default=60.0, help="their side; 0: whole views (default: %(default)s)")
    parser.add_argument("--injections", type=int, default=2, help="per crop (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the injections (default: %(default)s)")
    parser.add_argument("--refine", action="store_true", help="choose settings of the refinement too (Optuna)")
    parser.add_argument("--trials", type=int, default=40, help="of that study (default: %(default)s)")
    parser.add_argument("--min-precision", type=float, help="of that study, see python -m scripts.tune --help")
    parser.add_argument("--price-only", action="store_true", help="print the price and stop")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument(
        "--voi", default=0, help="number or name of the VOI LUT or window, or none (default: the first)"
    )
    parser.add_argument("--convert-raw", action="store_true", help="accept For Processing views")
    arguments = parser.parse_args(argv)
    arguments.voi = int(arguments.voi) if str(arguments.voi).isdigit() else arguments.voi
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Calibrate for a site."""
    arguments = parse(argv)
    warnings.simplefilter("ignore")
    with one_line_errors():
        calibrate(arguments)


if __name__ == "__main__":
    main()

"""Whether calibration without labels closes the gap of a shifted site: `python -m scripts.calibration_study`.

Under each condition of the shift benchmark a few clean views are the site's negatives; `scripts.calibrate` chooses a
threshold on them, which is tried on the condition's test views beside 0.5 and the best threshold of these very views.
In the folder of a benchmark its views and maps are used. Goes on where it was stopped. See docs/calibration.md.
"""

import argparse
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.transforms import Compose

from bundle.data import LoadMammogramd
from bundle.data.shift_benchmark import CONDITIONS, SPLITS, site_negatives, write_cases
from bundle.data.site_crops import SiteCrops
from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from bundle.functional.calibration import f2_at, fp_rate_at, share_closed
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.functional.operating_point import threshold_for_fp_rate
from bundle.functional.statistics import Estimate, Resamples, bootstrap, bootstrap_difference, draw_resamples
from bundle.reports.figures import COLOURS, new_figure, png
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark import rendered_cases
from scripts.benchmark_systems import LEARNED, company_system, learned_systems, load_networks
from scripts.calibrate import DEFAULT, Measured, measure
from scripts.command import one_line_errors
from scripts.map_price import price_of_maps
from scripts.measure_operating_points import THRESHOLDS
from scripts.shipped import ROOT
from scripts.site_fit import fit_company, site_cases

RESAMPLING_SEED = 0
# False positives per cm2 that a site may ask for: what it gets by its own table and by that of the reference.
WANTED_RATE = 0.1
CHOICES = ("default", "calibrated", "oracle")


class Condition(NamedTuple):
    """What one system finds under one condition.

    Attributes:
        name: of the condition.
        system: name.
        site: on the site's negatives, clean and injected.
        test: on the condition's test views.
        patients: of the test views.
    """

    name: str
    system: str
    site: Measured
    test: Measured
    patients: tuple[str, ...]


def negatives(output_dir: Path, condition: str, *, count: int, split: str, injections: int, seed: int) -> list[Case]:
    """Cases of a site's negatives: whole views, clean and injected."""
    items = write_cases(output_dir / "site", site_negatives(condition, count=count, split=split))
    crops = SiteCrops(Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd()]), crop_mm=None, seed=seed)
    return site_cases([item["image"] for item in items], crops, crops_per_view=1, injections=injections)


def places(one: Condition) -> dict[str, int]:
    """Thresholds that are compared, as places in THRESHOLDS."""
    return {"default": DEFAULT, "calibrated": one.site.best, "oracle": one.test.best}


def place_of_rate(measured: Measured, rate: float) -> int | None:
    """Lowest place in THRESHOLDS that keeps a rate on the clean views measured; None if the rate was never seen."""
    try:
        threshold = threshold_for_fp_rate(THRESHOLDS, measured.fp_per_cm2, wanted=rate)
    except ValueError:
        return None
    return int(np.searchsorted(THRESHOLDS, threshold))


def compared(one: Condition, reference: Measured | None) -> dict[str, Any]:
    """Figures of one system under one condition, each with its interval over patients.

    Args:
        one: what was measured.
        reference: the system on the negatives of the reference condition, if they were measured.
    """
    resamples = draw_resamples(one.patients, rng=np.random.default_rng(RESAMPLING_SEED), strata=one.test.clean.tolist())
    row: dict[str, Any] = {"condition": one.name, "system": one.system, "thresholds": {}, "f2": {}, "fp_per_cm2": {}}
    for name, place in places(one).items():
        row["thresholds"][name] = float(THRESHOLDS[place])
        row["f2"][name] = _plain(bootstrap(f2_at(one.test.counts, place), one.patients, resamples))
        row["fp_per_cm2"][name] = _rate(one, place, resamples)
    chosen = one.site.best
    gain = bootstrap_difference(
        f2_at(one.test.counts, chosen), f2_at(one.test.counts, DEFAULT), one.patients, resamples
    )
    share = bootstrap(share_closed(one.test.counts, default=DEFAULT, chosen=chosen), one.patients, resamples)
    tables = {"site": one.site} | ({} if reference is None else {"reference": reference})
    asked = {name: place_of_rate(table, WANTED_RATE) for name, table in tables.items()}
    got = {name: None if place is None else _rate(one, place, resamples) for name, place in asked.items()}
    return row | {"gain": _plain(gain), "share": _plain(share), "got": got}


def _rate(one: Condition, place: int, resamples: Resamples) -> dict[str, float | None]:
    rate = fp_rate_at(one.test.counts, place, clean=one.test.clean, area_cm2=one.test.area_cm2)
    return _plain(bootstrap(rate, one.patients, resamples))


def _plain(estimate: Estimate) -> dict[str, float | None]:
    values = {key: float(value) for key, value in zip(("value", "low", "high"), estimate[:3], strict=True)}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tables of the study."""
    found = [["condition", "system", "F2 at 0.5", "calibrated", "best", "gain [95 %]", "share closed [95 %]"]]
    wanted = f"{WANTED_RATE:g} asked by the"
    false = [["FP/cm2 of clean views", "system", "at 0.5", "calibrated", "best"]]
    false[0] += [f"{wanted} site's table", f"{wanted} reference's"]
    for row in rows:
        names = [row["condition"], row["system"]]
        f2 = [f"{_text(row['f2'][name])} (at {row['thresholds'][name]:.3f})" for name in CHOICES]
        found.append([*names, *f2, _text(row["gain"], sign="+"), _text(row["share"])])
        rates = [_text(row["fp_per_cm2"][name]) for name in CHOICES]
        false.append([*names, *rates, *(_text(row["got"].get(name)) for name in ("site", "reference"))])
    return "\n".join([*_table(found), "", *_table(false)]) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _text(figure: Mapping[str, float | None] | None, *, sign: str = "") -> str:
    if figure is None or figure["value"] is None:
        return "-"
    interval = "" if figure["low"] is None else f" [{figure['low']:{sign}.2f}, {figure['high']:{sign}.2f}]"
    return f"{figure['value']:{sign}.2f}{interval}"


def picture(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """F2 at the three thresholds by condition, a plot per system, as PNG."""
    systems = list(dict.fromkeys(row["system"] for row in rows))
    figure = new_figure(7.0, 0.6 + 2.6 * len(systems))
    for axes, system in zip(np.ravel(figure.subplots(len(systems), sharey=True)), systems, strict=True):
        members = [row for row in rows if row["system"] == system]
        for offset, (name, colour) in enumerate(zip(CHOICES, COLOURS, strict=False)):
            value, low, high = (
                np.array([row["f2"][name][key] for row in members], float) for key in ("value", "low", "high")
            )
            place = np.arange(len(members)) + 0.18 * (offset - 1)
            axes.errorbar(place, value, yerr=np.abs([value - low, high - value]), fmt="o", color=colour, label=name)
        axes.set_xticks(range(len(members)), [row["condition"] for row in members])
        axes.set(title=system, ylabel="F2 of objects")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(CHOICES), fontsize=8)
    return png(figure)


def study(arguments: argparse.Namespace) -> None:
    """Measure, compare, write and print."""
    if min(arguments.negatives, arguments.injections) < 1:
        raise ValueError("Expected at least one negative and one injection; raise --negatives or --injections")
    output: Path = arguments.output_dir
    options = {"count": arguments.negatives, "split": arguments.negatives_from}
    options |= {"injections": arguments.injections, "seed": arguments.seed}
    site = {name: negatives(output, name, **options) for name in arguments.conditions}
    test = {name: rendered_cases(output, "test", [name]) for name in arguments.conditions}
    networks = load_networks(arguments.models_dir, refine=bool(set(arguments.systems) & set(GENERATIVE_METHODS)))
    maps = KeptMaps(output / "maps")
    every = [case for cases in (*site.values(), *test.values()) for case in cases]
    learned = learned_systems(arguments.systems, networks)
    print(f"{len(every)} views. {price_of_maps(learned, every, maps)}", flush=True)
    if arguments.price_only:
        return

    def measured(system: MapSystem, cases: Sequence[Case]) -> Measured:
        return measure(system, cases, maps, output / "counts")

    def at_site(system: MapSystem, condition: str) -> MapSystem:
        if system.name != "company":
            return system
        first = learned_systems(["augmentation"], networks)["augmentation"]
        return company_system(networks, fit_company(first, site[condition], maps, cache=output / "counts"))

    rows: list[dict[str, Any]] = []
    for system in learned.values():
        found = []
        for name, cases in test.items():
            own = at_site(system, name)
            found.append(Condition(name, own.name, measured(own, site[name]), measured(own, cases), _patients(cases)))
        reference = next((one.site for one in found if one.name == CONDITIONS[0]), None)
        rows += [compared(one, reference) for one in found]
    text = markdown(rows)
    (output / "calibration.md").write_text(text, encoding="utf-8")
    (output / "calibration.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (output / "calibration.png").write_bytes(picture(rows))
    print(text)


def _patients(cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(case.patient for case in cases)


def main(argv: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m scripts.calibration_study", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "shift", help="(default: %(default)s)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--systems", nargs="+", choices=LEARNED, default=["segmentor"], help="(default: segmentor)")
    parser.add_argument("--negatives", type=int, default=6, help="of each site (default: %(default)s)")
    parser.add_argument(
        "--negatives-from",
        choices=tuple(SPLITS),
        default="tuning",
        help="tuning: they share nothing but the shift with the test views; test: other breasts of the same kind "
        "(default: %(default)s)",
    )
    parser.add_argument("--injections", type=int, default=2, help="per negative (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the injections (default: %(default)s)")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--price-only", action="store_true", help="print the price and stop")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    with one_line_errors():
        study(arguments)


if __name__ == "__main__":
    main()

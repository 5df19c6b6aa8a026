"""The benchmarks, from rendering to report: `python -m scripts.benchmark shift` or `real`. See docs/benchmarks.md.

Every record, map and choice is kept under OUTPUT_DIR, so an interrupted run goes on where it stopped.
"""

import argparse
import datetime
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from tqdm import tqdm

from bundle.data import LoadLabeld, LoadMammogramd, MammogramWarning
from bundle.data.real_backgrounds import RealBackgrounds, exams_of
from bundle.data.records import load_record, save_record
from bundle.data.shift_benchmark import CONDITIONS, shift_cases, write_cases
from bundle.data.site_crops import SiteCrops
from bundle.engines.benchmark import Case, KeptMaps, MapSystem, Record, Row, View, run_cases
from bundle.functional.findings import GENERATIVE_METHODS
from bundle.reports.failures import Spot, failure_sheet, failures
from bundle.reports.figures import png
from bundle.reports.panels import PanelCase
from bundle.reports.report import write_report
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_real import (
    TUNING,
    ClassicalFolds,
    check_fold_weights,
    fitted_row,
    learned_rows,
    put_fold_weights,
    real_cases,
)
from scripts.benchmark_systems import (
    AT_DEFAULT,
    DEFAULT_SYSTEMS,
    LEARNED,
    SYSTEMS,
    WEIGHED,
    Networks,
    is_clean,
    learned_systems,
    load_networks,
    tuned_rows,
)
from scripts.command import one_line_errors
from scripts.map_price import price_of_parts
from scripts.shipped import ROOT
from scripts.site_fit import site_cases

REFERENCE = "segmentor"
# Injections per crop of the cases that "company" is fitted on.
SITE_INJECTIONS = 2
# Views in a sheet of pictures.
SHOWN = 3


def shift(arguments: argparse.Namespace) -> None:
    """Run the shift benchmark."""
    cases = {
        "tuning": rendered_cases(arguments.output_dir, "tuning", CONDITIONS[:1]),
        "test": rendered_cases(arguments.output_dir, "test", arguments.conditions),
    }
    networks = _networks(arguments)
    maps = KeptMaps(arguments.output_dir / "maps")
    if _priced_only(arguments, networks, cases, maps):
        return
    learned = learned_systems(arguments.systems, networks)
    rows = tuned_rows(arguments.systems, learned, cases["tuning"], maps, cache=arguments.output_dir / "tuning")
    records = score(rows, cases["test"], maps, arguments.output_dir)
    shown = {
        dataset: panels(rows, list(members)[:SHOWN], maps)
        for dataset, members in groupby(cases["test"], key=lambda case: case.dataset)
    }
    report(records, shown, arguments, maps, title="Shift benchmark")
    bar = tqdm(cases["test"], desc="Failures", unit="case")
    write_failures([failures_of(rows[0], case, maps) for case in bar], rows[0].name, arguments.output_dir)


def rendered_cases(output_dir: Path, split: str, conditions: Sequence[str]) -> list[Case]:
    """Render what is missing; a case is the files of one view."""
    wanted = [case for condition in conditions for case in shift_cases(split, condition)]
    load = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd(), LoadLabeld("label")])

    def view(item: Mapping[str, str]) -> View:
        return as_view(load({"image": item["image"], "label": item["label"]}))

    return [
        Case(
            f"{item['patient']} {item['condition']}",
            item["patient"],
            f"shift/{item['condition']}",
            Path(item["image"]).stem,
            lambda item=item: view(item),  # type: ignore[misc]
        )
        for item in write_cases(output_dir / "views", wanted)
    ]


def as_view(data: Mapping[Any, Any]) -> View:
    """Loaded data as plain arrays."""
    arrays = {key: np.asarray(data[key])[0] for key in ("image", "label", "breast")}
    return {**arrays, "spacing_mm": tuple(float(side) for side in data["image"].meta["spacing_mm"])}


def real(arguments: argparse.Namespace) -> None:
    """Run the benchmark on real backgrounds, leaving one exam out at a time."""
    table = arguments.exams if str(arguments.exams).endswith(".csv") else None
    exams = exams_of(arguments.normals, table)
    load = Compose([LoadMammogramd(spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
    backgrounds = RealBackgrounds(
        load, crop_mm=arguments.crop_mm, jpeg_quality=arguments.jpeg_quality, screen=arguments.screen
    )
    spacing_mm = arguments.spacing_mm
    cases = real_cases(
        exams, backgrounds, crops_per_view=arguments.crops, injections=arguments.injections, spacing_mm=spacing_mm
    )
    networks, weights_dir = _networks(arguments), arguments.weights_dir
    if arguments.fit_company and (networks is None or weights_dir is None):
        raise ValueError("Expected --weights-dir and a learned system with --fit-company, got none; add them")
    if networks is not None and weights_dir is not None:
        check_fold_weights(weights_dir, exams)
    maps = KeptMaps(arguments.output_dir / "maps")
    if _priced_only(arguments, networks, cases, maps, weights_dir=weights_dir):
        return
    tuning = real_cases(exams, backgrounds, **TUNING, spacing_mm=spacing_mm)
    folds = ClassicalFolds(arguments.systems, tuning, cache=arguments.output_dir / "tuning")
    site = site_of(arguments, exams) if arguments.fit_company else {}
    records: list[Record] = []
    shown: dict[str, list[PanelCase]] = {"real": []}
    wrong: list[tuple[list[Spot], list[Spot]]] = []
    for number, exam in enumerate(exams):
        print(f"Held out: {exam} ({number + 1} of {len(exams)})", flush=True)
        if networks is not None and weights_dir is not None:
            put_fold_weights(networks, weights_dir, exam)
        rows = learned_rows(arguments.systems, networks, weights_dir, exam)
        if networks is not None and weights_dir is not None and site:
            rows.append(fitted_row(networks, weights_dir, site, exam, maps, cache=folds.cache))
        rows += folds.rows(exam)
        records += score(rows, cases[exam], maps, arguments.output_dir)
        if arguments.injections:
            # The first crop's first injection; the crop itself comes before it.
            shown["real"] += panels(rows, cases[exam][1:2], maps)[: SHOWN - len(shown["real"])]
        wrong += [failures_of(rows[0], case, maps) for case in cases[exam]]
    pooled = [{**record, "dataset": "real"} for record in records]
    report(records + pooled, shown, arguments, maps, title="Real backgrounds")
    write_failures(wrong, systems_of(records)[0], arguments.output_dir)


def site_of(arguments: argparse.Namespace, exams: Mapping[str, Sequence[str]]) -> dict[str, list[Case]]:
    """By exam the cases that `scripts.calibrate` makes of its views."""
    reading = {"spacing_mm": arguments.spacing_mm, "voi": 0, "convert_raw": False}
    load = Compose([LoadMammogramd(spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
    crops = SiteCrops(load, crop_mm=arguments.crop_mm)
    options = {"crops_per_view": arguments.crops, "injections": SITE_INJECTIONS, "reading": reading}
    return {exam: site_cases(paths, crops, **options) for exam, paths in exams.items()}


def _networks(arguments: argparse.Namespace) -> Networks | None:
    if not set(arguments.systems) & {*LEARNED, *WEIGHED}:
        return None
    return load_networks(arguments.models_dir, refine=bool(set(arguments.systems) & set(GENERATIVE_METHODS)))


def _priced_only(
    arguments: argparse.Namespace,
    networks: Networks | None,
    cases: Mapping[str, Sequence[Case]],
    maps: KeptMaps,
    *,
    weights_dir: Path | None = None,
) -> bool:
    """Print what the maps of learned systems will cost; whether that was all that was asked for.

    With `weights_dir`, cases are by the exam whose fold's weights, and kept maps, are theirs.
    """
    if networks is not None:
        todo: list[tuple[dict[str, MapSystem], Sequence[Case]]] = []
        for exam, members in cases.items():
            if weights_dir is not None:
                put_fold_weights(networks, weights_dir, exam)
            todo.append((learned_systems(arguments.systems, networks), members))
        print(price_of_parts(todo, maps), flush=True)
    return arguments.price_only


def score(rows: Sequence[Row], cases: Sequence[Case], maps: KeptMaps, output_dir: Path) -> list[Record]:
    """Records of all rows on all cases, those of earlier runs included."""
    folder = output_dir / "records"

    def recorded(row: Row, case: Case) -> Record | None:
        with warnings.catch_warnings():
            # A record of other weights or settings is made anew; that is no news.
            warnings.simplefilter("ignore", MammogramWarning)
            return load_record(
                folder, system=row.name, dataset=case.dataset, case=case.case, settings=row.settings(case)
            )

    def save(row: Row, case: Case, record: Record) -> None:
        save_record(folder, record, settings=row.settings(case))

    return run_cases(rows, cases, maps, recorded=recorded, save=save)


def panels(rows: Sequence[Row], cases: Sequence[Case], maps: KeptMaps) -> list[PanelCase]:
    """Views with what every row marks, for the pictures."""
    made = []
    for case in cases:
        view = case.load()
        preds = {row.name: maps.probs(row.system, case, view) >= row.threshold for row in rows}
        fields = {key: view[key] for key in ("image", "label", "spacing_mm")}
        made.append(PanelCase(case.case, **fields, preds=preds, region=view["breast"]))
    return made


def failures_of(row: Row, case: Case, maps: KeptMaps) -> tuple[list[Spot], list[Spot]]:
    """False marks and misses of a row on a case, for pictures; false ones of clean views, where they count."""
    view = case.load()
    false, missed = failures(
        view["image"],
        view["label"],
        maps.probs(row.system, case, view),
        name=case.patient,
        threshold=row.threshold,
        spacing_mm=view["spacing_mm"],
        region=view["breast"],
    )
    return false if is_clean(view) else [], missed


def write_failures(wrong: Sequence[tuple[list[Spot], list[Spot]]], system: str, output_dir: Path) -> None:
    """Pictures of the worst false marks and misses of all cases: false_marks.png and missed.png."""
    for file, number, what in (
        ("false_marks", 0, "strongest false marks on views without calcifications"),
        ("missed", 1, "plainest calcifications that it misses"),
    ):
        spots = [spot for one in wrong for spot in one[number]]
        (output_dir / f"{file}.png").write_bytes(png(failure_sheet(spots, f"{system}: {what} ({len(spots)} in all)")))


def systems_of(records: Sequence[Record]) -> list[str]:
    """Names of the systems, in the order of their records."""
    return list(dict.fromkeys(record["system"] for record in records))


def reference_row(rows: Sequence[str], name: str) -> str | None:
    """The row that others are compared with: it may say more than its system's name, or less than "at 0.5".

    On real backgrounds all learned rows run at that threshold, and say so nowhere.
    """
    wanted = (name, name.removesuffix(AT_DEFAULT))
    return next((row for words in wanted for row in rows if row.startswith(words)), None)


def report(
    records: Sequence[Record],
    shown: Mapping[str, Sequence[PanelCase]],
    arguments: argparse.Namespace,
    maps: KeptMaps,
    *,
    title: str,
) -> None:
    """Write tables, plots and the page, and print the table and the times."""
    systems = systems_of(records)
    write_report(
        arguments.output_dir,
        records,
        title=title,
        command=arguments.command,
        date=str(datetime.date.today()),
        reference=reference_row(systems, arguments.reference),
        systems=systems,
        cases=shown,
    )
    print((arguments.output_dir / "table.md").read_text())
    for name, seconds in maps.seconds.items():
        print(f"{name}: {seconds:.0f} s for new maps")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark", description=__doc__)
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(DEFAULT_SYSTEMS))
    common.add_argument(
        "--reference",
        choices=[*SYSTEMS, *(f"{name}{AT_DEFAULT}" for name in (*LEARNED, *WEIGHED))],
        metavar="SYSTEM",
        default=REFERENCE,
        help=f'row the others are compared with, "NAME{AT_DEFAULT}" too (default: %(default)s)',
    )
    common.add_argument("--refine", action="store_true", help="TT-GPR too; its price is printed first")
    common.add_argument("--price-only", action="store_true", help="print the price of TT-GPR and stop")
    common.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")

    one = commands.add_parser("shift", parents=[common], help="rendered views under four shifts")
    one.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "shift")
    one.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    one.set_defaults(run=shift)

    two = commands.add_parser("real", parents=[common], help="calcifications in your own normals, one exam left out")
    two.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "real")
    two.add_argument("--normals", type=Path, required=True, help="folder of normal views")
    two.add_argument(
        "--exams",
        default="prefix",
        help="CSV with the columns image and exam; by default the file name up to its first _ is the exam",
    )
    two.add_argument("--weights-dir", type=Path, help="EXAM.pt and EXAM_generator.pt, trained without that exam")
    two.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    two.add_argument("--crop-mm", type=float, default=60.0, help="side of a crop (default: %(default)s)")
    two.add_argument("--crops", type=int, default=2, help="crops per view (default: %(default)s)")
    two.add_argument("--injections", type=int, default=3, help="injections per crop (default: %(default)s)")
    two.add_argument("--jpeg-quality", type=int, help="compress every crop, clean ones too")
    two.add_argument(
        "--screen", action="store_true", help="leave out spots of the views that may be uncalled calcifications"
    )
    two.add_argument(
        "--fit-company",
        action="store_true",
        help='a row more: "company" with weights fitted without a label on other exams that the network has not seen',
    )
    two.set_defaults(run=real)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run a benchmark."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words)
    arguments.command = " ".join(["python -m scripts.benchmark", *words])
    if (arguments.refine or arguments.price_only) and "ttgpr" not in arguments.systems:
        arguments.systems.append("ttgpr")
    start = time.perf_counter()
    with one_line_errors():
        arguments.run(arguments)
    print(f"Done in {(time.perf_counter() - start) / 60:.1f} minutes; everything is in {arguments.output_dir}")


if __name__ == "__main__":
    main()

"""What in the refinement matters, and does it beat controls: `python -m scripts.refinement_study --output-dir OUT`.

Every open point of the method is switched in turn from the default settings, on crops of the tuning split of the shift
benchmark; the test split is never read. A run that was stopped goes on where it stopped. See docs/refinement_study.md.
"""

import argparse
import copy
import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bundle.data.whole_files import write_whole
from bundle.engines.benchmark import Case, Record
from bundle.networks import load_weights
from bundle.reports.figures import png
from bundle.reports.tables import to_csv, to_json
from scripts.benchmark_systems import load_networks
from scripts.command import one_line_errors
from scripts.shipped import ROOT
from scripts.study_cost import PassCost, gflop_of, pass_costs
from scripts.study_crops import CROPS_PX, study_cases
from scripts.study_fit import fitted
from scripts.study_price import price
from scripts.study_run import Line, lines_of, recorded, run_lines
from scripts.study_table import PRIMARY, SWITCHED, best_threshold_of, forest, study_markdown, summary
from scripts.study_variants import BEST, SEGMENTOR, UNFITTED, Parts, Variant, all_variants, chosen_variants

CROPS, PAPER_CROPS, FIT_CROPS = 60, 20, 24


def best_line(line: Line, records: Sequence[Record]) -> Line:
    """The segmentor's row at the threshold where its object F2 is highest on these very crops."""
    mine = [record for record in records if record["system"] == SEGMENTOR]
    threshold = best_threshold_of(mine)
    what = f"the segmentor at its own best threshold, {threshold:.3g}, chosen on these crops"
    variant = Variant(BEST, line.variant.group, what, line.variant.make, SEGMENTOR)
    return line._replace(variant=variant, threshold=threshold)


def write_results(
    records: Sequence[Record], variants: Sequence[Variant], costs: Mapping[str, PassCost], output: Path, command: str
) -> str:
    """Write table.md, .csv and .json and the two forests; returns the Markdown."""
    tables = summary(records, variants)
    gflop = {variant.name: _mean_gflop(records, variant.name, costs) for variant in variants}
    head = f"# Refinement study\n\n`{command}`, {datetime.date.today()}.\n\n"
    text = head + study_markdown(tables, records, variants, gflop)
    every = [row for members in tables.values() for row in members]
    for suffix, content in (("md", text), ("csv", to_csv(every)), ("json", to_json(every))):
        write_whole(output / f"table.{suffix}", lambda path, content=content: path.write_text(content))  # type: ignore[misc]
    against = [row for row in tables[SEGMENTOR] if row["differences"]]
    own = {variant.name: variant.base for variant in variants}
    switched = [
        row for base, rows in tables.items() for row in rows if row["differences"] and own[row["system"]] == base
    ]
    switched = [row for row in switched if row["reference"] != SEGMENTOR]
    for name, rows, title, names in (
        ("forest", against, "Difference to the segmentor, 95% intervals", PRIMARY),
        ("forest_switches", switched, "Difference to the row that has the other setting, 95% intervals", SWITCHED),
    ):
        if rows:
            picture = png(forest(rows, variants, title=title, names=names))
            write_whole(output / f"{name}.png", lambda path, picture=picture: path.write_bytes(picture))  # type: ignore[misc]
    return text


def _mean_gflop(records: Sequence[Record], name: str, costs: Mapping[str, PassCost]) -> float:
    return float(np.mean([gflop_of(record["passes"], costs) for record in records if record["system"] == name]))


def run(arguments: argparse.Namespace) -> None:
    """Price, fit, run and tabulate."""
    output: Path = arguments.output_dir
    networks = load_networks(arguments.models_dir, refine=True)
    other = None
    if arguments.fn_weights:
        other = load_weights(copy.deepcopy(networks.network), str(arguments.fn_weights))
    every = all_variants(
        paper_crops=arguments.paper_crops,
        overlapping=arguments.crop_px > networks.refined_inferer.windowed.window_px,
        other_network=other is not None,
    )
    variants = chosen_variants(every, arguments.variants)
    options = {"crop_px": arguments.crop_px, "directory": output / "views"}
    cases = study_cases("study", arguments.crops, **options)
    unfitted = Parts(networks, UNFITTED, other)
    fits = [variant.fit for variant in variants if variant.fit]
    todo = _todo(variants, unfitted, cases, output / "records")
    text, _ = price(variants, unfitted, todo, arguments.fit_crops if fits else 0, crop_px=arguments.crop_px)
    print(text, flush=True)
    if arguments.price_only:
        return
    fit_cases = study_cases("fit", arguments.fit_crops, **options) if fits else []
    parts = unfitted._replace(fits=fitted(fits, networks, fit_cases, output / "fit"))
    lines = lines_of(variants, parts)
    records = run_lines(lines, cases, parts, output / "records")
    best = best_line(lines[0], records)
    records += run_lines([best], cases, parts, output / "records")
    shown = [variants[0], best.variant, *variants[1:]]
    print(write_results(records, shown, pass_costs(networks), output, arguments.command))
    print(f"Everything is in {output}")


def _todo(variants: Sequence[Variant], parts: Parts, cases: Sequence[Case], records_dir: Path) -> dict[str, int]:
    """Crops without a record, by row; all of them where settings are still to be fitted."""
    return {
        line.variant.name: sum(
            line.variant.fit is not None or recorded(line, case, records_dir) is None for case in line.cases(cases)
        )
        for line in lines_of(variants, parts)
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.refinement_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "refinement", help="(default: %(default)s)")
    parser.add_argument("--crops", type=int, default=CROPS, help="breasts, a crop each (default: %(default)s)")
    parser.add_argument("--crop-px", type=int, default=CROPS_PX[0], help="side, 256 to 512 (default: %(default)s)")
    parser.add_argument("--paper-crops", type=int, default=PAPER_CROPS, help="for `paper` (default: %(default)s)")
    parser.add_argument("--fit-crops", type=int, default=FIT_CROPS, help="for weights (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="some of them, as --price-only lists them")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--fn-weights", type=Path, help="a segmentor trained with more weight on misses: one more row")
    parser.add_argument("--price-only", action="store_true", help="print what it costs and stop")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the study."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words)
    arguments.command = " ".join(["python -m scripts.refinement_study", *words])
    with one_line_errors():
        run(arguments)


if __name__ == "__main__":
    main()

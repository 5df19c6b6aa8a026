"""How much is there to find? `python -m scripts.model_observer --normals DIR --output-dir OUT`.

On the cases of `scripts.benchmark real`, a matched filter that is told the exact shape of each calcification looks for
that one alone. The share that it finds at 0.4 and 1 false marks per cm2 is a mark to hold detectors against, which are
told nothing (docs/benchmarks.md). OUT holds table.md and table.json; a run that was stopped goes on.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from bundle import __version__
from bundle.data import LoadMammogramd
from bundle.data.files import read_json
from bundle.data.real_backgrounds import RealBackgrounds, crops_of, exams_of
from bundle.data.whole_files import write_whole
from bundle.engines.benchmark import View
from bundle.engines.evaluation import fingerprint
from bundle.functional.model_observer import ModelObserver, peaks
from bundle.functional.object_strata import CNR_EDGES, measure_visibility
from bundle.functional.objects import find_reference, region_area_cm2
from bundle.functional.statistics import bootstrap, draw_resamples, ratio_of_sums
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_real import real_cases
from scripts.command import one_line_errors

RATES = (0.4, 1.0)
# The breast's outline is left out by this much.
OUTLINE_PX = 8
# A signal ends this far from its object's mask.
MARGIN_PX = 4
# A peak this near counts as at its place.
NEAR_PX = 1

Found = dict[str, Any]


class Clean:
    """A clean crop and its observer."""

    def __init__(self, view: View, *, reach_px: int) -> None:
        self.region = ndimage.binary_erosion(view["breast"], iterations=OUTLINE_PX)
        self.area_cm2 = region_area_cm2(self.region, spacing_mm=view["spacing_mm"])
        self.observer = ModelObserver(view["image"], self.region, reach_px=reach_px)


def signals_of(view: View, added: NDArray[np.float32]) -> list[tuple[tuple[int, int], NDArray[np.float32], float]]:
    """What each calcification of a view has added to the clean crop.

    Args:
        view: with calcifications.
        added: what they have added together, (rows, columns).

    Returns:
        Of each: row and column of the centre, the signal, and its contrast-to-noise ratio.
    """
    reference = find_reference(view["label"], spacing_mm=view["spacing_mm"], region=view["breast"])
    cnr = measure_visibility(view["image"], view["label"], reference).cnr
    truth = reference.true
    owner = np.full(added.size, -1, np.int64)
    owner[truth.pixels] = truth.owner
    number = owner.reshape(added.shape)
    distance, nearest = ndimage.distance_transform_edt(number < 0, return_indices=True)
    of_object = np.where(distance <= MARGIN_PX, number[tuple(nearest)], -1)
    signals = []
    for index, box in enumerate(ndimage.find_objects(of_object + 1, max_label=len(truth))):
        signal = np.where(of_object[box] == index, added[box], 0).astype(np.float32)
        centre = [side.start + length // 2 for side, length in zip(box, signal.shape, strict=True)]
        signals.append(((centre[0], centre[1]), signal, float(cnr[index])))
    return signals


def observe(view: View, added: NDArray[np.float32], own: Clean, all_clean: Sequence[Clean]) -> list[Found]:
    """Score of each calcification, and the score that its own filter exceeds at each rate of false marks.

    Args:
        view: with calcifications.
        added: as in `signals_of`.
        own: the same crop without them.
        all_clean: where false marks are counted, `own` among them.
    """
    found = []
    for place, signal, cnr in signals_of(view, added):
        false = []
        for clean in all_clean:
            scores = clean.observer.scores(signal)
            false.append(peaks(scores.without, clean.region))
            if clean is own:
                near = tuple(slice(max(0, side - NEAR_PX), side + NEAR_PX + 1) for side in place)
                rise = float(scores.rise[place])
                score = float(scores.without[near].max()) + rise
        ranked = np.sort(np.concatenate(false))[::-1]
        area_cm2 = sum(clean.area_cm2 for clean in all_clean)
        levels = [float(ranked[min(int(rate * area_cm2), len(ranked) - 1)]) for rate in RATES]
        found.append({"cnr": cnr, "rise": rise, "score": score, "levels": levels})
    return found


def table(found: Sequence[tuple[str, Found]]) -> list[dict[str, Any]]:
    """Recall of all calcifications and of each stratum of contrast-to-noise, with intervals over exams.

    Args:
        found: exam and record of each calcification.
    """
    low, high = CNR_EDGES
    strata = {
        "all": lambda cnr: True,
        f"CNR < {low:g}": lambda cnr: cnr < low,
        f"CNR {low:g} to {high:g}": lambda cnr: low <= cnr <= high,
        f"CNR > {high:g}": lambda cnr: cnr > high,
    }
    exams = [exam for exam, _ in found]
    resamples = draw_resamples(exams, rng=np.random.default_rng(0))
    rows = []
    for name, within in strata.items():
        members = np.array([within(one["cnr"]) for _, one in found], float)
        row: dict[str, Any] = {"calcifications": name, "count": int(members.sum())}
        for number, rate in enumerate(RATES):
            hit = np.array([one["score"] > one["levels"][number] for _, one in found], float)
            estimate = bootstrap(ratio_of_sums(hit * members, members), exams, resamples)
            row[f"{rate:g}"] = [float(value) for value in estimate[:3]]
        rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        "| Calcifications | Count | " + " | ".join(f"Found at {rate:g} FP/cm2" for rate in RATES) + " |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        figures = ["{:.3f} [{:.3f}, {:.3f}]".format(*row[f"{rate:g}"]) for rate in RATES]
        name = row["calcifications"].replace("<", "\\<").replace(">", "\\>")
        lines.append(f"| {name} | {row['count']} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.model_observer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--normals", required=True, help="folder of normal views")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the table; made if missing")
    parser.add_argument("--exams", help="CSV with the columns image and exam; left out: what stands before the first _")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    parser.add_argument("--crop-mm", type=float, default=60.0, help="side of a crop (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=2, help="crops per view (default: %(default)s)")
    parser.add_argument("--injections", type=int, default=3, help="injections per crop (default: %(default)s)")
    parser.add_argument(
        "--reach-px", type=int, default=25, help="square for the noise nearby, a side (default: %(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Observe what is missing, and print the table."""
    arguments = _parser().parse_args(argv)
    with one_line_errors():
        if arguments.injections < 1:
            raise ValueError(f"--injections: Expected at least 1, got {arguments.injections}; raise it")
        load = Compose([LoadMammogramd(spacing_mm=arguments.spacing_mm), BreastMaskd(), MammogramWindowd()])
        exams = exams_of(arguments.normals, arguments.exams)
        backgrounds = RealBackgrounds(load, crop_mm=arguments.crop_mm)
        many = {"crops_per_view": arguments.crops, "injections": arguments.injections}
        crops = crops_of(exams, **many)
        by_exam = real_cases(exams, backgrounds, **many, spacing_mm=arguments.spacing_mm)
        cases = [case for of_exam in by_exam.values() for case in of_exam]
        step = arguments.injections + 1
        clean = [
            Clean(case.load(), reach_px=arguments.reach_px) for case in tqdm(cases[::step], desc="Clean", unit="crop")
        ]
        key = fingerprint(__version__, arguments.reach_px, [case.settings for case in cases])
        found: list[tuple[str, Found]] = []
        for number, case in enumerate(tqdm(cases, desc="Cases", unit="case")):
            if number % step == 0:
                continue
            path = arguments.output_dir / "found" / f"{fingerprint(key, case.settings)}.json"
            if not path.exists():
                own = clean[number // step]
                text = json.dumps(observe(case.load(), backgrounds.added(crops[number]), own, clean))
                write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
            found += [(case.patient, one) for one in read_json(path)]
        rows = table(found)
        text = json.dumps(rows, indent=1)
        write_whole(arguments.output_dir / "table.json", partial(Path.write_text, data=text, encoding="utf-8"))
        text = markdown(rows)
        write_whole(arguments.output_dir / "table.md", partial(Path.write_text, data=text, encoding="utf-8"))
        print(text, end="")


if __name__ == "__main__":
    main()

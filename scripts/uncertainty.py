"""Do probabilities of findings hold, and does their spread tell false ones? `python -m scripts.uncertainty`.

Crops of the tuning split of the shift benchmark; the test split is never read. A run that was stopped goes on where it
stopped. See docs/uncertainty.md.
"""

import argparse
import datetime
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from bundle import __version__
from bundle.engines.benchmark import Case, refinement_passes, sigmoid
from bundle.engines.evaluation import fingerprint
from bundle.functional.components import find_components
from bundle.functional.confusion import IGNORE, MICROCALCIFICATION
from bundle.functional.findings import finding_mask
from bundle.functional.objects import find_reference, match_objects
from bundle.functional.uncertainty import UncertaintyMaps, spread_of_findings
from bundle.functional.windows import breast_windows, pad_to_window
from scripts.benchmark_systems import cached
from scripts.command import one_line_errors
from scripts.shipped import ROOT, augmented_inferer, shipped_inferers
from scripts.study_crops import study_cases
from scripts.uncertainty_table import figures_of, markdown, picture

METHODS = ("augmentation", "ttgpr")
CROPS, CROP_PX = 60, 384
# Candidates are objects from here on, where the default method begins to average; findings are those at 0.5.
FLOOR, MARKED = 0.1, 0.5
# Bins of the histogram of pixels that is kept.
LEVELS = 1000


class System(NamedTuple):
    """What is judged.

    Attributes:
        inferer: keeps the spread of its last call.
        network: the segmentor.
        settings: short text that changes with both.
    """

    inferer: Any
    network: torch.nn.Module
    settings: str


def build(method: str, *, noise_members: int, models_dir: Path | None) -> System:
    """The shipped inferer of a method, with its spread."""
    segmentor, refined, network = shipped_inferers(models_dir, noise_members=noise_members, threshold=MARKED)
    inferer = refined
    if method == "augmentation":
        inferer = augmented_inferer(uncertainty=True, threshold=MARKED)
        inferer.windowed = segmentor
    inferer.windowed.progress = False
    return System(inferer, network, fingerprint(__version__, inferer, network, FLOOR, MARKED))


def record_of(system: System, case: Case) -> dict[str, Any]:
    """Objects of a crop at both thresholds, with their spread and truth, and a histogram of its pixels."""
    view = case.load()
    image = torch.from_numpy(view["image"])[None, None].to(next(system.network.parameters()).device)
    probs = sigmoid(system.inferer(image, system.network)[0, 0].cpu().numpy())
    maps = system.inferer.last_uncertainty.view(0)
    shape = {"spacing_mm": view["spacing_mm"], "region": view["breast"]}
    objects = {
        name: objects_of(probs, view["label"], maps, threshold=threshold, **shape)
        for name, threshold in (("candidates", FLOOR), ("findings", MARKED))
    }
    counted = view["breast"] & (probs >= FLOOR) & (view["label"] != IGNORE)
    level = np.minimum((probs[counted] * LEVELS).astype(int), LEVELS - 1)
    truth = view["label"][counted] == MICROCALCIFICATION
    pixels = [np.bincount(level[chosen], minlength=LEVELS).tolist() for chosen in (slice(None), truth)]
    return {**objects, "pixels": pixels, "patient": case.patient}


def objects_of(
    probs: np.ndarray,
    label: np.ndarray,
    maps: UncertaintyMaps,
    *,
    threshold: float,
    spacing_mm: tuple[float, float],
    region: np.ndarray,
) -> list[dict[str, float]]:
    """Objects at a threshold with what is said of them and whether they are true; those on "ignore" are left out."""
    mask = finding_mask(probs, threshold=threshold, breast=region)
    match = match_objects(mask, find_reference(label, spacing_mm=spacing_mm, region=region))
    components = find_components(mask, scores=probs)
    true = np.zeros(len(components), bool)
    true[match.pairs[:, 0]] = True
    return [
        {
            "peak": float(components.peak[number]),
            "peak_mean": spread.peak_mean,
            "peak_sd": spread.peak_sd,
            "agreement": spread.agreement,
            "pixel_sd": spread.pixel_sd,
            "true": float(true[number]),
        }
        for number, spread in enumerate(spread_of_findings(components, probs, maps))
        if not match.excused[number]
    ]


def price(system: System, cases: Sequence[Case], method: str, records: Path, *, crop_px: int) -> str:
    """What is still to be done, in words: at most, every window counts as one with evidence."""
    windowed = system.inferer.windowed
    side = windowed.window_px
    todo = sum(not path_of(records, system, case).exists() for case in cases)
    frame = pad_to_window(torch.zeros(1, 1, crop_px, crop_px), window_px=side)
    windows = todo * len(breast_windows(frame, window_px=side, overlap=windowed.overlap))
    passes = windows * passes_of(system, method)
    batch = torch.zeros(windowed.sw_batch_size, 1, side, side, device=next(system.network.parameters()).device)
    with torch.no_grad():
        windowed.logits(batch, system.network)
        start = time.perf_counter()
        float(windowed.logits(batch, system.network).sum())
    seconds = (time.perf_counter() - start) / len(batch)
    return (
        f"{todo} of {len(cases)} crops, {windows} windows, at most {passes} network passes: "
        f"{passes * seconds / 60:.0f} minutes at {seconds:.2f} s a pass, and rendering"
    )


def passes_of(system: System, method: str) -> int:
    """Network passes of a window with evidence."""
    if method == "augmentation":
        return int(system.inferer.augmentations)
    return 1 + system.inferer.spread[0] * refinement_passes(system.inferer.settings)


def path_of(records: Path, system: System, case: Case) -> Path:
    """Where the record of a crop lies."""
    return records / system.settings / f"{fingerprint(*case[:4])}.json"


def run(arguments: argparse.Namespace) -> None:
    """Price, run, tabulate."""
    output: Path = arguments.output_dir
    if arguments.method == "ttgpr" and arguments.noise_members < 2:
        raise ValueError(f"Expected --noise-members of at least 2, got {arguments.noise_members}; one has no spread")
    system = build(arguments.method, noise_members=arguments.noise_members, models_dir=arguments.models_dir)
    cases = study_cases("study", arguments.crops, crop_px=arguments.crop_px, directory=output / "views")
    records = output / "records"
    print(price(system, cases, arguments.method, records, crop_px=arguments.crop_px), flush=True)
    if arguments.price_only:
        return
    rows = [
        cached(path_of(records, system, case), partial(record_of, system, case))
        for case in tqdm(cases, desc="Crops", unit="crop")
    ]
    write(rows, output, arguments)


def write(rows: Sequence[Mapping[str, Any]], output: Path, arguments: argparse.Namespace) -> None:
    """Write uncertainty.md and .png, and print the former."""
    figures = figures_of(rows)
    head = f"`{arguments.command}`, {datetime.date.today()}, method {arguments.method}, {len(rows)} crops.\n\n"
    text = head + markdown(figures)
    (output / "uncertainty.md").write_text(text, encoding="utf-8")
    (output / "uncertainty.png").write_bytes(picture(rows, figures))
    print(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(prog="python -m scripts.uncertainty", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "uncertainty", help="(default: %(default)s)")
    parser.add_argument("--method", choices=METHODS, default="augmentation", help="(default: %(default)s)")
    parser.add_argument("--noise-members", type=int, default=4, help="refinements of ttgpr (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=CROPS, help="breasts, a crop each (default: %(default)s)")
    parser.add_argument("--crop-px", type=int, default=CROP_PX, help="side, 256 to 512 (default: %(default)s)")
    parser.add_argument("--models-dir", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--price-only", action="store_true", help="print the price and stop")
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    arguments.command = " ".join(["python -m scripts.uncertainty", *words])
    warnings.simplefilter("ignore")
    with one_line_errors():
        run(arguments)


if __name__ == "__main__":
    main()

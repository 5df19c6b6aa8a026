"""How true the synthesis is, as a page, pictures and figures: `python -m scripts.fidelity --output-dir OUT`.

The pairs are made by the transforms of configs/train.yaml, so what is reported is what trains. About two minutes on one
core for the default number of patches, plus some seconds for each phantom (kept, so a second run is faster) or view.
"""

import argparse
import copy
import logging
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from monai.transforms import Compose, Randomizable
from tqdm import tqdm

from bundle.data import SyntheticPairDataset
from bundle.functional.fidelity_pairs import Pair, measure_pair, stronger_noise
from bundle.reports.fidelity import PAGE, write_fidelity
from bundle.reports.fidelity_sheets import (
    detector_sheet,
    distribution_sheet,
    hard_negative_sheet,
    patch_sheet,
    screened_spots,
    shape_sheet,
    spot_sheet,
)
from bundle.transforms import RandInjectMicrocalcificationsd
from scripts.command import refusal_line
from scripts.config_values import plain

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "train.yaml"
# So faint that nothing is added in single precision, while every number is drawn as before.
NO_CONTRAST = (1e-30, 1e-30)
PARAMETERS = "injection"
SHEETS = {
    "Puncta by shape and size": shape_sheet,
    "Clusters by distribution": distribution_sheet,
    "Hard negatives by kind": hard_negative_sheet,
    "Detector settings": detector_sheet,
}


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fidelity", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for page, pictures and figures")
    parser.add_argument("--normals", default="", help="folder of negative views; without it, phantoms")
    parser.add_argument("--patches", type=int, default=240, help="training patches to look at (default: %(default)s)")
    parser.add_argument("--phantoms", type=int, default=6, help="phantoms without --normals (default: %(default)s)")
    parser.add_argument("--phantom-dir", type=Path, help="where phantoms are kept (default: OUTPUT_DIR/phantoms)")
    parser.add_argument("--seed", type=int, default=0, help="as in training (default: %(default)s)")
    return parser.parse_args(argv)


class PairTransform(Randomizable):
    """Make a training sample, its twin without puncta and its control, by the random transforms of training.

    Args:
        transform: crop, noise, injection and detector, in the order of the config.
    """

    def __init__(self, transform: Compose) -> None:
        self.place, injection = _injection(transform)
        injection.parameters_key = PARAMETERS
        self.ranges = injection.ranges
        self.sample, self.twin, self.control = (copy.deepcopy(transform) for _ in range(3))
        _injection(self.twin)[1].ranges = replace(injection.ranges, cnr=NO_CONTRAST)
        # It draws nothing, so the steps around it are seeded as they are in the others.
        self.control.transforms = (
            *self.control.transforms[: self.place + 1],
            _with_stronger_noise,
            *self.control.transforms[self.place + 1 :],
        )

    def set_random_state(self, seed: int | None = None, state: Any = None) -> "PairTransform":
        """All three are drawn with the same numbers."""
        for transform in (self.sample, self.twin, self.control):
            transform.set_random_state(seed=seed)
        return self

    def __call__(self, view: Mapping[Hashable, Any]) -> Pair:
        sample, twin, control = (_steps(t, view) for t in (self.sample, self.twin, self.control))
        cropped, drawn = sample[0], sample[-1]
        screened = cropped.get("ignore")
        return Pair(
            view=Path(view["image"].meta["filename_or_obj"]).name,
            spacing_mm=float(cropped["spacing_mm"]),
            plain=_array(cropped["image"]),
            before=_array(twin[self.place]["image"]),
            injected=_array(sample[self.place]["image"]),
            image=_array(drawn["image"]),
            clean=_array(twin[-1]["image"]),
            control=_array(control[-1]["image"]),
            label=_array(drawn["label"]),
            screened=np.zeros(cropped["image"].shape[1:], bool) if screened is None else _array(screened),
            injection=drawn[PARAMETERS],
        )


def _injection(transform: Compose) -> tuple[int, RandInjectMicrocalcificationsd]:
    """The injection among the transforms, and its place."""
    ((place, found),) = (
        (n, step) for n, step in enumerate(transform.transforms) if isinstance(step, RandInjectMicrocalcificationsd)
    )
    return place, found


def _steps(transform: Compose, view: Mapping[Hashable, Any]) -> list[dict]:
    """The data after each transform."""
    steps: list[Any] = [view]
    for step in transform.transforms:
        steps.append(step(steps[-1]))
    return steps[1:]


def _with_stronger_noise(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    return {**data, "image": torch.from_numpy(stronger_noise(_array(data["image"])))[None]}


def _array(image: Any) -> np.ndarray:
    return np.asarray(image)[0]


def training_pairs(arguments: argparse.Namespace) -> tuple[SyntheticPairDataset, PairTransform]:
    """The dataset of configs/train.yaml, whose samples are given out as pairs."""
    parser = ConfigParser()
    parser.read_config(str(CONFIG))
    phantom_dir = arguments.phantom_dir or arguments.output_dir / "phantoms"
    parser.update(
        {
            "bundle_root": str(ROOT),
            "dataset_dir": plain(arguments.normals),
            "phantom_dir": plain(str(phantom_dir)),
            "phantom_count": 0 if arguments.normals else arguments.phantoms,
            "seed": arguments.seed,
        }
    )
    dataset = parser.get_parsed_content("train::dataset")
    dataset.transform = PairTransform(dataset.transform.unlabelled)
    return dataset, dataset.transform


def contact_sheets(pairs: Sequence[Pair], dataset: SyntheticPairDataset, *, seed: int) -> dict[str, Figure]:
    """Pictures to look at, by caption; the first on the crop with most tissue."""
    best = max(pairs, key=lambda pair: float((pair.plain > -1).mean()))
    drawn = {"Training patches and labels": patch_sheet(pairs)}
    for name, sheet in SHEETS.items():
        drawn[name] = sheet(best.plain, spacing_mm=best.spacing_mm, rng=np.random.default_rng(seed))
    spots = [
        spot
        for view in dataset.views
        if "ignore" in view
        for spot in screened_spots(
            _array(view["image"]), _array(view["ignore"]), spacing_mm=float(view["image"].meta["spacing_mm"][0])
        )
    ]
    return {**drawn, "Spots that screening leaves out of training": spot_sheet(spots)} if spots else drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the pairs, measure them, write the report; returns the exit status."""
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        dataset, transform = training_pairs(arguments)
        pairs: list[Any] = [dataset[n] for n in tqdm(range(arguments.patches), desc="Drawing pairs", unit="pair")]
        measures = [measure_pair(pair) for pair in tqdm(pairs, desc="Measuring", unit="pair")]
        facts = {
            "Command": "python -m scripts.fidelity " + " ".join(argv if argv is not None else sys.argv[1:]),
            "Backgrounds": f"{len(dataset.views)} {'real views' if arguments.normals else 'phantoms'}",
            "Patches": str(arguments.patches),
            "Seed": str(arguments.seed),
        }
        sheets = contact_sheets(pairs, dataset, seed=arguments.seed)
        write_fidelity(
            arguments.output_dir, measures, sheets, ranges=transform.ranges, facts=facts, seed=arguments.seed
        )
    except (OSError, ValueError, RuntimeError) as error:
        # A config wraps what its parts raise.
        line = refusal_line(error)
        if line is None:
            raise
        print(f"fidelity: {line}", file=sys.stderr)
        return 1
    print(arguments.output_dir / PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

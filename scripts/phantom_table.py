"""Segmentor, TT-GPR and tuned classical detectors on phantoms never trained on: `python -m scripts.phantom_table`.

Probability maps are kept under OUTPUT_DIR, so an interrupted run goes on where it stopped.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from tqdm import tqdm

from bundle.baselines import DifferenceOfGaussiansInferer, HighPassInferer, TopHatInferer, tune_classical
from bundle.data import LoadLabeld, LoadMammogramd, phantom_datalist, phantom_seed
from bundle.functional.system_scores import score_system
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.shipped import ROOT, shipped_inferers

# The first 24 test phantoms were looked at while the phantom's appearance was set.
FIRST_TEST_PHANTOM = 24
COLUMNS = {
    "object_recall": "recall",
    "object_precision": "precision",
    "object_f2": "F2",
    "pixel_dice": "Dice (px)",
    "pixel_recall": "recall (px)",
    "pixel_precision": "precision (px)",
    "pixel_f2": "F2 (px)",
    "clean_fp_per_cm2": "FP/cm2 clean",
}
CLASSICAL: dict[str, Any] = {
    "top-hat": TopHatInferer,
    "difference of Gaussians": DifferenceOfGaussiansInferer,
    "high-pass": HighPassInferer,
}
View = dict[str, Any]


def load_views(
    directory: Path, *, split: str, first: int, calcified: int, clean: int, size: dict[str, Any]
) -> list[View]:
    """Phantoms of a split as windowed views with labels; clean ones have other seeds than calcified ones."""
    start = phantom_seed(split, first)
    files = phantom_datalist(directory, count=calcified, first_seed=start, calcified=True, **size)
    files += phantom_datalist(directory, count=clean, first_seed=start + calcified, calcified=False, **size)
    load = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd(), LoadLabeld("label")])
    return [as_view(load(item)) for item in tqdm(files, desc=f"Reading {split} phantoms", unit="view")]


def as_view(data: dict[Any, Any]) -> View:
    """Loaded data as plain arrays, with the data themselves under `data`."""
    arrays = {key: np.asarray(data[key])[0] for key in ("image", "label", "breast")}
    meta = data["image"].meta
    spacing = tuple(float(side) for side in meta["spacing_mm"])
    return {**arrays, "spacing_mm": spacing, "name": Path(meta["filename_or_obj"]).stem, "data": data}


def probability_maps(
    call: Callable[[torch.Tensor], torch.Tensor], views: Sequence[View], cache: Path
) -> list[np.ndarray]:
    """Maps of one system, each computed once and kept."""
    cache.mkdir(parents=True, exist_ok=True)
    maps = []
    for view in tqdm(views, desc=cache.name, unit="view"):
        path = cache / f"{view['name']}.npz"
        if not path.exists():
            logits = call(torch.from_numpy(view["image"])[None, None])
            temporary = path.with_suffix(".tmp.npz")
            np.savez_compressed(temporary, probs=logits.sigmoid()[0, 0].numpy())
            temporary.replace(path)
        maps.append(np.load(path)["probs"])
    return maps


def fingerprint(*parts: object) -> str:
    """Short hash of weights files and settings, so that kept maps are never those of other weights."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
    return digest.hexdigest()[:8]


def compare(test: Sequence[View], tuning: Sequence[View], output_dir: Path) -> dict[str, dict[str, float]]:
    """Scores of each system: the learned ones at threshold 0.5, the classical ones tuned on the tuning views."""
    segmentor, refined, network = shipped_inferers()
    weights = [ROOT / "models" / "model.pt", ROOT / "models" / "generator_ema.pt"]
    rows = {}
    for name, inferer in (("segmentor", segmentor), ("segmentor + TT-GPR", refined)):
        key = fingerprint(*weights, vars(inferer).get("settings"))
        cache = output_dir / "maps" / f"{name.split()[-1].lower()}-{key}"
        maps = probability_maps(lambda image, run=inferer: run(image, network), test, cache)  # type: ignore[misc]
        rows[name] = score_system(maps, test, threshold=0.5)
    for name, detector in CLASSICAL.items():
        tuned = tune_classical(detector, tuning)
        maps = [
            tuned.inferer(torch.from_numpy(v["image"])[None, None], spacing_mm=v["spacing_mm"]).sigmoid()[0, 0].numpy()
            for v in test
        ]
        rows[f"{name}, tuned"] = score_system(maps, test, threshold=0.5)
    return rows


def markdown_table(rows: dict[str, dict[str, float]]) -> str:
    """The table as Markdown."""
    lines = ["| system | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{scores[key]:.2f}" for key in COLUMNS) + " |" for name, scores in rows.items()
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Make the phantoms, run the systems, print and keep the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.phantom_table", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "phantom_table")
    parser.add_argument("--calcified", type=int, default=7, help="calcified test phantoms (default: %(default)s)")
    parser.add_argument("--clean", type=int, default=4, help="clean test phantoms (default: %(default)s)")
    parser.add_argument("--spacing-mm", type=float, default=0.085, help="pixel size (default: %(default)s)")
    parser.add_argument("--height-mm", type=float, default=110.0, help="detector height (default: %(default)s)")
    parser.add_argument("--width-mm", type=float, default=80.0, help="detector width (default: %(default)s)")
    arguments = parser.parse_args(argv)
    size: dict[str, Any] = {
        "spacing_mm": arguments.spacing_mm,
        "height_mm": arguments.height_mm,
        "width_mm": arguments.width_mm,
    }
    phantoms = arguments.output_dir / "phantoms"
    test = load_views(
        phantoms,
        split="test",
        first=FIRST_TEST_PHANTOM,
        calcified=arguments.calcified,
        clean=arguments.clean,
        size=size,
    )
    tuning = load_views(phantoms, split="tune", first=100, calcified=4, clean=2, size=size)
    rows = compare(test, tuning, arguments.output_dir)
    table = markdown_table(rows)
    print(
        f"\n{arguments.calcified} calcified and {arguments.clean} clean test phantoms; objects pooled, "
        f"pixels per case; region: breast\n\n{table}"
    )
    (arguments.output_dir / "table.md").write_text(table + "\n")
    (arguments.output_dir / "table.json").write_text(
        json.dumps({"arguments": {k: str(v) for k, v in vars(arguments).items()}, "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main()

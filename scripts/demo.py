"""The main job on phantom mammograms, no data needed: `python -m scripts.demo` (or `make demo`).

A minute of real training of each network, then the shipped weights refine phantoms that were never trained on.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bundle.functional.system_scores import score_system
from bundle.transforms import SaveFindingsd
from scripts.phantom_table import FIRST_TEST_PHANTOM, load_views, markdown_table
from scripts.shipped import ROOT, augmented_inferer, shipped_inferers

SMALL = {"spacing_mm": 0.085, "height_mm": 110.0, "width_mm": 80.0}
THRESHOLD = 0.5


def train_briefly(config: str, output_dir: Path) -> None:
    """Run a training config through monai.bundle, from scratch."""
    configs = f"['configs/{config}.yaml','configs/brief.yaml']"
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", configs]
    command += ["--output_dir", str(output_dir / config), "--phantom_dir", str(output_dir / "phantoms")]
    print(f"\n$ {' '.join(command[1:])}\n", flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def refine_phantoms(output_dir: Path, *, calcified: int, clean: int) -> None:
    """Segment and refine test phantoms with the shipped weights; write pictures, print the table."""
    views = load_views(
        output_dir / "phantoms", split="test", first=FIRST_TEST_PHANTOM, calcified=calcified, clean=clean, size=SMALL
    )
    segmentor, refined, network = shipped_inferers()
    rows = {}
    for name, method, inferer in (
        ("segmentor", "segmentor", segmentor),
        ("segmentor, augmented", "augmentation", augmented_inferer()),
        ("segmentor + TT-GPR", "ttgpr", refined),
    ):
        save = SaveFindingsd(output_dir=output_dir / method, threshold=THRESHOLD, method=method, label_key="label")
        maps, start = [], time.perf_counter()
        for view in views:
            logits = inferer(view["data"]["image"][None], network)
            save({**view["data"], "pred": logits[0]})
            maps.append(np.asarray(logits.sigmoid())[0, 0])
        print(f"{name}: {(time.perf_counter() - start) / len(views):.1f} s per view")
        rows[name] = score_system(maps, views, threshold=THRESHOLD)
    print(f"\n{calcified} calcified and {clean} clean phantoms never trained on; objects pooled, pixels per case\n")
    print(markdown_table(rows))


def main(argv: list[str] | None = None) -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "demo_output")
    parser.add_argument("--skip-training", action="store_true", help="only refine with the shipped weights")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    output_dir = arguments.output_dir.resolve()
    if not arguments.skip_training:
        for config in ("train", "train_generator"):
            train_briefly(config, output_dir)
    refine_phantoms(output_dir, calcified=3, clean=2)
    print("\nPictures worth a look:")
    for path in sorted(output_dir.glob("augmentation/*_overlay.png")) + sorted(
        output_dir.glob("augmentation/*_zoom.png")
    ):
        print(f"  {path}")
    print(f"\nDone in {(time.perf_counter() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()

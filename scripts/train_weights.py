"""All shipped weights from one command, resumable: `python -m scripts.train_weights --normals DIR --output-dir OUT`.

1. `base`: the segmentor on phantoms alone, first with the published loss, whose overlap ratios find the rare positives
   sooner, then with the cross-entropy by objects beside it, which tells faint calcifications from the background, to
   its plateau.
2. `segmentor`: the base, trained further on all normals: OUT/segmentor/model.pt.
3. `generator`: OUT/generator/generator_ema.pt.
4. `folds`: the base, trained further without each group of exams in turn: OUT/folds/EXAM.pt, with which
   `python -m scripts.benchmark real --weights-dir OUT/folds` judges every exam by a network that never saw it.

OUT/losses.png shows the losses of all trainings so far. Beside all weights lies training.json, which says what they
have seen.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bundle.data import MammogramError
from bundle.data.real_backgrounds import exams_of
from bundle.data.whole_files import write_whole
from bundle.reports.figures import png
from bundle.reports.losses import loss_curves
from scripts.compare_systems import LOSSES
from scripts.config_values import plain
from scripts.shipped import ROOT
from scripts.training_records import seen_views, write_record

STAGES = ("base", "segmentor", "folds", "generator")
WARM = {"epochs": 9, "learning_rate": 8e-4, "val_interval": 100}
TWO_RATES = {
    "_target_": "bundle.engines.two_rates",
    "optimizer": "@optimizer",
    "steps": "$@train::trainer::max_epochs * @epoch_iterations",
}
BASE = {"epochs": 12, "learning_rate": 8e-4, "val_interval": 100, "lr_scheduler": TWO_RATES}
FURTHER = {"epochs": 8, "learning_rate": 5e-4, "val_interval": 100}
FOLD = {"epochs": 4, "learning_rate": 5e-4, "val_interval": 100}


def train(config: str, output_dir: Path, result: str, options: Mapping[str, object]) -> Path:
    """Run a training config to its end, going on from its last checkpoint; a finished one is not run again.

    Args:
        config: name of the config.
        output_dir: where its checkpoints and weights go.
        result: name of the weights.
        options: ids of the config and their values.

    Returns:
        The weights.
    """
    weights = output_dir / result
    if weights.exists():
        print(f"{weights} is there already")
        return weights
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", f"configs/{config}.yaml"]
    for name, value in {"bundle_root": ROOT, "output_dir": output_dir.resolve(), **options}.items():
        command += [f"--{name}", str(value)]
    print(f"\n$ {' '.join(command[1:])}\n", flush=True)
    subprocess.run(command, cwd=ROOT, check=True)
    return weights


def train_base(output_dir: Path, options: Mapping[str, object]) -> Path:
    """Train the segmentor on phantoms alone, in two trainings: OUTPUT_DIR/warm, from which OUTPUT_DIR/base goes on.

    Args:
        output_dir: where their folders go.
        options: ids of the config and their values, which go before those of the two.

    Returns:
        The weights.
    """
    warm = train("train", output_dir / "warm", "model.pt", {**WARM, **options})
    further = {**BASE, **options, "initial_weights": warm.resolve()}
    return train("train", output_dir / "base", "model.pt", further)


def train_folds(
    exams: Mapping[str, list[str]], base: Path, output_dir: Path, count: int, options: Mapping[str, object]
) -> None:
    """Train further without each of `count` groups of exams; every exam gets a copy of the weights of its group."""
    names = list(exams)
    for number in range(count):
        held_out = names[number::count]
        excluded = [Path(path).name for exam in held_out for path in exams[exam]]
        print(f"Fold {number + 1} of {count}: without {', '.join(held_out)}", flush=True)
        fold = {**options, "initial_weights": base.resolve(), "exclude": plain(excluded)}
        # By their count too: weights of another division into groups would have seen this one's exams.
        weights = train("train", output_dir / f"fold_{number + 1}_of_{count}", "model.pt", fold)
        seen = seen_views({exam: paths for exam, paths in exams.items() if exam not in held_out})
        for exam in held_out:
            copy = output_dir / f"{exam}.pt"
            write_whole(copy, partial(shutil.copyfile, weights))
            write_record(copy, seen, losses=f"{weights.parent.name}/{LOSSES}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--normals", required=True, help="folder of negative mammograms")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "weights", help="(default: %(default)s)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="(default: all)")
    parser.add_argument("--folds", type=int, default=2, help="groups of exams (default: %(default)s)")
    parser.add_argument("--exams", help="table (CSV) of image and exam; left out: what stands before the first _")
    parser.add_argument("--epochs", type=int, help="epochs of every stage, for a trial")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Train what is missing; returns the exit status."""
    arguments = _parser().parse_args(argv)
    output: Path = arguments.output_dir
    shared = {"phantom_dir": (output / "phantoms").resolve()}
    normals = {**shared, "dataset_dir": Path(arguments.normals).resolve()}
    trial = {"epochs": arguments.epochs} if arguments.epochs else {}
    try:
        exams = exams_of(arguments.normals, arguments.exams)
        if not 2 <= arguments.folds <= len(exams):
            raise MammogramError(f"Expected 2 to {len(exams)} folds for {len(exams)} exams, got {arguments.folds}")
        if {"base", "segmentor", "folds"} & set(arguments.stages):
            base = train_base(output, {**shared, **trial})
            write_record(base, seen_views({}))
        if "segmentor" in arguments.stages:
            last = {**normals, **FURTHER, **trial, "initial_weights": base.resolve()}
            write_record(train("train", output / "segmentor", "model.pt", last), seen_views(exams))
        if "folds" in arguments.stages:
            train_folds(exams, base, output / "folds", arguments.folds, {**normals, **FOLD, **trial})
        if "generator" in arguments.stages:
            generator = train("train_generator", output / "generator", "generator_ema.pt", {**normals, **trial})
            write_record(generator, seen_views(exams))
        losses = {path.parent.name: path for path in sorted(output.rglob("losses.csv"))}
        write_whole(output / "losses.png", lambda path: path.write_bytes(png(loss_curves(losses))))
    except (MammogramError, subprocess.CalledProcessError) as error:
        print(f"train_weights: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

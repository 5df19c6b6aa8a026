"""Train systems of the comparison, and record what they have seen: `python -m scripts.compare_train segai deepmica`.

Each is trained by its config on synthetic pairs, into WEIGHTS_DIR/SYSTEM/model.pt, and goes on where it stopped.
The record, training.json beside the weights, holds the SHA-256 of images and patients, and seeds; scripts.compare
refuses to test on them. `--record FILE` writes the record of weights that were trained in another way, with the same
options as that training had. `--publish FOLDER` writes what is trained once more, at half the size, with its records,
as models/compared holds it. See docs/compare.md.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bundle.baselines.registry import REGISTRY, Entry, Weights, entries_of
from bundle.data import MammogramError
from bundle.data.whole_files import write_whole
from bundle.engines.checkpoints import save_whole
from bundle.networks.weights_file import in_16_bits, read_weights
from scripts.command import one_line_errors
from scripts.compare_data import Seen
from scripts.compare_systems import LOSSES, RECORD, digest_of, seen_of, training_of, write_losses
from scripts.config_values import plain
from scripts.shipped import ROOT
from scripts.train_weights import train_base
from scripts.training_records import WITHOUT_NORMALS, record_of, seen_in_training, write_json, write_record

BEGUN = "begun.json"


def training_words(configs: Sequence[str], output_dir: Path, options: dict[str, object]) -> list[str]:
    """The command that trains a network by its configs, without the interpreter."""
    files = [f"configs/{name}.yaml" for name in ("train", *configs)]
    words = ["-m", "monai.bundle", "run", "training", "--config_file", repr(files)]
    for name, value in {"bundle_root": ROOT, "output_dir": output_dir.resolve(), **options}.items():
        words += [f"--{name}", str(value)]
    return words


def train(entry: Entry, part: Weights, weights_dir: Path, options: dict[str, object], seen: Seen) -> None:
    """Train a network of a system to its end, then record it; one that is recorded is not trained again.

    Until then begun.json beside the weights says what is trained on, so that a run that was killed, even between the
    end of the training and its record, is gone on with by the same command and by no other.

    Raises:
        MammogramError: if there are weights without a record, or of a training on other data, or if training fails.
    """
    weights = weights_dir / part.folder / "model.pt"
    said: dict[str, Any] = {"epochs": options.get("epochs")}
    record, begun = record_of(weights, seen, losses=LOSSES, options=said), weights.with_name(BEGUN)
    this = begun.exists() and json.loads(begun.read_text(encoding="utf-8")) == record
    if weights.exists() and not this:
        _check_recorded(entry, weights, said, seen)
        print(f"{weights} is there already")
        return
    if begun.exists() and not this:
        raise MammogramError(
            f"{begun}: Expected the training that was begun there, got other data or options; give --weights-dir "
            "another folder, or delete this one"
        )
    if not weights.exists():
        write_json(begun, record)
        try:
            _run(part, weights, options)
        except subprocess.CalledProcessError as error:
            raise MammogramError(
                f"{entry.name}: Expected a training that ends well, got status {error.returncode}; see above"
            ) from error
    write_record(weights, seen, options=said)
    begun.unlink()


def _run(part: Weights, weights: Path, options: dict[str, object]) -> None:
    if not part.configs:
        base = train_base(weights.parent, options)
        for source, target in ((base.with_name(LOSSES), weights.with_name(LOSSES)), (base, weights)):
            write_whole(target, partial(shutil.copyfile, source))
        return
    words = training_words(part.configs, weights.parent, options)
    print(f"\n$ {' '.join(words)}\n", flush=True)
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)


def publish(part: Weights, weights_dir: Path, folder: Path) -> Path:
    """Write trained weights into another folder with matrices and kernels in 16 bits, their record and their losses.

    Returns:
        The new file of weights.

    Raises:
        MammogramError: if there are no weights, or they are not recorded.
    """
    source, target = (root / part.folder / "model.pt" for root in (weights_dir, folder))
    training = training_of(source) if source.exists() else None
    if training is None:
        raise MammogramError(f"{source}: Expected weights and their record, got none; train them first")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_whole(target, in_16_bits(read_weights(source)))
    write_losses(target.with_name(LOSSES), training.losses)
    target.with_name(RECORD).unlink(missing_ok=True)  # that of an older file
    write_record(target, training.seen, options=training.options)
    return target


def _check_recorded(entry: Entry, weights: Path, said: dict[str, Any], seen: Seen) -> None:
    """Refuse weights that are not recorded as those of this training."""
    path = weights.with_name(RECORD)
    known = json.loads(path.read_text(encoding="utf-8"))["trainings"] if path.exists() else {}
    record = known.get(digest_of(weights))
    if record is None or record["options"] != said or seen_of(record) != seen:
        raise MammogramError(
            f"{weights}: Expected weights of this training, got others; give --weights-dir another folder, or "
            f"record them: python -m scripts.compare_train {entry.name} --record WEIGHTS"
        )


def _parser() -> argparse.ArgumentParser:
    trained = [entry.name for entry in REGISTRY.values() if entry.kind == "trained"]
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compare_train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("systems", nargs="+", help=f"any of {', '.join(trained)}; with --record our own too")
    parser.add_argument("--weights-dir", type=Path, default=ROOT / "runs", help="(default: runs)")
    parser.add_argument("--normals", type=Path, help="folder of negative mammograms beside the phantoms")
    parser.add_argument("--exclude", nargs="*", default=[], help="beginnings of file names in it that are left out")
    parser.add_argument("--epochs", type=int, help="epochs (default: those of the config)")
    parser.add_argument("--record", type=Path, help="weights that exist: write their record, train nothing")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="write what is trained there too, train nothing")
    parser.add_argument("--losses", default=LOSSES, help="with --record: their losses.csv, relative to their folder")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Train or record."""
    arguments = _parser().parse_args(argv)
    normals = str(arguments.normals.resolve()) if arguments.normals else ""
    with one_line_errors():
        entries = entries_of(arguments.systems)
        if arguments.publish is not None:
            for part in dict.fromkeys(part for entry in entries for part in entry.weights):
                print(publish(part, arguments.weights_dir, arguments.publish))
            return
        for entry in entries:
            options: dict[str, object] = {"epochs": arguments.epochs} if arguments.epochs else {}
            if normals and entry.name not in WITHOUT_NORMALS:
                options |= {"dataset_dir": normals, "exclude": plain(arguments.exclude)}
            seen = seen_in_training(entry, normals, exclude=arguments.exclude)
            if arguments.record is not None:
                if not arguments.record.exists():
                    got = str(arguments.record)
                    raise MammogramError(
                        f"--record: Expected a file of weights or a folder of predictions, got {got!r}"
                    )
                print(write_record(arguments.record, seen, losses=arguments.losses))
            elif not entry.weights:
                raise MammogramError(
                    f"{entry.name}: Expected a system with a config of its own, got one without; name others"
                )
            for part in () if arguments.record is not None else entry.weights:
                train(entry, part, arguments.weights_dir, options, seen)


if __name__ == "__main__":
    main()

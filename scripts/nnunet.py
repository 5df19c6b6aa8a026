"""nnU-Net v2 as a compared system: `python -m scripts.nnunet pairs|masks|narrow|views|losses|model --help`.

It writes what nnU-Net reads, and reads its logs.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from numpy.typing import NDArray
from tqdm import tqdm

from bundle.baselines.nnunet_files import (
    ENDING,
    NARROW,
    case_name,
    commands,
    dataset_folder,
    losses_of_logs,
    narrow_plans,
    write_dataset_json,
    write_image,
    write_label,
)
from bundle.data import LoadMammogramd, MammogramError, find_mammograms
from bundle.data.errors import refuse
from bundle.data.labelled_views import LoadAnnotationd, labelled_views
from bundle.data.whole_files import write_whole
from bundle.engines.checkpoints import save_whole
from bundle.functional.objects import Spacing
from bundle.networks.weights_file import in_16_bits
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.command import one_line_errors
from scripts.compare_systems import write_losses
from scripts.config_values import plain
from scripts.shipped import ROOT

EXPORTED = "exported.json"
"""Which samples are there, so that an interrupted export goes on; nnU-Net does not look at it."""
PLANS = "nnUNetPlans.json"
NUMPY_SCALARS: list[Any] = [np.float64(0).__reduce__()[0], np.dtype, *(type(np.dtype(f"f{size}")) for size in (4, 8))]
"""What nnU-Net's log of losses in a checkpoint is made of."""
Sample = tuple[NDArray[np.float32], NDArray[np.uint8], Spacing]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.nnunet", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    pairs = kinds.add_parser("pairs", help="synthetic pairs of configs/train.yaml as a data set")
    pairs.add_argument("--count", type=int, default=1000, help="number of pairs (default: %(default)s)")
    pairs.add_argument("--normals", default="", help="folder of negative mammograms; phantoms alone without it")
    pairs.add_argument("--window-px", type=int, default=512, help="side of a pair (default: %(default)s)")
    pairs.add_argument("--phantom-count", type=int, default=24, help="phantoms beside them (default: %(default)s)")
    pairs.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    masks = kinds.add_parser("masks", help="whole views with masks as a data set")
    masks.add_argument("--images", required=True, help="folder of views")
    masks.add_argument("--masks", required=True, help="folder of their masks; may be the same")
    masks.add_argument("--missing-is-clean", action="store_true", help="a view without a mask is clean")
    for kind in (pairs, masks):
        kind.add_argument("--raw", type=Path, required=True, help="nnUNet_raw")
    narrow = kinds.add_parser("narrow", help=f"add the configuration {NARROW}, for two cores, to nnU-Net's plans")
    narrow.add_argument("--preprocessed", type=Path, required=True, help="nnUNet_preprocessed")
    for kind in (pairs, masks, narrow):
        kind.add_argument("--number", type=int, default=501, help="of the data set (default: %(default)s)")
    losses = kinds.add_parser("losses", help="nnU-Net's training logs as a losses.csv for scripts.compare_train")
    losses.add_argument("--results", type=Path, required=True, help="folder of the training logs, .../fold_0")
    losses.add_argument("--output", type=Path, required=True, help="losses.csv")
    model = kinds.add_parser("model", help="a trained model without its optimiser, in 16 bits, for nnU-Net to predict")
    model.add_argument("--results", type=Path, required=True, help="folder of the training, which holds its folds")
    model.add_argument("--output-dir", type=Path, required=True, help="what nnUNetv2_predict_from_modelfolder reads")
    views = kinds.add_parser("views", help="views to predict")
    views.add_argument("--input", required=True, help="a file or a folder")
    views.add_argument("--output-dir", type=Path, required=True, help="the folder that nnUNetv2_predict reads")
    for kind in (masks, views):
        kind.add_argument("--spacing-mm", type=float, help="pixel size of files that do not state it")
    return parser.parse_args(argv)


def reading(spacing_mm: float | None) -> list:
    """Transforms of a view, as everywhere: reading, breast mask, window."""
    return [LoadMammogramd(default_spacing_mm=spacing_mm), BreastMaskd(), MammogramWindowd()]


def export_pairs(arguments: argparse.Namespace, folder: Path) -> None:
    """Write synthetic pairs; pair n is sample n of a training with this seed."""
    parser = ConfigParser(ConfigParser.load_config_files([str(ROOT / "configs" / "train.yaml")]))
    options = {"dataset_dir": arguments.normals, "window_px": arguments.window_px, "seed": arguments.seed}
    options |= {"phantom_count": arguments.phantom_count, "bundle_root": str(ROOT)}
    parser.update(plain(options))
    dataset = parser.get_parsed_content("train::dataset")
    settings = options | {"bundle_root": ""}
    made = (
        (np.asarray(pair["image"])[0], np.asarray(pair["label"])[0], (pair["spacing_mm"],) * 2)
        for pair in (dataset[number] for number in range(done(folder, settings), arguments.count))
    )
    write_samples(made, folder, settings, total=arguments.count)


def export_masks(arguments: argparse.Namespace, folder: Path) -> None:
    """Write whole views and their masks."""
    items = labelled_views(
        arguments.images, arguments.masks, ceiling_dir="", missing_is_clean=arguments.missing_is_clean
    )
    load = Compose([*reading(arguments.spacing_mm), LoadAnnotationd()])
    settings = {"images": [Path(item["image"]).name for item in items], "spacing_mm": arguments.spacing_mm}

    def samples() -> Iterator[Sample]:
        for item in items[done(folder, settings) :]:
            view = load(item)
            yield np.asarray(view["image"])[0], np.asarray(view["label"])[0], view["image"].meta["spacing_mm"]

    write_samples(samples(), folder, settings, total=len(items))


def write_samples(samples: Iterator[Sample], folder: Path, settings: dict[str, Any], *, total: int) -> None:
    """Write samples as cases, with a bar; the count of those that are done is kept."""
    first = done(folder, settings)
    for number, (view, label, spacing_mm) in enumerate(
        tqdm(samples, desc="Cases", unit="case", initial=first, total=total), start=first
    ):
        name = f"case_{number:05d}"
        write_image(folder / "imagesTr", name, view, spacing_mm=spacing_mm)
        write_label(folder / "labelsTr", name, label, spacing_mm=spacing_mm)
        (folder / EXPORTED).write_text(json.dumps({"cases": number + 1, "settings": settings}))


def done(folder: Path, settings: dict[str, Any]) -> int:
    """How many cases an earlier run with the same settings has written.

    Raises:
        ValueError: if the folder was written with other settings.
    """
    path = folder / EXPORTED
    if not path.exists():
        return 0
    kept = json.loads(path.read_text())
    if kept["settings"] != settings:
        raise ValueError(f"Expected {folder} as these options make it, found other ones; take another --number")
    return int(kept["cases"])


def export_views(arguments: argparse.Namespace) -> list[str]:
    """Write views to predict, named by their pixels.

    Returns:
        One line per file that was left out.
    """
    load, refused = Compose(reading(arguments.spacing_mm)), []
    for item in tqdm(find_mammograms(arguments.input), desc="Views", unit="view"):
        try:
            image = load(item)["image"]
        except MammogramError as error:
            refused.append(str(error))
            continue
        plane = np.asarray(image, np.float32)[0]
        write_image(arguments.output_dir, case_name(plane), plane, spacing_mm=image.meta["spacing_mm"])
    return refused


def add_narrow(folder: Path) -> Path:
    """Add nnU-Net's configuration at CPU width to the plans of a data set."""
    path = folder / PLANS
    try:
        plans = narrow_plans(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise refuse(path, f"Expected plans that nnUNetv2_plan_and_preprocess wrote, got none; {error}") from error
    text = json.dumps(plans, indent=4)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def write_model(results: Path, folder: Path) -> list[Path]:
    """Write what nnU-Net needs of a trained model to predict, kernels in 16 bits.

    Args:
        results: folder of the training, with plans.json, dataset.json and fold_N/checkpoint_final.pth.
        folder: gets files of the same names.

    Returns:
        The checkpoints.

    Raises:
        MammogramError: if there is no training that has ended.
    """
    checkpoints = sorted(results.glob("fold_*/checkpoint_final.pth"))
    if not checkpoints:
        raise refuse(results, "Expected fold_N/checkpoint_final.pth of nnU-Net, found none; train it to its end")
    written = []
    for path in checkpoints:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            trained = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: trained[name] for name in ("trainer_name", "inference_allowed_mirroring_axes")}
        kept["init_args"] = {"configuration": trained["init_args"]["configuration"]}
        # nnU-Net's modules have two names each, for the same memory.
        kept["network_weights"] = in_16_bits(trained["network_weights"])
        target = folder / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_whole(target, kept)
        written.append(target)
    for name in ("plans.json", "dataset.json"):
        write_whole(folder / name, partial(shutil.copyfile, results / name))
    return written


def main(argv: list[str] | None = None) -> None:
    """Export or convert, and print what to type next."""
    arguments = parse(argv)
    refused: list[str] = []
    with one_line_errors():
        if arguments.kind == "views":
            refused = export_views(arguments)
        elif arguments.kind == "narrow":
            print(f"{add_narrow(dataset_folder(arguments.preprocessed, arguments.number))} has {NARROW} now")
        elif arguments.kind == "model":
            print("\n".join(map(str, write_model(arguments.results, arguments.output_dir))))
        elif arguments.kind == "losses":
            losses = losses_of_logs(arguments.results.glob("training_log_*.txt"))
            write_losses(arguments.output, losses)
            print(f"{arguments.output} has {len(losses)} epochs")
        else:
            folder = dataset_folder(arguments.raw.absolute(), arguments.number)
            export_pairs(arguments, folder) if arguments.kind == "pairs" else export_masks(arguments, folder)
            cases = write_dataset_json(folder)
            print(f"{cases} cases (*{ENDING}) in {folder}; with nnU-Net v2 installed (docs/nnunet.md):")
            raw = arguments.raw.absolute()
            to_predict, predicted = raw.parent / "to_predict", raw.parent / "predicted"
            print("\n".join(commands(raw, arguments.number, inputs=to_predict, predictions=predicted)))
    for line in refused:
        print(f"left out: {line}")
    if refused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

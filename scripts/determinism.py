"""What changes nothing, and what changes how much: `python -m scripts.determinism --output-dir OUT`.

Runs the shipped networks and methods on crops of phantoms, each time with one thing changed: a second run, the batch
size, the number of threads, TorchScript, the precision. Prints and writes (determinism.md, determinism.json) how far
the logits move and which objects only one of the two runs has. docs/determinism.md tells what is promised.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms import Compose
from torch import Tensor, nn
from tqdm import tqdm

from bundle.data import LoadLabeld, LoadMammogramd, phantom_datalist, phantom_seed
from bundle.data.whole_files import write_whole
from bundle.functional.findings import METHODS
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_speed_checks import densest_crop, object_counts
from scripts.command import one_line_errors
from scripts.shipped import ROOT, augmented_inferer, company_inferer, evidence_inferer, shipped_inferers
from scripts.threads import threads_of

PRECISIONS = ("float32", "bfloat16")
SPACING_MM, HEIGHT_MM, WIDTH_MM = 0.1, 120.0, 90.0
# Beyond those that other commands and tests use.
FIRST_PHANTOM = 400


class Setting(NamedTuple):
    """How a method is run: what may be changed and should matter little."""

    name: str
    precision: str = "float32"
    batch_size: int = 4
    threads: int = 1
    scripted: bool = False


def settings_of(precision: str, batch_sizes: Sequence[int], threads: Sequence[int]) -> list[Setting]:
    """The reference, the same again, and everything that is one change away from it."""
    base = Setting("reference", precision)
    changed = [base._replace(name="the same again")]
    changed += [base._replace(name=f"batch size {size}", batch_size=size) for size in batch_sizes]
    changed += [base._replace(name=f"{count} threads", threads=count) for count in threads]
    if precision == "float32":
        changed.append(base._replace(name="TorchScript", scripted=True))
        changed.append(base._replace(name="bfloat16", precision="bfloat16"))
    return [base, *changed]


def run(method: str, setting: Setting, image: Tensor) -> Tensor:
    """Logits (1, 1, rows, columns) of a method of the shipped networks.

    Args:
        method: one of `METHODS`.
        setting: how it is run.
        image: (1, 1, rows, columns) in [-1, 1].
    """
    options: dict[str, Any] = {"precision": setting.precision, "sw_batch_size": setting.batch_size, "device": "cpu"}
    windowed, refined, network = shipped_inferers(**options)
    inferer: Any = {
        "segmentor": lambda: windowed,
        "augmentation": lambda: augmented_inferer(**options),
        "company": lambda: company_inferer(augmented_inferer(**options)),
        "evidence": lambda: evidence_inferer(refined.generator, windowed),
        "ttgpr": lambda: refined,
    }[method]()
    getattr(inferer, "windowed", inferer).progress = False
    called: Callable[..., Tensor] | nn.Module = network
    if setting.scripted:
        called = torch.jit.script(network)
    with threads_of(setting.threads):
        return inferer(image, called).clone()


def compare(method: str, settings: Sequence[Setting], images: Sequence[Tensor]) -> list[dict[str, Any]]:
    """A row per change of one method, over all images.

    Args:
        method: one of `METHODS`.
        settings: the reference first.
        images: (1, 1, rows, columns).
    """
    base, *changed = settings
    references = [run(method, base, image) for image in images]
    rows = []
    for setting in tqdm(changed, desc=f"{method}, {base.precision}", unit="change"):
        others = [run(method, setting, image) for image in images]
        rows.append(
            {"method": method, "precision": base.precision, "changed": setting.name, **differences(references, others)}
        )
    return rows


def differences(first: Sequence[Tensor], second: Sequence[Tensor], *, spacing_mm: float = SPACING_MM) -> dict[str, Any]:
    """How two runs over some images differ: bits, largest difference of a logit, objects at 0.5 of one run alone."""
    counts = [object_counts(a, b, spacing_mm=spacing_mm) for a, b in zip(first, second, strict=True)]
    either, both = (sum(column) for column in zip(*counts, strict=True))
    return {
        "same_bits": all(torch.equal(a, b) for a, b in zip(first, second, strict=True)),
        "largest": max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True)),
        "objects": either,
        "of_one_alone": either - both,
    }


def crops(folder: Path, *, count: int, side_px: int) -> list[Tensor]:
    """Crops of calcified tuning phantoms around where most lies, each (1, 1, side_px, side_px)."""
    read = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd(), LoadLabeld("label")])
    found = []
    for number in range(count):
        item = phantom_datalist(
            folder,
            count=1,
            first_seed=phantom_seed("tune", FIRST_PHANTOM + number),
            spacing_mm=SPACING_MM,
            height_mm=HEIGHT_MM,
            width_mm=WIDTH_MM,
        )[0]
        data = read(item)
        image = torch.from_numpy(np.asarray(data["image"]))[None].float()
        found.append(densest_crop(image, np.asarray(data["label"])[0], side_px=side_px))
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| method | precision | changed | same bits | largest difference of a logit | objects | of one run alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        bits = "yes" if row["same_bits"] else "no"
        lines.append(
            f"| {row['method']} | {row['precision']} | {row['changed']} | {bits} | {row['largest']:.2g} | "
            f"{row['objects']} | {row['of_one_alone']} |"
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.determinism", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "determinism", help="(default: %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="(default: all)")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="(default: both)")
    parser.add_argument("--phantoms", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument(
        "--side-px", type=int, default=640, help="of the crops; 640 px are 16 windows (default: %(default)s)"
    )
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 2, 8, 16], help="(default: 1 2 8 16)")
    parser.add_argument("--threads", nargs="+", type=int, default=[2], help="(default: 2)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    arguments = _parser().parse_args(argv)
    output: Path = arguments.output_dir
    with one_line_errors():
        for name, values in {"batch size": arguments.batch_sizes, "number of threads": arguments.threads}.items():
            if min(values) < 1:
                raise ValueError(f"Expected a {name} of at least 1, got {min(values)}")
        if arguments.phantoms < 1:
            raise ValueError(f"Expected at least one phantom, got {arguments.phantoms}")
        images = crops(output / "phantoms", count=arguments.phantoms, side_px=arguments.side_px)
        rows = []
        for method in arguments.methods:
            for precision in arguments.precisions:
                rows += compare(method, settings_of(precision, arguments.batch_sizes, arguments.threads), images)
        text = markdown(rows)
        write_whole(output / "determinism.md", lambda path: path.write_text(text))
        write_whole(output / "determinism.json", lambda path: path.write_text(json.dumps(rows, indent=1) + "\n"))
        print(text)


if __name__ == "__main__":
    main()

"""What each ingredient of the synthesis brings: `python -m scripts.ablate --output-dir OUT`. See docs/ablation.md.

Trains the segmentor with the full recipe and with each ingredient off, for the same short time from the same seed and,
with --initial-weights, from the same weights. All are scored on the tuning split of the shift benchmark: ablations
choose defaults, so the test split is never read. A run that was stopped goes on where it stopped.
"""

import argparse
import ast
import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from bundle import __version__
from bundle.data import LoadMammogramd, MammogramError
from bundle.data.real_backgrounds import REAL_VERSION, RealBackgrounds, crops_of, exams_of
from bundle.data.shift_benchmark import CONDITIONS
from bundle.data.whole_files import write_whole
from bundle.engines.benchmark import FIXED_LOGITS, Case, KeptMaps, Record
from bundle.engines.evaluation import fingerprint
from bundle.functional.summary import summarise
from bundle.reports.figures import png
from bundle.reports.tables import by_dataset, to_csv, to_json
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.ablate_table import ablation_markdown, bars, shown_figures
from scripts.ablate_variants import FULL, Variant, all_variants, chosen_variants
from scripts.benchmark import rendered_cases, score
from scripts.benchmark_systems import Networks, learned_systems, tuned_rows
from scripts.config_values import plain
from scripts.shipped import ROOT, shipped_inferers
from scripts.train_weights import train

CONFIG = ROOT / "configs" / "train.yaml"
TUNING_SET, REAL_SET = "shift tuning", "real held out"
# Of the exams, every fourth is held out from all trainings and scored on.
HELD_OUT_STEP = 4
REAL_CROPS = {"crops_per_view": 1, "injections": 4}
# Where things are kept, which no result depends on.
PLACES = ("phantom_dir", "cache_dir")
# The benchmark on real backgrounds counts its injections from 0: what chooses defaults is not what it judges by.
FIRST_INJECTION = 1000


class Job(NamedTuple):
    """A training: its variant, its options, and the folder of its weights, which no other options share."""

    variant: Variant
    options: dict[str, Any]
    folder: Path

    @property
    def done(self) -> bool:
        """Whether its weights are there."""
        return (self.folder / "model.pt").exists()


def jobs_of(
    chosen: Sequence[Variant], config: ConfigParser, shared: Mapping[str, Any], normals: Mapping[str, Any], output: Path
) -> list[Job]:
    """Trainings of all variants.

    Args:
        chosen: variants.
        config: the parsed configs/train.yaml.
        shared: options of all trainings.
        normals: options that bring the real normals; {} for none.
        output: root of the folders.
    """
    jobs = []
    for variant in chosen:
        options = {**shared, **(normals if variant.reads_normals else {}), **variant.overrides}
        # Contents in place of paths: results stay valid where files are moved to.
        told = {name: value for name, value in options.items() if name not in PLACES}
        if "initial_weights" in told:
            told["initial_weights"] = hashlib.sha256(Path(told["initial_weights"]).read_bytes()).hexdigest()
        key = fingerprint(__version__, config.get(), told)
        jobs.append(Job(variant, options, output / "runs" / f"{variant.name}-{key}"))
    return jobs


def changes_of(texts: Sequence[str], config: ConfigParser) -> dict[str, Any]:
    """Changes of the recipe that all trainings share, from `ID=VALUE`; a value is a Python literal, or else a text.

    Raises:
        ValueError: without "=", or with an id that the config does not have.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in config:
            raise ValueError(f"Expected --set ID=VALUE with an id of configs/{CONFIG.name}, got {text!r}; choose one")
        try:
            changes[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[name] = value
    return changes


def held_out_exams(exams: Mapping[str, Sequence[str]], names: Sequence[str] | None) -> dict[str, Sequence[str]]:
    """The exams that no variant trains on: those named, or every fourth.

    Raises:
        ValueError: on an unknown exam, or if none is left to train on.
    """
    chosen = list(names or list(exams)[::HELD_OUT_STEP])
    if unknown := set(chosen) - set(exams):
        raise ValueError(f"Expected exams among {', '.join(exams)}, got {', '.join(sorted(unknown))}; choose of these")
    if set(chosen) == set(exams):
        raise ValueError(f"Expected an exam to train on, but all {len(exams)} are held out; hold out fewer")
    return {exam: exams[exam] for exam in chosen}


def tuning_cases(output: Path) -> list[Case]:
    """The tuning split of the shift benchmark, under a name that no table of the benchmark has."""
    cases = rendered_cases(output, "tuning", CONDITIONS[:1])
    return [case._replace(dataset=TUNING_SET) for case in cases]


def held_out_cases(exams: Mapping[str, Sequence[str]], spacing_mm: float) -> list[Case]:
    """One crop of each view that was held out, clean and with other calcifications than the benchmark's."""
    load = Compose([LoadMammogramd(spacing_mm=spacing_mm), BreastMaskd(), MammogramWindowd()])
    backgrounds = RealBackgrounds(load, screen=True)
    cases = []
    for crop in crops_of(exams, **REAL_CROPS):
        if crop.injection is not None:
            crop = replace(crop, injection=crop.injection + FIRST_INJECTION)
        content = hashlib.sha256(Path(crop.path).read_bytes()).hexdigest()
        settings = fingerprint(REAL_VERSION, content, crop.name, backgrounds.crop_mm, spacing_mm)
        cases.append(Case(crop.name, crop.exam, REAL_SET, settings, partial(backgrounds.load, crop)))
    return cases


def score_variant(job: Job, tuning: Sequence[Case], held_out: Sequence[Case], output: Path) -> list[Record]:
    """Records of one variant, at the threshold of best F2 on the tuning split."""
    shape = {name: value for name, value in job.options.items() if name.startswith(("network_def", "window_px"))}
    networks = Networks(*shipped_inferers(job.folder, refine=False, **shape))
    networks.segmentor_inferer.progress = False
    maps = KeptMaps(output / "maps")
    learned = learned_systems(["segmentor"], networks)
    tuned = tuned_rows(["segmentor"], learned, tuning, maps, cache=output / "tuning")[0]
    row = replace(tuned, name=job.variant.name)
    records = score([row], tuning, maps, output)
    return records + score([replace(row, froc_logits=FIXED_LOGITS)], held_out, maps, output)


def seconds_per_step(config: ConfigParser) -> float:
    """Time of one training step of the full recipe, after one that is not timed; data is made meanwhile by a worker."""
    device = config.get_parsed_content("device")
    network = config.get_parsed_content("network_def").to(device).train()
    loss, inferer = config.get_parsed_content("loss"), config.get_parsed_content("train::inferer")
    optimizer = torch.optim.AdamW(network.parameters())
    shape = (config["batch_size"], 1, config["window_px"], config["window_px"])
    image, label = torch.rand(shape, device=device), (torch.rand(shape, device=device) > 0.99).to(torch.uint8)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        optimizer.zero_grad()
        value = loss(inferer(image, network), label)
        value.backward()
        optimizer.step()
        # Reading the value waits for the device.
        float(value.detach())
        seconds = time.perf_counter() - start
    return seconds


def price(jobs: Sequence[Job], steps: int, seconds: float) -> str:
    """Variants with what they override, as typed, and what their trainings cost."""
    lines = []
    for job in jobs:
        variant = job.variant
        typed = shlex.join(text for name, value in variant.overrides.items() for text in (f"--{name}", str(value)))
        state = "done" if job.done else f"{steps} steps"
        lines.append(f"{variant.name:18} {state:>10}  {variant.what}{f': {typed}' if typed else ''}")
    todo = sum(not job.done for job in jobs)
    minutes = todo * steps * seconds / 60
    lines.append(
        f"{todo} of {len(jobs)} trainings to do: {todo * steps} steps, about {minutes:.0f} minutes at "
        f"{seconds:.2f} s a step, without reading, phantoms and scoring"
    )
    return "\n".join(lines)


def write_tables(records: Sequence[Record], jobs: Sequence[Job], output: Path) -> str:
    """Write ablation.md, .csv and .json and a picture per dataset; returns the Markdown."""
    names = [job.variant.name for job in jobs]
    rows = shown_figures(summarise(records, rng=np.random.default_rng(0), reference=FULL), names)
    text = ablation_markdown(rows, {job.variant.name: job.variant.what for job in jobs})
    for suffix, content in (("md", text), ("csv", to_csv(rows)), ("json", to_json(rows))):
        write_whole(output / f"ablation.{suffix}", lambda path, content=content: path.write_text(content, "utf-8"))  # type: ignore[misc]
    for dataset, members in by_dataset(rows):
        if any(row["differences"] for row in members):
            picture = png(bars(members))
            name = f"ablation_{dataset.replace(' ', '_')}.png"
            write_whole(output / name, lambda path, picture=picture: path.write_bytes(picture))  # type: ignore[misc]
    return text


def run(arguments: argparse.Namespace) -> int:
    """Price, train and score; how many trainings failed."""
    output: Path = arguments.output_dir
    config = ConfigParser(ConfigParser.load_config_file(str(CONFIG)))
    changes = changes_of(arguments.set, config)
    config.update(changes)
    shared = {
        **changes,
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "val_interval": arguments.epochs + 1,
        "phantom_dir": str((output / "phantoms").resolve()),
        "cache_dir": str((output / "cache").resolve()),
    }
    if arguments.initial_weights:
        shared["initial_weights"] = str(arguments.initial_weights.resolve(strict=True))
    normals: dict[str, Any] = {}
    held_out: dict[str, Sequence[str]] = {}
    if arguments.normals:
        held_out = held_out_exams(exams_of(arguments.normals, arguments.exams), arguments.held_out)
        excluded = [Path(path).name for paths in held_out.values() for path in paths]
        normals = {"dataset_dir": str(arguments.normals.resolve()), "exclude": plain(excluded)}
    chosen = chosen_variants(
        all_variants(config, seed=arguments.seed),
        arguments.variants,
        normals=bool(normals),
        weights=bool(arguments.initial_weights),
    )
    jobs = jobs_of(chosen, config, shared, normals, output)
    print(price(jobs, arguments.epochs * config["iterations_per_epoch"], seconds_per_step(config)), flush=True)
    if arguments.price_only:
        return 0
    if held_out:
        print(f"Held out from every training: {', '.join(held_out)}")
    cases = tuning_cases(output), held_out_cases(held_out, config["default_spacing_mm"])
    return train_and_score(jobs, *cases, output)


def train_and_score(jobs: Sequence[Job], tuning: Sequence[Case], held_out: Sequence[Case], output: Path) -> int:
    """Train and score variant by variant, with new tables after each; how many trainings failed."""
    start, records, scored, failed = time.perf_counter(), [], [], []
    for number, job in enumerate(jobs, start=1):
        minutes = (time.perf_counter() - start) / 60
        print(f"Variant {number} of {len(jobs)}: {job.variant.name}; {minutes:.0f} minutes so far", flush=True)
        try:
            train("train", job.folder, "model.pt", job.options)
        except subprocess.CalledProcessError as error:
            if job.variant.name == FULL:
                raise
            # Without an ingredient a training may well break; that is a result too.
            failed.append(job.variant.name)
            print(f"{job.variant.name} is left out: its training ended with status {error.returncode}", flush=True)
            continue
        scored.append(job)
        records += score_variant(job, tuning, held_out, output)
        text = write_tables(records, scored, output)
    print(text)
    if failed:
        print(f"Trainings that failed: {', '.join(failed)}")
    return len(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.ablate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, default=ROOT / "eval" / "ablation", help="(default: %(default)s)")
    parser.add_argument("--normals", type=Path, help="folder of negative mammograms; left out: phantoms alone")
    parser.add_argument("--exams", help="table (CSV) of image and exam; left out: what stands before the first _")
    parser.add_argument("--held-out", nargs="+", metavar="EXAM", help="exams to score on (default: every fourth)")
    parser.add_argument("--initial-weights", type=Path, help="where all trainings start; left out: random weights")
    parser.add_argument("--epochs", type=int, default=3, help="of every training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="ID=VALUE", help="of configs/train.yaml, for all trainings alike"
    )
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="some of them, as --price-only lists them")
    parser.add_argument("--price-only", action="store_true", help="print steps and minutes, and stop")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Ablate; returns the exit status."""
    try:
        return min(run(_parser().parse_args(argv)), 1)
    except (MammogramError, ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

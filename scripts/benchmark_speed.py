"""What refinement costs beside the segmentor, on a whole view: `python -m scripts.benchmark_speed --output-dir OUT`.

Prints the machine's matmul peak, seconds, and network FLOPs per refined window; `--check` adds what must not change
with the batch size or a second run. docs/speed.md tells how to read it.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from bundle.data import LoadLabeld, LoadMammogramd, phantom_datalist, phantom_seed
from bundle.engines.benchmark import refinement_passes
from bundle.functional.evidence import EvidenceSettings
from bundle.functional.refinement_settings import RefinementSettings, preset
from bundle.functional.windows import EMPTY_LOGIT, breast_windows, pad_to_window, window_peaks
from bundle.inferers import EvidenceInferer
from bundle.inferers.autocast import computes_in_bfloat16
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_speed_checks import check, densest_crop
from scripts.command import one_line_errors
from scripts.shipped import augmented_inferer, shipped_inferers

MATMUL_SIDE = 2048
MATMUL_ROUNDS = 5


class Systems(NamedTuple):
    """Segmentor and refinements, ready to run at one precision and batch size."""

    network: nn.Module
    generator: nn.Module
    inferers: dict[str, Any]


def build(models_dir: Path | None, *, precision: str, batch_size: int) -> Systems:
    """Inferers "segmentor", "augmentation", "default" and "evidence" over the networks of configs/inference.yaml."""
    segmentor, refined, network = shipped_inferers(models_dir, precision=precision, sw_batch_size=batch_size)
    segmentor.progress = refined.windowed.progress = False
    windows = {"window_px": segmentor.window_px, "overlap": segmentor.overlap}
    evidence = EvidenceInferer(refined.generator, sw_batch_size=batch_size, dtype=precision, trace=True, **windows)
    augmented = augmented_inferer(precision=precision, sw_batch_size=batch_size)
    augmented.windowed = segmentor
    inferers = {"segmentor": segmentor, "augmentation": augmented, "default": refined, "evidence": evidence}
    return Systems(network, refined.generator, inferers)


def phantom_view(folder: Path, *, rows: int, columns: int, spacing_mm: float) -> tuple[Tensor, NDArray[np.uint8]]:
    """A calcified tuning phantom, windowed (1, 1, rows, columns), and its label (rows, columns); rendered once."""
    items = phantom_datalist(
        folder,
        count=1,
        first_seed=phantom_seed("tune", 300),
        spacing_mm=spacing_mm,
        height_mm=rows * spacing_mm,
        width_mm=columns * spacing_mm,
    )
    data = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd(), LoadLabeld("label")])(items[0])
    return torch.from_numpy(np.asarray(data["image"]))[None].float(), np.asarray(data["label"])[0]


class Seconds(NamedTuple):
    """Time of a call, by the clock and as the processor's (of all threads): the latter knows of no other program."""

    wall: float
    cpu: float


def best_seconds(call: Callable[[], object], *, rounds: int, device: torch.device) -> Seconds:
    """Least of several calls, each kind of time for itself."""
    times = []
    for _ in range(rounds):
        start, cpu_start = time.perf_counter(), time.process_time()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return Seconds(*(min(kind) for kind in zip(*times, strict=True)))


def matmul_peak(dtype: torch.dtype, device: torch.device, *, side: int = MATMUL_SIDE) -> float:
    """Floating-point operations per second of a square matrix product, best of several."""
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    return 2.0 * side**3 / best_seconds(lambda: matrix @ matrix, rounds=MATMUL_ROUNDS, device=device).wall


def flops_of(call: Callable[[], object]) -> float:
    """Floating-point operations of the networks in one call, two per multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())


def network_flops(systems: Systems, *, window_px: int) -> tuple[float, float]:
    """Operations of the generator and of the segmentor on one window."""
    device = next(systems.network.parameters()).device
    image = torch.zeros(1, 1, window_px, window_px, device=device)
    t, condition = torch.full((1,), 0.5, device=device), torch.zeros(1, 2, window_px, window_px, device=device)
    generator = flops_of(lambda: systems.generator(image, t, condition))
    return generator, flops_of(lambda: systems.network(image))


def ttgpr_calls(settings: RefinementSettings) -> tuple[int, int]:
    """Calls of the generator and of the segmentor per refined window, without the first pass."""
    segmentor = settings.draws * settings.iterations
    return refinement_passes(settings) - segmentor, segmentor


def evidence_calls(settings: EvidenceSettings) -> tuple[int, int]:
    """The same of the evidence, at most: a window with fewer groups of candidates costs less."""
    return len(settings.times) * settings.draws * (1 + settings.max_groups), 0


def cost_table(systems: Systems) -> list[dict[str, Any]]:
    """Calls and operations per refined window of the presets, the evidence, and flips and turns."""
    default, evidence = systems.inferers["default"], systems.inferers["evidence"]
    generator, segmentor = network_flops(systems, window_px=default.windowed.window_px)
    calls = {
        "paper": ttgpr_calls(preset("paper")),
        "default": ttgpr_calls(default.settings),
        "fast": ttgpr_calls(preset("fast")),
        "evidence": evidence_calls(evidence.settings),
        "augmentation": (0, systems.inferers["augmentation"].augmentations - 1),
    }
    flops = {name: first * generator + second * segmentor for name, (first, second) in calls.items()}
    rows = [{"what": "segmentor", "generator_calls": 0, "segmentor_calls": 1, "gflop": segmentor / 1e9}]
    for name, (first, second) in calls.items():
        row = {"what": name, "generator_calls": first, "segmentor_calls": second, "gflop": flops[name] / 1e9}
        rows.append(row | {"paper_over_this": flops["paper"] / flops[name]})
    return rows


def gating(systems: Systems, image: Tensor, network: Callable[..., Tensor]) -> dict[str, int]:
    """How many windows of a view each refinement looks at; the evidence must have run on this view last."""
    default, evidence = systems.inferers["default"], systems.inferers["evidence"]
    side = default.windowed.window_px
    frame = pad_to_window(image, window_px=side)
    windows = breast_windows(frame, window_px=side, overlap=default.windowed.overlap)
    logits = pad_to_window(systems.inferers["segmentor"](image, network), window_px=side, value=EMPTY_LOGIT)
    peaks = window_peaks(logits.sigmoid(), windows, window_px=side)
    gated = sum(peak >= default.settings.gate_threshold for peak in peaks)
    return {
        "windows": len(windows),
        "augmentation_windows": sum(peak >= systems.inferers["augmentation"].gate_threshold for peak in peaks),
        "default_windows": gated,
        "default_calls": gated * sum(ttgpr_calls(default.settings)),
        "evidence_candidates": len(evidence.last_candidates),
        "evidence_untested": int(np.count_nonzero(~evidence.last_evidence.tested)),
        "evidence_windows": evidence.last_windows,
        "evidence_calls": evidence.last_passes,
    }


class Replayed:
    """The segmentor, which answers from memory what it was asked while recording: its first pass costs nothing then."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.recording = network, True
        self.answers: dict[bytes, Tensor] = {}

    def __call__(self, windows: Tensor) -> Tensor:
        """Logits of windows (N, 1, rows, columns)."""
        key = hashlib.sha256(windows.cpu().numpy().tobytes()).digest()
        if key in self.answers:
            return self.answers[key].clone()
        logits = self.network(windows)
        if self.recording:
            self.answers[key] = logits.clone()
        return logits


def measure(systems: Systems, image: Tensor, *, rounds: int) -> dict[str, Any]:
    """Seconds of a whole view: the segmentor, and what each refinement takes on top of it."""
    inferers, network = dict(systems.inferers), Replayed(systems.network)
    with tqdm(total=1 + len(inferers), desc=f"timing, best of {rounds}", unit="system") as bar:
        segmentor = inferers.pop("segmentor")
        alone = best_seconds(partial(segmentor, image, systems.network), rounds=rounds, device=image.device)
        bar.update()
        segmentor(image, network)
        network.recording = False
        bar.update()
        seconds = {"segmentor": alone._asdict()}
        for name, inferer in inferers.items():
            took = best_seconds(partial(inferer, image, network), rounds=rounds, device=image.device)
            seconds[f"{name} on top"] = took._asdict()
            bar.update()
        return {"seconds": seconds, "gating": gating(systems, image, network)}


def price(systems: Systems, image: Tensor, *, rounds: int) -> str:
    """What the timing will cost at most, in words, as measured on one batch."""
    windowed, side = systems.inferers["default"].windowed, systems.inferers["default"].windowed.window_px
    frame = pad_to_window(image, window_px=side)
    windows = len(breast_windows(frame, window_px=side, overlap=windowed.overlap))
    batch = torch.zeros(windowed.sw_batch_size, 1, side, side, device=image.device)
    with torch.no_grad():
        windowed.logits(batch, systems.network)
        seconds = best_seconds(lambda: windowed.logits(batch, systems.network), rounds=1, device=image.device).wall
    minutes = (rounds + 1) * windows * seconds / windowed.sw_batch_size / 60
    return f"{windows} windows, best of {rounds}: about {minutes:.1f} minutes, refinement up to three times that"


def report_lines(result: dict[str, Any]) -> list[str]:
    """The result as lines of text."""
    gate = result["gating"]
    lines = [
        f"{result['machine']}, {result['threads']} threads, torch {result['torch']}, load {result['load']:.1f}",
        "matmul peak: " + ", ".join(f"{name} {peak:.0f} GFLOP/s" for name, peak in result["matmul_gflops"].items()),
        f"view {result['rows']} x {result['columns']}, {gate['windows']} windows with breast, {result['precision']}",
        *(f"{name}: {one['wall']:.1f} s, {one['cpu']:.1f} CPU s" for name, one in result["seconds"].items()),
        f"windows refined: augmentation {gate['augmentation_windows']}, default {gate['default_windows']}, "
        f"evidence {gate['evidence_windows']} ({gate['evidence_candidates']} candidates, "
        f"{gate['evidence_untested']} untested)",
        f"{'per window':12} {'generator':>10} {'segmentor':>10} {'GFLOP':>9} {'paper / this':>13}",
    ]
    for row in result["cost"]:
        ratio = f"{row['paper_over_this']:13.1f}" if "paper_over_this" in row else ""
        lines.append(
            f"{row['what']:12} {row['generator_calls']:10d} {row['segmentor_calls']:10d} {row['gflop']:9.2f} {ratio}"
        )
    if "check" in result:
        lines += [f"{name}: {value}" for name, value in result["check"].items()]
    return lines


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark_speed", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("eval/speed"), help="default: %(default)s")
    parser.add_argument("--models-dir", type=Path, help="other weights than the shipped ones")
    parser.add_argument("--rows", type=int, default=3328)
    parser.add_argument("--columns", type=int, default=2560)
    parser.add_argument("--spacing-mm", type=float, default=0.07)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many is reported (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; left out: its own choice")
    parser.add_argument("--precision", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--batch-size", type=int, default=4, help="windows per call (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="also batch sizes, repeats and bfloat16")
    parser.add_argument("--check-px", type=int, default=1024, help="side of the crop it is done on")
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and check where asked to."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    systems = build(arguments.models_dir, precision=arguments.precision, batch_size=arguments.batch_size)
    size = {"rows": arguments.rows, "columns": arguments.columns, "spacing_mm": arguments.spacing_mm}
    image, label = phantom_view(arguments.output_dir / "phantom", **size)
    device = next(systems.network.parameters()).device
    image = image.to(device)
    print(price(systems, image, rounds=arguments.rounds), flush=True)
    result = {
        "date": str(datetime.date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {device.type}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        "precision": arguments.precision if computes_in_bfloat16(device.type) else "float32",
        **size,
        "matmul_gflops": {
            str(dtype).removeprefix("torch."): matmul_peak(dtype, device) / 1e9
            for dtype in (torch.float32, torch.bfloat16)[: 2 if computes_in_bfloat16(device.type) else 1]
        },
        "cost": cost_table(systems),
        **measure(systems, image, rounds=arguments.rounds),
    }
    if arguments.check:
        crop = densest_crop(image, label, side_px=arguments.check_px)
        result["check"] = check(partial(build, arguments.models_dir), crop, spacing_mm=arguments.spacing_mm)
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Print and write OUT/speed.json; status 1 where a check fails."""
    arguments = parse(argv)
    with one_line_errors():
        result = run(arguments)
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        (arguments.output_dir / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(report_lines(result)))
    if not result.get("check", {"passed": True})["passed"]:
        raise SystemExit("error: a check failed, see above")


if __name__ == "__main__":
    main()

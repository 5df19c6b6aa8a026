"""Our Restormer beside MONAI's at equal blocks, same input, same run: `python -m scripts.benchmark_networks`."""

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from monai.networks.nets.restormer import Restormer as MonaiRestormer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bundle.inferers.autocast import computes_in_bfloat16
from bundle.networks import Restormer

SIZES: dict[str, dict[str, Any]] = {
    "small": {"dim": 16, "num_blocks": (1, 2, 2, 4), "num_refinement_blocks": 1},
    "published": {"dim": 48, "num_blocks": (4, 6, 6, 8), "num_refinement_blocks": 4},
}


def count_macs(network: nn.Module, image: torch.Tensor) -> float:
    """Multiply-accumulates of one forward pass (half of the counted floating-point operations)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() / 2


def seconds_per_call(call: Callable[[], object], *, rounds: int) -> float:
    """Best of several rounds; the first call warms up."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(network: nn.Module, image: torch.Tensor, *, rounds: int, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds of inference and of a training step (forward and backward)."""

    def infer() -> None:
        with torch.inference_mode(), torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            network(image)

    def train() -> None:
        with torch.autocast(image.device.type, dtype, enabled=dtype != torch.float32):
            output = network(image)
        output.float().square().mean().backward()

    return seconds_per_call(infer, rounds=rounds), seconds_per_call(train, rounds=rounds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--window-px", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    image = torch.randn(arguments.batch_size, 1, arguments.window_px, arguments.window_px)
    size = SIZES[arguments.size]
    ours = Restormer(**size)
    theirs = MonaiRestormer(2, 1, 1, heads=(1, 2, 4, 8), ffn_expansion_factor=2.66, layer_norm_use_bias=True, **size)
    macs = {"bundle": count_macs(ours, image), "MONAI": count_macs(theirs, image)}
    if abs(macs["bundle"] / macs["MONAI"] - 1) > 0.01:
        raise SystemExit(f"Expected MACs within 1 %, got {macs}; the two networks are not comparable")
    print(
        f"{arguments.size}, {tuple(image.shape)}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}"
    )
    print(f"{'network':8} {'precision':10} {'parameters':>11} {'GMAC':>8} {'inference s':>12} {'training s':>11}")
    for dtype in (torch.float32, torch.bfloat16)[: 2 if computes_in_bfloat16("cpu") else 1]:
        for name, network in (("bundle", ours), ("MONAI", theirs)):
            inference, training = measure(network, image, rounds=arguments.rounds, dtype=dtype)
            parameters = sum(p.numel() for p in network.parameters())
            precision = str(dtype).removeprefix("torch.")
            print(
                f"{name:8} {precision:10} {parameters:11,} {macs[name] / 1e9:8.2f} {inference:12.4f} {training:11.4f}"
            )


if __name__ == "__main__":
    main()

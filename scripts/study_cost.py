"""What refining costs: passes of both networks per window, counted, and the time and operations of each, measured."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.benchmark_systems import Networks

# Passes timed, after one that is not.
TIMED = 3
SEGMENTOR, GENERATOR = "segmentor", "generator"
Passes = dict[str, int]


class PassCost(NamedTuple):
    """One window through one network: seconds as measured now, and 1e9 operations as counted."""

    seconds: float
    gflop: float


@contextmanager
def counted_passes(networks: Networks, *others: nn.Module) -> Iterator[Passes]:
    """Count the windows that go through each network meanwhile; others count as segmentors."""
    passes = {SEGMENTOR: 0, GENERATOR: 0}

    def count(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            passes[name] += inputs[0].shape[0]

        return hook

    handles = [module.register_forward_pre_hook(count(name)) for name, module in both(networks).items()]
    handles += [module.register_forward_pre_hook(count(SEGMENTOR)) for module in others]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def both(networks: Networks) -> dict[str, nn.Module]:
    """The two networks by name."""
    return {SEGMENTOR: networks.network, GENERATOR: networks.refined_inferer.generator}


def pass_costs(networks: Networks) -> dict[str, PassCost]:
    """Cost of one window through each network, alone in its batch, in the precision of inference."""
    windowed = networks.refined_inferer.windowed
    side, device = windowed.window_px, next(networks.network.parameters()).device
    image = torch.zeros(1, 1, side, side, device=device)
    inputs: dict[str, tuple[torch.Tensor, ...]] = {
        SEGMENTOR: (image,),
        GENERATOR: (image, torch.full((1,), 0.5, device=device), torch.zeros(1, 2, side, side, device=device)),
    }
    costs = {}
    for name, module in both(networks).items():
        with torch.no_grad(), windowed.autocast(device), FlopCounterMode(display=False) as counter:
            module(*inputs[name])
        start = time.perf_counter()
        with torch.no_grad(), windowed.autocast(device):
            for _ in range(TIMED):
                module(*inputs[name])
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        costs[name] = PassCost((time.perf_counter() - start) / TIMED, counter.get_total_flops() / 1e9)
    return costs


def minutes_of(passes: Passes, costs: Mapping[str, PassCost]) -> float:
    """Minutes that the passes take."""
    return sum(count * costs[name].seconds for name, count in passes.items()) / 60


def gflop_of(passes: Passes, costs: Mapping[str, PassCost]) -> float:
    """1e9 operations of the passes."""
    return sum(count * costs[name].gflop for name, count in passes.items())

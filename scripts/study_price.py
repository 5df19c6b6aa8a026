"""What the refinement study will cost, counted with networks that cost nothing, timed on one pass of the real ones."""

import time
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import nn

from bundle.engines.benchmark import Case, View
from bundle.functional.evidence import EvidenceSettings
from bundle.inferers import TTGPRInferer, WindowedInferer
from scripts.benchmark_systems import Networks
from scripts.study_cost import PassCost, Passes, gflop_of, minutes_of, pass_costs
from scripts.study_crops import DATASET
from scripts.study_run import lines_of, scored
from scripts.study_variants import FITS, UNFITTED, Parts, Variant, window_options

# Bright dots on the crop that prices are measured on, in rows and in columns.
DOTS = 3


class _Dots(nn.Module):
    """A segmentor that costs nothing and sees what is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(10.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image


class _Still(nn.Module):
    """A generator that costs nothing."""

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(state)


def stub_parts(parts: Parts) -> Parts:
    """The same with networks that cost nothing, for counting passes; evidence with the settings it is fitted from."""
    options = window_options(parts)
    network = _Dots()
    networks = Networks(WindowedInferer(**options), TTGPRInferer(_Still(), **options), network)
    return Parts(networks, UNFITTED, None if parts.other_network is None else _Dots())


def stub_view(crop_px: int) -> View:
    """A crop with evidence."""
    image = np.full((crop_px, crop_px), -0.5, np.float32)
    places = np.linspace(crop_px // 4, 3 * crop_px // 4, DOTS).astype(int)
    for row, column in product(places, places):
        image[row - 1 : row + 2, column - 1 : column + 2] = 0.5
    label = (image > 0).astype(np.uint8)
    return {"image": image, "label": label, "breast": np.ones(image.shape, bool), "spacing_mm": (0.07, 0.07)}


def price(
    variants: Sequence[Variant], parts: Parts, todo: Mapping[str, int], fits: int, *, crop_px: int
) -> tuple[str, float]:
    """What the study costs, in words, and in minutes: every crop counts as one with evidence.

    Args:
        variants: rows.
        parts: the real networks, whose passes are timed.
        todo: crops without a record, by row.
        fits: crops to gather evidence on.
        crop_px: side of a crop.
    """
    costs, stub, view = pass_costs(parts.networks), stub_parts(parts), stub_view(crop_px)
    case = Case("price", "price", DATASET, "", lambda: view)
    text, total = [], 0.0
    gatherings: dict[EvidenceSettings, float] = {}
    for line in lines_of(variants, stub):
        start = time.perf_counter()
        passes = scored(line, case, view, stub)["passes"]
        # With networks that cost nothing, the time is that of everything else.
        minutes = todo[line.variant.name] * ((time.perf_counter() - start) / 60 + minutes_of(passes, costs))
        text.append(_price_line(line.variant, passes, todo[line.variant.name], minutes, costs))
        total += minutes
        if line.variant.fit:
            # What is gathered is shared by all fits with the same settings; the dearest row says what it costs.
            gathered = FITS[line.variant.fit][0]
            gatherings[gathered] = max(gatherings.get(gathered, 0.0), fits * minutes_of(passes, costs))
    if gatherings:
        text.append(f"Weights of the evidence, on {fits} crops: {sum(gatherings.values()):.1f} minutes")
        total += sum(gatherings.values())
    seconds = ", ".join(f"{cost.seconds:.2f} s a pass of the {name}" for name, cost in costs.items())
    text.append(f"{sum(todo.values())} records to make: about {total:.0f} minutes at {seconds}, and rendering")
    return "\n".join(text), total


def _price_line(variant: Variant, passes: Passes, todo: int, minutes: float, costs: Mapping[str, PassCost]) -> str:
    counted = " + ".join(f"{count} {name}" for name, count in passes.items() if count)
    gflop = gflop_of(passes, costs)
    return f"{variant.name:28} {todo:3} crops x ({counted} passes, {gflop:.0f} GFLOP): {minutes:.1f} minutes"

"""What must not change with the batch size, with a second run or with the precision; for scripts.benchmark_speed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from bundle.functional.components import find_components
from bundle.functional.confusion import MICROCALCIFICATION
from bundle.functional.objects import hits, match_one_to_one

THRESHOLD = 0.5
LARGEST_DIFFERENCE = 1e-4


def object_discordance(first: Tensor, second: Tensor, *, spacing_mm: float, threshold: float = THRESHOLD) -> float:
    """Share of the objects of two maps of logits that only one of them has, matched as in the benchmarks.

    Args:
        first: (1, 1, rows, columns).
        second: likewise.
        spacing_mm: pixel size.
        threshold: a probability, the same for both.

    Returns:
        In [0, 1]; 0 without any object.
    """
    either, both = object_counts(first, second, spacing_mm=spacing_mm, threshold=threshold)
    return (either - both) / either if either else 0.0


def object_counts(first: Tensor, second: Tensor, *, spacing_mm: float, threshold: float = THRESHOLD) -> tuple[int, int]:
    """How many objects either of two maps of logits has, and how many both have; arguments as above."""
    one, other = (find_components((logits.sigmoid() >= threshold)[0, 0].cpu().numpy()) for logits in (first, second))
    pairs = len(match_one_to_one(*hits(one, other, spacing_mm=(spacing_mm, spacing_mm))))
    return len(one) + len(other) - pairs, pairs


def densest_crop(image: Tensor, label: NDArray[np.uint8], *, side_px: int) -> Tensor:
    """The square of a view around the middle of its calcifications, (1, 1, side, side) or what the view has."""
    found = np.argwhere(label == MICROCALCIFICATION)
    rows, columns = label.shape
    middle = np.median(found, axis=0).astype(int) if len(found) else np.array([rows // 2, columns // 2])
    top, left = (
        int(np.clip(m - side_px // 2, 0, max(0, n - side_px))) for m, n in zip(middle, label.shape, strict=True)
    )
    return image[..., top : top + side_px, left : left + side_px].contiguous()


def check(build: Callable[..., Any], image: Tensor, *, spacing_mm: float) -> dict[str, Any]:
    """What must hold: batch sizes and repeats change nothing; and how far bfloat16 is from float32.

    Args:
        build: function of precision and batch_size to a network and its inferers.
        image: (1, 1, rows, columns).
        spacing_mm: pixel size.
    """
    kinds = {"one": ("float32", 1), "eight": ("float32", 8), "reduced": ("bfloat16", 4)}
    logits: dict[str, dict[str, Tensor]] = {}
    repeats = []
    for kind, (precision, batch_size) in tqdm(kinds.items(), desc="checks", unit="precision"):
        systems = build(precision=precision, batch_size=batch_size)
        logits[kind] = {name: run(image, systems.network) for name, run in systems.inferers.items()}
        repeats += [
            torch.equal(logits[kind][name], run(image, systems.network))
            for name, run in systems.inferers.items()
            if kind != "one"
        ]
    largest = float((logits["one"]["segmentor"] - logits["eight"]["segmentor"]).abs().max())
    batches, precisions = (
        {
            name: object_discordance(logits[first][name], logits[second][name], spacing_mm=spacing_mm)
            for name in logits["one"]
        }
        for first, second in (("one", "eight"), ("eight", "reduced"))
    )
    return {
        "largest_logit_difference_batch_1_8": largest,
        "repeats_bitwise": all(repeats),
        "discordance_batch_1_8": batches,
        "discordance_bfloat16": precisions,
        "passed": largest <= LARGEST_DIFFERENCE and all(repeats) and not any(batches.values()),
    }

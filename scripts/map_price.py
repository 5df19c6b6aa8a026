"""What maps will cost, measured on a piece of a view before anything is run."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bundle.engines.benchmark import Case, KeptMaps, MapSystem, View

# Sides of the pieces that a system is warmed up and measured on. Small ones price gated refinement far too high: all of
# their windows hold something to refine.
WARM_PX, MEASURED_PX = 256, 768


def seconds_per_pixel(predict: Callable[[View], object], view: View) -> float:
    """Time of a map per pixel of the view, after a call that is not measured for what has to be built or warmed up.

    Args:
        predict: makes a map.
        view: a typical one.
    """
    predict(_middle(view, WARM_PX))
    piece = _middle(view, MEASURED_PX)
    start = time.perf_counter()
    predict(piece)
    return (time.perf_counter() - start) / piece["image"].size


def _middle(view: View, side_px: int) -> dict[str, Any]:
    """The middle of the breast, as far as the view goes."""
    rows, columns = (int(np.median(places)) for places in np.nonzero(view["breast"]))
    corner = [max(0, place - side_px // 2) for place in (rows, columns)]
    box = tuple(slice(start, start + side_px) for start in corner)
    return {"image": view["image"][box], "spacing_mm": view["spacing_mm"]}


def _made(system: MapSystem, case: Case, maps: KeptMaps) -> bool:
    return maps.path(system.first or system, case).exists()


def price_of_maps(systems: Mapping[str, MapSystem], cases: Sequence[Case], maps: KeptMaps) -> str:
    """As `price_of_parts`, for cases that all have the same weights."""
    return price_of_parts([(systems, cases)], maps)


def price_of_parts(parts: Sequence[tuple[Mapping[str, MapSystem], Sequence[Case]]], maps: KeptMaps) -> str:
    """Minutes by system for the maps that are still to be made, in words.

    All views count with the size of the first. Refinement costs more where there is more to refine, so its figure is
    rough. What only moves the logits of another system costs that one's maps, once.

    Args:
        parts: the systems with the weights that some cases are judged with, and these cases.
        maps: where maps are kept.
    """
    lines = []
    for name in parts[0][0]:
        if (first := parts[0][0][name].first) is not None and first.name in parts[0][0]:
            continue
        todo = [case for systems, cases in parts for case in cases if not _made(systems[name], case, maps)]
        seconds = 0.0
        if todo:
            view = todo[0].load()
            seconds = len(todo) * view["image"].size * seconds_per_pixel(parts[0][0][name].predict, view)
        lines.append(f"{name} on {len(todo)} views, about {seconds / 60:.1f} minutes")
    return "Price: " + "; ".join(lines)

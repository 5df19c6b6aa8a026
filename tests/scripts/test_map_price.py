"""What maps will cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.engines.benchmark import Case, KeptMaps, MapSystem
from scripts import map_price
from scripts.map_price import price_of_maps, seconds_per_pixel


def view(*, rows: int, columns: int) -> dict[str, Any]:
    """A view whose breast is its right lower quarter, with pixels that say where they are."""
    image = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    breast = np.zeros((rows, columns), bool)
    breast[rows // 2 :, columns // 2 :] = True
    return {"image": image, "breast": breast, "label": np.zeros((rows, columns), np.uint8), "spacing_mm": (0.1, 0.1)}


def clock(monkeypatch: pytest.MonkeyPatch, *, per_pixel: float) -> tuple[Any, list[Any]]:
    """A system that takes so long by the module's clock, and the images that it is shown."""
    now, seen = [0.0], list[Any]()

    def predict(piece: Mapping[str, Any]) -> Any:
        seen.append(piece["image"])
        now[0] += per_pixel * piece["image"].size
        return np.zeros_like(piece["image"])

    monkeypatch.setattr(map_price.time, "perf_counter", lambda: now[0])
    return predict, seen


def test_a_piece_in_the_middle_of_the_breast_is_timed_after_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    predict, seen = clock(monkeypatch, per_pixel=1e-6)
    assert seconds_per_pixel(predict, view(rows=4000, columns=3000)) == pytest.approx(1e-6)
    assert [piece.shape for piece in seen] == [(256, 256), (768, 768)]
    # The middle of rows 2000 to 3999 and columns 1500 to 2999.
    assert np.unravel_index(int(seen[1][384, 384]), (4000, 3000)) == (2999, 2249)


def test_minutes_are_those_of_the_views_without_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict, _ = clock(monkeypatch, per_pixel=1e-4)
    one = view(rows=600, columns=500)
    cases = [Case(name, name, "set", name, lambda: one) for name in ("a", "b", "c")]
    system, maps = MapSystem("slow", predict, "1", keep=True), KeptMaps(tmp_path)
    maps.probs(system, cases[0], one)
    # 2 views x 300000 px x 0.1 ms.
    assert price_of_maps({"slow": system}, cases, maps) == "Price: slow on 2 views, about 1.0 minutes"
    moving = MapSystem("moving", predict, "m", True, system, lambda view, logits: logits)
    assert price_of_maps({"moving": moving}, cases, maps) == "Price: moving on 2 views, about 1.0 minutes"
    # The maps that it moves are paid for already.
    assert price_of_maps({"slow": system, "moving": moving}, cases, maps) == "Price: slow on 2 views, about 1.0 minutes"

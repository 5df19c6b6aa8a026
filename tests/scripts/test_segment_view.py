"""What is left in memory of a view does not depend on how many there were."""

import gc
from pathlib import Path
from typing import Any

import pytest

from scripts import segment_view
from scripts.segment_view import ViewSegmenter


class Kept:
    """Something large that holds itself, as figures and engines do."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Kept.alive += 1

    def __del__(self) -> None:
        Kept.alive -= 1


@pytest.mark.parametrize("fails", [False, True])
def test_cycles_of_a_view_are_gone_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    def segment(*_: Any) -> None:
        Kept()
        if fails:
            raise ValueError("Expected something else")

    segmenter = ViewSegmenter.__new__(ViewSegmenter)
    segmenter.evaluator = segmenter.transform = None
    monkeypatch.setattr(segment_view, "segment_view", segment)
    monkeypatch.setattr(segment_view, "read_view", lambda item, transform: item)
    gc.disable()
    try:
        for _ in range(3):
            try:
                segmenter(tmp_path)
            except ValueError:
                assert fails
            assert Kept.alive == 0
    finally:
        gc.enable()

import math

import numpy as np
import pytest

from bundle.functional.system_scores import score_system

SPACING = (0.1, 0.1)


def _view(label: np.ndarray) -> dict:
    return {"label": label, "breast": np.ones(label.shape, bool), "spacing_mm": SPACING}


def _label(*boxes: tuple[int, int, int]) -> np.ndarray:
    label = np.zeros((100, 100), np.uint8)
    for row, column, value in boxes:
        label[row : row + 4, column : column + 4] = value
    return label


def test_hand_worked_case() -> None:
    """Two of three objects found, one false: recall 2/3, precision 2/3; a clean cm2 with one false object."""
    truth = _label((10, 10, 1), (30, 30, 1), (50, 50, 1))
    found = _label((10, 10, 1), (30, 30, 1), (80, 80, 1)).astype(float)
    scores = score_system([found, _label((5, 5, 1)).astype(float)], [_view(truth), _view(_label())], threshold=0.5)
    assert scores["object_recall"] == pytest.approx(2 / 3)
    assert scores["object_precision"] == pytest.approx(2 / 3)
    assert scores["object_f2"] == pytest.approx(2 / 3)
    assert scores["pixel_dice"] == pytest.approx(2 / 3)
    assert scores["clean_fp_per_cm2"] == pytest.approx(1.0)


def test_nothing_found_scores_zero() -> None:
    scores = score_system([np.zeros((100, 100))], [_view(_label((10, 10, 1)))], threshold=0.5)
    assert scores["object_recall"] == scores["pixel_f2"] == scores["object_precision"] == 0
    assert math.isnan(scores["clean_fp_per_cm2"])


def test_finding_an_ignored_object_on_an_otherwise_clean_view_is_no_false_positive() -> None:
    views = [_view(_label((10, 10, 1))), _view(_label((40, 40, 2)))]
    maps = [_label((10, 10, 1)).astype(float), _label((40, 40, 1)).astype(float)]
    assert score_system(maps, views, threshold=0.5)["clean_fp_per_cm2"] == 0

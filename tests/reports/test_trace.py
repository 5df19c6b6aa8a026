"""Pictures of a refinement's logits."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from bundle.reports.figures import png
from bundle.reports.trace import LIMIT, busiest_crop, logit_figure, shown_iterations


def image(rows: int = 60, columns: int = 80) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (rows, columns)).astype(np.float32)


def logits(*places: tuple[int, int], value: float = 3.0) -> np.ndarray:
    plane = np.full((60, 80), -5.0, np.float32)
    for row, column in places:
        plane[row : row + 3, column : column + 3] = value
    return plane


def shown(figure: Figure) -> list[np.ndarray]:
    """Every drawn plane, row by row, images first."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


@pytest.mark.parametrize(
    ("iterations", "expected"), [(0, [0]), (1, [0, 1]), (3, [0, 1, 2, 3]), (50, [0, 12, 25, 38, 50])]
)
def test_iterations_are_shown_from_the_segmentor_to_the_last(iterations: int, expected: list[int]) -> None:
    assert shown_iterations(iterations) == expected


def test_the_busiest_window_holds_what_was_positive_at_any_time() -> None:
    planes = {0: logits((5, 5)), 3: logits((5, 5), (40, 60), (45, 66))}
    rows, columns = busiest_crop(planes, image(), crop_px=24)
    assert rows.start <= 40 <= 47 < rows.stop
    assert columns.start <= 60 <= 68 < columns.stop


def test_without_anything_positive_the_window_with_most_breast_is_shown() -> None:
    view = image()
    view[:, :50] = -1
    _, columns = busiest_crop({0: logits()}, view, crop_px=24)
    assert columns.start >= 50


def test_logits_of_every_iteration_stand_beside_the_image_and_changes_below() -> None:
    planes = {0: logits((30, 30)), 1: logits((30, 30), value=4.0), 2: logits((30, 30), value=1.0)}
    figure = logit_figure(planes, image(), name="a $view", crop_px=40, zoom_px=16)
    drawn = [plane for plane in shown(figure) if plane.shape == (40, 40)]
    assert len(drawn) == 1 + len(planes)
    assert [float(plane.max()) for plane in drawn[1:]] == [3.0, 4.0, 1.0]
    details = [plane for plane in shown(figure) if plane.shape == (16, 16)]
    assert [float(np.abs(plane).max()) for plane in details[2:]] == [1.0, 2.0]
    assert [axes.get_title() for axes in figure.axes[:4]] == ["image", "segmentor", "after 1", "after 2"]
    assert png(figure).startswith(b"\x89PNG")


def test_what_is_beyond_the_limit_is_no_change() -> None:
    planes = {0: logits((30, 30), value=2 * LIMIT), 1: logits((30, 30), value=LIMIT)}
    details = [plane for plane in shown(logit_figure(planes, image(), crop_px=40, zoom_px=16)) if len(plane) == 16]
    assert np.abs(details[-1]).max() == 0


def test_a_view_smaller_than_the_window_is_drawn_whole() -> None:
    figure = logit_figure({0: logits(), 1: logits((30, 30))}, image(), crop_px=256, zoom_px=200)
    assert {plane.shape for plane in shown(figure) if plane.shape[0] >= 60 and plane.shape[1] == 80} == {(60, 80)}


@pytest.mark.parametrize("planes", [{}, {0: logits()}, {1: logits(), 2: logits()}])
def test_logits_before_and_after_are_needed(planes: dict[int, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="Expected logits before and after"):
        logit_figure(planes, image())

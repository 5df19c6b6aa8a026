import numpy as np
import pytest

from bundle.reports.failures import COLUMNS, Spot, failure_sheet, failures
from bundle.reports.figures import png
from bundle.reports.panels import PanelCase, panel_sheet
from bundle.reports.trace import logit_figure

SPACING = (0.1, 0.1)


def _view() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three calcifications of growing contrast at (10, 10 + 20 n), and no probability."""
    rng = np.random.default_rng(0)
    image = rng.normal(-0.2, 0.01, (64, 64)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    for number in range(3):
        spot = np.s_[9:12, 9 + 20 * number : 12 + 20 * number]
        label[spot] = 1
        image[spot] += 0.1 * (number + 1)
    return image, label, np.zeros(image.shape, np.float32)


def _failures(image: np.ndarray, label: np.ndarray, probs: np.ndarray) -> tuple[list[Spot], list[Spot]]:
    region = np.ones(image.shape, bool)
    return failures(image, label, probs, name="v", threshold=0.5, spacing_mm=SPACING, region=region)


def test_what_is_found_is_no_failure_and_what_is_not_is_a_miss() -> None:
    image, label, probs = _view()
    probs[9:12, 9:12] = 0.9
    false, misses = _failures(image, label, probs)
    assert not false
    assert len(misses) == 2
    assert misses[0].rank < misses[1].rank


def test_a_mark_on_nothing_is_a_false_one_with_its_peak_and_one_on_ignore_is_excused() -> None:
    image, label, probs = _view()
    label[40:43, 40:43] = 2
    probs[40:43, 40:43] = 0.8
    probs[50:52, 20:22] = [[0.6, 0.7], [0.6, 0.55]]
    false, misses = _failures(image, label, probs)
    assert len(misses) == 3
    (only,) = false
    assert only.rank == pytest.approx(0.7)
    # Cut out around itself.
    half = len(only.image) // 2
    assert only.mask[half, half]
    assert only.mask.sum() == 4


def test_a_failure_at_the_border_is_shown_whole_with_outside_beside_it() -> None:
    image, label, probs = _view()
    probs[0, 0] = 0.9
    (only,), _ = _failures(image, label, probs)
    assert only.image.shape == (40, 40)
    assert (only.image[:20, :20] == -1).all()
    assert only.image[20, 20] == image[0, 0]


def test_the_worst_come_first_and_no_more_than_fit() -> None:
    tile, mask = np.zeros((4, 4), np.float32), np.eye(4, dtype=bool)
    spots = [Spot(float(rank), f"{rank}", tile, mask, (0.0, 1.0)) for rank in range(3 * COLUMNS)]
    titles = [axes.get_title() for axes in failure_sheet(spots, "worst", rows=2).axes]
    assert titles == [str(rank) for rank in range(3 * COLUMNS - 1, COLUMNS - 1, -1)]


def test_a_system_without_failures_gets_an_empty_sheet() -> None:
    assert len(failure_sheet([], "none").axes) == COLUMNS


def test_names_of_files_are_no_mathematics() -> None:
    name = r"a$\bad$b.png"
    spot = Spot(1.0, name, np.zeros((4, 4), np.float32), np.eye(4, dtype=bool), (0.0, 1.0))
    assert png(failure_sheet([spot], name))
    image, label, probs = _view()
    assert png(panel_sheet([PanelCase(name, image, label, {"s": probs > 0.5})], ["s"]))
    assert png(logit_figure({0: probs, 1: probs + 1}, image, name=name))

"""What does not grow has slope zero, what grows has its slope, and a single peak does not count."""

import numpy as np
import pytest

from bundle.functional.flatness import flatness


def test_a_constant_is_flat() -> None:
    assert flatness(range(100), [7.0] * 100) == (7.0, 7.0, 0.0, 7.0)


def test_a_line_has_its_slope_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(100)
    flat = flatness(order, 3 + 0.5 * order)
    assert flat.slope == pytest.approx(0.5)
    assert flat.first < flat.last


def test_a_warm_up_and_a_peak_do_not_count_but_the_peak_is_told() -> None:
    values = np.full(100, 5.0)
    values[:10], values[60] = np.arange(10) / 2, 90.0
    assert flatness(range(100), values, warm_up=0.1) == (5.0, 5.0, 0.0, 90.0)


def test_a_leak_of_a_hundredth_is_seen_through_noise() -> None:
    places = np.arange(1000)
    noise = np.random.default_rng(1).normal(0, 1, 1000)
    assert flatness(places, 100 + 0.01 * places + noise).slope == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_values_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="Expected at least 5 values"):
        flatness(range(count), [1.0] * count)

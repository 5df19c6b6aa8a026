"""Modality and VOI transforms on their own."""

import numpy as np
import pytest

from bundle.functional.presentation import (
    log_exposure,
    lookup,
    stored_values,
    window_linear,
    window_linear_exact,
    window_sigmoid,
)

VALUES = np.arange(0.0, 4096.0)


def test_linear_window_has_the_ends_that_the_standard_prints() -> None:
    # PS3.3 C.11.2.1.2.1: center 2048, width 4096 maps 0 to the darkest and 4095 to the brightest value.
    windowed = window_linear(VALUES, 2048, 4096)
    assert (windowed[0], windowed[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(np.diff(windowed), 1 / 4095)


def test_linear_window_of_width_one_is_a_threshold() -> None:
    np.testing.assert_array_equal(window_linear(np.array([99.0, 99.5, 100.0]), 100, 1), [0, 0, 1])


def test_linear_exact_window_is_half_at_its_center_and_saturates_half_a_width_away() -> None:
    np.testing.assert_allclose(window_linear_exact(np.array([90.0, 100.0, 110.0, 120.0]), 100, 20), [0, 0.5, 1, 1])


def test_sigmoid_window_is_half_at_its_center_with_slope_one_over_width() -> None:
    around = window_sigmoid(np.array([99.999, 100.0, 100.001]), 100, 50)
    assert around[1] == pytest.approx(0.5)
    assert (around[2] - around[0]) / 0.002 == pytest.approx(1 / 50, rel=1e-6)


def test_sigmoid_window_does_not_overflow() -> None:
    assert window_sigmoid(np.array([-1e9, 1e9]), 0, 1).tolist() == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize(
    ("window", "width"), [(window_linear, 0.5), (window_linear_exact, 0.0), (window_sigmoid, -1.0)]
)
def test_widths_that_the_standard_forbids_are_refused(window, width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        window(VALUES, 0, width)


def test_lookup_holds_its_end_entries_outside_its_range() -> None:
    np.testing.assert_array_equal(lookup(np.array([-5.0, 10, 11, 12, 99]), 10, np.array([7, 8, 9])), [7, 7, 8, 9, 9])


def test_log_exposure_turns_a_constant_ratio_into_a_constant_difference() -> None:
    np.testing.assert_allclose(np.diff(log_exposure(1000.0 * 0.5 ** np.arange(8))), np.log(2))
    assert log_exposure(np.array([0.0])) == 0


def test_stored_values_are_twos_complement_within_the_stored_bits() -> None:
    signed = stored_values(16, 12, True)
    assert (signed[0x7FF], signed[0x800], signed[0xFFF], signed[0xFFFF]) == (2047, -2048, -1, -1)
    np.testing.assert_array_equal(stored_values(8, 8, False), np.arange(256))

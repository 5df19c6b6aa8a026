"""Many FROC curves at once are the same as one after the other."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.functional.froc import froc_pauc, tpr_at, usable_curve
from bundle.functional.froc_curves import partial_areas, tpr_at_rates, usable_curves

RATES = (0.01, 0.1, 0.4, 1.0, 3.0)


def measured(kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Forty curves of ten thresholds: as measured (falling, then rising again), of anything, with ties, or at 0."""
    rng = np.random.default_rng(0)
    fp = rng.gamma(1.0, 0.6, (40, 10))
    if kind == "usual":
        fp = -np.sort(-fp, axis=-1)
        fp[:, 0] *= 0.3
    if kind == "tied":
        fp = np.round(fp, 0)
    if kind == "none":
        fp = np.zeros_like(fp)
    return fp, rng.integers(0, 8, (40, 10)) / 7


@pytest.mark.parametrize("kind", ["usual", "any", "tied", "none"])
def test_curves_are_those_of_the_single_functions(kind: str) -> None:
    fp, tpr = measured(kind)
    curves = usable_curves(fp, tpr)
    for row in range(len(fp)):
        expected = [tpr_at(fp[row], tpr[row], rate) for rate in RATES]
        np.testing.assert_allclose(tpr_at_rates(curves, RATES)[row], expected)
        assert partial_areas(curves)[row] == pytest.approx(froc_pauc(fp[row], tpr[row]))
        assert partial_areas(curves, limit=0.3)[row] == pytest.approx(froc_pauc(fp[row], tpr[row], limit=0.3))


def test_points_are_those_of_the_single_function() -> None:
    fp, tpr = measured("usual")
    for row in range(len(fp)):
        curves, (rate, found) = usable_curves(fp[row], tpr[row]), usable_curve(fp[row], tpr[row])
        np.testing.assert_allclose(tpr_at_rates(curves, rate[1:]), found[1:])


def test_by_hand() -> None:
    # Thresholds rise; the first point lies on the branch that is not read, although it hits everything.
    curves = usable_curves([0.2, 2.0, 0.5, 0.0], [1.0, 0.8, 0.6, 0.1])
    np.testing.assert_allclose(tpr_at_rates(curves, [0.0, 0.25, 0.5, 1.25, 2.0, 9.0]), [0.1, 0.35, 0.6, 0.7, 0.8, 0.8])
    # Trapezoids: (.1 + .6) / 2 over .5, and .6 to .6667 over the other half.
    assert partial_areas(curves) == pytest.approx(0.5 * 0.35 + 0.5 * (0.6 + 0.6 + 0.2 / 3) / 2)


def test_a_perfect_system_has_area_one() -> None:
    assert partial_areas(usable_curves([0.0, 0.0], [1.0, 1.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("place", [0, 1])
def test_nan_of_one_curve_stays_its_own(place: int) -> None:
    curves = [np.array([[2.0, 0.5], [2.0, 0.5]]), np.array([[0.8, 0.6], [0.8, 0.6]])]
    curves[place][0] = np.nan
    found = usable_curves(*curves)
    np.testing.assert_array_equal(np.isnan(partial_areas(found)), [True, False])
    np.testing.assert_array_equal(np.isnan(tpr_at_rates(found, [0.4, 9.0])), [[True, True], [False, False]])


def test_negative_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        tpr_at_rates(usable_curves([1.0], [1.0]), [-1.0])

import json
import math

import numpy as np
import pytest

from bundle.functional.operating_point import operating_table, operating_threshold, threshold_for_fp_rate

LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9]
RATES = [8.0, 2.0, 0.5, 0.1, 0.0]


@pytest.mark.parametrize(("level", "rate"), [(0.1, 8.0), (0.3, 2.0), (0.5, 0.5), (0.7, 0.1)])
def test_measured_rates_give_their_thresholds(level: float, rate: float) -> None:
    assert threshold_for_fp_rate(LEVELS, RATES, wanted=rate) == pytest.approx(level, abs=1e-12)


def test_between_measurements_log_rate_is_linear_in_the_logit() -> None:
    # From 0.1 to 0.9 the logit runs symmetrically through 0, and the geometric mean of the rates lies half way.
    assert threshold_for_fp_rate([0.1, 0.9], [4.0, 0.01], wanted=0.2) == pytest.approx(0.5, abs=1e-4)


def test_fewer_false_positives_never_lower_the_threshold() -> None:
    wanted = np.geomspace(8.0, 0.001, 200)
    thresholds = [threshold_for_fp_rate(LEVELS, RATES, wanted=w) for w in wanted]
    assert np.all(np.diff(thresholds) >= 0)


def test_result_is_never_laxer_than_the_interpolation() -> None:
    for wanted in np.geomspace(1.9, 0.11, 50):
        exact = 1 / (
            1
            + math.exp(-np.interp(-math.log(wanted), -np.log(RATES[1:4]), [math.log(t / (1 - t)) for t in LEVELS[1:4]]))
        )
        got = threshold_for_fp_rate(LEVELS, RATES, wanted=wanted)
        assert exact - 1e-12 <= got <= exact + 1.001e-4


def test_next_to_a_rate_of_zero_the_measured_threshold_is_taken() -> None:
    assert threshold_for_fp_rate(LEVELS, RATES, wanted=0.05) == 0.9


def test_objects_that_run_together_at_low_thresholds_do_not_count_as_few() -> None:
    merged = [0.2, 5.0, 2.0, 0.3, 0.1]
    assert threshold_for_fp_rate(LEVELS, merged, wanted=0.3) == pytest.approx(0.7)


@pytest.mark.parametrize("wanted", [9.0, 0.05, 0.0, -1.0, float("nan")])
def test_rates_out_of_the_measured_range_are_refused_with_the_range(wanted: float) -> None:
    with pytest.raises(ValueError, match=r"within the measured 0\.1 to 8 "):
        threshold_for_fp_rate(LEVELS[:4], RATES[:4], wanted=wanted)


@pytest.mark.parametrize(
    ("levels", "rates", "message"),
    [
        ([0.5], [1.0], "at least two"),
        ([0.1, 0.2], [1.0], "one rate each"),
        ([0.2, 0.1], [1.0, 0.5], "increase strictly"),
        ([0.1, 1.0], [1.0, 0.5], r"within \(0, 1\)"),
        ([0.1, 0.2], [1.0, float("nan")], "finite"),
    ],
)
def test_malformed_curves_are_refused(levels: list[float], rates: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold_for_fp_rate(levels, rates, wanted=0.5)


def test_table_survives_json_and_keeps_methods_apart() -> None:
    curves = {"segmentor": (LEVELS, RATES), "ttgpr": (LEVELS, [rate / 2 for rate in RATES])}
    table = json.loads(json.dumps(operating_table(curves, made_by="phantoms 100-119")))
    assert table["made_by"] == "phantoms 100-119"
    assert operating_threshold(table, "segmentor", fp_per_cm2=0.5) == pytest.approx(0.5)
    assert operating_threshold(table, "ttgpr", fp_per_cm2=0.25) == pytest.approx(0.5)


def test_method_that_was_not_measured_is_named() -> None:
    table = operating_table({"segmentor": (LEVELS, RATES)}, made_by="test")
    with pytest.raises(ValueError, match=r"\(segmentor\), got 'ttgpr'"):
        operating_threshold(table, "ttgpr", fp_per_cm2=0.5)

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bundle.functional.reliability import (
    auroc,
    bootstrap_auroc,
    calibrated_error,
    calibration_error,
    crossed_probability,
    equal_mass_edges,
    halves,
    mean_values,
    reliability_columns,
    shares_true,
)
from bundle.functional.statistics import bootstrap, draw_resamples

RNG = np.random.default_rng
CASES = [f"case {number}" for number in range(8)]


def drawn(count: int = 4000, *, gain: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities said, truths whose logit is `gain` times as large, and cases."""
    rng = RNG(seed)
    said = rng.uniform(0.02, 0.98, count)
    return said, rng.random(count) < expit(gain * logit(said)), rng.integers(0, len(CASES), count)


def error_of(probs: np.ndarray, truth: np.ndarray, edges: np.ndarray) -> float:
    columns = reliability_columns(probs, truth, np.zeros(len(probs), int), edges=edges, count=1)
    return float(calibration_error(columns).function(columns.sum(axis=0)))


def test_bins_have_equal_mass_and_hold_what_is_drawn_at_random() -> None:
    probs, _, _ = drawn(800)
    edges = equal_mass_edges(probs, bins=8)
    assert (edges[0], edges[-1], len(edges)) == (0, 1, 9)
    assert np.histogram(probs, edges)[0].tolist() == pytest.approx([100] * 8, abs=1)


def test_equal_values_share_a_bin_and_weights_are_repetitions() -> None:
    assert equal_mass_edges([0.5] * 9, bins=4).tolist() == [0, 1]
    values, weights = np.array([0.1, 0.4, 0.6, 0.9]), np.array([5, 1, 1, 5])
    repeated = equal_mass_edges(np.repeat(values, weights), bins=3)
    np.testing.assert_array_equal(equal_mass_edges(values, bins=3, weights=weights), repeated)


def test_a_hand_worked_error() -> None:
    # Below 0.5: 0.1 and 0.3, one of two true; above: 0.6, 0.8, 1.0, all true.
    probs, truth = np.array([0.1, 0.3, 0.6, 0.8, 1.0]), np.array([0, 1, 1, 1, 1])
    assert error_of(probs, truth, np.array([0, 0.5, 1])) == pytest.approx((abs(0.4 - 1) + abs(2.4 - 3)) / 5)


def test_curves_are_the_means_of_the_bins() -> None:
    probs, truth, case = drawn()
    edges = equal_mass_edges(probs, bins=5)
    columns = reliability_columns(probs, truth, case, edges=edges, count=len(CASES))
    place = np.digitize(probs, edges[1:-1])
    np.testing.assert_allclose(mean_values(columns), [probs[place == one].mean() for one in range(5)])
    found = bootstrap(shares_true(columns), CASES, draw_resamples(CASES, rng=RNG(0)))
    np.testing.assert_allclose(found.value, [truth[place == one].mean() for one in range(5)])
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()


def test_weights_are_repetitions_in_the_columns_too() -> None:
    edges = np.array([0, 0.5, 1])
    weighted = reliability_columns([0.2, 0.7], [1, 2], [0, 1], edges=edges, count=2, weights=[3, 2])
    plain = reliability_columns([0.2] * 3 + [0.7] * 2, [1, 0, 0, 1, 1], [0] * 3 + [1] * 2, edges=edges, count=2)
    np.testing.assert_allclose(weighted, plain)


@pytest.mark.parametrize("gain", [0.4, 1.0, 2.5])
def test_only_what_is_not_calibrated_errs_by_more_than_chance(gain: float) -> None:
    probs, truth, _ = drawn(gain=gain)
    edges = equal_mass_edges(probs)
    mean, most = calibrated_error(probs, edges=edges, rng=RNG(0))
    assert 0 < mean < most < 0.03
    assert (error_of(probs, truth, edges) > most) == (gain != 1.0)


def test_rescaling_on_one_half_makes_the_other_hold_and_is_a_known_regression() -> None:
    probs, truth, case = drawn(gain=2.5)
    half = case % 2 == 0
    column = logit(probs)[:, None]
    rescaled = crossed_probability(column, truth, half)
    edges = equal_mass_edges(rescaled)
    assert error_of(rescaled, truth, edges) < calibrated_error(rescaled, edges=edges, rng=RNG(0))[1]
    known = LogisticRegression(C=1e6).fit(column[half], truth[half]).predict_proba(column[~half])[:, 1]
    np.testing.assert_allclose(rescaled[~half], known, atol=1e-3)


def test_halves_of_one_kind_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="both halves"):
        crossed_probability(np.zeros((4, 1)), [1, 1, 0, 1], [True, True, False, False])


def test_halves_keep_patients_together() -> None:
    half = halves(["b", "a", "b", "c", "a", "d"])
    assert half.tolist() == [False, True, False, True, True, False]


def test_the_area_is_scikit_learn_s_with_ties_and_weights() -> None:
    rng = RNG(3)
    scores, positive = rng.integers(0, 9, 300) / 9.0, rng.random(300) < 0.4
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    assert float(auroc(scores, positive)) == pytest.approx(roc_auc_score(positive, scores))
    known = [roc_auc_score(positive, scores, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(auroc(scores, positive, weights), known)


def test_the_paired_difference_of_equal_scores_is_zero_and_of_a_better_one_is_sure() -> None:
    _, truth, case = drawn(600)
    patients = [CASES[number] for number in case]
    resamples = draw_resamples(CASES, rng=RNG(0))
    noise = RNG(5).normal(size=600)
    *_, same = bootstrap_auroc([noise, 2 * noise], truth, patients, resamples)
    assert same[:3] == (0, 0, 0)
    first, second, gain = bootstrap_auroc([noise, truth + 0.5 * noise], truth, patients, resamples)
    assert float(gain.value) == pytest.approx(float(second.value - first.value))
    assert gain.low > 0
    assert first.low < first.value < first.high

"""Intervals and tests over patients."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, wilcoxon

from bundle.functional.statistics import (
    Pooled,
    bootstrap,
    bootstrap_difference,
    draw_resamples,
    holm,
    mean_of_cases,
    patient_values,
    ratio_of_sums,
    wilcoxon_p,
)

PATIENTS = ["c", "a", "b", "a", "d", "b", "e"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbered(count: int) -> list[str]:
    return [f"p{index:04d}" for index in range(count)]


def test_every_resample_holds_as_many_patients_as_there_are() -> None:
    resamples = draw_resamples(PATIENTS, rng=rng(), n_resamples=50)
    assert resamples.patients == ("a", "b", "c", "d", "e")
    np.testing.assert_array_equal(resamples.weights.sum(axis=1), 5)


def test_strata_keep_their_number_of_patients() -> None:
    strata = [patient in "ab" for patient in PATIENTS]
    weights = draw_resamples(PATIENTS, rng=rng(), strata=strata, n_resamples=50).weights
    np.testing.assert_array_equal(weights[:, :2].sum(axis=1), 2)
    np.testing.assert_array_equal(weights[:, 2:].sum(axis=1), 3)


def test_a_patient_in_two_strata_is_refused() -> None:
    with pytest.raises(ValueError, match="one stratum"):
        draw_resamples(["a", "a"], rng=rng(), strata=[0, 1])


def test_no_patient_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        draw_resamples([], rng=rng())


def test_bootstrap_agrees_with_resampling_the_cases_themselves() -> None:
    """The slow twin: repeat each patient's cases as often as it was drawn, and count again."""
    hits, objects = rng(1).integers(0, 5, 7), rng(2).integers(5, 9, 7)
    resamples = draw_resamples(PATIENTS, rng=rng(), n_resamples=200)
    draws = []
    for weights in resamples.weights:
        times = dict(zip(resamples.patients, weights.astype(int), strict=True))
        rows = [row for row, patient in enumerate(PATIENTS) for _ in range(times[patient])]
        draws.append(hits[rows].sum() / objects[rows].sum())
    estimate = bootstrap(ratio_of_sums(hits, objects), PATIENTS, resamples)
    assert float(estimate.value) == hits.sum() / objects.sum()
    np.testing.assert_allclose([estimate.low, estimate.high], np.quantile(draws, [0.025, 0.975]))


def test_interval_of_a_mean_is_the_analytic_one() -> None:
    values = rng(3).normal(5.0, 2.0, 400)
    patients = numbered(400)
    estimate = bootstrap(mean_of_cases(values), patients, draw_resamples(patients, rng=rng(), n_resamples=8000))
    half = norm.ppf(0.975) * values.std() / np.sqrt(400)
    # The bootstrap's own error: each end is a quantile of 8,000 draws, known to about 2 % of the half width.
    np.testing.assert_allclose(
        [estimate.low, estimate.high], [values.mean() - half, values.mean() + half], atol=0.06 * half
    )


def test_coverage_of_the_interval_is_about_its_level() -> None:
    covered, patients = 0, numbered(60)
    for seed in range(200):
        values = rng(seed).normal(0.0, 1.0, 60)
        estimate = bootstrap(mean_of_cases(values), patients, draw_resamples(patients, rng=rng(), n_resamples=500))
        covered += int(estimate.low <= 0.0 <= estimate.high)
    # 0.95 less the known shortfall of percentiles at n = 60; binomial error 0.016.
    assert 0.89 <= covered / 200 <= 0.985


def test_repeating_each_patients_cases_changes_nothing() -> None:
    """The patient is the unit: ten equal views of one patient are not ten observations."""
    values, patients = rng(4).random(12), numbered(12)
    resamples = draw_resamples(patients, rng=rng())
    once = bootstrap(mean_of_cases(values), patients, resamples)
    tenfold = bootstrap(mean_of_cases(np.repeat(values, 10)), list(np.repeat(patients, 10)), resamples)
    np.testing.assert_allclose(tenfold[:3], once[:3])


def test_interval_contains_the_estimate() -> None:
    for seed in range(20):
        patients = numbered(15)
        pooled = ratio_of_sums(rng(seed).poisson(3, 15), rng(seed + 100).poisson(9, 15) + 3)
        estimate = bootstrap(pooled, patients, draw_resamples(patients, rng=rng(seed)))
        assert estimate.low <= estimate.value <= estimate.high


def test_identical_systems_differ_by_exactly_nothing() -> None:
    values = rng(5).random(7)
    resamples = draw_resamples(PATIENTS, rng=rng())
    estimate = bootstrap_difference(mean_of_cases(values), mean_of_cases(values.copy()), PATIENTS, resamples)
    assert [float(part) for part in estimate[:3]] == [0.0, 0.0, 0.0]


def test_a_constant_gain_has_an_interval_without_width() -> None:
    """Pairing: what varies between patients, and not between systems, drops out."""
    values = rng(6).random(7)
    resamples = draw_resamples(PATIENTS, rng=rng())
    estimate = bootstrap_difference(mean_of_cases(values + 0.1), mean_of_cases(values), PATIENTS, resamples)
    np.testing.assert_allclose(estimate[:3], 0.1)


def test_swapping_systems_mirrors_the_interval() -> None:
    one, two = mean_of_cases(rng(7).random(7)), mean_of_cases(rng(8).random(7))
    resamples = draw_resamples(PATIENTS, rng=rng())
    forth, back = (bootstrap_difference(*pair, PATIENTS, resamples) for pair in ((one, two), (two, one)))
    np.testing.assert_allclose([forth.low, forth.high], [-back.high, -back.low], atol=1e-15)


def test_one_patient_has_a_value_and_no_interval() -> None:
    estimate = bootstrap(mean_of_cases([0.2, 0.4]), ["a", "a"], draw_resamples(["a", "a"], rng=rng()))
    assert float(estimate.value) == pytest.approx(0.3)
    assert np.isnan(estimate.low)
    assert np.isnan(estimate.high)
    assert estimate.n_patients == 1


def test_patients_without_a_value_do_not_count() -> None:
    resamples = draw_resamples(["a", "b", "c"], rng=rng())
    estimate = bootstrap(mean_of_cases([0.2, np.nan, np.nan]), ["a", "b", "c"], resamples)
    assert (float(estimate.value), estimate.n_patients) == (0.2, 1)
    assert np.isnan(estimate.low)
    assert bootstrap(mean_of_cases([0.2, np.nan, 0.2]), ["a", "b", "c"], resamples).low == 0.2


def test_without_any_value_everything_is_nan() -> None:
    resamples = draw_resamples(["a", "b"], rng=rng())
    assert np.isnan(bootstrap(mean_of_cases([np.nan, np.nan]), ["a", "b"], resamples)[:3]).all()


def test_a_curve_has_an_interval_at_every_point() -> None:
    columns = np.concatenate([rng(9).random((7, 3)), np.ones((7, 1))], axis=1)
    curve = Pooled(columns, lambda sums: sums[..., :3] / sums[..., 3:], needs=(3,))
    resamples = draw_resamples(PATIENTS, rng=rng())
    estimate = bootstrap(curve, PATIENTS, resamples)
    for point in range(3):
        single = bootstrap(mean_of_cases(columns[:, point]), PATIENTS, resamples)
        np.testing.assert_allclose([part[point] for part in estimate[:3]], single[:3])


def test_values_of_patients_are_means_of_their_cases() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan, np.nan])
    np.testing.assert_array_equal(patient_values(mean_of_cases(values), PATIENTS), [3.0, 3.0, 1.0, 5.0, np.nan])


def test_cases_and_patients_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="one patient per case"):
        bootstrap(mean_of_cases([1.0]), ["a", "b"], draw_resamples(["a", "b"], rng=rng()))


def test_a_patient_that_was_not_resampled_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'b'"):
        bootstrap(mean_of_cases([1.0, 2.0]), ["a", "b"], draw_resamples(["a"], rng=rng()))


def exhaustive_signed_rank_p(changes: NDArray[np.float64]) -> float:
    """All 2^n signs, counted."""
    ranks = rankdata(np.abs(changes))
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=len(ranks))])
    positive = ranks[changes > 0].sum()
    return min(1.0, 2 * min(np.mean(sums <= positive + 1e-9), np.mean(sums >= positive - 1e-9)))


@pytest.mark.parametrize("tied", [False, True])
def test_wilcoxon_goes_through_all_signs_of_few_patients(tied: bool) -> None:
    changes = rng(10).normal(0.5, 1.0, 9)
    changes = np.round(changes) + 0.5 if tied else changes
    assert wilcoxon_p(changes, np.zeros(9)) == pytest.approx(exhaustive_signed_rank_p(changes))


def test_wilcoxon_of_many_patients_is_scipys() -> None:
    one, two = rng(11).random(120), rng(12).random(120)
    assert wilcoxon_p(one, two) == pytest.approx(wilcoxon(one, two).pvalue)


def test_six_gains_out_of_six_have_p_of_one_in_thirty_two() -> None:
    assert wilcoxon_p([1, 2, 3, 4, 5, 6], [0] * 6) == pytest.approx(2 / 2**6)


def test_pairs_with_nan_or_without_difference_are_left_out() -> None:
    p = wilcoxon_p([1, 2, 3, 4, np.nan, 7, 2], [0, 0, 0, 0, 1, 7, np.nan])
    assert p == pytest.approx(2 / 2**4)


def test_rounding_makes_no_difference() -> None:
    assert wilcoxon_p([0.1 + 0.2, 0.7], [0.3, 0.7]) == 1.0


def test_all_ties_are_no_evidence() -> None:
    assert wilcoxon_p([0.5] * 8, [0.5] * 8) == 1.0


def test_no_pair_has_no_p() -> None:
    assert np.isnan(wilcoxon_p([np.nan, 1.0], [1.0, np.nan]))


def test_wilcoxon_refuses_unpaired_values() -> None:
    with pytest.raises(ValueError, match="Expected pairs"):
        wilcoxon_p([1.0], [1.0, 2.0])


def test_holm_by_hand() -> None:
    # Sorted .01 .03 .04 .05 -> x4 x3 x2 x1 = .04 .09 .08 .05 -> running maximum .04 .09 .09 .09
    np.testing.assert_allclose(holm([0.03, 0.05, 0.01, 0.04]), [0.09, 0.09, 0.04, 0.09])


def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni() -> None:
    raw = rng(13).random(20) ** 3
    adjusted = holm(raw)
    assert np.all(np.diff(adjusted[np.argsort(raw)]) >= 0)
    assert np.all(adjusted >= raw)
    assert np.all(adjusted <= np.minimum(20 * raw, 1))
    assert adjusted.min() == min(20 * raw.min(), 1)


def test_holm_decides_as_the_step_down_procedure() -> None:
    """Reject from the smallest p on while p <= alpha / (hypotheses left)."""
    for seed in range(30):
        raw, alpha = rng(seed).random(8) ** 4, 0.05
        rejected = np.zeros(8, bool)
        for step, index in enumerate(np.argsort(raw)):
            if raw[index] > alpha / (8 - step):
                break
            rejected[index] = True
        np.testing.assert_array_equal(holm(raw) <= alpha, rejected)


def test_a_missing_p_is_not_a_test() -> None:
    np.testing.assert_array_equal(holm([np.nan, 0.02, 0.5]), [np.nan, 0.04, 0.5])
    assert holm([]).shape == (0,)


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.1, 1.2])

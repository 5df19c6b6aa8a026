from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bundle.functional.candidates import find_candidates
from bundle.functional.evidence import (
    CHANNELS,
    Evidence,
    EvidenceSettings,
    change_of_logits,
    disc_sums,
    fit_evidence,
    local_variance,
    move_basins,
    neighbours_of,
)

from .test_candidates import hills


def evidence(count: int = 400, *, seed: int = 0) -> tuple[Evidence, np.ndarray]:
    """Candidates whose truth follows from 0.5 logit + score, and high-pass that says the opposite."""
    rng = np.random.default_rng(seed)
    logit, score = rng.normal(-1.0, 2.0, count), rng.normal(0.0, 1.5, count)
    truth = (rng.random(count) < expit(0.5 * logit + score - 0.5)).astype(np.uint8)
    high_pass = 3.0 - 2.0 * truth + rng.normal(0.0, 1.0, count)
    return Evidence(logit, score, rng.random(count), high_pass, rng.random(count), np.ones(count, bool)), truth


def test_sums_over_discs_are_a_convolution() -> None:
    error = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    row, column = np.mgrid[-3:4, -3:4]
    disc = (row**2 + column**2 <= 9).astype(float)
    for plane, sums in zip(error[:, 0].numpy(), disc_sums(error, radius_px=3)[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(sums, ndimage.convolve(plane, disc, mode="constant"), rtol=1e-5)


def test_variance_is_the_mean_over_the_square_inside_the_window() -> None:
    error = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0))
    variance = local_variance(error, radius_px=4)[0, 0]
    for row, column in ((0, 0), (5, 7), (11, 3)):
        square = error[0, 0, max(0, row - 4) : row + 5, max(0, column - 4) : column + 5]
        assert float(variance[row, column]) == pytest.approx(float(square.mean()), rel=1e-5)


def test_no_error_still_has_a_variance_above_zero() -> None:
    assert (local_variance(torch.zeros(1, 1, 8, 8), radius_px=2) > 0).all()


# The change of logits.


def test_without_evidence_the_defaults_change_nothing() -> None:
    given, _ = evidence(10)
    nothing = replace(given, score=np.zeros(10))
    assert (change_of_logits(nothing, EvidenceSettings()) == 0).all()


def test_the_change_is_the_weighted_sum_less_the_logit() -> None:
    given, _ = evidence(50)
    settings = EvidenceSettings(
        weight_logit=0.8,
        weight_score=0.3,
        weight_high_pass=0.2,
        weight_spread=-0.4,
        weight_neighbours=0.6,
        bias=0.1,
        max_change=1e9,
    )
    wanted = 0.1 + 0.8 * given.logit + 0.3 * given.score + 0.2 * given.high_pass - 0.4 * given.spread
    wanted += 0.6 * given.neighbours
    np.testing.assert_allclose(given.logit + change_of_logits(given, settings), wanted)


def test_no_logit_moves_further_than_it_may_and_scores_are_limited() -> None:
    given, _ = evidence(50)
    far = replace(given, score=np.where(given.score > 0, 1e6, -1e6))
    change = change_of_logits(far, EvidenceSettings(weight_score=0.25, score_limit=8.0, max_change=4.0))
    np.testing.assert_allclose(change, 2.0 * np.sign(given.score))
    assert np.abs(change_of_logits(far, EvidenceSettings(max_change=1.5))).max() == 1.5


def test_untested_candidates_stay() -> None:
    given, _ = evidence(6)
    some = replace(given, tested=np.array([True, False] * 3))
    change = change_of_logits(some, EvidenceSettings())
    assert (change[1::2] == 0).all()
    assert (change[::2] != 0).all()


def test_a_saturated_false_object_can_go() -> None:
    logits = hills((20, 20, 40.0))
    found = find_candidates(logits, threshold=0.02)
    given = Evidence(found.peak, np.array([-20.0]), np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1, bool))
    settings = EvidenceSettings(weight_score=1.0, max_change=20.0)
    change = change_of_logits(given, settings)
    gone = move_basins(logits, found, change, settings)
    assert float(gone[found.basins > 0].max()) == 12.0 - 20.0
    assert not (gone > 0).any()
    assert torch.equal(move_basins(logits, found, np.zeros(1), settings), logits)


@pytest.mark.parametrize("channel", ["logit", "score", "high_pass", "neighbours"])
def test_more_evidence_never_lowers_the_result(channel: str) -> None:
    given, truth = evidence()
    settings = fit_evidence([given], [truth], EvidenceSettings(max_change=2.0), channels=CHANNELS)
    settings = replace(settings, weight_high_pass=0.3)
    steps = np.linspace(0.0, 5.0, 30)
    results = []
    for step in steps:
        raised = replace(given, **{channel: getattr(given, channel) + step})
        results.append(raised.logit + change_of_logits(raised, settings))
    assert (np.diff(results, axis=0) >= -1e-12).all()


# Neighbours.


def test_neighbours_are_those_of_the_slow_sum() -> None:
    rng = np.random.default_rng(0)
    places, logit = rng.uniform(0, 25, (60, 2)), rng.normal(0, 4, 60)
    settings = EvidenceSettings(neighbour_mm=2.0, same_mm=0.5, neighbour_threshold=0.3)
    wanted = []
    for one in range(60):
        total = 0.0
        for other in range(60):
            distance = float(np.hypot(*(places[one] - places[other])))
            if other != one and 0.5 <= distance <= 8.0:
                probability = 1 / (1 + np.exp(-logit[other]))
                total += probability * np.exp(-(distance**2) / 8) if probability >= 0.3 else 0.0
        wanted.append(np.log1p(total))
    np.testing.assert_allclose(neighbours_of(places, logit, settings), wanted, rtol=1e-12)
    near = neighbours_of(places, logit, replace(settings, neighbour_mm=50.0))
    assert (near > np.array(wanted)).all()


def test_alone_and_beside_its_own_fragments_a_candidate_has_no_neighbours() -> None:
    settings = EvidenceSettings(neighbour_mm=3.0)
    assert neighbours_of(np.zeros((0, 2)), np.zeros(0), settings).shape == (0,)
    assert neighbours_of(np.array([[3.0, 4.0]]), np.array([5.0]), settings) == 0
    pair = np.array([[0.0, 0.0], [0.0, 0.3]])
    assert not neighbours_of(pair, np.full(2, 5.0), settings).any()
    assert neighbours_of(pair * 10, np.full(2, 5.0), settings) == pytest.approx(np.log1p(expit(5.0) * np.exp(-0.5)))


# Moving basins.


def moved(logits: torch.Tensor, change: list[float], **settings: float) -> torch.Tensor:
    choice = EvidenceSettings(**settings)  # type: ignore[arg-type]
    candidates = find_candidates(logits, threshold=choice.threshold)
    assert len(candidates) == len(change)
    return move_basins(logits, candidates, np.array(change), choice)


def test_no_candidate_and_no_change_give_the_same_logits_bit_by_bit() -> None:
    logits = hills((20, 20, 1.0))
    assert torch.equal(moved(logits, [0.0]), logits)
    empty = hills()
    assert moved(empty, []) is empty


def test_a_lowered_candidate_goes_as_a_whole_and_alone() -> None:
    logits = hills((20, 20, 3.0), (20, 50, 3.0))
    lowered = moved(logits, [-3.5, 0.0])
    assert not (lowered[..., :35] > 0).any()
    assert torch.equal(lowered[..., 35:], logits[..., 35:])
    above = logits[..., :35].sigmoid() >= 0.02
    torch.testing.assert_close(lowered[..., :35][above], logits[..., :35][above] - 3.5)


def test_a_raised_candidate_takes_its_core_along_and_no_more() -> None:
    logits = hills((20, 20, -2.0))
    raised = moved(logits, [3.0], core_logits=1.0)
    core = logits >= -3.0
    torch.testing.assert_close(raised[core], logits[core] + 3.0)
    assert torch.equal(raised[~core], logits[~core])
    assert 0 < int((raised > 0).sum()) <= int(core.sum())


def test_the_order_of_pixels_within_a_basin_stays() -> None:
    logits = hills((20, 20, 1.0))
    inside = logits.sigmoid() >= 0.02
    order = logits[inside].argsort(stable=True)
    for change in (-2.0, 2.0):
        assert (moved(logits, [change])[inside][order].diff() >= 0).all()


# Fitting weights.


@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
def test_weights_are_those_of_scikit_learn(penalty: float) -> None:
    given, truth = evidence()
    fitted = fit_evidence([given], [truth], EvidenceSettings(), channels=("logit", "score", "spread"), penalty=penalty)
    features = np.stack([given.logit, given.score, given.spread], axis=1)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    reference = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000).fit((features - mean) / scale, truth)
    weights = reference.coef_[0] / scale
    assert [fitted.weight_logit, fitted.weight_score, fitted.weight_spread] == pytest.approx(weights, abs=1e-4)
    assert fitted.bias == pytest.approx(reference.intercept_[0] - weights @ mean, abs=1e-4)
    assert fitted.weight_high_pass == 0.0


def test_fitted_probabilities_add_up_to_the_true_candidates() -> None:
    given, truth = evidence()
    fitted = replace(fit_evidence([given], [truth], EvidenceSettings()), max_change=1e9)
    probs = expit(given.logit + change_of_logits(given, fitted))
    assert probs.sum() == pytest.approx(truth.sum(), rel=1e-5)


def test_without_the_logit_among_the_channels_the_segmentor_stands_and_evidence_is_added() -> None:
    given, truth = evidence()
    fitted = replace(fit_evidence([given], [truth], EvidenceSettings(), channels=("score",)), max_change=1e9)
    assert fitted.weight_logit == 1.0
    change = change_of_logits(given, fitted)
    # A change that is linear in the score, and with which probabilities add up to the true candidates.
    line = np.polyfit(given.score, change, 1)
    np.testing.assert_allclose(change, np.polyval(line, given.score), atol=1e-8)
    assert line[0] == pytest.approx(fitted.weight_score)
    assert expit(given.logit + change).sum() == pytest.approx(truth.sum(), rel=1e-5)


def test_evidence_that_misleads_gets_no_weight() -> None:
    given, truth = evidence()
    fitted = fit_evidence([given], [truth], EvidenceSettings(), channels=("logit", "high_pass"))
    assert fitted.weight_high_pass == 0.0
    assert fitted.weight_logit > 0.2


def test_ignored_and_untested_candidates_take_no_part() -> None:
    given, truth = evidence()
    whole = fit_evidence([given], [truth], EvidenceSettings())
    more, _ = evidence(30, seed=1)
    ignored = (np.full(30, 2), np.ones(30, bool)), (np.ones(30, np.uint8), np.zeros(30, bool))
    for label, tested in ignored:
        assert fit_evidence([given, replace(more, tested=tested)], [truth, label], EvidenceSettings()) == whole


def test_fitting_needs_both_kinds_and_known_channels() -> None:
    given, truth = evidence()
    with pytest.raises(ValueError, match="got 0 true of 400"):
        fit_evidence([given], [np.zeros_like(truth)], EvidenceSettings())
    with pytest.raises(ValueError, match="'scores'"):
        fit_evidence([given], [truth], EvidenceSettings(), channels=("scores",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.0),
        ("apart_px", -1),
        ("max_groups", 0),
        ("times", ()),
        ("times", (0.5, 1.0)),
        ("draws", 0),
        ("logit_limit", 0.0),
        ("context_threshold", 0.001),
        ("weight_score", -0.1),
        ("max_change", -1.0),
        ("spacing_mm", 0.0),
        ("weight_neighbours", -0.1),
        ("neighbour_mm", 0.0),
        ("neighbour_threshold", 1.0),
        ("same_mm", -0.1),
    ],
)
def test_choices_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Expected {name} "):
        EvidenceSettings(**{name: value})  # type: ignore[arg-type]

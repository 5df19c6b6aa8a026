"""Covering, texture features and AUC by rank."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from bundle.functional.fingerprint import (
    auc,
    bootstrap_auc,
    cover,
    paired_auc,
    paired_shift,
    puncta_cover,
    radial_spectrum,
    texture_features,
)


def _patch(seed: int = 0, sigma: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(-0.2, sigma, (96, 96)).astype(np.float32)


def test_cover_reaches_the_margin_and_no_further() -> None:
    label = np.zeros((41, 41), np.uint8)
    label[20, 20] = 2
    mask = puncta_cover(label, spacing_mm=0.1, margin_mm=0.5)
    assert mask[20, 25]
    assert not mask[20, 26]
    assert not puncta_cover(np.zeros_like(label), spacing_mm=0.1, margin_mm=0.5).any()


def test_what_is_covered_leaves_no_trace() -> None:
    """Whatever lies under the mask, the painted patch and its features are the same."""
    patch, mask = _patch(), np.zeros((96, 96), bool)
    mask[30:50, 40:60] = True
    other = patch.copy()
    other[mask] = 0.9
    np.testing.assert_array_equal(cover(patch, mask), cover(other, mask))
    assert texture_features(patch, mask) == texture_features(other, mask)


def test_cover_leaves_the_rest_alone() -> None:
    patch, mask = _patch(), np.zeros((96, 96), bool)
    mask[30:50, 40:60] = True
    np.testing.assert_array_equal(cover(patch, mask)[~mask], patch[~mask])
    assert cover(patch, np.zeros_like(mask)) is patch


def test_spectrum_of_white_noise_is_flat_and_of_a_wave_is_a_line() -> None:
    flat = radial_spectrum(_patch())
    assert np.ptp(flat[2:]) < 0.5
    rows = np.arange(96)[:, None] * np.ones((1, 96))
    wave = radial_spectrum(np.cos(2 * math.pi * 0.25 * rows).astype(np.float32), bins=16)
    assert wave[2:].argmax() + 2 in (7, 8)


def test_doubling_the_image_adds_log_four_to_the_spectrum() -> None:
    np.testing.assert_allclose(radial_spectrum(2 * _patch()) - radial_spectrum(_patch()), math.log(4), atol=1e-3)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_stronger_noise_shows_in_every_band_as_its_logarithm(scale: float) -> None:
    mask = np.zeros((96, 96), bool)
    first, second = texture_features(_patch(), mask), texture_features(_patch(sigma=0.05 * scale), mask)
    for band in range(4):
        name = f"band {band} deviation"
        assert second[name] - first[name] == pytest.approx(math.log(scale), abs=1e-3)


def test_features_are_finite_at_the_skin_and_on_a_flat_patch() -> None:
    mask = np.zeros((96, 96), bool)
    mask[:4, :4] = True
    patch = np.full((96, 96), -1, np.float32)
    patch[80:, 80:] = 0.1
    assert all(math.isfinite(value) for value in texture_features(patch, mask).values())


def test_auc_equals_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 20, 200).astype(float), rng.random(200) < 0.3
    assert auc(scores, positive) == pytest.approx(metrics.roc_auc_score(positive, scores))


def test_auc_needs_both_classes() -> None:
    assert math.isnan(auc(np.arange(3.0), np.ones(3, bool)))


def test_bootstrap_brackets_the_value_and_repeats() -> None:
    rng = np.random.default_rng(0)
    positive, groups = np.tile([True, False], 200), np.repeat(np.arange(20), 20)
    scores = rng.normal(size=400) + 0.5 * positive
    found = bootstrap_auc(scores, positive, groups, rng=np.random.default_rng(1))
    assert found == bootstrap_auc(scores, positive, groups, rng=np.random.default_rng(1))
    value, low, high = found
    assert low < value < high
    assert value == pytest.approx(norm.cdf(0.5 / math.sqrt(2)), abs=0.06)


def test_shift_is_in_deviations_of_the_clean_and_zero_where_nothing_varies() -> None:
    clean = np.column_stack([np.random.default_rng(0).normal(0, 3, 500), np.ones(500)])
    shift = paired_shift(clean + np.array([0.3, 0.7]), clean)
    assert shift[0] == pytest.approx(0.3 / clean[:, 0].std())
    assert shift[1] == 0


def test_pairs_that_are_alike_allow_an_auc_of_one_half() -> None:
    clean = np.random.default_rng(0).normal(size=(300, 10))
    assert paired_auc(clean, clean) == 0.5


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_linear_limit_of_one_gaussian_feature(shift: float) -> None:
    clean = np.random.default_rng(0).normal(size=(4000, 1))
    assert paired_auc(clean + shift, clean, ridge=0.0) == pytest.approx(norm.cdf(shift / math.sqrt(2)), abs=0.01)


def test_linear_limit_uses_what_features_share() -> None:
    """A small shift of one of two almost equal features is easy to see in their difference."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=2000)
    clean = np.column_stack([first, first + 0.1 * rng.normal(size=2000)])
    alone = paired_auc(clean[:, :1] + 0.1, clean[:, :1], ridge=0.0)
    assert paired_auc(clean + np.array([0.1, 0.0]), clean, ridge=0.0) > alone + 0.15

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from bundle.functional.classical import (
    difference_of_gaussians_score,
    eroded_breast,
    high_pass_score,
    top_hat_score,
)
from bundle.functional.hdog import hdog_score

SPACING = (0.1, 0.1)
SHAPE = (120, 140)
SCORES = [top_hat_score, difference_of_gaussians_score, high_pass_score, hdog_score]
# Rounding of float32 on a constant image; the high-pass divides it by at least 1.2e-4.
RESIDUE = {top_hat_score: 1e-6, difference_of_gaussians_score: 1e-6, high_pass_score: 1e-2, hdog_score: 1e-6}
Score = Callable[..., np.ndarray]


def blob(
    row: float, column: float, *, sigma_px: float = 1.5, amplitude: float = 0.5, shape: tuple = SHAPE
) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return amplitude * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma_px**2))


def half_breast() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return ((rows - 60) / 55) ** 2 + (columns / 110) ** 2 < 1


def textured(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-0.2, 0.05, SHAPE).astype(np.float32)


@pytest.mark.parametrize("score", SCORES)
def test_score_is_float32_and_never_negative(score: Score) -> None:
    result = score(textured(), spacing_mm=SPACING)
    assert (result.dtype, result.shape) == (np.float32, SHAPE)
    assert result.min() >= 0
    assert result.max() > 0


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("value", [-0.7, 0.0, 0.9])
def test_constant_breast_scores_zero_up_to_the_skin(score: Score, value: float) -> None:
    image = np.where(half_breast(), value, -1.0)
    assert score(image, spacing_mm=SPACING, margin_mm=0.0).max() < RESIDUE[score]
    bright = np.where(half_breast(), value + blob(60, 40), -1.0)
    peak = score(bright, spacing_mm=SPACING, margin_mm=0.0)
    assert peak[60, 40] == peak.max()


@pytest.mark.parametrize("score", SCORES)
def test_bright_blob_scores_and_dark_blob_does_not(score: Score) -> None:
    bright = score(textured() + blob(60, 70), spacing_mm=SPACING)
    dark = score(textured() - blob(60, 70), spacing_mm=SPACING)
    row, column = np.argwhere(bright == bright.max()).mean(axis=0)
    assert np.hypot(row - 60, column - 70) <= 1
    assert dark[60, 70] == 0
    assert bright[60, 70] > 1.5 * dark.max()


@pytest.mark.parametrize("score", SCORES)
def test_brightness_offset_changes_nothing(score: Score) -> None:
    image = textured() + blob(60, 70)
    shifted = score(image + np.float32(0.1), spacing_mm=SPACING)
    np.testing.assert_allclose(score(image, spacing_mm=SPACING), shifted, atol=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_same_scene_at_half_the_spacing_scores_the_same(score: Score) -> None:
    coarse = blob(30, 35, sigma_px=2, shape=(60, 70)) - 0.5
    fine = blob(60, 70, sigma_px=4, shape=(120, 140)) - 0.5
    a = score(coarse, spacing_mm=(0.1, 0.1))[30, 35]
    b = score(fine, spacing_mm=(0.05, 0.05))[60, 70]
    assert b == pytest.approx(a, rel=0.1)


@pytest.mark.parametrize("score", SCORES)
def test_what_lies_outside_the_breast_does_not_matter(score: Score) -> None:
    breast = half_breast()
    black, white = np.where(breast, textured(), -1.0), np.where(breast, textured(), 1.0)
    np.testing.assert_array_equal(
        score(black, spacing_mm=SPACING, breast=breast), score(white, spacing_mm=SPACING, breast=breast)
    )


@pytest.mark.parametrize("score", SCORES)
def test_score_vanishes_outside_the_eroded_breast_only(score: Score) -> None:
    image = np.where(half_breast(), textured(), -1.0)
    inner = eroded_breast(half_breast(), spacing_mm=SPACING, margin_mm=1.0)
    result = score(image, spacing_mm=SPACING, margin_mm=1.0)
    assert result[~inner].max() == 0
    assert np.mean(result[inner] > 0) > 0.3


@pytest.mark.parametrize("score", SCORES)
def test_mirroring_the_image_mirrors_the_score(score: Score) -> None:
    image = np.where(half_breast(), textured() + blob(50, 30), -1.0)
    flipped = score(image[:, ::-1], spacing_mm=SPACING)
    np.testing.assert_allclose(flipped[:, ::-1], score(image, spacing_mm=SPACING), atol=2e-4)


@pytest.mark.parametrize("score", SCORES)
def test_views_without_a_breast_score_zero(score: Score) -> None:
    assert not score(np.full((30, 20), -1.0), spacing_mm=SPACING).any()


@pytest.mark.parametrize("score", SCORES)
def test_constant_and_single_pixel_views_are_finite(score: Score) -> None:
    for image in (np.zeros((1, 1)), np.zeros((30, 20)), np.full((1, 9), 0.3)):
        result = score(image, spacing_mm=SPACING)
        assert np.all(np.isfinite(result))
        assert result.max() < RESIDUE[score]


@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.05, 0.1)])
def test_top_hat_is_that_of_a_disc_footprint(spacing: tuple[float, float]) -> None:
    image, radius = textured(1), 0.4
    reach = [int(radius / s + 1e-9) for s in spacing]
    rows, columns = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (rows * spacing[0]) ** 2 + (columns * spacing[1]) ** 2 <= radius**2 + 1e-9
    slow = ndimage.grey_erosion(image, footprint=disc, mode="constant", cval=np.inf)
    slow = ndimage.grey_dilation(slow, footprint=disc, mode="constant", cval=-np.inf)
    ours = top_hat_score(image, spacing_mm=spacing, diameter_mm=2 * radius)
    np.testing.assert_allclose(ours, image - slow, atol=1e-6)


def test_top_hat_keeps_what_is_narrower_than_the_disc_and_drops_what_is_wider() -> None:
    image = np.zeros(SHAPE)
    image[20:23, 20:23] = 0.5
    image[60:90, 60:90] = 0.5
    score = top_hat_score(image, spacing_mm=SPACING, diameter_mm=1.0)
    assert score[21, 21] == pytest.approx(0.5)
    assert score[65:85, 65:85].max() == 0


def test_difference_of_gaussians_of_a_gaussian_has_its_closed_form() -> None:
    sigma, inner, outer, amplitude = 3.0, 2.0, 5.0, 0.5
    image = blob(60, 70, sigma_px=sigma, amplitude=amplitude)
    score = difference_of_gaussians_score(image, spacing_mm=SPACING, inner_mm=inner * 0.1, outer_mm=outer * 0.1)
    expected = amplitude * sigma**2 * (1 / (sigma**2 + inner**2) - 1 / (sigma**2 + outer**2))
    assert score[60, 70] == pytest.approx(expected, rel=1e-3)


def test_high_pass_counts_in_local_standard_deviations() -> None:
    # Quiet on the left, four times as noisy on the right: the same score distribution on both sides.
    noise = np.random.default_rng(2).normal(0, 0.02, (200, 240))
    noise[:, 120:] *= 4
    score = high_pass_score(noise, spacing_mm=SPACING, sigmas_mm=(0.3,), deviation_mm=2.5)
    left, right = score[:, 20:100], score[:, 140:220]
    assert np.percentile(right, 99) == pytest.approx(np.percentile(left, 99), rel=0.1)
    assert np.percentile(left, 97.5) == pytest.approx(1.96, rel=0.1)


def test_high_pass_takes_the_best_scale() -> None:
    image = textured() + blob(60, 70)
    single = [high_pass_score(image, spacing_mm=SPACING, sigmas_mm=(s,)) for s in (0.1, 0.3)]
    np.testing.assert_array_equal(high_pass_score(image, spacing_mm=SPACING, sigmas_mm=(0.1, 0.3)), np.maximum(*single))


def test_erosion_leaves_the_chest_wall_and_takes_the_margin_from_the_skin() -> None:
    breast = np.zeros((100, 80), bool)
    breast[20:80, :50] = True
    inner = eroded_breast(breast, spacing_mm=(0.2, 0.1), margin_mm=1.0)
    expected = np.zeros_like(breast)
    expected[25:75, :40] = True
    np.testing.assert_array_equal(inner, expected)


def test_no_margin_erodes_nothing() -> None:
    np.testing.assert_array_equal(eroded_breast(half_breast(), spacing_mm=SPACING, margin_mm=0.0), half_breast())


def test_senseless_options_are_refused() -> None:
    image = textured()
    with pytest.raises(ValueError, match="inner < outer"):
        difference_of_gaussians_score(image, spacing_mm=SPACING, inner_mm=0.3, outer_mm=0.2)
    with pytest.raises(ValueError, match="at least one sigma"):
        high_pass_score(image, spacing_mm=SPACING, sigmas_mm=())
    with pytest.raises(ValueError, match="disc diameter > 0 mm"):
        top_hat_score(image, spacing_mm=SPACING, diameter_mm=0)
    with pytest.raises(ValueError, match="pixel spacing > 0 mm"):
        top_hat_score(image, spacing_mm=(0.0, 0.1))
    with pytest.raises(ValueError, match="2-D shape"):
        top_hat_score(image[None], spacing_mm=SPACING)

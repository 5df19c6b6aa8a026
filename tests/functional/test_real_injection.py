import numpy as np
import pytest

from bundle.functional.benchmark_clusters import DISTRIBUTIONS, Calcification
from bundle.functional.benchmark_shapes import sphere
from bundle.functional.real_injection import (
    VISIBILITY_FLOOR,
    Placed,
    gain_for_cnr,
    inject_thickness,
    local_noise,
    place,
    sample_calcifications,
)

SPACING = 0.07
SHAPE = (200, 220)


def ball(row_mm: float, column_mm: float, *, diameter_mm: float = 0.5) -> Calcification:
    return Calcification(row_mm, column_mm, diameter_mm, "round", sphere(), 0, "grouped")


def background(seed: int = 0, *, sigma: float = 0.04) -> np.ndarray:
    return np.random.default_rng(seed).normal(-0.2, sigma, SHAPE).astype(np.float32)


def three() -> Placed:
    balls = [ball(4.0, 4.0, diameter_mm=0.2), ball(7.0, 8.0, diameter_mm=0.4), ball(10.0, 11.0, diameter_mm=0.8)]
    return place(balls, SHAPE, spacing_mm=SPACING, blur_sigma_mm=0.04)


def test_without_blur_the_added_value_is_gain_times_attenuation_times_thickness() -> None:
    # A ball of 2 mm is almost flat over its middle pixel: 2 mm x 0.755 /mm.
    placed = place([ball(7.035, 7.035, diameter_mm=2.0)], SHAPE, spacing_mm=SPACING, blur_sigma_mm=1e-6)
    flat = np.full(SHAPE, -0.5, np.float32)
    image, _ = inject_thickness(flat, placed, local_noise(flat, spacing_mm=SPACING), gain=0.1)
    assert image[100, 100] + 0.5 == pytest.approx(0.1 * 0.755 * 2.0, rel=2e-3)


def test_added_value_is_proportional_to_the_gain_and_stays_within_the_calcifications() -> None:
    placed, flat = three(), np.full(SHAPE, -0.5, np.float32)
    noise = local_noise(flat, spacing_mm=SPACING)
    once, twice = (inject_thickness(flat, placed, noise, gain=gain)[0] + 0.5 for gain in (0.2, 0.4))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-6)
    outside = np.ones(SHAPE, bool)
    for _, stamp in placed:
        outside[stamp.region] = False
    assert np.all(once[outside] == 0)
    assert once.min() >= 0


def test_blur_lowers_the_peak_and_keeps_the_sum_of_a_faint_calcification() -> None:
    # Faint, so that the logarithm is linear.
    flat = np.full(SHAPE, -0.5, np.float32)
    noise = local_noise(flat, spacing_mm=SPACING)
    sharp, soft = (
        inject_thickness(
            flat,
            place([ball(7.0, 7.0, diameter_mm=0.1)], SHAPE, spacing_mm=SPACING, blur_sigma_mm=sigma),
            noise,
            gain=1.0,
        )[0]
        + 0.5
        for sigma in (0.001, 0.065)
    )
    assert soft.max() < 0.8 * sharp.max()
    assert soft.sum() == pytest.approx(sharp.sum(), rel=0.03)


def test_the_median_calcification_gets_the_wanted_ratio() -> None:
    placed = three()
    noise = local_noise(background(), spacing_mm=SPACING)
    gain = gain_for_cnr(placed, noise, median_cnr=6.0)
    image, _ = inject_thickness(background(), placed, noise, gain=gain)
    stamp = placed[1][1]
    peak = (image - background())[stamp.region].max()
    middle = tuple((side.start + side.stop) // 2 for side in stamp.region)
    assert peak / noise[middle] == pytest.approx(6.0, rel=1e-3)


def test_below_the_visibility_floor_is_ignored_and_masks_do_not_depend_on_contrast() -> None:
    placed = three()
    noise = local_noise(background(), spacing_mm=SPACING)
    faint, middling, strong = (
        inject_thickness(background(), placed, noise, gain=gain_for_cnr(placed, noise, median_cnr=cnr))[1]
        for cnr in (0.05, VISIBILITY_FLOOR / 3, 50.0)
    )
    assert set(np.unique(faint)) == {0, 2}
    assert set(np.unique(middling)) == {0, 1, 2}
    assert set(np.unique(strong)) == {0, 1}
    np.testing.assert_array_equal(faint > 0, strong > 0)


def test_mask_is_where_at_least_half_the_beam_s_loss_is() -> None:
    # Half the chord of a ball is at sqrt(3) / 2 of its radius; the loss is a little flatter than the chord.
    placed = place([ball(7.035, 7.035, diameter_mm=1.5)], SHAPE, spacing_mm=SPACING, blur_sigma_mm=0.04)
    flat = np.full(SHAPE, -0.5, np.float32)
    _, label = inject_thickness(flat, placed, local_noise(flat, spacing_mm=SPACING), gain=1.0)
    loss_at_half = -np.log(1 - 0.5 * (1 - np.exp(-0.755 * 1.5))) / 0.755 / 1.5
    radius_mm = 0.75 * np.sqrt(1 - loss_at_half**2)
    assert np.count_nonzero(label == 1) * SPACING**2 == pytest.approx(np.pi * radius_mm**2, rel=0.05)


def test_values_end_at_white() -> None:
    bright = np.full(SHAPE, 0.95, np.float32)
    image, _ = inject_thickness(bright, three(), local_noise(bright, spacing_mm=SPACING), gain=5.0)
    assert image.max() == 1.0


def test_local_noise_of_white_noise_is_its_deviation() -> None:
    noise = local_noise(background(sigma=0.05), spacing_mm=SPACING)
    # Less what the mean of 14 x 14 pixels takes away.
    assert np.median(noise) == pytest.approx(0.05 * np.sqrt(1 - 1 / 14**2), rel=0.02)
    assert np.all(local_noise(np.zeros(SHAPE, np.float32), spacing_mm=SPACING) > 0)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_calcifications_lie_in_the_breast(distribution: str) -> None:
    breast = np.zeros((400, 400), bool)
    breast[60:340, :250] = True
    drawn = sample_calcifications(np.random.default_rng(0), breast, distribution=distribution, spacing_mm=0.1)
    assert distribution in {one.distribution for one in drawn}
    for one in drawn:
        assert 6.0 + 1.9 < one.row_mm < 34.0 - 1.9
        assert 1.9 < one.column_mm < 25.0 - 1.9


def test_the_same_stream_draws_the_same() -> None:
    breast = np.ones((300, 300), bool)
    first, again, other = (
        sample_calcifications(np.random.default_rng(seed), breast, distribution="linear", spacing_mm=0.1)
        for seed in (3, 3, 4)
    )
    assert [one.row_mm for one in first] == [one.row_mm for one in again] != [one.row_mm for one in other]


def test_a_sliver_of_breast_is_refused() -> None:
    breast = np.zeros((100, 100), bool)
    breast[:, :30] = True
    with pytest.raises(ValueError, match="take another crop"):
        sample_calcifications(np.random.default_rng(0), breast, distribution="grouped", spacing_mm=0.1)

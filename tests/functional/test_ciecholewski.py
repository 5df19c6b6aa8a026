import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima
from skimage.segmentation import watershed
from skimage.transform import pyramid_expand, pyramid_reduce

from bundle.functional.ciecholewski import (
    RESIDUE_THRESHOLD,
    ciecholewski_score,
    close_open,
    extended_maxima,
    pyramid_residue,
)

EIGHT = np.ones((3, 3))


def score(image: np.ndarray, **options: object) -> np.ndarray:
    return ciecholewski_score(image, spacing_mm=(0.07, 0.07), margin_mm=0.0, **options)


def textured(seed: int, shape: tuple[int, int] = (120, 100)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = 0.1 * ndimage.gaussian_filter(rng.normal(0, 1, shape), 4) / 0.07 + rng.normal(-0.2, 0.04, shape)
    spots = np.zeros(shape)
    spots[rng.integers(10, shape[0] - 10, 15), rng.integers(10, shape[1] - 10, 15)] = 1
    return np.clip(image + 0.4 * ndimage.binary_dilation(spots, EIGHT, iterations=2), -0.99, 1).astype(np.float32)


def test_a_square_is_outlined_to_the_pixel() -> None:
    image = np.full((60, 64), -0.4, np.float32)
    square = np.zeros(image.shape, bool)
    square[20:25, 30:35] = True
    image[square] = 0.1
    np.testing.assert_array_equal(score(image) >= RESIDUE_THRESHOLD, square)


def test_a_single_pixel_falls_to_the_closing_and_opening() -> None:
    image = np.full((40, 40), -0.4, np.float32)
    image[20, 20] = 0.5
    assert not score(image).any()


@pytest.mark.parametrize("ramp", [0.0, 0.01])
def test_flat_and_sloping_tissue_holds_nothing(ramp: float) -> None:
    image = np.float32(-0.5 + ramp * np.arange(50)[:, None] + np.zeros((50, 60)))
    # The top of the slope lies on the border, where the pyramid sees the slope end.
    assert not (score(image)[:40] >= RESIDUE_THRESHOLD).any()


@pytest.mark.parametrize(("levels", "found"), [(6.0, True), (5.0, False)])
def test_only_what_rises_by_more_than_five_grey_levels_is_found(levels: float, found: bool) -> None:
    image = np.full((50, 50), 100, np.float32)
    image[20:24, 20:24] += levels
    shown = score(2 * image / 255 - 1) > 0
    assert bool(shown.any()) is found


def test_too_large_an_object_is_left_out() -> None:
    image = np.full((120, 120), -0.4, np.float32)
    image[30:70, 30:70] = 0.1
    assert int((score(image, levels=6) > 0.1).sum()) == 1600
    assert not score(image, levels=6, max_area_px=1599).any()


def test_residue_is_the_image_less_its_expanded_pyramid() -> None:
    scaled = ((textured(0, (64, 48)) + 1) / 2).astype(np.float32)
    first = pyramid_reduce(close_open(scaled))
    second = pyramid_reduce(close_open(first))
    slow = [scaled - np.minimum(pyramid_expand(m, upscale=2**n), scaled) for n, m in enumerate((first, second), 1)]
    np.testing.assert_allclose(pyramid_residue(scaled, levels=2), np.maximum(*slow), atol=1e-6)


def test_a_size_that_does_not_halve_changes_nothing_inside() -> None:
    scaled = ((textured(1, (64, 64)) + 1) / 2).astype(np.float32)
    whole, cut = pyramid_residue(scaled, levels=2), pyramid_residue(scaled[:61, :62], levels=2)
    np.testing.assert_allclose(cut[:40, :40], whole[:40, :40], atol=1e-6)


def test_extended_maxima_are_the_domes_that_rise_high_enough() -> None:
    # A dome of height 5 is a component of {grey >= level} whose top is exactly 5 above the level.
    grey = np.rint(ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 40, (30, 30)), 1.2) + 100)
    expected = np.zeros(grey.shape, bool)
    for level in range(int(grey.min()) + 1, int(grey.max()) + 1):
        objects, count = ndimage.label(grey >= level, structure=EIGHT)
        for number in range(1, count + 1):
            if grey[objects == number].max() - level == 5:
                expected |= objects == number
    assert 0.02 < expected.mean() < 0.5
    np.testing.assert_array_equal(extended_maxima(grey.astype(np.float32), 5), expected)


@pytest.mark.parametrize("threshold", [4 / 256, 10 / 256, 20 / 256])
def test_score_at_a_threshold_is_the_segmentation_with_markers_at_that_threshold(threshold: float) -> None:
    image = textured(3)
    scaled = (image + 1) / 2
    grey = np.rint(255 * scaled).astype(np.float32)
    domes, _ = ndimage.label(extended_maxima(grey, 5), structure=EIGHT)
    kept = np.isin(domes, np.unique(domes[(pyramid_residue(scaled, levels=2) >= threshold) & (domes > 0)]))
    smooth = close_open(grey)
    peaks, count = ndimage.label(local_maxima(smooth), structure=EIGHT)
    inner = np.isin(peaks, np.unique(peaks[kept & (domes > 0)])) & (peaks > 0)
    zones = watershed(-smooth, peaks, watershed_line=True)
    lines = np.pad(zones[1:-1, 1:-1], 1) == 0
    empty = ~np.isin(zones, np.unique(zones[inner]))
    markers = np.where(inner, peaks, np.where(lines | empty, count + 1, 0))
    objects = watershed(ndimage.morphological_gradient(smooth, size=3), markers)
    found = score(image) >= np.float32(threshold)
    assert 3 < len(np.unique(objects)) < 200
    # But for plateaus of the gradient, where the order of the flood decides whose a pixel is.
    assert np.mean(found != (objects <= count)) < 0.04 * np.mean(found)


def test_bright_spots_are_found_and_most_of_the_rest_is_not() -> None:
    image = textured(4)
    spots = image > 0.25
    found = score(image) >= 0.12
    assert found[spots].mean() > 0.6
    assert found[~spots].mean() < 0.05


def test_the_skin_margin_is_left_out() -> None:
    image = textured(5)
    image[:, 70:] = -1
    result = ciecholewski_score(image, spacing_mm=(0.1, 0.1), margin_mm=1.0)
    assert result[:, :60].any()
    assert not result[:, 60:].any()


@pytest.mark.parametrize("option", ["height", "levels"])
def test_an_option_below_one_is_named(option: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        score(textured(6), **{option: 0})

import numpy as np
import pytest
from scipy import ndimage
from skimage.exposure import equalize_adapthist

from bundle.functional.clahe import clahe, tile_curves


def tissue(seed: int, shape: tuple[int, int] = (256, 192)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(0, 1, shape), 12)
    image = np.clip(0.6 * image / image.std() - 0.1 + rng.normal(0, 0.03, shape), -0.999, 1)
    # The whole range is used, so that scikit-image stretches nothing.
    image[0, 0], image[-1, -1] = -0.9999, 1
    return image.astype(np.float32)


def test_it_agrees_with_scikit_image_on_an_image_of_full_range() -> None:
    image = tissue(0)
    theirs = equalize_adapthist((image.astype(float) + 1) / 2, kernel_size=64, clip_limit=4.0 / 256, nbins=256)
    # Theirs stretches its result once more.
    ours = (clahe(image, clip_limit=4.0, tile_px=64).astype(float) + 1) / 2
    ours = (ours - ours.min()) / (ours.max() - ours.min())
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.995
    assert np.abs(ours - theirs).mean() < 0.02


def test_one_tile_without_a_limit_is_histogram_equalisation() -> None:
    rng = np.random.default_rng(1)
    image = np.clip(rng.normal(-0.4, 0.1, (128, 128)), -0.99, 1).astype(np.float32)
    result = clahe(image, clip_limit=256.0, tile_px=128)
    rank = image.ravel().argsort().argsort() / image.size
    np.testing.assert_allclose((result.ravel() + 1) / 2, rank, atol=0.06)


def test_a_tile_that_holds_every_grey_equally_stays_as_it_is() -> None:
    greys = np.random.default_rng(2).permutation(np.arange(64 * 64)) / 64**2
    image = np.float32(2 * greys.reshape(64, 64) - 0.9999)
    np.testing.assert_allclose(clahe(image, tile_px=64), image, atol=2 * 2 / 256)


def test_the_slope_never_exceeds_the_limit() -> None:
    bins = np.random.default_rng(3).integers(100, 110, (64, 64))
    curve = tile_curves(bins, clip_limit=2.0, tile_px=64)[0, 0]
    spread = (64 * 64 - 10 * 2 * 16) / 256 / 64**2
    assert np.diff(curve).max() <= 2.0 / 256 + spread + 1e-6
    assert curve[-1] == pytest.approx(1.0, abs=1e-5)


def test_the_same_tissue_looks_the_same_beside_brighter_tissue_far_away() -> None:
    image = tissue(4)
    other = image.copy()
    other[200:, 150:] = 1.0
    np.testing.assert_array_equal(clahe(image, tile_px=32)[:128, :96], clahe(other, tile_px=32)[:128, :96])


def test_brighter_stays_brighter_within_a_tile() -> None:
    image = tissue(5, (64, 64))
    result = clahe(image, tile_px=64)
    assert np.all(np.diff(result.ravel()[image.ravel().argsort()]) >= 0)


def test_outside_stays_outside_and_inside_inside() -> None:
    image = tissue(6)
    image[:, 100:] = -1
    np.testing.assert_array_equal(clahe(image, tile_px=64) == -1, image == -1)


def test_gamma_is_the_power_law_of_the_result() -> None:
    image = tissue(7)
    plain, curved = ((clahe(image, gamma=g) + 1) / 2 for g in (1.0, 2.0))
    np.testing.assert_allclose(curved, np.sqrt(plain), atol=1e-5)


@pytest.mark.parametrize("option", [{"clip_limit": 0.5}, {"tile_px": 1}, {"gamma": 0.0}])
def test_an_option_out_of_range_is_named(option: dict) -> None:
    with pytest.raises(ValueError, match="clip limit >= 1"):
        clahe(tissue(8), **option)
    with pytest.raises(ValueError, match="one view at a time"):
        clahe(tissue(8)[None])

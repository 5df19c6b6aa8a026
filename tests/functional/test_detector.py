import numpy as np
import pytest

from bundle.functional.detector import Detector, add_noise, apply_detector, sample_detector


def _image() -> np.ndarray:
    image = np.random.default_rng(0).uniform(-0.9, 0.9, (64, 64)).astype(np.float32)
    image[:, :16] = -1.0
    return image


def test_ideal_detector_is_identity_to_its_depth() -> None:
    np.testing.assert_allclose(apply_detector(_image(), Detector()), _image(), atol=2.0 / (2**16 - 1))


def test_quantisation_leaves_the_levels_of_its_depth() -> None:
    assert len(np.unique(apply_detector(_image(), Detector(bits=4)))) <= 2**4


def test_outside_of_the_breast_stays_outside() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        out = apply_detector(_image(), sample_detector(rng), rng)
        assert (out[:, :16] == -1).all()
        assert np.abs(out).max() <= 1.0


def test_jpeg_of_better_quality_is_closer() -> None:
    smooth = np.cumsum(np.cumsum(_image(), 0), 1)
    smooth = (smooth / np.abs(smooth).max() * 0.9).astype(np.float32)
    errors = [np.abs(apply_detector(smooth, Detector(jpeg_quality=q)) - smooth).mean() for q in (20, 95)]
    assert errors[1] < errors[0]


def test_noise_has_its_deviation_and_stays_inside() -> None:
    flat = np.zeros((128, 128), np.float32)
    flat[:, :16] = -1.0
    for correlation in (0.0, 1.0):
        noisy = add_noise(flat, np.random.default_rng(0), sigma=0.02, correlation_px=correlation)
        assert noisy[:, 16:].std() == pytest.approx(0.02, rel=0.1)
        assert (noisy[:, :16] == -1).all()


def test_correlated_noise_has_alike_neighbours() -> None:
    noisy = add_noise(np.zeros((128, 128), np.float32), np.random.default_rng(0), sigma=0.02, correlation_px=1.0)
    assert np.corrcoef(noisy[:, 1:].ravel(), noisy[:, :-1].ravel())[0, 1] > 0.5


def test_sharpening_steepens_an_edge() -> None:
    step = np.full((32, 32), -0.2, np.float32)
    step[:, 16:] = 0.2
    soft, sharp = (apply_detector(step, Detector(blur_sigma_px=1.0, sharpening=s)) for s in (0.0, 1.0))
    assert np.diff(sharp, axis=1).max() > 1.2 * np.diff(soft, axis=1).max()


def test_grain_is_strongest_at_medium_brightness() -> None:
    levels = [np.full((64, 64), level, np.float32) for level in (-0.98, 0.0, 0.98)]
    spread = [apply_detector(x, Detector(grain=0.02), np.random.default_rng(0)).std() for x in levels]
    assert spread[1] > 2 * max(spread[0], spread[2])
    assert spread[1] == pytest.approx(2 * 0.02, rel=0.05)


def test_grain_without_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="randomness"):
        apply_detector(_image(), Detector(grain=0.01))


def test_black_tissue_stays_inside_the_breast() -> None:
    dark = np.full((16, 16), -0.99, np.float32)
    assert (apply_detector(dark, Detector(offset=-0.5)) > -1).all()


def test_noise_never_turns_tissue_into_outside() -> None:
    dark = np.full((64, 64), -0.98, np.float32)
    assert (add_noise(dark, np.random.default_rng(0), sigma=0.05) > -1).all()

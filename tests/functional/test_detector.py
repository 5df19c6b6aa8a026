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
        out = apply_detector(_image(), sample_detector(rng))
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

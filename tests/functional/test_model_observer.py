import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft

from bundle.functional.model_observer import ModelObserver, peaks

SIDE = 512


def _spot(sigma: float, *, side: int = 21) -> NDArray[np.float32]:
    row, column = np.mgrid[:side, :side] - side // 2
    return np.exp(-(row**2 + column**2) / (2 * sigma**2)).astype(np.float32)


def _coloured(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Noise, and its power at each frequency of a transform of (SIDE, SIDE)."""
    frequency = np.hypot(fft.fftfreq(SIDE)[:, None], fft.fftfreq(SIDE)[None])
    power = 1 / (0.02 + frequency) ** 2
    noise = fft.ifft2(fft.fft2(rng.normal(size=(SIDE, SIDE))) * np.sqrt(power)).real
    return noise.astype(np.float32), power


def test_in_white_noise_detectability_is_the_signals_norm() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.5, (SIDE, SIDE))
    signal = 0.3 * _spot(2.0)
    rise = ModelObserver(image, np.ones(image.shape, bool), reach_px=101).scores(signal).rise
    assert np.median(rise) == pytest.approx(np.linalg.norm(signal) / 0.5, rel=0.05)


def test_in_coloured_noise_detectability_is_that_of_the_prewhitening_filter() -> None:
    rng = np.random.default_rng(0)
    image, power = _coloured(rng)
    signal = 5 * _spot(2.0)
    best = np.sqrt(np.mean(np.abs(fft.fft2(signal, (SIDE, SIDE))) ** 2 / power))
    plain = (signal**2).sum() / np.sqrt(np.mean(np.abs(fft.fft2(signal, (SIDE, SIDE))) ** 2 * power))
    rise = ModelObserver(image, np.ones(image.shape, bool), reach_px=101).scores(signal).rise
    assert plain < 0.7 * best
    assert np.median(rise) == pytest.approx(best, rel=0.1)


def test_the_score_of_an_added_signal_is_that_without_it_and_the_rise() -> None:
    rng = np.random.default_rng(0)
    image, _ = _coloured(rng)
    signal = 20 * _spot(1.5)[:, 3:]  # its middle is not the square's
    place = (200, 301)
    added = image.copy()
    added[place[0] - 10 : place[0] + 11, place[1] - 9 : place[1] + 9] += signal
    everywhere = np.ones(image.shape, bool)
    observer = ModelObserver(image, everywhere)
    before, after = observer.scores(signal), ModelObserver(added, everywhere).scores(signal)
    assert before.rise[place] > 5
    # A signal adds to the standard deviation around it, too.
    assert after.without[place] == pytest.approx(before.without[place] + before.rise[place], rel=0.3)
    assert np.unravel_index(after.without.argmax(), after.without.shape) == place


def test_scores_do_not_depend_on_what_lies_outside_or_on_gain() -> None:
    rng = np.random.default_rng(0)
    image, _ = _coloured(rng)
    region = np.zeros(image.shape, bool)
    region[:, :300] = True
    other = np.where(region, 7 * image + 3, 1e4)
    first, second = (ModelObserver(one, region).scores(_spot(1.0)).without for one in (image, other))
    np.testing.assert_allclose(first[:, :300], second[:, :300], atol=2e-3)


def test_peaks_are_maxima_in_the_region_highest_first() -> None:
    scores = np.zeros((40, 40), np.float32)
    scores[5, 5], scores[5, 8], scores[20, 20], scores[30, 35] = 2, 1, 3, 9
    region = np.ones(scores.shape, bool)
    region[:, 30:] = False
    assert peaks(scores, region)[:2].tolist() == [3, 2]


def test_what_cannot_be_is_one_line() -> None:
    image, region = np.random.default_rng(0).normal(size=(200, 200)), np.zeros((200, 200), bool)
    with pytest.raises(ValueError, match="Expected a region that holds a block of 128 px"):
        ModelObserver(image, region)
    with pytest.raises(ValueError, match="Expected squares of 3 px or more, got 128 and 0 px"):
        ModelObserver(image, ~region, reach_px=0)
    observer = ModelObserver(image, ~region)
    for signal in (np.zeros((9, 9)), np.ones((129, 9))):
        with pytest.raises(ValueError, match="Expected a signal of at most 128 px"):
            observer.scores(signal)

"""Calibration without a label: what is injected, what is counted, how much of a gap is closed."""

import numpy as np
import pytest

from bundle.functional.calibration import (
    best_index,
    counts_at,
    f2_at,
    f2_of_counts,
    fp_rate_at,
    injected_view,
    share_closed,
    with_ignored,
)
from bundle.functional.objects import count_objects
from bundle.functional.statistics import bootstrap, draw_resamples

SPACING_MM = 0.1


def tissue(seed: int = 0, side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Noise in a breast that ends at three quarters of the columns."""
    image = np.random.default_rng(seed).normal(-0.2, 0.03, (side, side)).astype(np.float32)
    breast = np.zeros(image.shape, bool)
    breast[:, : 3 * side // 4] = True
    image[~breast] = -1
    return image, breast


def test_an_injected_view_has_a_calcification_that_can_be_seen_and_none_outside_the_breast() -> None:
    image, breast = tissue()
    for seed in range(6):
        injected, label = injected_view(image, np.random.default_rng(seed), spacing_mm=SPACING_MM, breast=breast)
        assert (label == 1).any()
        assert not label[~breast].any()
        assert (injected[~breast] == -1).all()
        assert (injected >= image).all()
        assert injected[label == 1].mean() > image[label == 1].mean()


def test_an_injection_is_its_seed_s() -> None:
    image, breast = tissue()
    one, two, other = (
        injected_view(image, np.random.default_rng(seed), spacing_mm=SPACING_MM, breast=breast)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_view_without_room_is_refused() -> None:
    image = np.full((32, 32), -1, np.float32)
    with pytest.raises(ValueError, match="room for a calcification"):
        injected_view(image, np.random.default_rng(0), spacing_mm=SPACING_MM, breast=np.zeros((32, 32), bool))


def test_a_known_calcification_on_a_screened_spot_stays_true() -> None:
    label, ignore = np.array([[0, 1, 2, 0]], np.uint8), np.array([[True, True, True, False]])
    assert with_ignored(label, ignore).tolist() == [[2, 1, 2, 0]]


def test_counts_are_those_of_every_threshold_alone() -> None:
    rng = np.random.default_rng(0)
    probs, label, breast = rng.random((40, 40)), np.zeros((40, 40), np.uint8), np.ones((40, 40), bool)
    label[10:12, 10:12] = label[30, 30] = 1
    label[20:25, 20:25] = 2
    levels = [0.5, 0.9, 0.99]
    counts = counts_at(levels, probs, label, spacing_mm=(0.1, 0.1), breast=breast)
    for level, row in zip(levels, counts, strict=True):
        assert tuple(row) == count_objects(probs >= level, label, spacing_mm=(0.1, 0.1), region=breast)[:3]


def test_the_middle_of_equally_good_thresholds_is_taken() -> None:
    assert best_index(np.array([0.1, 0.5, 0.5, 0.5, 0.2])) == 2
    assert best_index(np.array([0.9, 0.5])) == 0


# Four patients at three thresholds: one found, one missed, one made up, one clean.
COUNTS = np.array(
    [
        [[4, 2, 0], [3, 1, 1], [1, 0, 3]],
        [[2, 0, 2], [2, 0, 2], [0, 0, 4]],
        [[3, 5, 1], [3, 1, 1], [2, 0, 2]],
        [[0, 3, 0], [0, 1, 0], [0, 0, 0]],
    ],
    np.float64,
)


def test_figures_are_worked_out_by_hand() -> None:
    # Sums: (9, 10, 3), (8, 3, 4), (3, 0, 9).
    np.testing.assert_allclose(f2_of_counts(COUNTS.sum(axis=0)), [45 / 67, 40 / 59, 15 / 51])
    patients = list("abcd")
    resamples = draw_resamples(patients, rng=np.random.default_rng(0))
    assert bootstrap(f2_at(COUNTS, 1), patients, resamples).value == pytest.approx(40 / 59)
    clean, area = np.array([False, False, False, True]), np.full(4, 5.0)
    assert bootstrap(fp_rate_at(COUNTS, 0, clean=clean, area_cm2=area), patients, resamples).value == pytest.approx(0.6)


def test_the_best_threshold_closes_the_gap_and_the_default_closes_none() -> None:
    patients = list("abcd")
    resamples = draw_resamples(patients, rng=np.random.default_rng(0))
    shares = [bootstrap(share_closed(COUNTS, default=2, chosen=one), patients, resamples) for one in range(3)]
    default, worst, best = 15 / 51, 45 / 67, 40 / 59
    assert [float(one.value) for one in shares] == pytest.approx([(worst - default) / (best - default), 1, 0])
    assert shares[2].low == shares[2].high == 0
    # A resample has its own best threshold, so no choice closes more than all.
    assert all(one.high <= 1 for one in shares)
    assert shares[0].low < shares[0].value


def test_without_a_gap_there_is_no_share() -> None:
    patients = list("abcd")
    resamples = draw_resamples(patients, rng=np.random.default_rng(0))
    assert np.isnan(bootstrap(share_closed(COUNTS, default=1, chosen=0), patients, resamples).value)

import numpy as np
import pytest
from scipy import ndimage

from bundle.functional.hybrid import hybrid_scores

EIGHT = np.ones((3, 3))


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(0, 1, (60, 50)), 1.5) > 0.12
    return mask, rng.uniform(0, 1, mask.shape).astype(np.float32)


def kept(mask: np.ndarray, region: np.ndarray, overlap: float) -> np.ndarray:
    """Object by object, as the paper's text says it."""
    label_map, count = ndimage.label(mask, structure=EIGHT)
    result = np.zeros(mask.shape, bool)
    for number in range(1, count + 1):
        one = label_map == number
        if region[one].sum() / one.sum() > overlap:
            result |= one
    return result


@pytest.mark.parametrize("overlap", [0.2, 0.3, 0.4, 0.5, 0.6])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_pixels_at_or_above_a_threshold_are_the_objects_kept_there(overlap: float, threshold: float) -> None:
    mask, probs = maps(0)
    expected = kept(mask, probs >= np.float32(threshold), overlap)
    assert expected.any() or threshold == 0.8
    np.testing.assert_array_equal(hybrid_scores(mask, probs, overlap=overlap) >= np.float32(threshold), expected)


def test_an_object_of_ten_pixels_needs_four_of_them_for_more_than_three_tenths() -> None:
    # The paper prints "<= o_thr": that would keep the object that the region misses.
    mask = np.zeros((12, 3), bool)
    mask[1:11, 1] = True
    probs = np.zeros(mask.shape, np.float32)
    probs[1:4, 1] = 0.9
    assert hybrid_scores(mask, probs)[5, 1] == 0
    probs[4, 1] = 0.7
    assert np.unique(hybrid_scores(mask, probs)[mask]).tolist() == [np.float32(0.7)]


def test_without_overlap_one_pixel_is_enough() -> None:
    mask, probs = maps(1)
    label_map, count = ndimage.label(mask, structure=EIGHT)
    largest = np.concatenate([[0], ndimage.maximum(probs, label_map, np.arange(1, count + 1))])
    np.testing.assert_allclose(hybrid_scores(mask, probs, overlap=0.0), largest[label_map])


def test_objects_stay_whole_and_the_rest_is_zero() -> None:
    mask, probs = maps(2)
    score = hybrid_scores(mask, probs)
    assert not score[~mask].any()
    label_map, count = ndimage.label(mask, structure=EIGHT)
    assert all(len(np.unique(score[label_map == number])) == 1 for number in range(1, count + 1))


def test_no_object_is_no_score() -> None:
    assert not hybrid_scores(np.zeros((4, 5), bool), np.ones((4, 5))).any()


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="one shape"):
        hybrid_scores(np.zeros((4, 5), bool), np.ones((4, 6)))
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        hybrid_scores(np.zeros((4, 5), bool), np.ones((4, 5)), overlap=1.0)

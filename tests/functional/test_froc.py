import numpy as np
import pytest
from scipy import ndimage

from bundle.functional.froc import count_components_at, fp_per_cm2_curve, froc_counts
from bundle.functional.objects import EIGHT_CONNECTED, add_counts

THRESHOLDS = np.linspace(0.05, 0.95, 19)


def smooth_probs(seed: int, shape: tuple[int, int] = (70, 90)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def test_one_pass_counts_what_labelling_at_each_threshold_counts() -> None:
    probs, region = smooth_probs(0), smooth_probs(1) > 0.3
    slow = [ndimage.label((probs.astype(float) >= t) & region, EIGHT_CONNECTED)[1] for t in THRESHOLDS]
    assert max(slow) > 20
    assert count_components_at(probs, THRESHOLDS, region=region).tolist() == slow


def test_equal_levels_make_plateaus_and_not_more_objects() -> None:
    probs = np.round(smooth_probs(2) * 4) / 4
    levels = [0.25, 0.5, 0.75, 1.0]
    slow = [ndimage.label(probs >= t, EIGHT_CONNECTED)[1] for t in levels]
    assert count_components_at(probs, levels).tolist() == slow


def test_threshold_itself_is_positive() -> None:
    assert count_components_at(np.full((3, 3), 0.5), [0.5, 0.51]).tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_thin_images_are_counted(shape: tuple[int, int]) -> None:
    assert count_components_at(np.ones(shape), [0.5, 1.0]).tolist() == [1, 1]
    assert count_components_at(np.zeros(shape), [0.5, 1.0]).tolist() == [0, 0]


def test_curve_pools_objects_and_areas_over_views() -> None:
    first, second = np.zeros((100, 100)), np.zeros((200, 100))
    first[10, 10], first[50, 50], second[7, 7] = 0.9, 0.4, 0.6
    curve = fp_per_cm2_curve(
        [0.3, 0.5, 0.8], [first, second], [np.ones_like(first), np.ones_like(second)], spacing_mm=[(0.1, 0.1)] * 2
    )
    np.testing.assert_allclose(curve, [3 / 3, 2 / 3, 1 / 3])


def test_doubling_spacing_quarters_the_rate() -> None:
    probs = smooth_probs(3)
    breast = np.ones_like(probs)
    fine, coarse = (fp_per_cm2_curve(THRESHOLDS, [probs], [breast], spacing_mm=[(s, s)]) for s in (0.1, 0.2))
    np.testing.assert_allclose(fine, 4 * coarse)


def test_no_breast_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 cm2"):
        fp_per_cm2_curve([0.5], [np.ones((3, 3))], [np.zeros((3, 3))], spacing_mm=[(0.1, 0.1)])


def test_unsorted_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="increase strictly"):
        count_components_at(np.ones((3, 3)), [0.5, 0.4])


def test_curve_on_clean_views_is_the_false_positive_axis_of_the_froc() -> None:
    probs = smooth_probs(4)
    label, region = np.zeros(probs.shape), smooth_probs(5) > 0.4
    points = froc_counts(THRESHOLDS, probs, label, spacing_mm=(0.1, 0.1), region=region)
    curve = fp_per_cm2_curve(THRESHOLDS, [probs], [region], spacing_mm=[(0.1, 0.1)])
    np.testing.assert_allclose([point.fp_per_cm2 for point in points], curve)


def test_perfect_map_finds_everything_at_every_threshold() -> None:
    label = np.zeros((50, 50))
    label[10, 10] = label[30:33, 40:42] = 1
    total = add_counts(froc_counts([0.1, 0.5, 0.9], label, label, spacing_mm=(0.1, 0.1)))
    assert (total.tp, total.fp, total.fn) == (6, 0, 0)

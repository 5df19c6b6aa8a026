import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as skimage_label
from skimage.measure import regionprops

from bundle.functional.components import EIGHT_CONNECTED
from bundle.functional.froc import (
    count_components_at,
    fp_per_cm2_curve,
    froc_counts,
    froc_pauc,
    sweep,
    tpr_at,
    usable_curve,
)
from bundle.functional.objects import add_counts, count_objects

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


def slow_counts(pred: np.ndarray, label: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[int, int, int]:
    """TP, FP and FN in plain loops: an edge per admissible pair, then augmenting paths."""
    found, true = (regionprops(skimage_label(mask, connectivity=2)) for mask in (pred, label == 1))

    def admissible(first: object, second: object) -> bool:
        gap = np.subtract(first.centroid, second.centroid) * spacing_mm  # type: ignore[attr-defined]
        one, other = ({tuple(place) for place in part.coords.tolist()} for part in (first, second))  # type: ignore[attr-defined]
        return bool(np.hypot(*gap) <= 0.35 or len(one & other) / len(one | other) >= 0.3)

    edges = [[j for j, other in enumerate(true) if admissible(one, other)] for one in found]
    partner: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j in edges[i]:
            if j not in seen:
                seen.add(j)
                if j not in partner or augment(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    tp = sum(augment(i, set()) for i in range(len(found)))
    return tp, len(found) - tp, len(true) - tp


def test_counts_are_those_of_a_slow_twin_at_every_threshold() -> None:
    label = (smooth_probs(6, (50, 60)) > 0.7).astype(np.uint8)
    probs = np.clip(0.6 * smooth_probs(7, (50, 60)) + 0.4 * ndimage.gaussian_filter(label.astype(float), 1), 0, 1)
    fast = froc_counts(THRESHOLDS, probs, label, spacing_mm=(0.08, 0.1))
    slow = [slow_counts(probs >= t, label, (0.08, 0.1)) for t in THRESHOLDS]
    assert [tuple(map(int, point[:3])) for point in fast] == slow
    assert len({tp for tp, _, _ in slow}) > 4


def test_a_sweep_counts_what_counting_at_each_threshold_counts() -> None:
    probs, region = smooth_probs(8), smooth_probs(9) > 0.3
    label = np.random.default_rng(0).choice([0, 1, 2], probs.shape, p=[0.98, 0.015, 0.005])
    points = froc_counts(THRESHOLDS, probs, label, spacing_mm=(0.1, 0.1), region=region)
    assert points == [
        count_objects(probs.astype(float) >= t, label, spacing_mm=(0.1, 0.1), region=region) for t in THRESHOLDS
    ]


def test_a_mask_is_counted_once_however_many_thresholds_make_it() -> None:
    seen: list[int] = []

    def count(mask: np.ndarray) -> int:
        seen.append(int(mask.sum()))
        return seen[-1]

    probs = np.array([[0.25, 0.5], [0.5, 0.9]])
    assert sweep([0.1, 0.2, 0.25, 0.3, 0.5, 0.6, 0.7, 0.95], probs, count) == [4, 4, 4, 3, 3, 1, 1, 0]
    assert seen == [4, 3, 1, 0]


# Rates at increasing thresholds; the first two are where objects have run together.
RATES, FOUND = [0.2, 1.0, 3.0, 1.2, 0.8, 0.4, 0.1], [1.0, 1.0, 0.9, 0.8, 0.85, 0.5, 0.2]


def test_curve_worked_by_hand() -> None:
    rate, found = usable_curve(RATES, FOUND)
    assert rate.tolist() == [0, 0.1, 0.4, 0.8, 1.2, 3.0]
    assert found.tolist() == [0, 0.2, 0.5, 0.85, 0.85, 0.9]
    assert tpr_at(RATES, FOUND) == 0.5
    assert tpr_at(RATES, FOUND, rate=0.6) == pytest.approx(0.675)
    area = 0.1 * 0.2 / 2 + 0.3 * 0.7 / 2 + 0.4 * 1.35 / 2 + 0.2 * 0.85
    assert froc_pauc(RATES, FOUND) == pytest.approx(area)


def test_area_is_that_of_scikit_learn_on_a_fine_grid() -> None:
    auc = pytest.importorskip("sklearn.metrics").auc
    rng = np.random.default_rng(1)
    for _ in range(20):
        rates, found = np.sort(rng.exponential(1, 12))[::-1], np.sort(rng.random(12))[::-1]
        grid = np.linspace(0, 0.7, 20001)
        height = np.interp(grid, np.append(0, rates[::-1]), np.append(0, found[::-1]))
        assert froc_pauc(rates, found, limit=0.7) == pytest.approx(auc(grid, height) / 0.7, abs=1e-6)
        assert tpr_at(rates, found, 0.35) == pytest.approx(height[10000])


def test_finding_all_without_a_false_positive_has_area_one_and_finding_nothing_zero() -> None:
    assert froc_pauc([0.0, 0.0], [1.0, 0.6]) == tpr_at([0.0, 0.0], [1.0, 0.6]) == 1
    assert froc_pauc([0.5, 0.0], [0.0, 0.0]) == 0


def test_curve_goes_on_flat_after_its_last_point_and_starts_at_the_origin() -> None:
    assert tpr_at([0.1], [0.6], 0.05) == pytest.approx(0.3)
    assert tpr_at([0.1], [0.6], 0.9) == 0.6
    assert froc_pauc([0.1], [0.6]) == pytest.approx(0.1 * 0.3 + 0.9 * 0.6)


def test_one_blob_over_everything_does_not_count_as_a_hit_without_false_positives() -> None:
    assert tpr_at([0.0, 2.0, 0.5], [1.0, 0.8, 0.4], 0.1) == pytest.approx(0.08)


def test_curve_never_falls() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        rate, found = usable_curve(rng.integers(0, 6, 15) / 4, rng.random(15))
        assert np.all(np.diff(rate)[1:] > 0)
        assert np.all(np.diff(found) >= 0)


def test_nothing_to_find_has_no_area() -> None:
    assert np.isnan(froc_pauc([1.0, 0.5], [np.nan, np.nan]))
    assert np.isnan(tpr_at([1.0, 0.5], [np.nan, np.nan]))


@pytest.mark.parametrize(
    ("rates", "found", "message"),
    [
        ([], [], "one sensitivity per"),
        ([1.0], [0.5, 0.4], "one sensitivity per"),
        ([np.inf], [0.5], "finite false positives"),
        ([-1.0], [0.5], "finite false positives"),
        ([1.0], [1.5], "sensitivities in"),
    ],
)
def test_malformed_curves_are_refused(rates: list[float], found: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        usable_curve(rates, found)


def test_rates_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        tpr_at([1.0], [0.5], 0.0)
    with pytest.raises(ValueError, match="got -1"):
        froc_pauc([1.0], [0.5], limit=-1.0)

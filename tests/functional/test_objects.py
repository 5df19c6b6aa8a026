import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as skimage_label
from skimage.measure import regionprops

from bundle.functional.components import find_components, overlaps, owners_at
from bundle.functional.objects import (
    ObjectCounts,
    add_counts,
    best_iou,
    count_objects,
    find_reference,
    hits,
    match_one_to_one,
    predicted_objects,
    region_area_cm2,
)

SPACING = (0.07, 0.07)
# 0.35 mm at 0.07 mm a pixel.
HIT_PX = 5


def view(*pixels: tuple[int, int], value: int = 1, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    for row, column in pixels:
        array[row, column] = value
    return array


def counts(pred: np.ndarray, label: np.ndarray, **options: object) -> tuple[float, float, float]:
    return count_objects(pred, label, spacing_mm=SPACING, **options)[:3]  # type: ignore[arg-type]


def test_measurements_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    mask, scores = rng.random((50, 70)) > 0.75, rng.random((50, 70))
    ours = find_components(mask, scores=scores)
    theirs = regionprops(skimage_label(mask, connectivity=2), intensity_image=scores)
    assert len(ours) == len(theirs)
    order = {tuple(np.round(region.centroid, 9)): region for region in theirs}
    for index, centroid in enumerate(ours.centroid_px):
        region = order[tuple(np.round(centroid, 9))]
        assert ours.area_px[index] == region.area
        assert ours.peak[index] == pytest.approx(region.intensity_max)
        assert ours.mean[index] == pytest.approx(region.intensity_mean)
        assert tuple(ours.box_px[index]) == region.bbox


def test_every_pixel_belongs_to_the_object_that_scipy_gives_it() -> None:
    mask = np.random.default_rng(4).random((30, 40)) > 0.8
    mask[:7] = mask[:, :3] = False
    label_map, _ = ndimage.label(mask, np.ones((3, 3)))
    everywhere = owners_at(find_components(mask), np.arange(mask.size).reshape(mask.shape))
    np.testing.assert_array_equal(everywhere, label_map - 1)


def test_pixels_that_touch_at_a_corner_are_one_object() -> None:
    assert len(find_components(view((3, 3), (4, 4)))) == 1
    assert len(find_components(view((3, 3), (3, 5)))) == 2


def test_empty_mask_has_no_objects() -> None:
    empty = find_components(np.zeros((5, 5)))
    assert (len(empty), empty.centroid_px.shape, empty.box_px.shape) == (0, (0, 2), (0, 4))


def test_whole_image_is_one_object() -> None:
    whole = find_components(np.ones((5, 9)))
    assert whole.area_px.tolist() == [45]
    assert whole.centroid_px.tolist() == [[2, 4]]


def test_area_of_a_square_centimetre() -> None:
    assert region_area_cm2(np.ones((100, 200)), spacing_mm=(0.1, 0.05)) == pytest.approx(1.0)


@pytest.mark.parametrize("spacing", [(0.0, 0.1), (0.1, -1.0), (float("nan"), 0.1)])
def test_spacing_that_is_not_positive_is_refused(spacing: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="pixel spacing > 0 mm"):
        region_area_cm2(np.ones((2, 2)), spacing_mm=spacing)


def test_corner_cases_are_as_documented() -> None:
    nothing, one = view(), view((5, 5))
    assert counts(nothing, nothing) == (0, 0, 0)
    assert counts(one, nothing) == (0, 1, 0)
    assert counts(nothing, one) == (0, 0, 1)
    assert counts(one, one) == (1, 0, 0)
    whole = np.ones_like(one)
    assert counts(whole, whole) == (1, 0, 0)


@pytest.mark.parametrize(("shift", "hit"), [(HIT_PX, True), (HIT_PX + 1, False)])
def test_centroids_within_the_distance_are_a_hit(shift: int, hit: bool) -> None:
    assert counts(view((5, 5 + shift)), view((5, 5))) == ((1, 0, 0) if hit else (0, 1, 1))


def test_distance_is_in_mm_along_each_axis() -> None:
    pred, label = view((5, 8)), view((5, 5))
    near = count_objects(pred, label, spacing_mm=(1.0, 0.1))
    far = count_objects(pred, label, spacing_mm=(0.1, 1.0))
    assert (near.tp, far.tp) == (1, 0)


@pytest.mark.parametrize(("columns", "hit"), [(30, True), (9, False)])
def test_overlap_is_a_hit_however_far_the_centroids_are(columns: int, hit: bool) -> None:
    label, pred = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    label[10:20, 0:40] = 1
    pred[10:20, 40 - columns : 40] = 1
    assert counts(pred, label) == ((1, 0, 0) if hit else (0, 1, 1))


def test_each_object_is_matched_at_most_once() -> None:
    truth, twice = view((5, 5)), view((5, 4), (5, 6))
    assert counts(twice, truth) == (1, 1, 0)
    assert counts(truth, twice) == (1, 0, 1)


def test_matching_is_optimal_where_greedy_by_nearness_is_not() -> None:
    # Prediction a lies between truths 1 and 2, nearer to 2; prediction b reaches only 2.
    label, pred = view((5, 5), (5, 12)), view((5, 9), (5, 15))
    assert counts(pred, label) == (2, 0, 0)


def test_assignment_has_as_many_pairs_as_the_best_permutation() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        admissible = rng.random((5, 5)) < 0.3
        i, j = np.nonzero(admissible)
        pairs = match_one_to_one(i, j, rng.random(len(i)))
        best = max(sum(admissible[a, b] for a, b in enumerate(order)) for order in itertools.permutations(range(5)))
        assert len(pairs) == best
        assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == best
        assert all(admissible[a, b] for a, b in pairs)


def test_among_equally_many_pairs_the_closest_are_chosen() -> None:
    i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert match_one_to_one(i, j, np.array([0.1, 0.9, 0.9, 0.1])).tolist() == [[0, 1], [1, 0]]


def test_coincident_objects_are_the_closest() -> None:
    i, j, closeness = hits(find_components(view((5, 5))), find_components(view((5, 5))), spacing_mm=SPACING)
    assert (i.tolist(), j.tolist(), closeness.tolist()) == ([0], [0], [1.0])


def test_prediction_on_an_ignored_object_counts_nowhere() -> None:
    assert counts(view((5, 5)), view((5, 5), value=2)) == (0, 0, 0)
    assert counts(view((5, 8)), view((5, 5), value=2)) == (0, 0, 0)
    assert counts(view((5, 5 + HIT_PX + 2)), view((5, 5), value=2)) == (0, 1, 0)


def test_prediction_on_an_ignored_object_is_no_hit_of_its_neighbour() -> None:
    label = view((5, 5)) + view((5, 8), value=2)
    assert counts(view((5, 8)), label) == (0, 0, 1)
    assert counts(view((5, 5)), label) == (1, 0, 0)


def test_large_false_object_is_not_excused_by_touching_an_ignored_pixel() -> None:
    label, pred = view((5, 5), value=2), np.zeros((40, 60), np.uint8)
    pred[5:25, 5:45] = 1
    assert counts(pred, label) == (0, 1, 0)


def test_objects_outside_the_region_count_nowhere_and_its_area_is_the_denominator() -> None:
    region = np.zeros((40, 60), bool)
    region[:, :30] = True
    pred, label = view((5, 5), (5, 50)), view((20, 5), (20, 50))
    counted = count_objects(pred, label, spacing_mm=(1.0, 1.0), region=region, distance_mm=2)
    assert counted == (0, 1, 1, 12.0)
    assert counted.fp_per_cm2 == pytest.approx(1 / 12)


def test_pixels_on_ignore_are_in_no_union() -> None:
    """10 px true, 50 found with them: IoU 10/50, no hit; 10/30 and a hit if 20 of the 50 are ignored."""
    label, pred = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    label[10, 0:10] = pred[10, 0:50] = 1
    assert counts(pred, label) == (0, 1, 1)
    assert object_iou(pred, label).tolist() == [1 / 5]
    label[10, 30:50] = 2
    assert counts(pred, label) == (1, 0, 0)
    assert object_iou(pred, label).tolist() == [1 / 3]


def test_prediction_that_lies_mostly_on_ignore_has_no_iou() -> None:
    label, pred = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    label[10, 0:10] = pred[10, 0:50] = 1
    label[10, 20:50] = 2
    assert counts(pred, label) == (0, 0, 1)
    assert object_iou(pred, label).tolist() == [0]


def object_iou(pred: np.ndarray, label: np.ndarray, **options: object) -> np.ndarray:
    reference = find_reference(label, spacing_mm=SPACING, **options)  # type: ignore[arg-type]
    return best_iou(predicted_objects(pred, reference), reference)


def test_object_iou_in_corner_cases_is_as_documented() -> None:
    nothing, one = view(), view((5, 5))
    assert object_iou(nothing, nothing).tolist() == object_iou(one, nothing).tolist() == []
    assert object_iou(nothing, one).tolist() == [0]
    assert object_iou(one, one).tolist() == [1]
    assert object_iou(np.ones_like(one), np.ones_like(one)).tolist() == [1]
    assert object_iou(np.ones_like(one), one).tolist() == [1 / one.size]
    under_one = np.zeros_like(one)
    under_one[5, 5:8] = 1
    assert object_iou(under_one, view((5, 5), (5, 7))).tolist() == [1 / 3, 1 / 3]
    assert object_iou(view((5, 5), (5, 7)), under_one).tolist() == [1 / 3]
    assert object_iou(one, view((5, 5), value=2)).tolist() == []


def test_object_iou_is_the_best_jaccard_score_of_any_prediction() -> None:
    jaccard_score = pytest.importorskip("sklearn.metrics").jaccard_score
    rng = np.random.default_rng(6)
    pred, label = (ndimage.binary_dilation(rng.random((25, 30)) > 0.98) for _ in range(2))
    true_map, pred_map = skimage_label(label, connectivity=2), skimage_label(pred, connectivity=2)
    best = [
        max(jaccard_score((true_map == t).ravel(), (pred_map == p).ravel()) for p in range(1, pred_map.max() + 1))
        for t in range(1, true_map.max() + 1)
    ]
    assert 0 < np.mean(best) < 1
    np.testing.assert_allclose(sorted(object_iou(pred, label)), sorted(best))


def test_object_iou_is_cut_at_the_border_of_the_region() -> None:
    label, pred, region = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8), np.zeros((40, 60), bool)
    label[5, 0:10], pred[5, 0:20], region[:, :10] = 1, 1, True
    assert object_iou(pred, label).tolist() == [0.5]
    assert object_iou(pred, label, region=region).tolist() == [1.0]


def test_overlaps_of_objects_do_not_depend_on_which_mask_is_first() -> None:
    rng = np.random.default_rng(7)
    first, second = (find_components(rng.random((40, 50)) > 0.8) for _ in range(2))
    i, j, iou = overlaps(first, second)
    j_back, i_back, iou_back = overlaps(second, first)
    assert sorted(zip(i, j, iou, strict=True)) == sorted(zip(i_back, j_back, iou_back, strict=True))


def test_counts_do_not_depend_on_orientation() -> None:
    rng = np.random.default_rng(2)
    pred = ndimage.binary_dilation(rng.random((80, 80)) > 0.997)
    label = rng.choice([0, 1, 2], (80, 80), p=[0.994, 0.004, 0.002])
    reference = counts(pred, label)
    assert reference[0] > 0
    for turn in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert counts(turn(pred), turn(label)) == reference


def test_swapping_prediction_and_truth_swaps_false_positives_and_misses() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random((60, 60)) > 0.99, rng.random((60, 60)) > 0.99
    tp, fp, fn = counts(first, second)
    assert counts(second, first) == (tp, fn, fp)


def test_counts_add_over_views() -> None:
    total = add_counts([ObjectCounts(1, 2, 3, 50.0), ObjectCounts(4, 5, 6, 20.0)])
    assert total == (5, 7, 9, 70.0)
    assert total.fp_per_cm2 == pytest.approx(0.1)
    assert add_counts([]) == (0, 0, 0, 0)
    assert np.isnan(add_counts([]).fp_per_cm2)


def test_differing_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        count_objects(np.zeros((2, 2)), np.zeros((2, 3)), spacing_mm=SPACING)

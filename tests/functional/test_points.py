import numpy as np
import pytest
from skimage.draw import polygon2mask
from skimage.measure import label as skimage_label
from skimage.measure import regionprops

from bundle.functional.objects import Reference, find_reference
from bundle.functional.points import (
    OutlineMatch,
    box_outline,
    match_outlines,
    match_points,
    outlines_inside,
    points_inside,
)

SPACING = (0.07, 0.07)
HIT_PX = 5  # 0.35 mm
SHAPE = (40, 60)


def view(*pixels: tuple[int, int], value: int = 1) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    for row, column in pixels:
        array[row, column] = value
    return array


def reference(ignore: np.ndarray | None = None, **options: object) -> Reference:
    label = view() if ignore is None else ignore
    return find_reference(label, **{"spacing_mm": SPACING, **options})  # type: ignore[arg-type]


def counts(pred: np.ndarray, points: list[tuple[float, float]], where: Reference | None = None) -> tuple[int, int, int]:
    match = match_points(pred, points, where or reference())
    return len(match.pairs), int(match.false.sum()), len(points) - len(match.pairs)


def test_corner_cases_of_points_are_as_documented() -> None:
    one = view((5, 5))
    assert counts(view(), []) == (0, 0, 0)
    assert counts(one, []) == (0, 1, 0)
    assert counts(view(), [(5, 5)]) == (0, 0, 1)
    assert counts(one, [(5, 5)]) == (1, 0, 0)
    assert counts(np.ones(SHAPE), [(5, 5), (30, 50)]) == (1, 0, 1)
    assert counts(view((5, 4), (5, 6)), [(5, 5)]) == (1, 1, 0)
    assert counts(view((5, 5), (5, 6)), [(5, 5), (5, 6)]) == (1, 0, 1)


@pytest.mark.parametrize(("shift", "hit"), [(HIT_PX, 1), (HIT_PX + 0.01, 0), (-HIT_PX, 1), (-HIT_PX - 0.01, 0)])
def test_a_pixel_within_the_distance_is_a_hit(shift: float, hit: int) -> None:
    assert counts(view((20, 20)), [(20 + shift, 20)]) == (hit, 1 - hit, 1 - hit)
    assert counts(view((20, 20)), [(20, 20 + shift)]) == (hit, 1 - hit, 1 - hit)


def test_a_long_object_is_hit_at_its_end() -> None:
    pred = view()
    pred[20, 5:50] = 1
    assert counts(pred, [(20 + HIT_PX, 6)]) == (1, 0, 0)


def test_a_ring_is_hit_at_its_centre() -> None:
    ring = view()
    ring[10:31, 10:31] = 1
    ring[12:29, 12:29] = 0
    assert counts(ring, [(20, 20)]) == (1, 0, 0)
    assert counts(ring, [(20, 20 - HIT_PX - 1)])[0] == (20 - HIT_PX - 1 - 11 <= HIT_PX)


def test_distance_is_in_mm_along_each_axis() -> None:
    pred = view((20, 20))
    assert counts(pred, [(23, 20)], reference(spacing_mm=(0.1, 1.0))) == (1, 0, 0)
    assert counts(pred, [(20, 23)], reference(spacing_mm=(0.1, 1.0))) == (0, 1, 1)


def test_matching_saves_as_many_points_as_possible() -> None:
    assert counts(view((5, 9), (5, 15)), [(5, 5), (5, 12)]) == (2, 0, 0)


def test_among_equally_many_matches_the_nearest_point_is_taken() -> None:
    assert match_points(view((5, 5)), [(5, 2), (5, 6)], reference()).pairs.tolist() == [[0, 1]]


def test_prediction_on_ignore_is_neither_hit_nor_false() -> None:
    ignored = reference(view((20, 20), value=2))
    assert counts(view((20, 20)), [(20, 23)], ignored) == (0, 0, 1)
    assert counts(view((20, 22)), [], ignored) == (0, 0, 0)
    assert counts(view((20, 22)), [(20, 23)], ignored) == (1, 0, 0)


def test_labels_of_microcalcifications_are_not_looked_at() -> None:
    assert counts(view((20, 20)), [], reference(view((20, 20)))) == (0, 1, 0)


def test_points_outside_the_region_are_left_out_and_outside_the_image_refused() -> None:
    region = np.zeros(SHAPE, bool)
    region[:, :30] = True
    assert points_inside([(5, 5), (5, 29.4), (5, 29.6)], region).tolist() == [[5, 5], [5, 29.4]]
    assert points_inside([], region).shape == (0, 2)
    for outside in ((40, 5), (5, 60), (-0.6, 5)):
        with pytest.raises(ValueError, match="order of the axes"):
            points_inside([outside], region)


def slow_tp(pred: np.ndarray, points: np.ndarray) -> int:
    """Augmenting paths over pairs found by measuring every pixel from every point."""
    objects = regionprops(skimage_label(pred, connectivity=2))
    edges = []
    for part in objects:
        places = np.concatenate([part.coords, [part.centroid]])
        gaps = np.hypot(*((places[:, None] - points) * SPACING).transpose(2, 0, 1))
        edges.append(np.flatnonzero(gaps.min(axis=0) <= 0.35))
    partner: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j in edges[i]:
            if j not in seen:
                seen.add(j)
                if j not in partner or augment(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(augment(i, set()) for i in range(len(objects)))


def test_hits_are_those_of_a_slow_twin() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        pred, points = rng.random(SHAPE) > 0.96, rng.uniform(0, (39, 59), (30, 2))
        tp, fp, fn = counts(pred, points.tolist())
        assert (tp, fn) == (slow_tp(pred, points), 30 - tp)
        assert 5 < tp < 30
        assert fp > 0


def outlines(pred: np.ndarray, *shapes: np.ndarray, where: Reference | None = None) -> tuple[list[bool], int, int]:
    match: OutlineMatch = match_outlines(pred, list(shapes), where or reference())
    return match.hit.tolist(), match.false, match.inside


LEFT, RIGHT = box_outline(5, 5, 25, 20), box_outline(5, 35, 25, 50)


def test_corner_cases_of_outlines_are_as_documented() -> None:
    assert outlines(view()) == ([], 0, 0)
    assert outlines(view((10, 10))) == ([], 1, 0)
    assert outlines(view(), LEFT) == ([False], 0, 0)
    assert outlines(view((10, 10)), LEFT) == ([True], 0, 1)
    assert outlines(view((10, 10), (15, 10), (20, 10)), LEFT) == ([True], 0, 3)
    assert outlines(view((10, 10), (10, 28), (10, 30)), LEFT, RIGHT) == ([True, False], 2, 1)
    # The whole image is one object; its centroid, (19.5, 29.5), lies in neither box.
    assert outlines(np.ones(SHAPE), LEFT, RIGHT) == ([False, False], 1, 0)


def test_an_object_inside_two_outlines_hits_both_and_is_one() -> None:
    assert outlines(view((10, 10)), LEFT, box_outline(8, 8, 12, 12)) == ([True, True], 0, 1)


def test_objects_on_ignore_are_neither_inside_nor_outside() -> None:
    ignored = reference(view((10, 10), (30, 30), value=2))
    assert outlines(view((10, 10), (30, 30)), LEFT, where=ignored) == ([False], 0, 0)


def test_objects_inside_a_polygon_are_those_in_its_mask() -> None:
    triangle = np.array([[2.5, 3.5], [36.5, 20.5], [8.5, 55.5]])
    mask = polygon2mask(SHAPE, triangle)
    pred = np.zeros(SHAPE, bool)
    pred[::3, ::3] = True
    _, false, inside = outlines(pred, triangle)
    assert (inside, false) == ((pred & mask).sum(), (pred & ~mask).sum())
    assert inside > 30


def test_outlines_without_any_pixel_of_the_region_are_left_out() -> None:
    region = np.zeros(SHAPE, bool)
    region[:, :30] = True
    assert [one.tolist() for one in outlines_inside([LEFT, RIGHT], region)] == [LEFT.tolist()]


@pytest.mark.parametrize("outline", [[[1, 1], [2, 2]], [[1, 1, 1]] * 4, [1, 2, 3]])
def test_outlines_that_are_no_polygons_are_refused(outline: list) -> None:
    with pytest.raises(ValueError, match="at least 3 vertices"):
        outlines_inside([outline], np.ones(SHAPE, bool))

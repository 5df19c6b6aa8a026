"""Every view hangs once, and a screening exam hangs as radiologists expect."""

from itertools import permutations

from bundle.functional.hanging import hanging_rows

EXAM = [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]


def test_an_exam_hangs_the_same_in_any_file_order() -> None:
    for tags in permutations(EXAM):
        hung = [[None if place is None else tags[place] for place in row] for row in hanging_rows(tags)]
        assert hung == [EXAM[:2], EXAM[2:]]


def test_a_missing_side_leaves_its_place_empty() -> None:
    assert hanging_rows([("L", "MLO"), ("R", "CC"), ("L", "CC")]) == [(1, 2), (None, 0)]


def test_a_repeated_view_opens_a_row() -> None:
    assert hanging_rows([("R", "CC"), ("R", "CC"), ("L", "CC")]) == [(0, 2), (1, None)]


def test_other_projections_follow_by_name() -> None:
    tags = [("R", "XCCL"), ("L", "ML"), ("L", "MLO"), ("L", "CC")]
    assert hanging_rows(tags) == [(None, 3), (None, 2), (None, 1), (0, None)]


def test_unknown_views_keep_the_order_of_the_files_behind_the_known_ones() -> None:
    assert hanging_rows([("", ""), ("R", ""), ("B", "CC"), ("R", "CC")]) == [(3, None), (0, 1), (2, None)]
    assert hanging_rows([("", "")] * 3) == [(0, 1), (2, None)]


def test_nothing_hangs_nowhere() -> None:
    assert hanging_rows([]) == []

import numpy as np
import pytest
import torch

from bundle.functional.candidates import Candidates, candidate_truth, find_candidates, group_apart, plan_passes
from bundle.functional.windows import Window


def hills(*peaks: tuple[int, int, float], rows: int = 48, columns: int = 64, sigma_px: float = 2.0) -> torch.Tensor:
    """Logits of -8 with Gaussian hills (row, column, logit at the top)."""
    row, column = np.mgrid[:rows, :columns]
    logits = np.full((rows, columns), -8.0)
    for top, left, height in peaks:
        hill = -8.0 + (height + 8.0) * np.exp(-((row - top) ** 2 + (column - left) ** 2) / (2 * sigma_px**2))
        logits = np.maximum(logits, hill)
    return torch.from_numpy(logits.astype(np.float32))[None, None]


def at(places: list[tuple[int, int, int]], peak: list[float]) -> Candidates:
    return Candidates(np.array(places).reshape(-1, 3), np.array(peak), torch.zeros(1, 1, 1, 1, dtype=torch.int32))


def test_nothing_above_the_threshold_has_no_candidate() -> None:
    found = find_candidates(hills(), threshold=0.01)
    assert len(found) == 0
    assert found.places.shape == (0, 3)
    assert not found.basins.any()


def test_a_hill_has_one_candidate_at_its_top_and_all_above_the_threshold_as_basin() -> None:
    logits = hills((20, 30, -1.5))
    found = find_candidates(logits, threshold=0.02)
    assert found.places.tolist() == [[0, 20, 30]]
    assert found.peak == pytest.approx([-1.5])
    assert torch.equal(found.basins == 1, logits.sigmoid() >= 0.02)


def test_touching_hills_part_at_the_saddle() -> None:
    logits = hills((20, 20, 2.0), (20, 28, -0.5))
    found = find_candidates(logits, threshold=0.001)
    row = found.basins[0, 0, 20, 20:29]
    assert found.places[:, 2].tolist() == [20, 28]
    assert (row.diff() >= 0).all()
    saddle = 20 + int(logits[0, 0, 20, 20:29].argmin())
    assert abs(20 + int((row == 1).sum()) - saddle) <= 1
    assert found.peak == pytest.approx([2.0, -0.5])


def test_images_of_a_batch_are_numbered_through_and_kept_apart() -> None:
    logits = torch.cat([hills((10, 10, 0.0)), hills(), hills((12, 40, 1.0), (30, 20, 3.0))])
    found = find_candidates(logits, threshold=0.05)
    assert found.places.tolist() == [[0, 10, 10], [2, 12, 40], [2, 30, 20]]
    assert [int(found.basins[image, 0].max()) for image in range(3)] == [1, 0, 3]
    for number, (image, row, column) in enumerate(found.places.tolist()):
        assert found.basins[image, 0, row, column] == number + 1


def test_the_peak_is_the_largest_logit_of_the_basin() -> None:
    logits = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 3
    found = find_candidates(logits, threshold=0.05)
    assert len(found) > 5
    for number, peak in enumerate(found.peak):
        assert peak == float(logits[found.basins == number + 1].max())
    reached = (logits.sigmoid() >= 0.05)[found.basins > 0]
    assert reached.all()


def test_places_in_a_row_take_groups_in_turn() -> None:
    places = np.array([[5, 10 * i] for i in range(12)])
    assert group_apart(places, apart_px=32).tolist() == [i % 4 for i in range(12)]


@pytest.mark.parametrize("apart_px", [0, 3, 20])
def test_members_of_a_group_are_apart_and_no_place_could_have_gone_lower(apart_px: int) -> None:
    places = np.random.default_rng(0).integers(0, 60, (40, 2))
    groups = group_apart(places, apart_px=apart_px)

    def free(index: int, group: int) -> bool:
        others = [j for j in range(index) if groups[j] == group]
        return all(np.abs(places[j] - places[index]).max() > apart_px for j in others)

    for index in range(len(places)):
        assert free(index, groups[index])
        assert not any(free(index, lower) for lower in range(groups[index]))


def test_no_place_has_no_group() -> None:
    assert group_apart(np.zeros((0, 2), int), apart_px=3).tolist() == []


WINDOWS = [Window(0, top, left) for top in (0, 8) for left in (0, 8, 16)]


def test_windows_without_candidates_get_no_pass() -> None:
    assert plan_passes(at([], []), WINDOWS, apart_px=4, max_groups=2, window_px=16) == []
    passes = plan_passes(at([(0, 12, 12)], [0.0]), WINDOWS, apart_px=4, max_groups=2, window_px=16)
    window = Window(0, 8, 8)
    assert [tuple(one) for one in passes] == [(window, (0,), ()), (window, (), (0,))]


def test_a_candidate_belongs_to_the_window_it_lies_deepest_in() -> None:
    for place, window in (((0, 8, 16), Window(0, 0, 8)), ((0, 16, 24), Window(0, 8, 16)), ((0, 0, 0), Window(0, 0, 0))):
        passes = plan_passes(at([place], [0.0]), WINDOWS, apart_px=4, max_groups=1, window_px=16)
        assert {one.window for one in passes} == {window}


def test_every_candidate_is_toggled_once_in_a_window_that_holds_it() -> None:
    rng = np.random.default_rng(0)
    places = [(0, int(r), int(c)) for r, c in zip(rng.integers(0, 24, 15), rng.integers(0, 32, 15), strict=True)]
    found = at(places, rng.normal(size=15).tolist())
    passes = plan_passes(found, WINDOWS, apart_px=4, max_groups=99, window_px=16)
    assert sorted(index for one in passes for index in one.toggled) == list(range(15))
    assert sorted(index for one in passes for index in one.owned) == list(range(15))
    for one in passes:
        for index in one.toggled + one.owned:
            _, row, column = places[index]
            assert 0 <= row - one.window.top < 16
            assert 0 <= column - one.window.left < 16
    assert passes == plan_passes(found, WINDOWS[::-1], apart_px=4, max_groups=99, window_px=16)


def test_the_least_certain_come_first_where_passes_are_few() -> None:
    found = at([(0, 5, 5), (0, 5, 8), (0, 8, 5)], [6.0, 0.5, -3.0])
    kept = [
        {index for one in plan_passes(found, WINDOWS, apart_px=4, max_groups=n, window_px=16) for index in one.toggled}
        for n in (1, 2, 3)
    ]
    assert kept == [{1}, {1, 2}, {0, 1, 2}]


def test_a_place_outside_every_window_gets_no_pass() -> None:
    for place in ((0, 30, 5), (1, 5, 5)):
        assert plan_passes(at([place], [0.0]), WINDOWS, apart_px=4, max_groups=2, window_px=16) == []


def test_truth_is_the_label_within_reach_and_a_calcification_outranks_ignore() -> None:
    label = np.zeros((1, 1, 20, 20), np.uint8)
    label[0, 0, 5, 5], label[0, 0, 5, 8], label[0, 0, 15, 15] = 1, 2, 2
    found = at([(0, 7, 7), (0, 5, 10), (0, 13, 17), (0, 8, 5), (0, 12, 15)], [0.0] * 5)
    assert candidate_truth(found, label).tolist() == [1, 2, 2, 0, 0]
    assert candidate_truth(found, label, reach_px=3).tolist() == [1, 2, 2, 1, 2]

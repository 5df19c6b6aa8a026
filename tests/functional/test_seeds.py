import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from bundle.functional.edges import gaussian_smooth
from bundle.functional.seeds import degrade_seeds, seed_map


def _mask(*boxes: tuple[int, int, int, int], size: int = 64) -> Tensor:
    """Boxes as (top, left, rows, columns)."""
    mask = torch.zeros(1, 1, size, size)
    for top, left, rows, columns in boxes:
        mask[..., top : top + rows, left : left + columns] = 1.0
    return mask


def _places(seeds: Tensor) -> list[tuple[int, int]]:
    return [(int(row), int(column)) for row, column in seeds[0, 0].nonzero()]


def _disc(radius: int, size: int = 64) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (((rows - size // 2) ** 2 + (columns - size // 2) ** 2) <= radius**2).float()[None, None]


def _smooth_probs(seed: int, size: int = 96) -> Tensor:
    noise = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(seed))
    return torch.sigmoid(8.0 * gaussian_smooth(noise, 2.0))


def test_nothing_above_the_threshold_gives_no_seed() -> None:
    assert seed_map(torch.full((2, 1, 16, 16), 0.49)).sum() == 0


def test_a_pixel_is_its_own_seed() -> None:
    assert _places(seed_map(_mask((10, 20, 1, 1)))) == [(10, 20)]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32, torch.bfloat16])
def test_any_dtype_of_mask_is_read(dtype: torch.dtype) -> None:
    seeds = seed_map(_mask((10, 20, 3, 3)).to(dtype))
    assert seeds.dtype == torch.float32
    assert _places(seeds) == [(11, 21)]


@pytest.mark.parametrize("side", [3, 5, 7, 9, 11])
def test_odd_squares_have_one_seed_in_the_middle(side: int) -> None:
    assert _places(seed_map(_mask((20, 30, side, side)))) == [(20 + side // 2, 30 + side // 2)]


def test_ties_go_to_the_lowest_row_major_index() -> None:
    assert _places(seed_map(_mask((20, 30, 2, 2)))) == [(20, 30)]
    assert _places(seed_map(_mask((20, 30, 4, 4)))) == [(21, 31)]


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 8])
def test_discs_have_one_seed_in_the_middle(radius: int) -> None:
    assert _places(seed_map(_disc(radius))) == [(32, 32)]


@pytest.mark.parametrize("radius", [12, 20])
def test_a_large_plateau_has_one_seed(radius: int) -> None:
    assert seed_map(_disc(radius)).sum() == 1


def test_all_of_an_image_is_one_plateau() -> None:
    assert _places(seed_map(torch.ones(1, 1, 40, 30))) == [(0, 0)]


def test_lines_have_one_seed_on_them() -> None:
    ((row, column),) = _places(seed_map(_mask((30, 10, 1, 15))))
    assert row == 30
    assert abs(column - 17) <= 1


def test_far_components_keep_a_seed_each() -> None:
    assert _places(seed_map(_mask((10, 10, 3, 3), (10, 17, 3, 3), (40, 40, 1, 2)))) == [(11, 11), (11, 18), (40, 40)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["maxima", "points"])
def test_seeds_are_candidates_and_keep_their_distance(seed: int, mode: str) -> None:
    probs = _smooth_probs(seed)
    seeds = seed_map(probs, nms_px=3, mode=mode)
    assert seeds.sum() > 10
    assert probs[seeds > 0].min() >= 0.5
    neighbours = ndimage.uniform_filter(seeds.numpy(), (0, 0, 7, 7), mode="constant") * 49
    assert neighbours[seeds.numpy() > 0].max() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_maxima_equal_their_slow_twin(seed: int) -> None:
    probs = _smooth_probs(seed, size=48)[:1]
    fine = gaussian_smooth(probs, 1.0) + 0.25 * gaussian_smooth(probs, 3.0)
    score, allowed = torch.round(fine * 4096)[0, 0].numpy(), probs[0, 0].numpy() >= 0.5
    expected = []
    for row, column in np.argwhere(allowed):
        rivals = [
            (score[r, c], -(r * 48 + c))
            for r in range(max(0, row - 3), min(48, row + 4))
            for c in range(max(0, column - 3), min(48, column + 4))
            if allowed[r, c]
        ]
        if max(rivals) == (score[row, column], -(row * 48 + column)):
            expected.append((row, column))
    assert _places(seed_map(probs)) == expected


def test_seeds_of_a_batch_are_those_of_its_images() -> None:
    probs = _smooth_probs(0)
    for mode in ("maxima", "points", "skeleton"):
        alone = torch.cat([seed_map(image[None], mode=mode) for image in probs])
        assert torch.equal(seed_map(probs, mode=mode), alone)


def test_moving_the_mask_moves_the_seeds() -> None:
    mask = _mask((20, 20, 3, 4), (30, 25, 5, 2), (28, 40, 6, 6))
    seeds = seed_map(mask)
    assert torch.equal(seed_map(mask.roll((5, -4), dims=(2, 3))), seeds.roll((5, -4), dims=(2, 3)))


@pytest.mark.parametrize("mode", ["maxima", "points", "skeleton"])
def test_seeds_do_not_depend_on_what_else_is_in_the_batch(mode: str) -> None:
    small, far = _mask((20, 20, 9, 4), (29, 24, 5, 12)), _mask((0, 0, 2, 2), (60, 60, 4, 4))
    together = seed_map(torch.cat([small, far]), mode=mode)
    assert torch.equal(together[:1], seed_map(small, mode=mode))


def test_second_tier_adds_faint_maxima_near_a_seed_only() -> None:
    probs = _mask((30, 10, 3, 3)) + 0.3 * _mask((30, 20, 3, 3), (30, 50, 3, 3))
    assert _places(seed_map(probs)) == [(31, 11)]
    assert _places(seed_map(probs, second_threshold=0.2, cluster_radius_px=15)) == [(31, 11), (31, 21)]
    assert _places(seed_map(probs, second_threshold=0.2, cluster_radius_px=60)) == [(31, 11), (31, 21), (31, 51)]
    assert _places(seed_map(probs, second_threshold=0.4, cluster_radius_px=60)) == [(31, 11)]


@pytest.mark.parametrize("seed", range(3))
def test_second_tier_never_moves_the_first(seed: int) -> None:
    probs = _smooth_probs(seed)
    first = seed_map(probs, threshold=0.8)
    both = seed_map(probs, threshold=0.8, second_threshold=0.3, cluster_radius_px=20)
    assert both.sum() > first.sum()
    assert torch.equal(both * (probs >= 0.8), first)


def test_second_tier_without_a_first_is_empty() -> None:
    assert seed_map(0.3 * _mask((30, 20, 3, 3)), second_threshold=0.2).sum() == 0


def test_points_lie_in_the_mask_and_follow_the_random_state() -> None:
    mask = _mask((10, 10, 30, 30))
    one, other = seed_map(mask, mode="points", random_state=1), seed_map(mask, mode="points", random_state=2)
    assert torch.equal(one, seed_map(mask, mode="points", random_state=1))
    assert not torch.equal(one, other)
    assert one.sum() > 5
    assert (one * mask).sum() == one.sum()


def test_skeleton_of_a_thin_line_is_the_line() -> None:
    line = _mask((30, 10, 1, 20))
    assert torch.equal(seed_map(line, mode="skeleton"), line)


def test_seeds_carry_no_gradient() -> None:
    assert not seed_map(torch.rand(1, 1, 8, 8, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "maximum"}, "maximum"),
        ({"threshold": 0.0}, "0.0"),
        ({"second_threshold": 0.6}, "0.6"),
        ({"nms_px": -1}, "-1"),
    ],
)
def test_meaningless_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seed_map(torch.zeros(1, 1, 8, 8), **options)  # type: ignore[arg-type]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="rows, columns"):
        seed_map(torch.zeros(8, 8))


# The training degradation.


def _grid(step: int = 8, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Many single-seed components, and their labels."""
    seeds = np.zeros((size, size), dtype=np.float32)
    seeds[4::step, 4::step] = 1.0
    return seeds, ndimage.label(ndimage.binary_dilation(seeds > 0, iterations=1))[0]


def test_no_degradation_is_identity() -> None:
    seeds, labels = _grid()
    kept = degrade_seeds(seeds, labels, np.random.default_rng(0), max_drop=0.0, jitter_px=0, max_false=0)
    np.testing.assert_array_equal(kept, seeds)
    assert kept.dtype == np.float32


def test_the_generator_alone_decides() -> None:
    seeds, labels = _grid()
    one, same, other = (degrade_seeds(seeds, labels, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_components_drop_whole() -> None:
    seeds = np.zeros((40, 40), dtype=np.float32)
    labels = np.zeros((40, 40), dtype=np.int64)
    for number, column in enumerate(range(2, 40, 4), start=1):
        labels[:, column] = number
        seeds[::5, column] = 1.0
    for seed in range(20):
        kept = degrade_seeds(seeds, labels, np.random.default_rng(seed), jitter_px=0, max_false=0)
        per_column = kept.sum(axis=0)[2::4]
        assert set(per_column) <= {0.0, 8.0}


def test_a_mask_and_its_labels_drop_alike() -> None:
    seeds, labels = _grid()
    by_label = degrade_seeds(seeds, labels, np.random.default_rng(5))
    by_mask = degrade_seeds(seeds, (labels > 0).astype(np.uint8), np.random.default_rng(5))
    np.testing.assert_array_equal(by_label, by_mask)


def test_drop_rate_is_uniform_up_to_its_maximum() -> None:
    seeds, labels = _grid()
    rates = []
    for seed in range(200):
        kept = degrade_seeds(seeds, labels, np.random.default_rng(seed), jitter_px=0, max_false=0)
        rates.append(1.0 - kept.sum() / seeds.sum())
    # U(0, 0.5) has mean .25 and standard deviation .144; 200 draws and 256 components blur both by about .01.
    assert np.mean(rates) == pytest.approx(0.25, abs=0.04)
    assert np.std(rates) == pytest.approx(0.144, abs=0.03)


def test_jitter_moves_by_one_pixel_at_most_and_in_every_direction() -> None:
    seeds, labels = _grid()
    moves = np.zeros((3, 3))
    kept = degrade_seeds(seeds, labels, np.random.default_rng(0), max_drop=0.0, max_false=0)
    assert kept.sum() == seeds.sum()
    for row, column in np.argwhere(seeds):
        (move,) = np.argwhere(kept[row - 1 : row + 2, column - 1 : column + 2])
        moves[tuple(move)] += 1
    assert (moves > 0).all()


def test_jitter_stays_in_the_image() -> None:
    seeds = np.ones((1, 1), dtype=np.float32)
    kept = degrade_seeds(seeds, seeds.astype(int), np.random.default_rng(0), max_drop=0.0, jitter_px=3)
    assert kept.sum() == 1


def test_false_seeds_are_few_and_outside_the_components() -> None:
    seeds, labels = _grid()
    counts = []
    for seed in range(60):
        added = degrade_seeds(seeds, labels, np.random.default_rng(seed), max_drop=0.0, jitter_px=0) - seeds
        assert (labels[added > 0] == 0).all()
        counts.append(int(added.sum()))
    assert set(counts) == {0, 1, 2}


def test_an_empty_map_gets_false_seeds_only() -> None:
    empty = np.zeros((32, 32), dtype=np.float32)
    counts = {int(degrade_seeds(empty, empty, np.random.default_rng(seed)).sum()) for seed in range(30)}
    assert counts == {0, 1, 2}


def test_degradation_refuses_what_it_cannot_mean() -> None:
    seeds = np.zeros((4, 4))
    with pytest.raises(ValueError, match="max_drop"):
        degrade_seeds(seeds, seeds, np.random.default_rng(0), max_drop=1.5)
    with pytest.raises(ValueError, match="one shape"):
        degrade_seeds(seeds, np.zeros((5, 4)), np.random.default_rng(0))

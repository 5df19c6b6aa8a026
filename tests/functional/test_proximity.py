import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from bundle.functional.proximity import points_mask, proximity_map, soft_dice_loss

GRID_REACH, GRID_DECAY = (6.0, 8.0, 10.0, 12.0), (-2.0, -1.0, 1e-4, 1.0, 2.0)


def slow(mask: np.ndarray, reach: float, decay: float) -> np.ndarray:
    """Eqs. 7-9 as they are printed: the maximum over all annotated pixels."""
    rows, columns = np.indices(mask.shape)
    best = np.zeros(mask.shape)
    for row, column in np.argwhere(mask):
        r = np.sqrt((rows - row) ** 2 + (columns - column) ** 2)
        g = (np.exp(decay * (1 - r / reach)) - 1) / (np.exp(decay) - 1)
        best = np.maximum(best, np.where(r <= reach, g, 0))
    return best


@pytest.mark.parametrize("reach", GRID_REACH)
@pytest.mark.parametrize("decay", GRID_DECAY)
def test_the_map_is_that_of_the_printed_equations(reach: float, decay: float) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 33), bool)
    mask[rng.integers(0, 40, 6), rng.integers(0, 33, 6)] = True
    mask[10:13, 20:24] = True
    np.testing.assert_allclose(proximity_map(mask, reach_px=reach, decay=decay), slow(mask, reach, decay), atol=1e-6)


def test_it_is_one_at_a_point_and_zero_at_its_reach() -> None:
    mask = points_mask([[20, 15]], shape=(41, 31))
    near = proximity_map(mask, reach_px=10, decay=1.0)
    assert near[20, 15] == 1
    assert near[20, 25] == near[30, 15] == 0
    # Half way: (exp(1/2) - 1) / (exp(1) - 1).
    assert near[20, 20] == pytest.approx((np.exp(0.5) - 1) / (np.e - 1), abs=1e-6)


def test_without_decay_the_limit_is_a_straight_line() -> None:
    near = proximity_map(points_mask([[0, 0]], shape=(1, 12)), reach_px=10, decay=1e-4)
    np.testing.assert_allclose(near[0], np.maximum(1 - np.arange(12) / 10, 0), atol=1e-4)


def test_nothing_annotated_is_nothing_near() -> None:
    assert not proximity_map(np.zeros((5, 6), bool)).any()
    assert not points_mask(np.zeros((0, 2)), shape=(4, 4)).any()


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="alpha other than 0"):
        proximity_map(np.ones((3, 3), bool), decay=0)
    with pytest.raises(ValueError, match="swap the axes"):
        points_mask([[3, 40]], shape=(50, 30))


def test_soft_dice_is_monais_where_every_pixel_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    probs, target = torch.rand(2, 3, 1, 9, 8, generator=generator)
    theirs = DiceLoss(smooth_nr=1.0, smooth_dr=1.0, batch=True)(probs, target)
    torch.testing.assert_close(soft_dice_loss(probs, target, torch.ones_like(probs)), theirs)


def test_soft_dice_by_hand() -> None:
    probs, target = torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[[1.0, 0.5]]]])
    # 1 - (2 * 0.5 + 1) / (0.5 + 1.5 + 1)
    assert soft_dice_loss(probs, target, torch.ones_like(probs)).item() == pytest.approx(1 / 3)


def test_pixels_without_weight_take_no_part() -> None:
    generator = torch.Generator().manual_seed(1)
    probs, target, other = torch.rand(3, 1, 1, 6, 6, generator=generator)
    weight = (torch.rand(1, 1, 6, 6, generator=generator) > 0.3).float()
    mixed = torch.where(weight > 0, probs, other)
    torch.testing.assert_close(soft_dice_loss(probs, target, weight), soft_dice_loss(mixed, target, weight))

import pytest
import torch

from bundle.functional.signal_refinement import pooled_weights, refine_by_signal


def test_each_block_has_its_mean_at_every_pixel() -> None:
    probs = torch.arange(24.0).reshape(1, 1, 4, 6) / 24
    by_hand = torch.empty(1, 1, 4, 6)
    for row in (0, 2):
        for column in (0, 2, 4):
            block = (..., slice(row, row + 2), slice(column, column + 2))
            by_hand[block] = probs[block].mean()
    torch.testing.assert_close(pooled_weights(probs, pool_px=2), by_hand)


def test_cut_blocks_average_over_the_pixels_they_have() -> None:
    probs = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    weights = pooled_weights(probs, pool_px=4)
    torch.testing.assert_close(weights[0, 0, 4, 6], probs[0, 0, 4, 4:].mean())
    assert weights.shape == probs.shape


def test_blocks_of_one_pixel_are_the_map_itself() -> None:
    probs = torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pooled_weights(probs, pool_px=1), probs)


def test_zeros_stay_zero_and_sure_blocks_leave_the_signal_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    signal = torch.rand(1, 1, 8, 8, generator=generator) * (torch.rand(1, 1, 8, 8, generator=generator) > 0.5)
    refined = refine_by_signal(torch.rand(1, 1, 8, 8, generator=generator), signal, pool_px=4)
    assert torch.equal(refined == 0, signal == 0)
    assert torch.equal(refine_by_signal(torch.ones(1, 1, 8, 8), signal, pool_px=4), signal)
    assert not refine_by_signal(torch.zeros(1, 1, 8, 8), signal, pool_px=4).any()


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="at least 1 px"):
        pooled_weights(torch.zeros(1, 1, 4, 4), pool_px=0)
    with pytest.raises(ValueError, match="one shape"):
        refine_by_signal(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5), pool_px=2)

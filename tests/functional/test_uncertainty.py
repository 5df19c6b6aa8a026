import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.functional.components import find_components
from bundle.functional.uncertainty import REACH_PX, RunningUncertainty, UncertaintyMaps, spread_of_findings
from bundle.functional.windows import Window

SHAPE = (2, 1, 20, 24)
WHOLE = [Window(0, 0, 0), Window(1, 0, 0)]


def random_probs(members: int, side: tuple[int, int] = (20, 24), *, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(members, batch, 1, *side, generator=torch.Generator().manual_seed(seed))


def summed(*parts: tuple[Tensor, list[Window]], threshold: float = 0.5) -> UncertaintyMaps:
    running = RunningUncertainty(SHAPE, threshold=threshold)
    for probs, windows in parts:
        running.add(probs, windows)
    return running.maps()


def slow_near(probs: np.ndarray) -> np.ndarray:
    """Highest value within reach of each pixel, (rows, columns)."""
    padded = np.pad(probs, REACH_PX, constant_values=-1)
    size = 2 * REACH_PX + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).max(axis=(-1, -2))


def test_one_call_gives_the_moments_of_a_stack() -> None:
    probs = random_probs(8)
    maps = summed((probs, WHOLE), threshold=0.9)
    for view in range(2):
        values = probs[:, view, 0].double().numpy()
        near = np.stack([slow_near(one) for one in values])
        mine = maps.view(view)
        np.testing.assert_allclose(mine.pixel_sd, values.std(axis=0), atol=1e-6)
        np.testing.assert_allclose(mine.peak_mean, near.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(mine.peak_sd, near.std(axis=0), atol=1e-6)
        np.testing.assert_allclose(mine.agreement, (near >= 0.9).mean(axis=0), atol=1e-6)
        assert (mine.members == 8).all()


def test_members_one_by_one_are_members_at_once() -> None:
    probs = random_probs(5)
    once, one_by_one = summed((probs, WHOLE)), summed(*((member[None], WHOLE) for member in probs))
    for first, second in zip(once, one_by_one, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_windows_count_alike_where_they_overlap_and_their_disagreement_is_spread() -> None:
    eight, one = random_probs(8, (12, 12), batch=1), random_probs(1, (12, 12), batch=1, seed=1)
    maps = summed((eight, [Window(1, 4, 6)]), (one, [Window(1, 8, 6)])).view(1)
    first, second = eight[:, 0, 0, 4:].double().numpy(), one[0, 0, 0, :8].double().numpy()
    middle = (first.mean(axis=0) + second) / 2
    variance = ((first - middle) ** 2).mean(axis=0) / 2 + (second - middle) ** 2 / 2
    np.testing.assert_allclose(maps.pixel_sd[8:16, 6:18], np.sqrt(variance), atol=1e-6)
    assert (maps.members[8:16, 6:18] == 9).all()
    assert (maps.members[4:8, 6:18] == 8).all()


def test_where_nobody_looked_there_is_nothing() -> None:
    maps = summed((random_probs(3, (8, 8), batch=1), [Window(0, 5, 5)]))
    for values in maps:
        assert not values[1].any()
        assert not values[0, 0, :5].any()
        assert values[0, 0, 5:13, 5:13].any()


def test_equal_members_have_no_spread_and_agree_to_the_threshold() -> None:
    member = torch.full((1, 2, 1, 20, 24), 0.7)
    for threshold, share in ((0.7, 1.0), (0.71, 0.0)):
        maps = summed((member.expand(4, -1, -1, -1, -1), WHOLE), (member, WHOLE), threshold=threshold)
        assert not maps.pixel_sd.any()
        assert not maps.peak_sd.any()
        assert (maps.agreement == share).all()


def test_what_reaches_beyond_the_image_is_cut_off() -> None:
    large = random_probs(2, (32, 32))
    for first, second in zip(summed((large, WHOLE)), summed((large[..., :20, :24], WHOLE)), strict=True):
        inside = slice(None, -REACH_PX)
        np.testing.assert_allclose(first[..., inside, inside], second[..., inside, inside], atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="Expected a threshold"):
        RunningUncertainty(SHAPE, threshold=threshold)


def planes(**values: np.ndarray) -> UncertaintyMaps:
    return UncertaintyMaps(**{name: values.get(name, np.zeros((6, 8), np.float32)) for name in UncertaintyMaps._fields})


def test_a_finding_is_read_at_its_peak_and_averaged_over_its_pixels() -> None:
    probs = np.zeros((6, 8))
    probs[1, 1:4] = 0.6, 0.9, 0.8
    probs[4, 6] = 0.7
    ramp = np.arange(48, dtype=np.float32).reshape(6, 8)
    maps = planes(pixel_sd=ramp, agreement=ramp / 48, peak_mean=ramp / 50, peak_sd=ramp / 100, members=ramp)
    large, small = spread_of_findings(find_components(probs > 0.5, scores=probs), probs, maps)
    assert (large.members, small.members) == (10, 38)
    assert (large.agreement, large.peak_mean, large.peak_sd) == pytest.approx((10 / 48, 10 / 50, 10 / 100))
    assert (large.pixel_sd, small.pixel_sd) == pytest.approx((10, 38))


def test_no_findings_have_no_spread_and_another_views_spread_is_refused() -> None:
    empty = find_components(np.zeros((6, 8), bool))
    assert spread_of_findings(empty, np.zeros((6, 8)), planes()) == []
    with pytest.raises(ValueError, match="same view"):
        spread_of_findings(find_components(np.zeros((5, 8), bool)), np.zeros((5, 8)), planes())

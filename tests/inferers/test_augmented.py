import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.functional.uncertainty import UncertaintyMaps
from bundle.inferers import AugmentedInferer, WindowedInferer
from bundle.inferers.augmented import turn

from .toys import Segmentor, view


def test_each_turn_has_its_way_back_and_no_two_are_alike() -> None:
    window = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    turned = [turn(window, number) for number in range(8)]
    for number, one in enumerate(turned):
        assert torch.equal(turn(one, number, back=True), window)
        assert not any(torch.equal(one, other) for other in turned[:number])


@pytest.mark.parametrize("augmentations", [4, 8])
def test_a_network_without_direction_gains_nothing_and_costs_more(augmentations: int) -> None:
    calls = []

    def pointwise(window: Tensor) -> Tensor:
        calls.append(len(window))
        return 4.0 * window - 1.0

    image = view()
    plain = WindowedInferer(16)(image, pointwise)
    single = sum(calls)
    calls.clear()
    averaged = AugmentedInferer(augmentations=augmentations, window_px=16)(image, pointwise)
    torch.testing.assert_close(averaged, plain, atol=1e-5, rtol=0)
    assert sum(calls) == augmentations * single


def test_the_mean_turns_with_the_image() -> None:
    image = view(16, 16, seed=3).clamp(min=-0.9)
    inferer = AugmentedInferer(window_px=16)
    plain = inferer(image, Segmentor())
    for number in range(8):
        torch.testing.assert_close(inferer(turn(image, number), Segmentor()), turn(plain, number), atol=1e-5, rtol=0)
    assert not torch.allclose(plain, Segmentor()(image))


def test_gated_augmentation_costs_nothing_where_nothing_is_seen_and_changes_nothing_there() -> None:
    calls = []

    def bright(window: Tensor) -> Tensor:
        calls.append(len(window))
        # Not symmetric, so that averaging shows.
        return 4.0 * window - 1.0 + torch.linspace(0, 1, window.shape[-1])

    image = torch.full((1, 1, 16, 48), -0.9)
    image[..., 8, 40] = 0.9
    options = {"window_px": 16, "overlap": 0.0}
    plain, every = WindowedInferer(16, 0.0)(image, bright), AugmentedInferer(**options)(image, bright)  # type: ignore[arg-type]
    calls.clear()
    gated = AugmentedInferer(gate_threshold=0.5, **options)(image, bright)  # type: ignore[arg-type]
    assert sum(calls) == 3 + 7
    assert torch.equal(gated[..., :32], plain[..., :32])
    torch.testing.assert_close(gated[..., 32:], every[..., 32:], atol=1e-6, rtol=0)
    assert not torch.allclose(every[..., 32:], plain[..., 32:])


def test_gated_augmentation_knows_no_batch_size() -> None:
    image = view(48, 48, seed=2)
    one, many = (
        AugmentedInferer(window_px=16, sw_batch_size=size, gate_threshold=0.4)(image, Segmentor()) for size in (1, 7)
    )
    torch.testing.assert_close(one, many, atol=1e-5, rtol=0)


def test_options_of_augmentation_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="gate_threshold in"):
        AugmentedInferer(gate_threshold=1.5)
    with pytest.raises(ValueError, match="got 3"):
        AugmentedInferer(augmentations=3)


# The spread over passes.


def uncertain(**options: object) -> AugmentedInferer:
    return AugmentedInferer(**({"window_px": 16, "agreement_threshold": 0.5} | options))  # type: ignore[arg-type]


def maps_of(inferer: AugmentedInferer) -> UncertaintyMaps:
    assert inferer.last_uncertainty is not None
    return inferer.last_uncertainty


@pytest.mark.parametrize("gate_threshold", [0.0, 0.4, 1.0])
def test_keeping_the_spread_changes_no_logit_and_costs_no_pass(gate_threshold: float) -> None:
    image, plain, kept = view(batch=2), Segmentor(), Segmentor()
    expected = AugmentedInferer(window_px=16, gate_threshold=gate_threshold)(image, plain)
    assert torch.equal(uncertain(gate_threshold=gate_threshold)(image, kept), expected)
    assert plain.windows == kept.windows


@pytest.mark.parametrize("augmentations", [4, 8])
def test_the_spread_of_one_window_is_that_of_its_passes(augmentations: int) -> None:
    image, network = view(16, 16, seed=3).clamp(min=-0.9), Segmentor()
    inferer = uncertain(augmentations=augmentations)
    inferer(image, network)
    members = [turn(network(turn(image, n)), n, back=True).sigmoid()[0, 0].numpy() for n in range(augmentations)]
    maps = maps_of(inferer).view(0)
    np.testing.assert_allclose(maps.pixel_sd, np.std(members, axis=0), atol=1e-6)
    assert (maps.members == augmentations).all()
    assert 0 < maps.agreement.max() <= 1


def test_passes_are_those_of_all_windows_that_cover_a_pixel_and_one_where_the_gate_is_shut() -> None:
    image = torch.full((1, 1, 16, 48), -0.9)
    image[..., 8, 40] = 0.9
    inferer = uncertain(gate_threshold=0.5)
    inferer(image, lambda window: 4.0 * window - 1.0)
    members = maps_of(inferer).view(0).members
    assert members[0].tolist() == [1] * 8 + [2] * 24 + [9] * 8 + [8] * 8
    assert (members == members[0]).all()


def test_a_network_without_direction_has_no_spread() -> None:
    inferer = uncertain()
    inferer(view(), lambda window: 4.0 * window - 1.0)
    np.testing.assert_allclose(maps_of(inferer).pixel_sd, 0, atol=1e-6)


def test_the_spread_knows_no_batch_size_and_turns_with_the_image() -> None:
    image = view(48, 48, seed=2).clamp(min=-0.9)
    one, many, turned = uncertain(sw_batch_size=1), uncertain(sw_batch_size=7), uncertain()
    one(image, Segmentor())
    many(image, Segmentor())
    turned(turn(image, 5), Segmentor())
    for first, second, third in zip(maps_of(one), maps_of(many), maps_of(turned), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
        np.testing.assert_allclose(turn(torch.from_numpy(first), 5), third, atol=1e-5)


def test_unasked_no_spread_is_kept_and_settings_are_those_of_before() -> None:
    plain, inferer = AugmentedInferer(window_px=16), uncertain()
    plain(view(), Segmentor())
    assert plain.last_uncertainty is None
    assert set(vars(inferer)) - set(vars(plain)) == {"agreement_threshold"}

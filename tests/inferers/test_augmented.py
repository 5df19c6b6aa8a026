import pytest
import torch
from torch import Tensor

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

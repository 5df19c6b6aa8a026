import pytest
import torch

from bundle.networks import ContextSensitiveNetwork


def network(width: int = 4) -> ContextSensitiveNetwork:
    torch.manual_seed(0)
    return ContextSensitiveNetwork(width).eval()


def patches(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, 95, 95, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_the_published_width_has_4224_features() -> None:
    assert ContextSensitiveNetwork(32).classes[0].in_features == 4224


def test_two_classes_come_out() -> None:
    assert network()(patches()).shape == (2, 2)


def test_the_local_network_sees_nine_pixels_and_the_context_all() -> None:
    net, image = network(), patches()
    seen: dict[str, torch.Tensor] = {}
    net.local.register_forward_pre_hook(lambda _, inputs: seen.__setitem__("local", inputs[0]))
    net.context.register_forward_pre_hook(lambda _, inputs: seen.__setitem__("context", inputs[0]))
    net(image)
    assert seen["context"].shape == (2, 1, 95, 95)
    assert torch.equal(seen["local"], seen["context"][..., 43:52, 43:52])


def test_a_constant_brightness_makes_no_difference() -> None:
    net, image = network(), patches()
    torch.testing.assert_close(net(image + 0.3), net(image), atol=1e-4, rtol=1e-4)


def test_weights_are_a_flat_state_without_the_fixed_disc() -> None:
    assert "disc" not in network().state_dict()


def test_patches_of_another_size_are_named() -> None:
    with pytest.raises(ValueError, match="95, 95"):
        network()(torch.zeros(1, 1, 64, 64))

import pytest
import torch

from bundle.functional.flow import flow_matching_loss, interpolate, velocity_target
from bundle.losses import FlowMatchingLoss


def _target(velocity: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.cat([velocity, weight], dim=1)


def test_equal_weights_give_equation_5() -> None:
    torch.manual_seed(0)
    x, z, t = torch.rand(2, 1, 8, 8), torch.randn(2, 1, 8, 8), torch.rand(2)

    def generator(state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return 0.5 * state

    expected = flow_matching_loss(generator, x, torch.zeros(2, 2, 8, 8), t, z)
    velocity = generator(interpolate(x, z, t), t, torch.zeros(2, 2, 8, 8))
    torch.testing.assert_close(
        FlowMatchingLoss()(velocity, _target(velocity_target(x, z), torch.ones_like(x))), expected
    )


def test_pixels_without_weight_do_not_count() -> None:
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., 0] = 1
    wrong = torch.where(weight > 0, 0.0, 9.0)
    assert FlowMatchingLoss()(wrong, _target(torch.zeros(1, 1, 4, 4), weight)) == 0


def test_exact_velocity_costs_nothing() -> None:
    velocity = torch.randn(1, 1, 4, 4)
    assert FlowMatchingLoss()(velocity, _target(velocity, torch.full((1, 1, 4, 4), 3.0))) == 0


def test_missing_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        FlowMatchingLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))

import math

import pytest
import torch
from torch import Tensor

from bundle.functional.flow import flow_matching_loss, interpolate, ode_steps, project, velocity_target

SHAPE = (2, 1, 5, 4)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


@pytest.fixture
def z() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def condition() -> Tensor:
    return torch.zeros(2, 2, 5, 4, dtype=torch.float64)


def test_t_zero_is_noise_and_t_one_is_data(x: Tensor, z: Tensor) -> None:
    assert torch.equal(interpolate(x, z, 0.0), z)
    assert torch.equal(interpolate(x, z, 1.0), x)


def test_times_belong_to_their_samples(x: Tensor, z: Tensor) -> None:
    state = interpolate(x, z, torch.tensor([0.0, 1.0]))
    assert torch.equal(state[0], z[0])
    assert torch.equal(state[1], x[1])


def test_target_is_the_derivative_of_the_path(x: Tensor, z: Tensor) -> None:
    step = 0.25
    slope = (interpolate(x, z, 0.5 + step) - interpolate(x, z, 0.5)) / step
    torch.testing.assert_close(slope, velocity_target(x, z))


def test_exact_velocity_has_no_loss(x: Tensor, z: Tensor, condition: Tensor) -> None:
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    assert flow_matching_loss(lambda state, t, condition: x - z, x, condition, t, z) == 0.0


def test_loss_is_the_mean_square_of_the_velocity_error(x: Tensor, z: Tensor, condition: Tensor) -> None:
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    loss = flow_matching_loss(lambda state, t, condition: x - z + 3.0, x, condition, t, z)
    assert loss.item() == pytest.approx(9.0)


def test_loss_shows_the_generator_the_state_of_eq_4(x: Tensor, z: Tensor, condition: Tensor) -> None:
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)

    def generator(state: Tensor, time: Tensor, seeds: Tensor) -> Tensor:
        # Knowing x, the velocity follows from the state alone: x - z = (x - m_t) / (1 - t).
        assert seeds is condition
        return (x - state) / (1.0 - time.view(-1, 1, 1, 1))

    assert flow_matching_loss(generator, x, condition, t, z).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.parametrize("t", [0.0, 0.09, 0.5, 0.93])
def test_exact_velocity_brings_the_image_back(x: Tensor, z: Tensor, condition: Tensor, t: float, method: str) -> None:
    projected = project(lambda state, t, condition: x - z, x, condition, t, z, method=method)
    torch.testing.assert_close(projected, x)


def _cubic(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    return (3.0 * t**2).view(-1, 1, 1, 1).expand_as(state)


def test_integral_of_three_t_squared_is_one(x: Tensor, z: Tensor, condition: Tensor) -> None:
    euler = project(_cubic, x, condition, 0.0, z, steps=1000)
    heun = project(_cubic, x, condition, 0.0, z, steps=100, method="heun")
    torch.testing.assert_close(euler, z + 1.0, atol=2e-3, rtol=0)
    torch.testing.assert_close(heun, z + 1.0, atol=1e-4, rtol=0)


def test_halving_the_step_divides_the_error_by_two_and_by_four(x: Tensor, z: Tensor, condition: Tensor) -> None:
    def error(steps: int, method: str) -> float:
        return (project(_cubic, x, condition, 0.0, z, steps=steps, method=method) - z - 1.0).abs().max().item()

    assert error(32, "euler") / error(64, "euler") == pytest.approx(2.0, rel=0.05)
    assert error(32, "heun") / error(64, "heun") == pytest.approx(4.0, rel=0.05)


def test_integration_runs_from_t_to_one_in_k_steps(x: Tensor, z: Tensor, condition: Tensor) -> None:
    seen: list[float] = []

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        seen.append(t[0].item())
        return torch.zeros_like(state)

    projected = project(generator, x, condition, 0.2, z, k_max=5)
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8])
    torch.testing.assert_close(projected, 0.2 * x + 0.8 * z)


def test_projection_at_t_one_is_the_image_and_asks_nobody(x: Tensor, z: Tensor, condition: Tensor) -> None:
    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        raise AssertionError("called")

    assert torch.equal(project(generator, x, condition, 1.0, z), x)


@pytest.mark.parametrize(("t", "k_max", "steps"), [(0.0, 4, 4), (0.09, 4, 4), (0.5, 4, 2), (0.51, 4, 2), (0.81, 4, 1)])
def test_early_times_take_more_steps(t: float, k_max: int, steps: int) -> None:
    assert ode_steps(t, k_max=k_max) == steps


def test_rounding_adds_no_step() -> None:
    for k_max in range(1, 30):
        for whole in range(1, k_max + 1):
            assert ode_steps(1.0 - whole / k_max, k_max=k_max) == whole


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_times_outside_the_path_are_refused(x: Tensor, z: Tensor, condition: Tensor, t: float) -> None:
    with pytest.raises(ValueError, match="t = 0 is noise"):
        project(_cubic, x, condition, t, z)


def test_unknown_methods_and_empty_integrations_are_refused(x: Tensor, z: Tensor, condition: Tensor) -> None:
    with pytest.raises(ValueError, match="rk4"):
        project(_cubic, x, condition, 0.5, z, method="rk4")
    with pytest.raises(ValueError, match="at least 1"):
        project(_cubic, x, condition, 0.5, z, steps=0)

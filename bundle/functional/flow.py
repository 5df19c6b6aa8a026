"""Rectified flow with t = 0 noise and t = 1 data (eqs. 4, 5 and 8)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Generator = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Velocity field: state (B, 1, rows, columns), t (B,) in [0, 1], condition (B, 2, rows, columns) -> like state."""

METHODS = ("euler", "heun")
# Keeps K_max (1 - t) from rounding up where it is a whole number in exact arithmetic (t = 0.9, K_max = 10).
_CEIL_TOLERANCE = 1e-9


def interpolate(x: Tensor, z: Tensor, t: Tensor | float) -> Tensor:
    """State on the straight path, m_t = t x + (1 - t) z (eq. 4).

    Args:
        x: data, (B, 1, rows, columns), in [-1, 1].
        z: noise, like x.
        t: time in [0, 1], one number or one per sample (B,).
    """
    if isinstance(t, Tensor) and t.ndim:
        t = t.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
    return t * x + (1.0 - t) * z


def velocity_target(x: Tensor, z: Tensor) -> Tensor:
    """Velocity of the straight path, d m_t / dt = x - z (eq. 5)."""
    return x - z


def flow_matching_loss(generator: Generator, x: Tensor, condition: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Mean over pixels and samples of (G(m_t, t; s) - (x - z))^2 (eq. 5).

    Args:
        generator: the velocity field.
        x: data, (B, 1, rows, columns), in [-1, 1].
        condition: (B, 2, rows, columns): seed map, and 1 where seeds are declared complete.
        t: (B,) in [0, 1].
        z: noise, like x.

    Returns:
        Scalar, with gradient.
    """
    velocity = generator(interpolate(x, z, t), t, condition)
    return torch.nn.functional.mse_loss(velocity.float(), velocity_target(x, z).float())


def ode_steps(t: float, *, k_max: int = 4) -> int:
    """Number of integration steps K = ceil(K_max (1 - t)), at least 1: early times correct more strongly."""
    return max(1, math.ceil(k_max * (1.0 - t) - _CEIL_TOLERANCE))


def project(
    generator: Generator,
    x: Tensor,
    condition: Tensor,
    t: float,
    z: Tensor,
    *,
    k_max: int = 4,
    steps: int | None = None,
    method: str = "euler",
) -> Tensor:
    """Projection of an image onto the prior, x^ = Pi(x; s, t, z) (eq. 8).

    The image is carried to m_t (eq. 4), then the velocity field is integrated from t to 1.

    Args:
        generator: the velocity field.
        x: image, (B, 1, rows, columns), in [-1, 1].
        condition: (B, 2, rows, columns), the seeds.
        t: projection time in [0, 1]; 0 forgets the image, 1 returns it.
        z: noise, like x.
        k_max: K_max of `ode_steps`.
        steps: number of steps K; None takes `ode_steps`.
        method: "euler" (one call of the generator per step) or "heun" (two).

    Returns:
        The projected image, like x.

    Raises:
        ValueError: t outside [0, 1], fewer than one step, or an unknown method.
    """
    if not 0.0 <= t <= 1.0:
        raise ValueError(f"Expected a projection time t in [0, 1], got {t}; t = 0 is noise and t = 1 is data")
    if method not in METHODS:
        raise ValueError(f"Expected an integration method among {METHODS}, got {method!r}; choose one of them")
    count = ode_steps(t, k_max=k_max) if steps is None else steps
    if count < 1:
        raise ValueError(f"Expected at least 1 integration step, got {count}; raise k_max or steps")
    state = interpolate(x, z, t)
    step = (1.0 - t) / count
    for ode_step in range(count if step > 0 else 0):
        state = _integrate(generator, state, condition, t + ode_step * step, step, method)
    return state


def _integrate(generator: Generator, state: Tensor, condition: Tensor, t: float, step: float, method: str) -> Tensor:
    """One step of the ordinary differential equation dm/dt = G(m, t; s)."""
    velocity = generator(state, _times(state, t), condition).to(state.dtype)
    ahead = state + step * velocity
    if method == "euler":
        return ahead
    # The corrector must not ask for a time beyond the data.
    later = generator(ahead, _times(state, min(t + step, 1.0)), condition).to(state.dtype)
    return state + 0.5 * step * (velocity + later)


def _times(state: Tensor, t: float) -> Tensor:
    """The same time for every sample of a batch, (B,)."""
    return torch.full((state.shape[0],), t, dtype=state.dtype, device=state.device)

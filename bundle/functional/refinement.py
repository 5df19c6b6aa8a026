"""Test-time generative posterior refinement: schedule, energy, step and mixing (eqs. 7 and 10-16).

Probabilities p = sigmoid(l), the projected target q, logits l and the edge map e are (B, 1, rows, columns), one window
per sample; energies are (B,), one number per window, in no particular unit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .edges import gaussian_smooth
from .refinement_settings import RefinementSettings

_PIXELS = (1, 2, 3)


def time_schedule(iterations: int, *, t_start: float, t_end: float) -> list[float]:
    """Projection times, t_i = t_start + i / max(1, I - 1) (t_end - t_start) (eq. 7): coarse first, fine last."""
    return [t_start + i / max(1, iterations - 1) * (t_end - t_start) for i in range(iterations)]


def tversky_index(
    probs: Tensor, target: Tensor, *, alpha: float = 1.0, beta: float = 1.0, epsilon: float = 1.0
) -> Tensor:
    """Soft Tversky index TI(p, q) (eqs. 10 and 11).

    Args:
        probs: p in [0, 1].
        target: q in [0, 1].
        alpha: alpha_T, weight of false positives.
        beta: weight of false negatives.
        epsilon: smoothing; two empty windows agree with index 1.

    Returns:
        (B,) in (0, 1].
    """
    true_positive = (probs * target).sum(dim=_PIXELS)
    false_positive = (probs * (1.0 - target)).sum(dim=_PIXELS)
    false_negative = ((1.0 - probs) * target).sum(dim=_PIXELS)
    reached = true_positive + epsilon
    return reached / (reached + alpha * false_positive + beta * false_negative)


def stabilisation(probs: Tensor, target: Tensor, *, reduction: str = "sum", epsilon: float = 1.0) -> Tensor:
    """Squared distance ||p - q||^2 (second term of eq. 13), (B,).

    Args:
        probs: p in [0, 1].
        target: q in [0, 1].
        reduction: "sum" over pixels as the norm is written, "mean", or "mass" (see `_reduce`).
        epsilon: added to the soft mass.
    """
    return _reduce((probs - target).square(), probs, reduction, epsilon)


def edge_energy(
    probs: Tensor, edges: Tensor, *, sharpness: float = 10.0, reduction: str = "mean", epsilon: float = 1.0
) -> Tensor:
    """Edge-aware total variation, w |grad p| with w = exp(-k |e|) (a reading of L_edge in eq. 13), (B,).

    A change of p costs less where the image has an edge. Differences are taken along rows and columns inside the
    window; each is weighted by the mean w of its two pixels.

    Args:
        probs: p in [0, 1].
        edges: e(x) in [-1, 1].
        sharpness: k.
        reduction: "sum", "mean" over pixels, "mass" (see `_reduce`), or "off" for zero.
        epsilon: added to the soft mass.
    """
    if reduction == "off":
        return probs.new_zeros(probs.shape[0])
    weight = torch.exp(-sharpness * edges.abs())
    variation = torch.zeros_like(probs)
    for axis in (2, 3):
        length = probs.shape[axis] - 1
        between = 0.5 * (weight.narrow(axis, 0, length) + weight.narrow(axis, 1, length))
        step = between * probs.diff(dim=axis).abs()
        padding = (0, 0, 0, 1) if axis == 2 else (0, 1)
        variation = variation + torch.nn.functional.pad(step, padding)
    return _reduce(variation, probs, reduction, epsilon)


def _reduce(values: Tensor, probs: Tensor, reduction: str, epsilon: float) -> Tensor:
    """Sum over a window's pixels; "mean" divides by their number, "mass" by epsilon plus the sum of p, a constant."""
    total = values.sum(dim=_PIXELS)
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / values[0].numel()
    if reduction == "mass":
        return total / (probs.detach().sum(dim=_PIXELS) + epsilon)
    raise ValueError(f"Expected a reduction among sum, mean, mass, got {reduction!r}; choose one of them")


class Energy(NamedTuple):
    """Energy of each window (eq. 13), (B,): the total and its three weighted terms, which add up to it."""

    total: Tensor
    tversky: Tensor
    stabilisation: Tensor
    edge: Tensor


def energy(probs: Tensor, target: Tensor, edges: Tensor, settings: RefinementSettings) -> Energy:
    """E = w_T (1 - TI(p, q)) + w_S ||p - q||^2 + w_E L_edge(p; x) (eqs. 12 and 13)."""
    index = tversky_index(probs, target, alpha=settings.alpha, beta=settings.beta, epsilon=settings.epsilon)
    tversky = settings.w_tversky * (1.0 - index)
    squares = settings.w_stabilisation * stabilisation(
        probs, target, reduction=settings.stabilisation_reduction, epsilon=settings.epsilon
    )
    edge = settings.w_edge * edge_energy(
        probs,
        edges,
        sharpness=settings.edge_sharpness,
        reduction=settings.edge_reduction,
        epsilon=settings.epsilon,
    )
    return Energy(tversky + squares + edge, tversky, squares, edge)


def energy_gradient(
    logits: Tensor, target: Tensor, edges: Tensor, settings: RefinementSettings
) -> tuple[Tensor, Energy]:
    """Gradient of eq. 13 with respect to the logits, q held fixed; works under no_grad and inference_mode.

    Returns:
        The gradient, like logits, and the energies without gradient.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        # Copies, for tensors made in inference mode cannot be saved for the backward pass.
        leaf = logits.detach().clone().requires_grad_()
        terms = energy(torch.sigmoid(leaf), target.detach().clone(), edges.detach().clone(), settings)
        (gradient,) = torch.autograd.grad(terms.total.sum(), leaf)
    return gradient, Energy(*(term.detach() for term in terms))


def refine_step(logits: Tensor, gradient: Tensor, *, eta: float, max_step: float | None = None) -> Tensor:
    """Gradient descent on the logits, l - eta dE/dl (eq. 14); no logit moves by more than `max_step`, if given."""
    step = eta * gradient
    return logits - (step if max_step is None else step.clamp(-max_step, max_step))


def mixing_rate(rho: float, refine_iter: int, *, iterations: int, mixing: str = "every") -> float:
    """Rate of eq. 15 after iteration i: rho, or rho falling to zero with the last one ("annealed"), or nothing ("off").

    "once" is nothing too: it is applied after the last iteration, whichever that turns out to be.
    """
    if mixing == "every":
        return rho
    if mixing == "annealed":
        return rho * (1.0 - refine_iter / max(1, iterations - 1))
    return 0.0


def high_pass_mixing(
    logits: Tensor, edges: Tensor, *, rho: float, form: str = "printed", sigma_px: float = 1.5
) -> Tensor:
    """Edge-guided high-pass mixing in logit space (eq. 15).

    Args:
        logits: l.
        edges: e(x) in [-1, 1].
        rho: rate.
        form: "printed", l + rho e; or "logits", l + rho e (l - G*l).
        sigma_px: standard deviation of G for "logits".
    """
    if rho == 0.0:
        return logits
    if form == "printed":
        return logits + rho * edges
    return logits + rho * edges * (logits - gaussian_smooth(logits, sigma_px))

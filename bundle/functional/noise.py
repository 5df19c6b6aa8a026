"""Counter-based Gaussian noise: a pixel's value follows from its place in the image, not from the order of the draws.

z = f(seed, refine_iter, draw, row, column). Overlapping windows therefore see the same noise, and a result depends
neither on batches nor on the order of the windows. The hash is splitmix64's finaliser, applied twice; Box-Muller then
makes it Gaussian.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK_64 = (1 << 64) - 1
_MASK_32 = (1 << 32) - 1
_TWO_32 = 2.0**32


def _mix_scalar(value: int) -> int:
    """Splitmix64's finaliser on one unsigned 64-bit number."""
    value = (value + _GOLDEN) & _MASK_64
    value = ((value ^ (value >> 30)) * _MULTIPLIERS[0]) & _MASK_64
    value = ((value ^ (value >> 27)) * _MULTIPLIERS[1]) & _MASK_64
    return value ^ (value >> 31)


def _signed(value: int) -> int:
    """The same 64 bits as a signed number, which is what torch's int64 holds."""
    return value - (1 << 64) if value >> 63 else value


def _xor_shift_(bits: Tensor, shift: int) -> Tensor:
    """`bits ^= bits >> shift` in place; the shift is made logical by clearing the copies of the sign bit."""
    return bits.bitwise_xor_((bits >> shift).bitwise_and_((1 << (64 - shift)) - 1))


def _mix_(bits: Tensor) -> Tensor:
    """Splitmix64's finaliser in place on int64; products wrap modulo 2^64."""
    bits.add_(_signed(_GOLDEN))
    _xor_shift_(bits, 30).mul_(_signed(_MULTIPLIERS[0]))
    _xor_shift_(bits, 27).mul_(_signed(_MULTIPLIERS[1]))
    return _xor_shift_(bits, 31)


def coordinate_hash(
    rows: int,
    columns: int,
    *,
    key: tuple[int, ...] = (),
    top: int = 0,
    left: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Hash every pixel of a window by its image coordinates.

    Args:
        rows: height of the window in pixels.
        columns: width of the window in pixels.
        key: integers that select the stream; each is folded in by one round of the hash, so (1, 2) differs from (2, 1).
        top: image row of the window's first row.
        left: image column of the window's first column.
        device: where to compute.

    Returns:
        (rows, columns) int64 of 64 well-mixed bits.
    """
    state = 0
    for part in key:
        state = _mix_scalar(state ^ (part & _MASK_64))
    row = torch.arange(top, top + rows, dtype=torch.int64, device=device)
    column = torch.arange(left, left + columns, dtype=torch.int64, device=device) & _MASK_32
    bits = (row[:, None] << 32) | column[None, :]
    return _mix_(_mix_(bits.bitwise_xor_(torch.tensor(_signed(state), device=device))))


def coordinate_noise(
    rows: int,
    columns: int,
    *,
    seed: int,
    refine_iter: int,
    draw: int,
    top: int = 0,
    left: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard Gaussian noise z in image coordinates (the z of eq. 8).

    Args:
        rows: height of the window in pixels.
        columns: width of the window in pixels.
        seed: the user's noise seed.
        refine_iter: refinement iteration i; each has fresh noise.
        draw: index of the draw within the iteration.
        top: image row of the window's first row.
        left: image column of the window's first column.
        device: where to compute.

    Returns:
        (rows, columns) float32; the value of an image pixel is the same whatever the window that holds it.
    """
    bits = coordinate_hash(rows, columns, key=(seed, refine_iter, draw), top=top, left=left, device=device)
    # The half keeps the logarithm's argument above zero.
    radius = ((bits >> 32) & _MASK_32).to(torch.float64).add_(0.5).div_(_TWO_32).log_().mul_(-2.0).sqrt_()
    angle = (bits & _MASK_32).to(torch.float64).mul_(2.0 * math.pi / _TWO_32)
    return radius.mul_(angle.cos_()).to(torch.float32)

"""SegAI + R:SP1 and R:SP2 (supplement, eq. 2): a map of signal processing, weighted by a segmentor's pooled map."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pooled_weights(probs: Tensor, *, pool_px: int) -> Tensor:
    """Mean probability of each block of pool_px x pool_px pixels, at each pixel of the block.

    Blocks at the lower and right border may be cut; their mean is over the pixels they have.

    Args:
        probs: (B, 1, rows, columns), in [0, 1].
        pool_px: side of the blocks, also their stride: one weight per stride.

    Raises:
        ValueError: on a side below 1.
    """
    if pool_px < 1:
        raise ValueError(f"Expected blocks of at least 1 px, got {pool_px}; 16 is about a millimetre")
    rows, columns = probs.shape[-2:]
    blocks = F.avg_pool2d(probs, pool_px, ceil_mode=True, count_include_pad=False)
    spread = blocks.repeat_interleave(pool_px, dim=-2).repeat_interleave(pool_px, dim=-1)
    return spread[..., :rows, :columns]


def refine_by_signal(probs: Tensor, signal: Tensor, *, pool_px: int) -> Tensor:
    """Weight a signal-processing map by the pooled map of a segmentor; where the signal is 0, the result is 0.

    Args:
        probs: of the segmentor, (B, 1, rows, columns), in [0, 1].
        signal: likewise.
        pool_px: as in `pooled_weights`.

    Raises:
        ValueError: on different shapes.
    """
    if probs.shape != signal.shape:
        raise ValueError(f"Expected maps of one shape, got {tuple(probs.shape)} and {tuple(signal.shape)}")
    return torch.mul(pooled_weights(probs, pool_px=pool_px), signal)

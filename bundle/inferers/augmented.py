"""Test-time augmentation: the default method, and the control of the refinements at equal cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from ..functional.windows import Window
from .windowed import Network, WindowedInferer

AUGMENTATIONS = (4, 8)


class AugmentedInferer(Inferer):
    """Mean logits over flips and turns of each window that shows any evidence.

    Args:
        augmentations: 4 (flips of rows and columns) or 8 (with their transposes).
        gate_threshold: windows whose largest probability is below it keep their first pass and cost no more; 0 gates
            none.
        window_px: of the windows, this and all that follows as in `WindowedInferer`.
        overlap: of neighbouring windows.
        sw_batch_size: windows per call.
        dtype: of calls.
        progress: show a bar.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(
        self,
        *,
        augmentations: int = 8,
        gate_threshold: float = 0.0,
        window_px: int = 256,
        overlap: float = 0.5,
        sw_batch_size: int = 4,
        dtype: str = "float32",
        progress: bool = False,
    ) -> None:
        super().__init__()
        if augmentations not in AUGMENTATIONS:
            raise ValueError(f"Expected a number of augmentations among {AUGMENTATIONS}, got {augmentations}")
        if not 0 <= gate_threshold <= 1:
            raise ValueError(f"Expected a gate_threshold in [0, 1], got {gate_threshold}; 0 gates no window")
        self.augmentations, self.gate_threshold = augmentations, gate_threshold
        self.windowed = WindowedInferer(window_px, overlap, sw_batch_size, dtype=dtype, progress=progress)

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Mean logits (B, 1, rows, columns); arguments as for `WindowedInferer`."""

        def call(windows: Tensor) -> Tensor:
            return self.windowed.logits(windows, network, *args, **kwargs)

        return self.windowed.averaged(inputs, lambda windows, chunk: self._mean(windows, chunk, call))

    def _mean(self, windows: Tensor, chunk: Sequence[Window], network: Network) -> Tensor:
        """Mean logits of a batch of windows (N, 1, window_px, window_px)."""
        logits = network(windows)
        evident = torch.sigmoid(logits).amax(dim=(1, 2, 3)) >= self.gate_threshold
        if not evident.any():
            return logits
        total, seen = logits[evident], windows[evident]
        for number in range(1, self.augmentations):
            total = total + turn(network(turn(seen, number)), number, back=True)
        averaged = logits.clone()
        averaged[evident] = total / self.augmentations
        return averaged


def turn(window: Tensor, number: int, *, back: bool = False) -> Tensor:
    """One of the eight flips and turns of the last two axes, or the way back.

    Args:
        window: (..., side, side).
        number: 0 to 7: bit 0 flips rows, bit 1 columns, bit 2 then transposes.
        back: undo it.
    """
    axes = [axis for bit, axis in ((1, -2), (2, -1)) if number & bit]
    if not number & 4:
        return window.flip(axes)
    return window.mT.flip(axes) if back else window.flip(axes).mT

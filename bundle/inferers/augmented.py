"""Test-time augmentation: the default method, and the control of the refinements at equal cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from ..functional.uncertainty import RunningUncertainty, UncertaintyMaps
from ..functional.windows import Window
from .windowed import Network, WindowedInferer

AUGMENTATIONS = (4, 8)


class AugmentedInferer(Inferer):
    """Mean logits over flips and turns of each window that shows any evidence.

    Args:
        augmentations: 4 (flips of rows and columns) or 8 (with their transposes).
        gate_threshold: windows whose largest probability is below it keep their first pass and cost no more; 0 gates
            none.
        agreement_threshold: probability at which a pass finds something: keep the spread over passes; None keeps none.
        window_px: of the windows, this and all that follows as in `WindowedInferer`.
        overlap: of neighbouring windows.
        sw_batch_size: windows per call.
        dtype: of calls.
        progress: show a bar.

    Attributes:
        last_uncertainty: spread of the last call over its passes, flips and turns of all windows that cover a pixel, if
            `agreement_threshold`.

    Raises:
        ValueError: an option out of its range.
    """

    # Of the class: settings that kept maps are named by hold only what logits depend on.
    agreement_threshold: float | None = None
    last_uncertainty: UncertaintyMaps | None = None

    def __init__(
        self,
        *,
        augmentations: int = 8,
        gate_threshold: float = 0.0,
        agreement_threshold: float | None = None,
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
        if agreement_threshold is not None:
            self.agreement_threshold = agreement_threshold
        self.windowed = WindowedInferer(window_px, overlap, sw_batch_size, dtype=dtype, progress=progress)

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Mean logits (B, 1, rows, columns); arguments as for `WindowedInferer`."""
        running = self._running(inputs)

        def call(windows: Tensor) -> Tensor:
            return self.windowed.logits(windows, network, *args, **kwargs)

        logits = self.windowed.averaged(inputs, lambda windows, chunk: self._mean(windows, chunk, call, running))
        if running is not None:
            self.last_uncertainty = running.maps()
        return logits

    def _running(self, inputs: Tensor) -> RunningUncertainty | None:
        """Empty sums, if the spread is kept."""
        if self.agreement_threshold is None:
            return None
        return RunningUncertainty(inputs.shape, threshold=self.agreement_threshold, device=inputs.device)

    def _mean(
        self, windows: Tensor, chunk: Sequence[Window], network: Network, running: RunningUncertainty | None
    ) -> Tensor:
        """Mean logits of a batch of windows (N, 1, window_px, window_px)."""
        logits = network(windows)
        evident = torch.sigmoid(logits).amax(dim=(1, 2, 3)) >= self.gate_threshold
        seen, members = windows[evident], [logits[evident]]
        for number in range(1, self.augmentations if len(seen) else 1):
            members.append(turn(network(turn(seen, number)), number, back=True))
        averaged = logits.clone()
        averaged[evident] = sum(members[1:], members[0]) / len(members)
        if running is not None:
            shown = evident.tolist()
            running.add(torch.sigmoid(torch.stack(members)), [w for w, one in zip(chunk, shown, strict=True) if one])
            others = [w for w, one in zip(chunk, shown, strict=True) if not one]
            running.add(torch.sigmoid(logits[~evident])[None], others)
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

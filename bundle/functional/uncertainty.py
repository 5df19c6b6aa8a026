"""How much the members of an averaged prediction differ, per pixel and per finding, from running sums.

A member is one pass that has a say in the prediction: a flip or turn of a window, or a refinement with its own noise.
Members are never stacked over a view: a window's are merged into means and squares (Chan, Golub and LeVeque 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from .components import Components
from .windows import Window

REACH_PX = 2
"""Members may have their peak of a finding this many rows and columns away from the finding's own."""


class UncertaintyMaps(NamedTuple):
    """Spread over members: float32 (B, 1, rows, columns) each, or (rows, columns) of one view; 0 where none has looked.

    Attributes:
        pixel_sd: standard deviation of the probability.
        peak_mean: mean of the members' highest probability within `REACH_PX`,
        peak_sd: and its standard deviation.
        agreement: share of members whose highest probability there reaches the threshold, [0, 1].
        members: how many passes have looked.
    """

    pixel_sd: NDArray[np.float32]
    peak_mean: NDArray[np.float32]
    peak_sd: NDArray[np.float32]
    agreement: NDArray[np.float32]
    members: NDArray[np.float32]

    def view(self, index: int) -> UncertaintyMaps:
        """Those of one view of a batch."""
        return UncertaintyMaps(*(values[index, 0] for values in self))


class RunningUncertainty:
    """Means, squares and shares over members, window by window; windows count alike, as they do in the mean logits.

    Args:
        shape: of the images, (B, 1, rows, columns).
        threshold: probability at which a member finds something, (0, 1].
        reach_px: see `REACH_PX`.
        device: of the sums.

    Raises:
        ValueError: a threshold out of its range.
    """

    def __init__(
        self, shape: Sequence[int], *, threshold: float, reach_px: int = REACH_PX, device: torch.device | str = "cpu"
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"Expected a threshold of agreement in (0, 1], got {threshold:g}; 0.5 is usual")
        self.threshold, self.reach_px = threshold, reach_px
        # Of the probability, the highest one within reach, and whether that reaches the threshold.
        self.means = torch.zeros(3, *shape, device=device)
        self.squares = torch.zeros(2, *shape, device=device)
        self.windows, self.members = (torch.zeros(*shape, device=device) for _ in range(2))

    def add(self, probs: Tensor, windows: Sequence[Window]) -> None:
        """Merge all members of some windows; what reaches beyond the image is cut off.

        Args:
            probs: (members, N, 1, rows, columns).
            windows: (N,), where they lie.
        """
        if not windows:
            return
        side = 2 * self.reach_px + 1
        near = F.max_pool2d(probs.flatten(0, 1), side, stride=1, padding=self.reach_px).view_as(probs)
        values = torch.stack([probs, near, (near >= self.threshold).float()])
        means = values.mean(dim=1)
        # Many times faster than torch.var_mean.
        variances = (values[:2] - means[:2, None]).square_().mean(dim=1)
        for number, window in enumerate(windows):
            self._merge(means[:, number, 0], variances[:, number, 0], len(probs), window)

    def _merge(self, means: Tensor, variances: Tensor, members: int, window: Window) -> None:
        """Merge one window's means (3, rows, columns) and variances (2, rows, columns)."""
        rows, columns = means.shape[-2:]
        place = (window.image, 0, slice(window.top, window.top + rows), slice(window.left, window.left + columns))
        count = self.windows[place].add_(1.0)
        inside = (slice(None), *(slice(size) for size in count.shape))
        old = self.means[(slice(None), *place)]
        change = means[inside] - old
        old.add_(change / count)
        self.squares[(slice(None), *place)].add_(variances[inside] + change[:2] * (means[inside] - old)[:2])
        self.members[place].add_(members)

    def maps(self) -> UncertaintyMaps:
        """The spread of what has been added."""
        _, peak_mean, agreement = self.means
        pixel_sd, peak_sd = (self.squares / self.windows.clamp(min=1.0)).sqrt()
        tensors = (pixel_sd, peak_mean, peak_sd, agreement, self.members)
        return UncertaintyMaps(*(tensor.cpu().numpy() for tensor in tensors))


@dataclass(frozen=True)
class FindingUncertainty:
    """Spread of one finding over members.

    Attributes:
        members: passes that have looked at its peak.
        agreement: share of them that find it: whose highest probability within `REACH_PX` of its peak reaches the
            threshold.
        peak_mean: mean of these highest probabilities,
        peak_sd: and their standard deviation.
        pixel_sd: mean over its pixels of the probability's standard deviation.
    """

    members: int
    agreement: float
    peak_mean: float
    peak_sd: float
    pixel_sd: float


def spread_of_findings(components: Components, probs: ArrayLike, maps: UncertaintyMaps) -> list[FindingUncertainty]:
    """Read the spread at each object's peak (the first pixel of equals), and its mean over the object.

    Args:
        components: (n,) objects of one view.
        probs: (rows, columns), the map they were found in.
        maps: of that view, (rows, columns).

    Raises:
        ValueError: maps of another shape, which are another view's.
    """
    if maps.pixel_sd.shape != components.shape:
        raise ValueError(
            f"Expected the spread in the shape of the map {components.shape}, got {maps.pixel_sd.shape}; "
            "take that of the same view"
        )
    order = np.lexsort((components.pixels, -np.asarray(probs).flat[components.pixels], components.owner))
    _, first = np.unique(components.owner[order], return_index=True)
    peaks = components.pixels[order[first]]
    inside = maps.pixel_sd.flat[components.pixels]
    pixel_sd = np.bincount(components.owner, weights=inside, minlength=len(components)) / components.area_px
    return [
        FindingUncertainty(
            members=int(maps.members.flat[peak]),
            agreement=float(maps.agreement.flat[peak]),
            peak_mean=float(maps.peak_mean.flat[peak]),
            peak_sd=float(maps.peak_sd.flat[peak]),
            pixel_sd=float(mean),
        )
        for peak, mean in zip(peaks, pixel_sd, strict=True)
    ]

"""Virtual normals: a view as an inpainter expects it without calcifications, behind the inferers' interface."""

from collections.abc import Callable

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..functional.classical import (
    DEVIATION_FLOOR,
    LOCAL_DEVIATION_MM,
    MAGNITUDE_TO_DEVIATION,
    SMALLEST_DEVIATION,
    gaussian,
    in_px,
    local_mean,
)
from ..functional.objects import Spacing
from ..functional.windows import breast_windows, coverage, gather, pad_to_window, scatter_add_
from ..inferers import WindowedInferer
from ..inferers.windowed import like_inputs, plain_image
from ..networks.inpainter_grid import compose
from .network import Network, chosen_network

HIDE = ("grid", "mask", "nothing")
HIGH_PASS_MM = 0.32
Combine = Callable[[Tensor, Tensor], Tensor]


class VirtualNormalInferer(Inferer):
    """Predicts the breast of a view, window by window.

    Args:
        inpainter: (N, 2, window_px, window_px), image and hidden pixels -> (N, 1, window_px, window_px).
        windowed: how views are cut into windows and put together; windows of 256 px, half overlapping, when None.
        hide: "grid": every pixel is predicted while its cell is hidden; "mask": pixels of a given mask alone are
            hidden and replaced; "nothing": the same network with the whole view before its eyes, a control that can
            copy.
        cell_px: side of the grid's cells; the supplement's are of 256 px in patches of 512.
        blended: whether passes are blended over their cells (16 of them) or laid side by side (4).

    Raises:
        ValueError: on an unknown `hide`.
    """

    def __init__(
        self,
        inpainter: Network | None = None,
        *,
        windowed: WindowedInferer | None = None,
        hide: str = "grid",
        cell_px: int = 32,
        blended: bool = True,
    ) -> None:
        super().__init__()
        if hide not in HIDE:
            raise ValueError(f"Expected to hide one of {', '.join(HIDE)}, got {hide!r}; grid predicts every pixel")
        self.inpainter, self.hide, self.cell_px, self.blended = inpainter, hide, cell_px, blended
        self.windowed = WindowedInferer() if windowed is None else windowed

    def __call__(
        self,
        inputs: Tensor,
        network: Network | None = None,
        *,
        hidden: Tensor | None = None,
        spacing_mm: Spacing | None = None,
    ) -> Tensor:
        """Return virtual normals (B, 1, rows, columns), float32 in [-1, 1], for windowed views of that shape.

        Args:
            inputs: the views.
            network: an inpainter that goes before that of the constructor.
            hidden: like inputs, bool: the pixels to replace, for `hide="mask"` alone.
            spacing_mm: not needed.

        Raises:
            ValueError: on another shape, without a network, or if `hidden` and `hide` do not fit.
        """
        normal = self._passes(inputs, network, hidden, lambda image, predicted: predicted)
        image = plain_image(inputs)
        return like_inputs(torch.where(image > -1, normal.clamp(-1, 1), -1.0), inputs)

    def residual(self, inputs: Tensor, network: Network | None = None, *, hidden: Tensor | None = None) -> Tensor:
        """Mean over windows of max(0, view - prediction), 0 outside the breast and what is replaced.

        The arguments are those of the call. This is the sum of patch maps over their coverage (eqs. 4 and 5), before
        it is divided by a local deviation.
        """
        found = self._passes(inputs, network, hidden, lambda image, predicted: (image - predicted).clamp(min=0))
        return like_inputs(torch.where(plain_image(inputs) > -1, found, 0.0), inputs)

    def _passes(self, inputs: Tensor, network: Network | None, hidden: Tensor | None, combine: Combine) -> Tensor:
        image, inpainter = plain_image(inputs), chosen_network(network, self.inpainter)
        if (hidden is not None) != (self.hide == "mask"):
            raise ValueError(f"Expected hidden pixels for hide='mask' and for that alone, got hide={self.hide!r}")

        def predict(image: Tensor, hidden: Tensor) -> Tensor:
            return self._pass(image, hidden, inpainter, combine)

        if hidden is not None:
            chosen = hidden.to(image.device).bool() & (image > -1)
            # Where nothing is replaced the prediction is the view itself.
            return torch.where(chosen, predict(image, chosen), combine(image, image))
        if self.hide == "nothing":
            return predict(image, torch.zeros_like(image, dtype=torch.bool))
        return compose(image, predict, cell_px=self.cell_px, blended=self.blended)

    def _pass(self, image: Tensor, hidden: Tensor, inpainter: Network, combine: Combine) -> Tensor:
        """One pass over a view: mean over windows of what is made of image and prediction."""
        side = self.windowed.window_px
        frame = pad_to_window(image, window_px=side)
        blind = pad_to_window(hidden.float(), window_px=side, value=0.0)
        windows = breast_windows(
            blind - 1 if self.hide == "mask" else frame, window_px=side, overlap=self.windowed.overlap
        )
        total = torch.zeros_like(frame)
        with torch.no_grad():
            for chunk in self.windowed.chunks(windows, "windows"):
                part, spots = gather(frame, chunk, window_px=side), gather(blind, chunk, window_px=side)
                # Hidden values stay here, whatever the network.
                stacked = torch.cat([torch.where(spots > 0, 0.0, part), spots], dim=1)
                with self.windowed.autocast(image.device):
                    predicted = inpainter(stacked).float()
                scatter_add_(total, combine(part, predicted), chunk)
        mean = total / coverage(frame, windows, window_px=side).clamp(min=1.0)
        return mean[..., : image.shape[-2], : image.shape[-1]]


def noise_deviation(image: NDArray, seen: NDArray, *, spacing_mm: Spacing) -> NDArray[np.float32]:
    """Local standard deviation of a view's fine structure, from pixels that are seen, at every pixel; > 0.

    From the mean magnitude over 4 mm of the view less a Gaussian mean, floored at a quarter of its median, so that the
    scale does not move with what was found (SegAI + R:GenAI on a fixed scale).

    Args:
        image: float (rows, columns) in [-1, 1].
        seen: bool (rows, columns), breast without what is hidden.
        spacing_mm: row and column spacing.
    """
    if not seen.any():
        return np.ones(image.shape, np.float32)
    high = np.abs(image - local_mean(image, seen, gaussian(in_px(HIGH_PASS_MM, spacing_mm, "sigma"))))
    size = [2 * int(side // 2) + 1 for side in in_px(LOCAL_DEVIATION_MM, spacing_mm, "deviation window")]
    weight = ndimage.uniform_filter(seen.astype(np.float32), size, mode="constant")
    total = ndimage.uniform_filter(np.where(seen, high, 0).astype(np.float32), size, mode="constant")
    enough = weight > 0.5 / np.prod(size)
    deviation = MAGNITUDE_TO_DEVIATION * np.divide(total, weight, out=np.zeros_like(total), where=enough)
    middle = float(np.median(deviation[seen]))
    deviation[~enough] = middle
    return np.maximum(deviation, max(DEVIATION_FLOOR * middle, SMALLEST_DEVIATION)).astype(np.float32)

"""The transformer inpainter of SegAI + R:GenAI, and a segmentor that is shown what differs from its prediction."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .inpainter_grid import compose
from .restormer import Restormer

FILL_WIDTHS_PX = (255, 127, 63, 31, 15)
FULL_SHARE = 0.25


class Inpainter(nn.Module):
    """A Restormer that predicts a window of which pixels are hidden; the supplement names a transformer, no more.

    Hidden pixels are replaced by means of what is seen nearby before anything else, so no output depends on them. The
    network adds a correction to that, which is 0 before training.

    Args:
        dim: as in `Restormer`, as are
        num_blocks: the blocks,
        num_decoder_blocks: those of the decoder,
        num_refinement_blocks: those of the refinement,
        stem_stride: and the folding.
    """

    def __init__(
        self,
        *,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_decoder_blocks: Sequence[int] | None = None,
        num_refinement_blocks: int = 4,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.restormer = Restormer(
            condition_channels=1,
            dim=dim,
            num_blocks=num_blocks,
            num_decoder_blocks=num_decoder_blocks,
            num_refinement_blocks=num_refinement_blocks,
            stem_stride=stem_stride,
        )
        for parameter in self.restormer.output.parameters():
            nn.init.zeros_(parameter)

    def forward(self, stacked: Tensor) -> Tensor:
        """Predict images.

        Args:
            stacked: (B, 2, rows, columns): the image in [-1, 1], -1 outside the breast, and 1 where it is hidden.

        Returns:
            (B, 1, rows, columns): the prediction, of seen pixels too.

        Raises:
            ValueError: on another number of channels.
        """
        if stacked.ndim != 4 or stacked.shape[1] != 2:
            raise ValueError(f"Expected image and hidden pixels (B, 2, rows, columns), got {tuple(stacked.shape)}")
        image, hidden = stacked[:, :1], stacked[:, 1:]
        filled = fill_hidden(image, hidden)
        return filled + self.restormer(filled, None, hidden)


class ResidualChannelSegmentor(nn.Module):
    """A segmentor that sees an image and, as second channel, what an inpainter did not expect in it (R:GenAI).

    The inpainter is not trained, but kept among the weights.

    Args:
        inpainter: (B, 2, rows, columns) -> (B, 1, rows, columns), as `Inpainter`.
        segmentor: (B, 2, rows, columns) -> logits (B, 1, rows, columns).
        cell_px: side of the cells that are hidden in turn.
        blended: see `cell_weight`; four times the cost.
        gain: of the second channel: calcifications are a few per cent of the brightness they lie on.
    """

    def __init__(
        self,
        inpainter: nn.Module,
        segmentor: nn.Module,
        *,
        cell_px: int = 32,
        blended: bool = False,
        gain: float = 10.0,
    ) -> None:
        super().__init__()
        self.inpainter, self.segmentor = inpainter.requires_grad_(False), segmentor
        self.cell_px, self.blended, self.gain = cell_px, blended, gain

    def forward(self, image: Tensor) -> Tensor:
        """Logits of images, both (B, 1, rows, columns)."""
        return self.segmentor(torch.cat([image, self.gain * self.residual(image)], dim=1))

    def residual(self, image: Tensor) -> Tensor:
        """The image less its virtual normal, like image; 0 outside the breast."""
        with torch.no_grad():
            normal = compose(image, self._predict, cell_px=self.cell_px, blended=self.blended)
            return torch.where(image > -1, image - normal, 0.0)

    def _predict(self, image: Tensor, hidden: Tensor) -> Tensor:
        return self.inpainter(torch.cat([image, hidden.to(image.dtype)], dim=1)).to(image.dtype)


def fill_hidden(image: Tensor, hidden: Tensor) -> Tensor:
    """Replace hidden pixels by means of breast that is seen, over ever smaller squares.

    A mean counts in full where a quarter of its square is seen, and less the less of it is, so that one square goes
    over into the next without a step.

    Args:
        image: (B, 1, rows, columns), -1 outside the breast.
        hidden: likewise, 1 or True where hidden.

    Returns:
        Like image; hidden pixels are 0 where no breast is seen at all.
    """
    covered = hidden > 0.5
    seen = (~covered & (image > -1)).to(image.dtype)
    # A hidden value must not even enter as 0 times itself: that is NaN for infinity.
    known = torch.where(seen > 0, image, torch.zeros_like(image))
    filled = known.sum(dim=(-2, -1), keepdim=True) / seen.sum(dim=(-2, -1), keepdim=True).clamp(min=1.0)
    for width_px in FILL_WIDTHS_PX:
        weight = _box(seen, width_px)
        # Below a pixel's share there is nothing but rounding.
        mean = _box(known, width_px) / weight.clamp(min=0.5 / width_px**2)
        filled = torch.lerp(filled.expand_as(mean), mean, (weight / FULL_SHARE).clamp(0.0, 1.0))
    return torch.where(covered, filled, image)


def _box(values: Tensor, width_px: int) -> Tensor:
    """Mean over a square, zeros beyond the border; by running sums, which cost the same for any width."""
    pad = width_px // 2
    for axis in (-2, -1):
        # The running sum begins with 0; in double precision its differences keep what the values have.
        around = (0, 0, pad + 1, pad) if axis == -2 else (pad + 1, pad)
        sums = F.pad(values, around).double().cumsum(dim=axis)
        size = values.shape[axis]
        values = ((sums.narrow(axis, width_px, size) - sums.narrow(axis, 0, size)) / width_px).to(values.dtype)
    return values

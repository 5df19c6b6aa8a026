"""The classifier of context-sensitive detection (Wang & Yang 2018): a context network and a local network."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONTEXT_PX, LOCAL_PX = 95, 9
DISC_PX = 7


class ContextSensitiveNetwork(nn.Module):
    """Two classes of a candidate, from 95 x 95 pixels around it and the 9 x 9 in their middle.

    The published width, 32, gives 3200 context and 1024 local features.

    Args:
        width: channels of the first layers.
        hidden: neurons between the features of both and the classes.
        dropout: share of neurons left out in training.
        gain: of the image less its mean over a disc of 7 pixels. Published is a division by the image's own standard
            deviation, which moves with its content.
    """

    disc: Tensor

    def __init__(self, width: int = 32, *, hidden: int = 128, dropout: float = 0.5, gain: float = 10.0) -> None:
        super().__init__()
        self.gain = gain
        place = np.arange(DISC_PX) - DISC_PX // 2
        disc = torch.from_numpy(place[:, None] ** 2 + place**2 < (DISC_PX / 2) ** 2).float()
        self.register_buffer("disc", (disc / disc.sum())[None, None], persistent=False)
        self.context = nn.Sequential(
            *_block(1, width), _pool(),
            *_block(width, 2 * width), *_block(2 * width, 2 * width), _pool(),
            *_block(2 * width, 4 * width), *_block(4 * width, 4 * width), _pool(),
            *_block(4 * width, 8 * width), *_block(8 * width, 4 * width), _pool(),
        )  # fmt: skip
        self.local = nn.Sequential(*_block(1, width), *_block(width, width), _pool(), *_block(width, 2 * width))
        features = 4 * width * 5**2 + 2 * width * 4**2
        self.classes = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 2))

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (B, 2): no microcalcification, microcalcification.

        Args:
            patches: (B, 1, 95, 95) in [-1, 1], a candidate in the middle of each.

        Raises:
            ValueError: on patches of another size.
        """
        if patches.shape[1:] != (1, CONTEXT_PX, CONTEXT_PX):
            raise ValueError(f"Expected patches (B, 1, {CONTEXT_PX}, {CONTEXT_PX}), got {tuple(patches.shape)}")
        edge = DISC_PX // 2
        mean = F.conv2d(F.pad(patches, (edge,) * 4, mode="replicate"), self.disc.to(patches.dtype))
        high = self.gain * (patches - mean)
        start = (CONTEXT_PX - LOCAL_PX) // 2
        middle = high[..., start : start + LOCAL_PX, start : start + LOCAL_PX]
        return self.classes(torch.cat([self.context(high).flatten(1), self.local(middle).flatten(1)], dim=1))


def _block(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2)

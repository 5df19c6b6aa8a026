"""Toy networks, as callables that count what they are asked, and a toy view."""

import pytest
import torch
from torch import Tensor

from bundle.functional import windows as windows_module
from bundle.inferers import windowed as windowed_module


class Segmentor:
    """Logits from a pixel and its neighbour above: 8 x + 3 x_above - 2."""

    def __init__(self) -> None:
        self.windows = 0

    def __call__(self, image: Tensor) -> Tensor:
        self.windows += image.shape[0]
        return 8.0 * image + 3.0 * image.roll(1, dims=2) - 2.0


class Generator:
    """Velocity 0.3 - 0.5 m + 0.4 t + s: darkens what is bright, brightens seeds."""

    def __init__(self) -> None:
        self.windows = 0

    def __call__(self, state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        self.windows += state.shape[0]
        return 0.3 - 0.5 * state + 0.4 * t.view(-1, 1, 1, 1) + condition[:, :1] + 0.2 * condition[:, 1:]


def view(rows: int = 40, columns: int = 56, *, batch: int = 1, seed: int = 0) -> Tensor:
    """Texture with bright spots, and background in the last quarter of the columns."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.rand(batch, 1, rows, columns, generator=generator) - 0.3
    spots = torch.rand(batch, 1, rows, columns, generator=generator) > 0.98
    image = torch.where(spots, 0.7, image)
    image[..., columns - columns // 4 :] = -1.0
    return image


def lay_windows_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on inferers get their windows in the opposite order."""

    def backward(*args: object, **kwargs: object) -> list[windows_module.Window]:
        return windows_module.breast_windows(*args, **kwargs)[::-1]  # type: ignore[arg-type]

    monkeypatch.setattr(windowed_module, "breast_windows", backward)

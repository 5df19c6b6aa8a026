"""The segmentor alone over a whole view, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor
from tqdm import tqdm

from ..functional.noise import coordinate_noise
from ..functional.windows import EMPTY_LOGIT, Window, breast_windows, coverage, gather, pad_to_window, scatter_add_
from .autocast import reduced_precision

Network = Callable[..., Tensor]
DTYPES = ("float32", "bfloat16", "float16")


class WindowedInferer(Inferer):
    """Mean logits of half-overlapping windows; windows without breast are skipped and get logit -12.

    Args:
        window_px: side of the window, the one the network was trained on.
        overlap: shared fraction of neighbouring windows, in [0, 1).
        sw_batch_size: windows per call of the network.
        dtype: "float32", or "bfloat16" or "float16" for calls of the network under autocast; "bfloat16" is float32 on
            devices without its arithmetic.
        progress: show a progress bar.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(
        self,
        window_px: int = 256,
        overlap: float = 0.5,
        sw_batch_size: int = 4,
        *,
        dtype: str = "float32",
        progress: bool = False,
    ) -> None:
        super().__init__()
        if sw_batch_size < 1:
            raise ValueError(f"Expected sw_batch_size of at least 1, got {sw_batch_size}; 4 is usual")
        if dtype not in DTYPES:
            raise ValueError(f"Expected a dtype among {DTYPES}, got {dtype!r}; choose one of them")
        self.window_px, self.overlap, self.sw_batch_size = window_px, overlap, sw_batch_size
        self.dtype, self.progress = dtype, progress

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Logits of a batch of images.

        Args:
            inputs: (B, 1, rows, columns) in [-1, 1], exactly -1 outside the breast.
            network: any callable, windows (N, 1, window_px, window_px) -> logits of that shape.
            *args: passed on to the network.
            **kwargs: passed on to the network.

        Returns:
            (B, 1, rows, columns) float32, with the metadata of the inputs if they carry any.

        Raises:
            ValueError: inputs or logits of another shape.
        """
        return self.averaged(inputs, lambda x, chunk: self.logits(x, network, *args, **kwargs))

    def averaged(self, inputs: Tensor, predict: Callable[[Tensor, Sequence[Window]], Tensor]) -> Tensor:
        """Mean over the windows that cover a pixel of what is predicted for them.

        Args:
            inputs: as in a call.
            predict: windows (N, 1, window_px, window_px), and where they lie -> float32 logits of that shape.
        """
        image = plain_image(inputs)
        frame, windows = self.layout(image)
        total = torch.zeros_like(frame)
        with torch.no_grad():
            for chunk in self.chunks(windows, "windows"):
                scatter_add_(total, predict(gather(frame, chunk, window_px=self.window_px), chunk), chunk)
        count = coverage(frame, windows, window_px=self.window_px)
        mean = torch.where(count > 0, total / count.clamp(min=1.0), EMPTY_LOGIT)
        return like_inputs(mean[..., : image.shape[-2], : image.shape[-1]].contiguous(), inputs)

    def layout(self, image: Tensor) -> tuple[Tensor, list[Window]]:
        """Images (B, 1, rows, columns), grown to a window at least, and their windows with breast."""
        frame = pad_to_window(image, window_px=self.window_px)
        return frame, breast_windows(frame, window_px=self.window_px, overlap=self.overlap)

    def chunks(self, windows: Sequence[Window], label: str) -> Iterator[Sequence[Window]]:
        """Windows in batches, with the progress bar."""
        with tqdm(total=len(windows), desc=label, unit="window", leave=False, disable=not self.progress) as bar:
            for start in range(0, len(windows), self.sw_batch_size):
                chunk = windows[start : start + self.sw_batch_size]
                yield chunk
                bar.update(len(chunk))

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """Reduced precision for calls of networks, if it is asked for."""
        return reduced_precision(device, self.dtype)

    def logits(self, windows: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """One call of the network: windows (N, 1, window_px, window_px) -> float32 logits of that shape."""
        with self.autocast(windows.device):
            logits = network(windows, *args, **kwargs).float()
        if logits.shape != windows.shape:
            raise ValueError(
                f"Expected logits of the windows' shape {tuple(windows.shape)}, got {tuple(logits.shape)}; "
                "use a network with one output channel at full resolution"
            )
        return logits


def plain_image(inputs: Tensor) -> Tensor:
    """The images as a float32 tensor without metadata.

    Raises:
        ValueError: not (B, 1, rows, columns).
    """
    if inputs.ndim != 4 or inputs.shape[1] != 1:
        raise ValueError(
            f"Expected images of shape (B, 1, rows, columns), got {tuple(inputs.shape)}; add the missing axes"
        )
    return convert_to_tensor(inputs, dtype=torch.float32, track_meta=False).detach()


def like_inputs(logits: Tensor, inputs: Tensor) -> Tensor:
    """Logits with the metadata of the inputs, if these carry any."""
    return convert_to_dst_type(logits, inputs, dtype=torch.float32)[0]


def window_noise(
    windows: Sequence[Window], side: int, *, seed: int, refine_iter: int, draw: int, device: torch.device
) -> Tensor:
    """Noise of each window in the coordinates of its image, (N, 1, side, side): overlapping windows see the same."""
    counters = {"seed": seed, "refine_iter": refine_iter, "draw": draw}
    noise = [coordinate_noise(side, side, top=w.top, left=w.left, device=device, **counters) for w in windows]
    return torch.stack(noise)[:, None]

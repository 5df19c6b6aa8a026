"""One forward pass in reduced precision, on any device."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


@cache
def computes_in_bfloat16(device_type: str) -> bool:
    """Whether a kind of device has bfloat16 arithmetic.

    Processors without it, such as x86-64 ones with no more than AVX2, run bfloat16 in loops without vectors, some
    twenty times slower than float32 (docs/speed.md).

    Args:
        device_type: "cpu", "cuda", ...
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return True


def reduced_precision(device: torch.device, dtype: str) -> AbstractContextManager:
    """Autocast to `dtype`; without effect for "float32", and for "bfloat16" on a device that has no arithmetic for it.

    Args:
        device: where the networks run.
        dtype: "float32", "bfloat16" or "float16".
    """
    off = dtype == "float32" or (dtype == "bfloat16" and not computes_in_bfloat16(device.type))
    return torch.autocast(device.type, getattr(torch, dtype), enabled=not off)


class AutocastInferer(Inferer):
    """Calls the network under autocast and gives float32 back; MONAI's own `amp` speaks of CUDA alone.

    Args:
        dtype: "bfloat16", which is float32 on devices without its arithmetic, or "float32" for no autocast.
    """

    def __init__(self, dtype: str = "bfloat16") -> None:
        super().__init__()
        self.dtype = dtype

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Forward pass of (B, C, rows, columns)."""
        with reduced_precision(inputs.device, self.dtype):
            return network(inputs, *args, **kwargs).float()

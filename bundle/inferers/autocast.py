"""One forward pass in reduced precision, on any device."""

import platform
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


@cache
def computes_in_bfloat16(device_type: str) -> bool:
    """Whether a kind of device has bfloat16 arithmetic.

    x86-64 processors without it are slower in bfloat16 than in float32 (docs/speed.md): those with AVX-512, where
    oneDNN says that it supports bfloat16, emulate it; those with no more than AVX2 run loops without vectors.

    Args:
        device_type: "cpu", "cuda", ...
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        supported = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        emulated = platform.machine().lower() in ("x86_64", "amd64") and not torch.cpu._is_avx512_bf16_supported()
        return supported and not emulated
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

"""One forward pass in reduced precision, on any device."""

from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


class AutocastInferer(Inferer):
    """Calls the network under autocast and gives float32 back; MONAI's own `amp` speaks of CUDA alone.

    Args:
        dtype: "bfloat16", or "float32" for no autocast.
    """

    def __init__(self, dtype: str = "bfloat16") -> None:
        super().__init__()
        self.dtype = getattr(torch, dtype)

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Forward pass of (B, C, rows, columns)."""
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return network(inputs, *args, **kwargs).float()

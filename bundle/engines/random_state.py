"""State of all global generators of random numbers, as a checkpoint keeps it."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_state() -> dict[str, Any]:
    """State of the generators of torch, its GPUs, numpy and Python, of what `torch.load(weights_only=True)` reads."""
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "rest": [int(numpy_state["state"]["pos"]), int(numpy_state["has_gauss"]), float(numpy_state["gauss"])],
        },
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on where `random_state` was read; generators of GPUs only where there are as many."""
    torch.set_rng_state(state["torch"])
    gpus: list[Tensor] = state["cuda"]
    if torch.cuda.is_available() and len(gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(gpus)
    position, has_gauss, gauss = state["numpy"]["rest"]
    key = state["numpy"]["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, position, has_gauss, gauss))  # noqa: NPY002
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))

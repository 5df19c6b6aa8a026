"""Weights from a file into a network."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn


def load_weights(network: nn.Module, path: str, *, device: str | torch.device = "cpu") -> nn.Module:
    """Load a flat state dict and put the network into evaluation mode.

    Args:
        network: what to load into.
        path: `.pt` file.
        device: where the network goes.

    Returns:
        The network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the weights are of another architecture, or the file holds none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected weights at {path}, found none; train them or take them from a release")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError, TypeError) as error:
        first = (str(error).splitlines() or ["the file is empty"])[0]
        raise ValueError(f"Expected weights of this architecture in {path}; {first}") from error
    return network.to(device).eval()


def start_from(network: nn.Module, path: str) -> nn.Module:
    """Load weights that a training starts from; "" leaves the network as it was made.

    Args:
        network: what to load into; its mode is kept.
        path: `.pt` file, or "".

    Returns:
        The network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the weights are of another architecture, or the file holds none.
    """
    if not path:
        return network
    training, device = network.training, next(network.parameters()).device
    return load_weights(network, path, device=device).train(training)

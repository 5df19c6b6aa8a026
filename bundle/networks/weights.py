"""Weights from a file into a network."""

import os
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .weights_file import SHOWN_KEYS, check_listed, read_weights


def load_weights(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    listed_in: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Load a flat state dict and put the network into evaluation mode.

    Args:
        network: what to load into.
        path: `.pt` or `.safetensors` file; nothing in it is run.
        device: where the network goes.
        listed_in: the bundle's `configs/metadata.json`: a file that it lists must have the SHA-256 that stands there.

    Returns:
        The network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if the file is damaged, holds no weights or those of another architecture, or is
            not the listed one.
    """
    if listed_in is not None:
        check_listed(path, listed_in)
    weights = read_weights(path)
    if differences := misfits(weights, network.state_dict()):
        raise ValueError(f"Expected weights of this architecture in {path}, got others: {'; '.join(differences)}")
    network.load_state_dict(weights)
    return network.to(device).eval()


def start_from(
    network: nn.Module, path: str | os.PathLike[str], *, listed_in: str | os.PathLike[str] | None = None
) -> nn.Module:
    """Load weights that a training starts from; "" leaves the network as it was made.

    Args:
        network: what to load into; its mode is kept.
        path: `.pt` or `.safetensors` file, or "".
        listed_in: as in `load_weights`, but another file than the listed one is told and used: a training that goes
            on in the place of the shipped weights starts from its own last result.

    Returns:
        The network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the weights are of another architecture, or the file holds none.
    """
    if not path:
        return network
    try:
        check_listed(path, listed_in or "")
    except ValueError as error:
        warnings.warn(str(error), stacklevel=2)
    training, device = network.training, next(network.parameters()).device
    return load_weights(network, path, device=device).train(training)


def misfits(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from fitting: missing names, unexpected names, other shapes, each with the first few."""
    found = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} in place of {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    return [
        f"{len(names)} {kind} ({', '.join(names[:SHOWN_KEYS])}{', ...' if len(names) > SHOWN_KEYS else ''})"
        for kind, names in found.items()
        if names
    ]

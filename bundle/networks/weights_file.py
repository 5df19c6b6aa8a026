"""Files of weights: read without running anything that lies in them, and compared with the sums that are listed."""

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

LISTED = "weights_sha256"
"""Key of metadata.json: path of a file below the bundle's root to its SHA-256."""
SHOWN_KEYS = 3
# First byte of a pickle of protocol 2 or later.
PICKLE = b"\x80"


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a flat state dict; nothing in the file is run.

    Args:
        path: `.safetensors`, or what `torch.save` writes of a state dict.

    Returns:
        Name to tensor, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if it is damaged, holds anything but named tensors, or safetensors is not installed.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected weights at {path}, found none; train them or take them from a release")
    safe = Path(path).suffix == ".safetensors"
    content = _read_safetensors(path) if safe else _read_pt(path)
    if not (isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values())):
        keys = ", ".join(map(str, list(content)[:SHOWN_KEYS])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"Expected a flat state dict in {path}, got {keys or 'nothing'}; save network.state_dict()")
    return content


def check_listed(path: str | os.PathLike[str], listed_in: str | os.PathLike[str]) -> None:
    """Compare a file with the sum that the bundle's metadata lists for it; a file that is not listed is one's own.

    Args:
        path: file of weights.
        listed_in: `configs/metadata.json` of a bundle; if there is none, nothing is listed.

    Raises:
        ValueError: in one line, if the file is another than the listed one.
    """
    for name, expected in _listed(Path(listed_in)).items() if Path(path).is_file() else ():
        shipped = Path(listed_in).parents[1] / name
        if shipped.is_file() and shipped.samefile(path) and (got := sha256_of(path)) != expected:
            raise ValueError(
                f"Expected {name} with SHA-256 {expected[:12]}... as {Path(listed_in).name} lists it, "
                f"got {got[:12]}...; fetch it again, or if the weights are your own: python -m scripts.weights --record"
            )


def in_16_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with matrices and kernels in 16 bits, to ship; what shares its memory goes on doing so.

    Vectors, such as the statistics of a batch norm, keep 32 bits: some are too small or too large for 16.

    Args:
        weights: a flat state dict.

    Returns:
        The same names, tensors of the same shapes.
    """
    halved = {each.data_ptr(): each.half() for each in weights.values() if each.ndim > 1}
    return {name: halved[each.data_ptr()] if each.ndim > 1 else each for name, each in weights.items()}


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _listed(metadata: Path) -> dict[str, str]:
    return json.loads(metadata.read_text(encoding="utf-8")).get(LISTED, {}) if metadata.is_file() else {}


def _read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError(f"Expected the package safetensors for {path}, found none; pip install safetensors") from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(_damaged(path)) from error


def _read_pt(path: str | os.PathLike[str]) -> object:
    try:
        with warnings.catch_warnings():
            # About the format of files that are refused anyway.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # Of a foreign file the reader may stumble over anything.
        if isinstance(error, UnpicklingError) and _is_pickled(Path(path)):
            said = (
                f"Expected tensors alone in {path}, got objects whose loading may run code; save network.state_dict()"
            )
        elif "TorchScript" in str(error):
            said = f"Expected a flat state dict in {path}, got a TorchScript program; take the weights it was made from"
        else:
            said = _damaged(path)
        raise ValueError(said) from error


def _is_pickled(path: Path) -> bool:
    """Whether a file is a pickle, in torch's container or bare; to the reader any text may be one."""
    with path.open("rb") as file:
        return zipfile.is_zipfile(path) or file.read(len(PICKLE)) == PICKLE


def _damaged(path: str | os.PathLike[str]) -> str:
    return f"Expected a whole file of weights at {path}, got a damaged one or another kind of file; fetch it again"

"""Export a network: `python -m scripts.export --network segmentor --format onnx --output FILE`.

TorchScript is MONAI's, with metadata and config in the file; ONNX is torch's, with names for the axes that may vary.
"""

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle import ckpt_export
from torch import Tensor, nn

from scripts.command import one_line_errors
from scripts.shipped import ROOT, shipped_inferers

FORMATS = {"torchscript": ".ts", "onnx": ".onnx"}
# An example's size does not bind the export, but dimensions of 1, or equal ones, would be taken for constants.
EXAMPLE_BATCH, EXAMPLE_PX = 2, (64, 96)
MAX_PX = 4096


class Source(NamedTuple):
    """Where a network lies: its id in configs/inference.yaml, its weights, and the names of its inputs."""

    net_id: str
    weights: str
    inputs: tuple[str, ...]


SOURCES = {
    "segmentor": Source("network_def", "model.pt", ("image",)),
    "generator": Source("generator_def", "generator_ema.pt", ("image", "t", "condition")),
}


def shipped_network(name: str) -> nn.Module:
    """A network of `SOURCES` with its weights, on the CPU, in evaluation mode."""
    _, refine, segmentor = shipped_inferers(device="cpu")
    return (segmentor if name == "segmentor" else refine.generator).eval()


def example_inputs(
    network: Any, *, batch: int = EXAMPLE_BATCH, size_px: tuple[int, int] = EXAMPLE_PX, seed: int = 0
) -> tuple[Tensor, ...]:
    """Noise in the range of what a network is called with.

    Args:
        network: a `Restormer`.
        batch: windows.
        size_px: rows and columns.
        seed: of the noise.

    Returns:
        The image (B, 1, rows, columns) in [-1, 1]; for a generator also t (B,) in [0, 1] and the condition
        (B, 2, rows, columns).
    """
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 1, *size_px, generator=generator) * 2 - 1
    if not network.time_dim:
        return (image,)
    seeds = torch.rand(batch, 2, *size_px, generator=generator) < 0.01
    return image, torch.rand(batch, generator=generator), seeds.float()


def export_onnx(network: Any, path: Path) -> Path:
    """Write a network as ONNX: any batch, and any window that it takes itself.

    Args:
        network: a `Restormer` in evaluation mode.
        path: file to write.

    Returns:
        The file.

    Raises:
        ValueError: if the packages for ONNX are missing.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError("Expected onnx and onnxscript, found none; pip install 'mcgenref[onnx]'") from None
    inputs = example_inputs(network)
    names = SOURCES["generator" if network.time_dim else "segmentor"].inputs
    axes = _varying_axes(multiple=8 * network.stem_stride)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            network,
            inputs,
            input_names=list(names),
            output_names=["pred"],
            dynamic_shapes=tuple({n: axes[n] for n in axes if n < each.ndim} for each in inputs),
            dynamo=True,
            verbose=False,
        )
    program.save(path)
    return path


def _varying_axes(*, multiple: int) -> dict[int, Any]:
    """The axes of the inputs that may vary: the batch, and rows and columns by multiples."""
    rows, columns = (torch.export.Dim(name, min=2, max=MAX_PX // multiple) for name in ("row_blocks", "column_blocks"))
    return {0: torch.export.Dim("batch"), 2: multiple * rows, 3: multiple * columns}


def export_torchscript(name: str, path: Path) -> Path:
    """Write a network of `SOURCES` as TorchScript, by scripting; metadata and config go into the file.

    Args:
        name: of the network.
        path: file to write.

    Returns:
        The file.
    """
    source, config = SOURCES[name], ROOT / "configs"
    # MONAI takes what fits of any file; this refuses other weights than the shipped ones.
    shipped_network(name)
    logging.getLogger("monai.bundle.scripts").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Scripting is deprecated, but it is what MONAI and its model zoo ask for.
        warnings.simplefilter("ignore")
        ckpt_export(
            net_id=source.net_id,
            filepath=str(path),
            ckpt_file=str(ROOT / "models" / source.weights),
            meta_file=str(config / "metadata.json"),
            config_file=str(config / "inference.yaml"),
            bundle_root=str(ROOT),
        )
    return path


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.export", description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=SOURCES, required=True)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--output", type=Path, help="file to write (default: NETWORK.ts or NETWORK.onnx)")
    arguments = parser.parse_args(argv)
    path = arguments.output or Path(f"{arguments.network}{FORMATS[arguments.format]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_line_errors():
        if arguments.format == "onnx":
            export_onnx(shipped_network(arguments.network), path)
        else:
            export_torchscript(arguments.network, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

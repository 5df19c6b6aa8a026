"""Exports beside eager, same input, same run: `python -m scripts.benchmark_export`.

Rounds go through all backends in turn, so that a machine that slows down slows all of them; processor seconds of one
thread are what other programs lengthen least.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bundle.inferers.autocast import computes_in_bfloat16
from scripts.command import one_line_errors
from scripts.export import SOURCES, example_inputs, export_onnx, export_torchscript, shipped_network

FLOAT32, BFLOAT16 = "eager float32", "eager bfloat16"
Backend = Callable[..., Tensor]


def backends(name: str, network: nn.Module, folder: Path) -> dict[str, Backend]:
    """All ways of calling a network: tensors in, tensor out."""
    import onnxruntime

    scripted = torch.jit.freeze(torch.jit.load(export_torchscript(name, folder / "network.ts")).eval())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    path = str(export_onnx(network, folder / "network.onnx"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def under_autocast(call: Backend) -> Backend:
        def run(*inputs: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return call(*inputs).float()

        return run

    def onnx(*inputs: Tensor) -> Tensor:
        named = {key: value.numpy() for key, value in zip(SOURCES[name].inputs, inputs, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    return {
        FLOAT32: network,
        **({BFLOAT16: under_autocast(network)} if computes_in_bfloat16("cpu") else {}),
        "TorchScript float32": scripted,
        "ONNX Runtime float32": onnx,
    }


def seconds(calls: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, tuple[float, float]]:
    """Least seconds by the clock and of the processor per call; the first round, which warms up, does not count.

    Args:
        calls: name to call.
        rounds: how often each is called, after the first.

    Returns:
        Name to clock and processor seconds.
    """
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in calls}
    for _ in tqdm(range(rounds + 1), desc="rounds", leave=False):
        for key, call in calls.items():
            clock, processor = time.perf_counter(), time.process_time()
            call()
            times[key].append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        key: (min(clock for clock, _ in found[1:]), min(cpu for _, cpu in found[1:])) for key, found in times.items()
    }


def table(name: str, *, batch_size: int, window_px: int, rounds: int) -> list[str]:
    """Lines of one network: seconds, ratio to what inference runs by default, largest difference to eager float32."""
    network = shipped_network(name)
    inputs = example_inputs(network, batch=batch_size, size_px=(window_px, window_px))
    with tempfile.TemporaryDirectory() as folder:
        calls = backends(name, network, Path(folder))
        with torch.inference_mode():
            outputs = {key: call(*inputs) for key, call in calls.items()}
            found = seconds({key: partial(call, *inputs) for key, call in calls.items()}, rounds=rounds)
    # A backend is worth its while if it beats this clearly.
    default = BFLOAT16 if BFLOAT16 in found else FLOAT32
    expected, reference = outputs[FLOAT32], found[default][1]
    return [
        f"{name:10} {key:21} {clock:8.3f} {processor:8.3f} {reference / processor:8.2f} "
        f"{float((outputs[key] - expected).abs().max()):10.1e}"
        for key, (clock, processor) in found.items()
    ]


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark_export", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--window-px", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    print(
        f"{arguments.batch_size} windows of {arguments.window_px} px, {arguments.threads} threads, "
        f"best of {arguments.rounds}, torch {torch.__version__}, {platform.machine()}"
    )
    print(f"{'network':10} {'backend':21} {'clock s':>8} {'CPU s':>8} {'x faster':>8} {'difference':>10}")
    with one_line_errors():
        for name in arguments.networks:
            for line in table(
                name, batch_size=arguments.batch_size, window_px=arguments.window_px, rounds=arguments.rounds
            ):
                print(line, flush=True)


if __name__ == "__main__":
    main()

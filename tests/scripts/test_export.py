"""Exported networks give the outputs of the networks, whatever the batch and the window."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bundle.networks import Restormer
from scripts import benchmark_export, export
from scripts.export import SOURCES, example_inputs, export_onnx, export_torchscript

# Largest difference of a logit or of a velocity in float32, of outputs up to about 10.
TOLERANCE = 1e-4
SIZES = ((1, (64, 64)), (3, (48, 96)), (2, (128, 32)))


def _small(name: str) -> Restormer:
    """A network of each kind that nobody trained."""
    torch.manual_seed(0)
    kind = (
        {"stem_stride": 2, "high_pass_gain": 10.0} if name == "segmentor" else {"time_dim": 8, "condition_channels": 2}
    )
    network = Restormer(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0, **kind).eval()
    # FiLM is zero at the start: without this, the generator would not depend on t.
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def _largest_difference(call: object, network: nn.Module, *, batch: int, size_px: tuple[int, int]) -> float:
    inputs = example_inputs(network, batch=batch, size_px=size_px, seed=batch)
    with torch.no_grad():
        return float((call(*inputs) - network(*inputs)).abs().max())  # type: ignore[operator]


@pytest.mark.parametrize("name", SOURCES)
def test_inputs_are_what_a_network_is_called_with(name: str) -> None:
    inputs = example_inputs(_small(name), batch=3, size_px=(32, 48))
    assert len(inputs) == len(SOURCES[name].inputs)
    assert inputs[0].shape == (3, 1, 32, 48)
    assert inputs[0].abs().max() <= 1
    if name == "generator":
        assert inputs[1].shape == (3,)
        assert set(inputs[2].unique().tolist()) == {0, 1}


@pytest.mark.parametrize("name", SOURCES)
def test_torchscript_of_the_shipped_network_gives_its_output(name: str, tmp_path: Path) -> None:
    path = export_torchscript(name, tmp_path / "network.ts")
    kept = {"metadata.json": "", "inference.json": ""}
    scripted, network = torch.jit.load(str(path), _extra_files=kept), export.shipped_network(name)
    assert b"network_data_format" in kept["metadata.json"]
    for batch, size_px in SIZES[:2]:
        assert _largest_difference(scripted, network, batch=batch, size_px=size_px) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_onnx_gives_the_output_at_every_size(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    network = _small(name)
    path = export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == list(SOURCES[name].inputs)
    assert [node.name for node in session.get_outputs()] == ["pred"]

    def call(*inputs: torch.Tensor) -> torch.Tensor:
        named = {key: value.numpy() for key, value in zip(SOURCES[name].inputs, inputs, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    for batch, size_px in SIZES:
        assert _largest_difference(call, network, batch=batch, size_px=size_px) < TOLERANCE


def test_without_the_packages_onnx_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(SystemExit, match="onnx"):
        export.main(["--network", "segmentor", "--format", "onnx", "--output", str(tmp_path / "network.onnx")])
    assert not (tmp_path / "network.onnx").exists()


def test_the_command_writes_the_file_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep" / "s.ts"
    export.main(["--network", "segmentor", "--format", "torchscript", "--output", str(path)])
    assert str(path) in capsys.readouterr().out
    assert path.stat().st_size > 10**6


def test_seconds_are_the_least_of_the_rounds_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 0.0, 5.0, 0.0, 3.0, 0.0, 4.0])
    monkeypatch.setattr(benchmark_export.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(benchmark_export.time, "process_time", lambda: 7.0)
    found = benchmark_export.seconds({"one": lambda: None}, rounds=3)
    assert found == {"one": (3.0, 0.0)}


@pytest.mark.parametrize("there", [True, False])
def test_ratios_are_to_what_inference_runs_on_this_processor(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(benchmark_export, "computes_in_bfloat16", lambda device_type: there)
    monkeypatch.setattr(benchmark_export, "shipped_network", _small)
    lines = benchmark_export.table("segmentor", batch_size=1, window_px=32, rounds=1)
    names = [" ".join(line.split()[1:-4]) for line in lines]
    assert ("eager bfloat16" in names) == there
    assert lines[1 if there else 0].split()[-2] == "1.00"

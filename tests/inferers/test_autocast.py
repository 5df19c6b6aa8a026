"""Reduced precision where the device has it, float32 elsewhere, and float32 out."""

from types import SimpleNamespace

import pytest
import torch

from bundle.inferers import AutocastInferer, WindowedInferer, autocast


def run(inferer: AutocastInferer | WindowedInferer, side: int = 8) -> tuple[torch.dtype, torch.Tensor]:
    """The precision that a network's convolution ran in, and what came out."""
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        out = torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3), padding=1)
        seen.append(out.dtype)
        return out

    out = inferer(torch.rand(1, 1, side, side), network)
    return seen[0], out


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autocast, "computes_in_bfloat16", lambda device_type: False)


def test_float32_is_the_plain_network() -> None:
    network = torch.nn.Conv2d(1, 1, 3)
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(AutocastInferer("float32")(x, network), network(x))


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("inferer", [AutocastInferer("bfloat16"), WindowedInferer(8, dtype="bfloat16")])
def test_bfloat16_runs_inside_where_the_device_has_it_and_float32_comes_out(
    inferer: AutocastInferer | WindowedInferer,
) -> None:
    inside, out = run(inferer)
    assert inside == torch.bfloat16
    assert out.dtype == torch.float32


@pytest.mark.usefixtures("no_bfloat16")
@pytest.mark.parametrize("inferer", [AutocastInferer("bfloat16"), WindowedInferer(8, dtype="bfloat16")])
def test_a_device_without_bfloat16_runs_in_float32(inferer: AutocastInferer | WindowedInferer) -> None:
    assert run(inferer)[0] == torch.float32


@pytest.mark.usefixtures("no_bfloat16")
def test_float16_is_what_was_asked_for_on_any_device() -> None:
    assert run(WindowedInferer(8, dtype="float16"))[0] == torch.float16


@pytest.mark.parametrize("arithmetic", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
def test_bfloat16_that_avx512_would_emulate_is_not_used(
    monkeypatch: pytest.MonkeyPatch, machine: str, arithmetic: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: arithmetic and machine != "aarch64")
    # oneDNN's answer, which counts emulation on AVX-512; the operator itself cannot be replaced.
    monkeypatch.setattr(torch, "ops", SimpleNamespace(mkldnn=SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True)))
    answer = autocast.computes_in_bfloat16.__wrapped__("cpu")
    assert answer == (arithmetic or machine == "aarch64")


def test_every_kind_of_device_has_an_answer() -> None:
    assert isinstance(autocast.computes_in_bfloat16("cpu"), bool)
    assert autocast.computes_in_bfloat16("meta")

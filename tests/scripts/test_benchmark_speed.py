import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bundle.functional.evidence import EvidenceSettings
from bundle.functional.refinement_settings import PRESETS, preset
from bundle.inferers import EvidenceInferer, TTGPRInferer, WindowedInferer
from scripts import benchmark_speed
from scripts.benchmark_speed import (
    Replayed,
    build,
    cost_table,
    evidence_calls,
    flops_of,
    main,
    matmul_peak,
    network_flops,
    phantom_view,
    ttgpr_calls,
)
from scripts.benchmark_speed_checks import check, densest_crop, object_discordance
from tests.inferers.toys import Generator, Segmentor, view


def dots(*places: tuple[int, int]) -> Tensor:
    """Logits with a 3 x 3 object at each place."""
    logits = torch.full((1, 1, 40, 40), -5.0)
    for row, column in places:
        logits[..., row - 1 : row + 2, column - 1 : column + 2] = 5.0
    return logits


# What is counted.


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_calls_of_ttgpr_are_those_it_makes(name: str) -> None:
    generator, segmentor = Generator(), Segmentor()
    inferer = TTGPRInferer(generator, preset=name, window_px=16, gate_threshold=0.0)
    inferer(view(16, 16), segmentor)
    assert ttgpr_calls(preset(name)) == (generator.windows, segmentor.windows - 1)


def test_the_paper_makes_186_calls_a_window() -> None:
    assert ttgpr_calls(preset("paper")) == (136, 50)


def test_fast_needs_at_least_50_times_fewer_operations_than_the_paper_with_the_shipped_networks() -> None:
    systems = build(None, precision="bfloat16", batch_size=1)
    rows = {row["what"]: row for row in cost_table(systems)}
    assert rows["fast"]["paper_over_this"] >= 50
    assert rows["paper"]["paper_over_this"] == 1
    generator, segmentor = network_flops(systems, window_px=256)
    first, second = ttgpr_calls(preset("fast"))
    assert rows["fast"]["gflop"] * 1e9 == pytest.approx(first * generator + second * segmentor)


@pytest.mark.parametrize("groups", [1, 2, 9])
def test_the_evidence_never_makes_more_calls_than_are_counted(groups: int) -> None:
    generator = Generator()
    settings = EvidenceSettings(times=(0.5, 0.7), draws=2, max_groups=groups, apart_px=8)
    EvidenceInferer(generator, settings=settings, window_px=16)(view(16, 16).clamp(min=-0.9), Segmentor())
    most = evidence_calls(settings)
    assert most == (4 * (1 + groups), 0)
    assert 4 < generator.windows <= most[0]
    assert generator.windows == most[0] or groups > 2


def test_a_linear_layer_costs_two_operations_per_weight_and_sample() -> None:
    layer, batch = nn.Linear(30, 40), torch.zeros(5, 30)
    assert flops_of(lambda: layer(batch)) == 2 * 30 * 40 * 5


def test_the_peak_is_what_the_best_product_took() -> None:
    assert matmul_peak(torch.float32, torch.device("cpu"), side=64) > 0


def test_what_was_recorded_is_answered_without_the_network_and_the_same() -> None:
    segmentor = Segmentor()
    replayed = Replayed(segmentor)  # type: ignore[arg-type]
    image = view()
    recorded = WindowedInferer(16)(image, replayed)
    replayed.recording = False
    asked = segmentor.windows
    assert torch.equal(WindowedInferer(16)(image, replayed), recorded)
    assert segmentor.windows == asked
    refined = TTGPRInferer(Generator(), window_px=16)(image, replayed)
    assert torch.equal(refined, TTGPRInferer(Generator(), window_px=16)(image, Segmentor()))
    assert len(replayed.answers) == -(-asked // 4)


# What is compared.


def test_equal_maps_have_no_discordance_and_empty_ones_neither() -> None:
    logits = dots((10, 10), (30, 30))
    assert object_discordance(logits, logits, spacing_mm=0.07) == 0
    assert object_discordance(dots(), dots(), spacing_mm=0.07) == 0


def test_the_discordance_is_the_share_of_objects_only_one_map_has() -> None:
    first, second = dots((10, 10), (30, 30)), dots((10, 10), (10, 30))
    assert object_discordance(first, second, spacing_mm=0.07) == pytest.approx(2 / 3)
    assert object_discordance(first, dots(), spacing_mm=0.07) == 1
    assert object_discordance(second, first, spacing_mm=0.07) == pytest.approx(2 / 3)


def test_the_crop_holds_the_middle_of_the_calcifications() -> None:
    image = torch.arange(100.0 * 80).view(1, 1, 100, 80)
    label = np.zeros((100, 80), np.uint8)
    label[20:23, 40:43], label[90, 70] = 1, 2
    assert torch.equal(densest_crop(image, label, side_px=10), image[..., 16:26, 36:46])
    corner = np.zeros((100, 80), np.uint8)
    corner[99, 79] = 1
    assert torch.equal(densest_crop(image, corner, side_px=10), image[..., 90:, 70:])
    assert torch.equal(densest_crop(image, label * 0, side_px=500), image)


class _Systems:
    def __init__(self, precision: str, batch_size: int, segmentor: object = None) -> None:
        self.network = segmentor or Segmentor()
        windows = {"window_px": 16, "sw_batch_size": batch_size}
        self.inferers = {
            "segmentor": WindowedInferer(**windows),  # type: ignore[arg-type]
            "default": TTGPRInferer(Generator(), **windows),  # type: ignore[arg-type]
            "evidence": EvidenceInferer(Generator(), **windows),  # type: ignore[arg-type]
        }


def test_checks_pass_where_batches_and_repeats_change_nothing() -> None:
    result = check(_Systems, view(), spacing_mm=0.07)
    assert result["passed"]
    assert result["largest_logit_difference_batch_1_8"] <= 1e-4
    assert result["discordance_batch_1_8"] == result["discordance_bfloat16"]
    assert result["discordance_batch_1_8"] == {"segmentor": 0, "default": 0, "evidence": 0}


def test_checks_fail_where_the_batch_or_the_call_matters() -> None:
    def crowded(image: Tensor) -> Tensor:
        return Segmentor()(image) + 1e-3 * len(image)

    calls = [0]

    def restless(image: Tensor) -> Tensor:
        calls[0] += 1
        return Segmentor()(image) + 1e-9 * calls[0] * image.abs().amax() + 1e-5 * (calls[0] % 7)

    by_batch = check(lambda precision, batch_size: _Systems(precision, batch_size, crowded), view(), spacing_mm=0.07)
    assert not by_batch["passed"]
    assert by_batch["largest_logit_difference_batch_1_8"] > 1e-4
    by_call = check(lambda precision, batch_size: _Systems(precision, batch_size, restless), view(), spacing_mm=0.07)
    assert not by_call["repeats_bitwise"]
    assert not by_call["passed"]


# The command.


class _Velocity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return self.conv(torch.cat([state, condition], dim=1))


class _Segmentor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return 12.0 * (image - nn.functional.avg_pool2d(image, 9, 1, 4)) - 1.0 + 0.0 * self.conv(image)


def _toys(models_dir: object, *, precision: str, sw_batch_size: int) -> tuple[object, ...]:
    torch.manual_seed(0)
    windows = {"window_px": 64, "sw_batch_size": sw_batch_size, "dtype": precision}
    refined = TTGPRInferer(_Velocity(), **windows)  # type: ignore[arg-type]
    return WindowedInferer(**windows), refined, _Segmentor()  # type: ignore[arg-type]


def test_the_view_has_the_size_asked_for_and_is_rendered_once(tmp_path: Path) -> None:
    image, label = phantom_view(tmp_path, rows=208, columns=160, spacing_mm=0.4)
    assert image.shape == (1, 1, 208, 160)
    assert label.shape == (208, 160)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again, _ = phantom_view(tmp_path, rows=208, columns=160, spacing_mm=0.4)
    assert torch.equal(again, image)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_the_command_prints_and_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_speed, "shipped_inferers", _toys)
    monkeypatch.setattr(benchmark_speed, "MATMUL_SIDE", 32)
    size = ["--rows", "208", "--columns", "160", "--spacing-mm", "0.4", "--check-px", "128"]
    main(["--output-dir", str(tmp_path), *size, "--rounds", "1", "--check"])
    result = json.loads((tmp_path / "speed.json").read_text())
    cost = {row["what"]: row for row in result["cost"]}
    # One 3 x 3 convolution per network and window: 2 x 9 x channels x 64 x 64.
    generator, segmentor = 2 * 27 * 64**2, 2 * 9 * 64**2
    assert cost["segmentor"]["gflop"] * 1e9 == pytest.approx(segmentor)
    assert cost["paper"]["gflop"] * 1e9 == pytest.approx(136 * generator + 50 * segmentor)
    assert cost["default"]["gflop"] * 1e9 == pytest.approx(3 * (generator + segmentor))
    assert cost["augmentation"]["gflop"] * 1e9 == pytest.approx(7 * segmentor)
    for row in cost.values():
        if row["what"] != "segmentor":
            assert row["paper_over_this"] == pytest.approx(cost["paper"]["gflop"] / row["gflop"])
    gate = result["gating"]
    assert 0 < gate["default_windows"] <= gate["augmentation_windows"] <= gate["windows"]
    assert gate["evidence_windows"] <= gate["windows"]
    assert result["check"]["passed"]
    printed = capsys.readouterr().out
    assert set(result["seconds"]) == {"segmentor", "augmentation on top", "default on top", "evidence on top"}
    for word in ("matmul peak", "segmentor", "on top", "paper / this", "repeats_bitwise"):
        assert word in printed


def test_a_failed_check_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"check": {"passed": False}}
    monkeypatch.setattr(benchmark_speed, "run", lambda arguments: result)
    monkeypatch.setattr(benchmark_speed, "report_lines", lambda result: [])
    with pytest.raises(SystemExit, match="a check failed"):
        main(["--output-dir", str(tmp_path)])

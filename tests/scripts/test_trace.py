"""The command that shows what a refinement does, with toy networks on a small view."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.engines.benchmark import refinement_passes
from bundle.functional.refinement_settings import preset
from bundle.inferers import TTGPRInferer, WindowedInferer
from scripts import trace
from scripts.benchmark_systems import Networks
from scripts.trace import WatchedInferer, passes_per_window
from tests.inferers import toys

WINDOW_PX = 64


class Segmentor(torch.nn.Module):
    """The toy as a module; bright spots are positive."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * (image - 0.5)


class Generator(torch.nn.Module):
    """The toy as a module."""

    def forward(self, state: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return toys.Generator()(state, t, condition)


def networks() -> Networks:
    return Networks(WindowedInferer(WINDOW_PX), TTGPRInferer(Generator(), window_px=WINDOW_PX), Segmentor())


@pytest.fixture
def view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A breast with bright spots as a 16-bit file, and toy networks."""
    monkeypatch.setattr(trace, "load_networks", lambda models_dir, refine: networks())
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:256, :192]
    breast = (row - 128) ** 2 / 110**2 + column**2 / 140**2 < 1
    pixels = np.where(breast, 20000 + 500 * rng.standard_normal(breast.shape), 0)
    for place in rng.integers(70, 110, (8, 2)):
        pixels[tuple(place)] = 50000
    path = tmp_path / "view.png"
    Image.fromarray(pixels.astype(np.uint16)).save(path)
    return path


def run(view: Path, *words: str) -> Path:
    output = view.parent / "out"
    trace.main([str(view), "--output-dir", str(output), "--spacing-mm", "0.1", *words])
    return output


def test_a_view_gets_its_curves_its_table_and_its_logits(view: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run(view)
    assert sorted(path.name for path in output.iterdir()) == ["view_logits.png", "view_trace.csv", "view_trace.png"]
    with (output / "view_trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == preset("default").iterations
    assert {"t", "steps", "n_seeds", "energy", "tversky", "stabilisation", "edge", "step"} <= set(rows[0])
    printed = capsys.readouterr().out
    assert "windows with breast: at most" in printed
    assert "view: 3 iterations, energy" in printed


def test_the_price_alone_writes_nothing(view: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run(view, "--price-only", "--preset", "paper")
    assert not output.exists()
    assert "of the generator, about" in capsys.readouterr().out


def test_a_crop_is_where_the_segmentor_sees_most(view: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(view, "--crop-px", str(WINDOW_PX))
    assert "1 windows with breast: at most 4 passes of the segmentor and 3 of the generator" in capsys.readouterr().out


def test_a_view_without_evidence_is_told(
    view: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = networks()
    monkeypatch.setattr(blind.network, "forward", lambda image: image - 5.0)
    monkeypatch.setattr(trace, "load_networks", lambda models_dir, refine: blind)
    output = run(view)
    assert "view: no window shows evidence, nothing was refined" in capsys.readouterr().out
    assert not output.exists()


def test_a_missing_file_ends_in_one_line(view: Path) -> None:
    with pytest.raises(SystemExit, match="Expected an existing file"):
        run(view.with_name("nothing.png"))


@pytest.mark.parametrize("name", ["default", "paper"])
def test_passes_are_those_of_the_settings(name: str) -> None:
    settings = preset(name)
    assert sum(passes_per_window(settings).values()) == 1 + refinement_passes(settings)


def watched(**options: object) -> WatchedInferer:
    overrides = {"iterations": 4, "edge_erode_px": 2, **options}
    return WatchedInferer(toys.Generator(), watch=(0, 2), window_px=16, gate_threshold=0.0, overrides=overrides)


def test_watching_changes_nothing_and_keeps_the_first_the_asked_and_the_last() -> None:
    image, inferer = toys.view(), watched()
    logits = inferer(image, toys.Segmentor())
    plain = TTGPRInferer(toys.Generator(), settings=inferer.settings, window_px=16)(image, toys.Segmentor())
    assert torch.equal(logits, plain)
    assert sorted(inferer.kept) == [0, 2, 4]
    assert np.array_equal(inferer.kept[0], WindowedInferer(16)(image, toys.Segmentor())[0, 0])
    assert np.array_equal(inferer.kept[4], logits[0, 0])
    assert not np.array_equal(inferer.kept[2], inferer.kept[0])


def test_kept_maps_have_the_size_of_the_view_even_if_it_is_smaller_than_a_window() -> None:
    inferer = watched()
    inferer(toys.view(9, 30), toys.Segmentor())
    assert {plane.shape for plane in inferer.kept.values()} == {(9, 30)}


def test_an_early_stop_ends_the_kept_maps_too() -> None:
    inferer = watched(eta=0.0, stop_change=0.1)
    inferer(toys.view(), toys.Segmentor())
    assert sorted(inferer.kept) == [0, 1]


def test_nothing_is_kept_of_a_view_that_is_not_refined_nor_from_the_one_before() -> None:
    inferer = watched()
    inferer(toys.view(), toys.Segmentor())
    inferer(torch.full((1, 1, 20, 20), -1.0), toys.Segmentor())
    assert inferer.kept == {}

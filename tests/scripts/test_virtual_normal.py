"""The command writes predictions that nobody can take for images, goes on where it stopped, and tells what it lacks."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from torch import Tensor

from bundle.baselines.virtual_normal import VirtualNormalInferer
from bundle.data.dicom_virtual_normal import GREYS, burned_in, stored_greys
from bundle.data.phantom import phantom_datalist
from bundle.inferers import WindowedInferer
from bundle.networks.inpainter import fill_hidden
from scripts import virtual_normal
from scripts.shipped import ROOT

SMALL = {"spacing_mm": 0.2, "height_mm": 60.0, "width_mm": 48.0}


class MeanOfSeen(torch.nn.Module):
    """Needs no training."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, stacked: Tensor) -> Tensor:
        return fill_hidden(*stacked.split(1, dim=1))


@pytest.fixture
def views(tmp_path: Path) -> Path:
    phantom_datalist(tmp_path / "views", count=1, first_seed=3, **SMALL)
    for label in (tmp_path / "views").glob("*.png"):
        label.unlink()
    return tmp_path / "views"


def toy(arguments: object) -> VirtualNormalInferer:
    hide = "mask" if arguments.replace == "findings" else "grid"  # type: ignore[attr-defined]
    return VirtualNormalInferer(MeanOfSeen(), windowed=WindowedInferer(128), hide=hide, cell_px=32)


def a_square(threshold: float) -> virtual_normal.Hidden:
    def hidden(view: Tensor) -> Tensor:
        mask = torch.zeros_like(view, dtype=torch.bool)
        mask[..., 100:120, 20:60] = True
        return mask

    return hidden


def test_every_pixel_is_replaced_and_the_next_run_has_nothing_to_do(
    views: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(virtual_normal, "inpainter_inferer", toy)
    out = tmp_path / "out"
    virtual_normal.main([str(views), "--output-dir", str(out), "--replace", "everywhere"])
    (source,) = views.glob("*.dcm")
    image = pydicom.dcmread(out / f"{source.stem}_virtual_normal.dcm")
    picture = np.asarray(Image.open(out / f"{source.stem}_virtual_normal.png"))
    assert np.array_equal(picture, image.pixel_array // 16)
    assert (image.pixel_array == GREYS).any()
    assert "not real images" in capsys.readouterr().out
    monkeypatch.setattr(virtual_normal, "inpainter_inferer", None)
    virtual_normal.main([str(views), "--output-dir", str(out), "--replace", "everywhere"])


def test_only_what_is_found_is_replaced(views: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_normal, "inpainter_inferer", toy)
    monkeypatch.setattr(virtual_normal, "finder", a_square)
    virtual_normal.main([str(views), "--output-dir", str(tmp_path / "out")])
    (source,) = views.glob("*.dcm")
    load = virtual_normal.Compose(
        [virtual_normal.LoadMammogramd(), virtual_normal.BreastMaskd(), virtual_normal.MammogramWindowd()]
    )
    view = load({"image": str(source)})["image"]
    kept = burned_in(stored_greys(np.asarray(view)[0]))
    made = pydicom.dcmread(tmp_path / "out" / f"{source.stem}_virtual_normal.dcm").pixel_array
    changed = made != kept
    square = a_square(0.5)(view[None])[0, 0].numpy()
    assert changed[square].mean() > 0.5
    assert not changed[~square].any()


def test_a_picture_gives_a_picture_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_normal, "inpainter_inferer", toy)
    grey = np.zeros((300, 240), np.uint8)
    grey[60:240, :120] = np.random.default_rng(0).integers(90, 130, (180, 120))
    Image.fromarray(grey).save(tmp_path / "view.png")
    arguments = ["--output-dir", str(tmp_path / "out"), "--spacing-mm", "0.2", "--replace", "everywhere"]
    virtual_normal.main([str(tmp_path / "view.png"), *arguments])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["view_virtual_normal.png"]


def test_missing_weights_are_one_line(views: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="train them"):
        virtual_normal.main([str(views), "--output-dir", str(tmp_path), "--weights", str(tmp_path / "none.pt")])


def test_weights_of_the_config_are_loaded(tmp_path: Path) -> None:
    files = [str(ROOT / "configs" / f"{name}.yaml") for name in ("train", "train_inpainter")]
    network = ConfigParser(ConfigParser.load_config_files(files)).get_parsed_content("network_def")
    weights = {key: torch.full_like(value, 0.01) for key, value in network.state_dict().items()}
    torch.save(weights, tmp_path / "model.pt")
    arguments = virtual_normal.parse(["x", "--weights", str(tmp_path / "model.pt"), "--cell-px", "16"])
    inferer = virtual_normal.inpainter_inferer(arguments)
    assert inferer.windowed.window_px == 256
    assert (inferer.hide, inferer.cell_px) == ("mask", 16)
    loaded = inferer.inpainter.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(loaded[key].cpu(), value) for key, value in weights.items())


def test_the_price_counts_passes_and_windows() -> None:
    inferer = VirtualNormalInferer(windowed=WindowedInferer(128), cell_px=32)
    assert virtual_normal.price(torch.zeros(1, 1, 256, 128), inferer) == "at most 48 windows of 128 px"

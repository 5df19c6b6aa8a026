"""The page on one's own network: its commands and its code, run as they are printed there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet

from bundle.data import phantom_datalist
from bundle.inferers import TTGPRInferer

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "own_network.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
CODE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
SMALL: dict[str, Any] = {"spacing_mm": 0.1, "height_mm": 60.0, "width_mm": 48.0}


def _unet() -> UNet:
    torch.manual_seed(0)
    return UNet(2, 1, 1, channels=(16, 32, 64, 128), strides=(2, 2, 2), num_res_units=2, norm="batch")


@pytest.fixture
def names(tmp_path: Path) -> dict[str, Any]:
    """What the first code of the page leaves behind, on weights that nobody trained and one window of noise."""
    torch.save(_unet().state_dict(), tmp_path / "model.pt")
    torch.save(torch.rand(1, 1, 256, 256) - 0.5, tmp_path / "view.pt")
    code = (
        CODE[0].replace("runs/unet/model.pt", str(tmp_path / "model.pt")).replace('"view.pt"', f'"{tmp_path}/view.pt"')
    )
    found: dict[str, Any] = {}
    exec(compile(code, "own_network.md", "exec"), found)
    return found


def test_the_code_refines_a_network_that_is_not_ours(names: dict[str, Any]) -> None:
    alone, refined = names["alone"], names["refined"]
    assert alone.shape == refined.shape == names["image"].shape
    # One window: the first pass is the network itself, within the precision that it runs with.
    with torch.no_grad():
        torch.testing.assert_close(alone, _unet().eval()(names["image"]), atol=0.02, rtol=0.02)
    assert torch.isfinite(refined).all()
    assert (refined - alone).abs().max() > 0.01


def test_any_callable_is_refined_as_its_network_is() -> None:
    used = {"first": _unet().eval(), "other": lambda x: torch.cat([-x, used["first"](x) - x], dim=1), "torch": torch}
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    # The two classes' difference is the first network again, so is the mean of both.
    refine = TTGPRInferer(lambda state, t, condition: -state, window_px=64, gate_threshold=0.0)
    exec(compile(CODE[1], "own_network.md", "exec"), used | {"refine": refine, "image": image}, found := {})
    torch.testing.assert_close(found["refined"], refine(image, used["first"]), atol=1e-4, rtol=1e-4)


@pytest.mark.train
@pytest.mark.slow
def test_the_commands_train_a_network_that_is_not_ours_and_find_with_it(tmp_path: Path) -> None:
    normals, out = tmp_path / "normals", tmp_path / "runs"
    phantom_datalist(normals, count=1, first_seed=7, calcified=False, **SMALL)
    small = {f"validate#files#{key}": value for key, value in {**SMALL, "count": 1}.items()}
    small |= {"epochs": 1, "iterations_per_epoch": 2, "batch_size": 1, "window_px": 64, "num_workers": 0}
    small |= {
        "val_interval": 1,
        "phantom_count": 0,
        "phantom_dir": tmp_path / "phantoms",
        "lr_scheduler#warmup_steps": 1,
    }
    _run(COMMANDS[0], {"NORMALS": normals, "runs/unet": out}, small)
    network = _unet()
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True))
    filled = {"VIEWS": normals, "OUT": tmp_path / "found", "runs/unet/model.pt": out / "model.pt"}
    _run(COMMANDS[1], filled, {"refine": False})
    assert len(list((tmp_path / "found").glob("*_findings.json"))) == 1


def _run(command: str, filled: dict[str, Path], more: dict[str, Any]) -> None:
    """A command of the page, with its places filled in and more options."""
    words = [str(filled.get(word, word)) for word in shlex.split(command.replace("\\\n", ""))]
    words += [text for key, value in more.items() for text in (f"--{key}", str(value))]
    assert words[0] == "python"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]

"""The library as pip installs it: one folder under its other name, in a fresh environment without this checkout."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import bundle
from bundle.data import phantom_datalist

ROOT = Path(__file__).resolve().parents[1]
MODULES = ["mcgenref"] + [f"mcgenref.{path.parent.name}" for path in sorted((ROOT / "bundle").glob("*/__init__.py"))]
CODE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), flags=re.DOTALL)

NAMES = f"""
import importlib, importlib.util, sys
for name in {MODULES}:
    assert "site-packages" in importlib.import_module(name).__file__
assert not [name for name in sys.modules if name.split(".")[0] in ("bundle", "scripts")]
assert importlib.util.find_spec("bundle") is None
print(importlib.import_module("mcgenref").__version__)
"""
REFINED = """
import torch
from mcgenref.inferers import TTGPRInferer, WindowedInferer
from mcgenref.networks import Restormer
small = dict(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0)
network, generator = Restormer(**small), Restormer(**small, time_dim=8, condition_channels=2)
image = torch.rand(1, 1, 40, 72) * 1.8 - 0.9
alone = WindowedInferer(32)(image, network)
refined = TTGPRInferer(generator, window_px=32, overrides=dict(iterations=1, gate_threshold=0.0))(image, network)
assert alone.shape == refined.shape == image.shape
assert torch.isfinite(refined).all() and not torch.equal(alone, refined)
"""


def _run(*command: str, cwd: Path) -> str:
    """Run a program that finds nothing of this checkout on its way."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Interpreter of a fresh environment that has the wheel, and sees the packages that this one has."""
    folder = tmp_path_factory.mktemp("library")
    # Built from a copy: setuptools leaves its workings beside the sources.
    source, wheels = folder / "source", folder / "wheels"
    shutil.copytree(ROOT / "bundle", source / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # Without setuptools here, pip fetches it into an environment of its own.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    _run(*pip, "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", str(wheels), str(source), cwd=folder)
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name.startswith(f"mcgenref-{bundle.__version__}-py3-none-any")
    venv.create(folder / "fresh", with_pip=False)
    fresh = str(folder / "fresh" / ("Scripts" if os.name == "nt" else "bin") / "python")
    _run(*pip, "--python", fresh, "install", "--quiet", "--no-deps", str(wheel), cwd=folder)
    site = Path(_run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    assert not (site / "bundle").exists()
    installed = sorted(path.relative_to(site / "mcgenref") for path in (site / "mcgenref").rglob("*.py"))
    assert installed == sorted(path.relative_to(ROOT / "bundle") for path in (ROOT / "bundle").rglob("*.py"))
    # What --system-site-packages would do, were these tests not run from an environment themselves.
    (site / "outer.pth").write_text(sysconfig.get_path("purelib"))
    return fresh


@pytest.mark.slow
def test_every_package_is_there_under_its_own_name_alone(python: str, tmp_path: Path) -> None:
    assert _run(python, "-c", NAMES, cwd=tmp_path).split() == [bundle.__version__]


@pytest.mark.slow
def test_networks_and_inferers_work_from_anywhere(python: str, tmp_path: Path) -> None:
    _run(python, "-c", REFINED, cwd=tmp_path)


@pytest.mark.slow
def test_the_quickstart_runs_as_it_is_printed(python: str, tmp_path: Path) -> None:
    assert sum(bool(line) for line in CODE[0].splitlines()) == 3
    before = "import torch\nimage, network = torch.rand(1, 1, 300, 280) - 0.5, torch.nn.Conv2d(1, 1, 3, padding=1)\n"
    after = "assert logits.shape == image.shape and torch.isfinite(logits).all()\n"
    _run(python, "-c", before + CODE[0] + after, cwd=tmp_path)


@pytest.mark.slow
def test_the_parts_work_in_a_pipeline_of_monai(python: str, tmp_path: Path) -> None:
    (view,) = phantom_datalist(tmp_path, count=1, first_seed=7, spacing_mm=0.1, height_mm=60.0, width_mm=48.0)
    code = CODE[1].replace("view.dcm", view["image"]).replace("view_label.png", view["label"])
    printed = _run(python, "-c", code, cwd=tmp_path)
    assert "'f2': " in printed
    assert "val_recall" in printed


@pytest.mark.slow
def test_the_example_refines_a_foreign_network(python: str, tmp_path: Path) -> None:
    example = ROOT / "docs" / "examples" / "foreign_network.py"
    options = ("--generator", str(ROOT / "models" / "generator_ema.pt"), "--output-dir", str(tmp_path), "--steps", "2")
    printed = _run(python, str(example), *options, cwd=tmp_path)
    for name in ("network alone", "flips and turns", "TT-GPR"):
        assert re.search(rf"{name} +pixel F2 ", printed), name
    assert (tmp_path / "foreign_network.png").stat().st_size > 10_000

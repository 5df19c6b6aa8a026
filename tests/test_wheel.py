"""The library as pip installs it: one folder under its other name."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bundle

ROOT = Path(__file__).resolve().parents[1]
MODULES = ["mcgenref"] + [f"mcgenref.{path.parent.name}" for path in sorted((ROOT / "bundle").glob("*/__init__.py"))]

PROGRAM = f"""
import importlib, sys, torch
for name in {MODULES}:
    assert "site" in importlib.import_module(name).__file__
assert not [name for name in sys.modules if name.split(".")[0] in ("bundle", "scripts")]
from mcgenref.inferers import TTGPRInferer, WindowedInferer
from mcgenref.networks import Restormer
small = dict(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0)
segmentor, generator = Restormer(**small), Restormer(**small, time_dim=8, condition_channels=2)
image = torch.rand(1, 1, 40, 72) * 1.8 - 0.9
alone = WindowedInferer(32)(image, segmentor)
refined = TTGPRInferer(generator, window_px=32, overrides=dict(iterations=1, gate_threshold=0.0))(image, segmentor)
assert alone.shape == refined.shape == image.shape
assert torch.isfinite(refined).all() and not torch.equal(alone, refined)
print(importlib.import_module("mcgenref").__version__)
"""


def _pip(*arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_wheel_works_under_its_own_name_from_anywhere(tmp_path: Path) -> None:
    # Built from a copy: setuptools leaves its workings beside the sources.
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    shutil.copytree(ROOT / "bundle", source / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Without setuptools here, pip fetches it into an environment of its own.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    _pip("wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", str(wheels), str(source), cwd=tmp_path)
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name.startswith(f"mcgenref-{bundle.__version__}-py3-none-any")
    _pip("install", "--quiet", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    assert not (site / "bundle").exists()
    installed = sorted(path.relative_to(site / "mcgenref") for path in (site / "mcgenref").rglob("*.py"))
    assert installed == sorted(path.relative_to(ROOT / "bundle") for path in (ROOT / "bundle").rglob("*.py"))
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [bundle.__version__]

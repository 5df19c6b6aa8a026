"""The documentation as a site: every page and every docstring, without a warning."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in (ROOT / "bundle").glob("*/__init__.py"))


def test_every_package_has_a_page() -> None:
    pages = {path.stem: path.read_text().strip() for path in (ROOT / "docs" / "api").glob("*.md")}
    assert pages == {name: f"::: bundle.{name}" for name in PACKAGES}


def test_every_page_is_in_the_table_of_contents() -> None:
    """Decisions and results are reached from pages that are."""
    listed = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    reached = {page for page in pages if re.match(r"decisions/\d|results/", page)}
    assert listed == pages - reached


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, word in {
        "inferers": "TTGPRInferer",
        "functional": "refinement",
        "metrics": "MicrocalcificationMetric",
    }.items():
        assert word in (tmp_path / "site" / "api" / name / "index.html").read_text(), name

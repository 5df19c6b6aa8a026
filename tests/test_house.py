"""The house itself: names, layers and files that every consumer of the bundle relies on."""

from pathlib import Path

import bundle

ROOT = Path(__file__).resolve().parents[1]


def test_version_is_in_the_changelog() -> None:
    assert f"## {bundle.__version__}" in (ROOT / "docs" / "changelog.md").read_text()


def test_top_level_holds_what_a_model_zoo_bundle_needs() -> None:
    for name in ("LICENSE", "README.md", "requirements.txt", "configs", "scripts", "docs", "models"):
        assert (ROOT / name).exists(), name

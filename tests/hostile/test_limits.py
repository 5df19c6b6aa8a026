"""The limits and the page that lists them."""

import re
from pathlib import Path

from bundle.data import limits
from bundle.data.view import MAX_PIXELS
from bundle.functional.errors import MAX_REASON_CHARS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hostile_input.md").read_text(encoding="utf-8")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNLISTED = ("MAX_PAGES_COUNTED",)
"""A page too many is refused; how far they are counted is for the line alone."""


def _said(row: str) -> set[float]:
    """Every number of a row, with its unit."""
    found = re.findall(r"(\d+)(?: ([KMG]iB))?", row)
    return {int(number) * UNITS.get(unit, 1) for number, unit in found}


def test_every_limit_stands_in_the_page_as_it_is() -> None:
    listed = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    assert len(listed) > 20
    for name, value in {**listed, "MAX_PIXELS": MAX_PIXELS, "MAX_REASON_CHARS": MAX_REASON_CHARS}.items():
        (row,) = [line for line in PAGE.splitlines() if f"`{name}`" in line]
        assert name in UNLISTED or value in _said(row.rpartition("|")[0].rpartition("|")[0]), name

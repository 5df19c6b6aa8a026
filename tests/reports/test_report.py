"""The page is whole, harmless and self-contained, and the same each time."""

import base64
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.reports.page import Picture, Section, render_page
from bundle.reports.panels import PanelCase
from bundle.reports.report import PAGE, write_report
from bundle.reports.tables import Cell, Table

from ..functional.case_records import made_up_records

NASTY = "\"><script>alert('x')</script>&amp;"
SYSTEMS = ["ttgpr", "segmentor", NASTY]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects what a page consists of, and fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def records(**options: Any) -> list[dict[str, Any]]:
    return made_up_records(systems=SYSTEMS, n_patients=5, **options)


def report(folder: Path, found: list[dict[str, Any]] | None = None, **options: Any) -> Page:
    image = np.zeros((40, 40), np.float32)
    label = np.zeros((40, 40), np.uint8)
    label[9:11, 9:11] = 1
    cases = {"shift/dose": [PanelCase(NASTY, image, label, {"ttgpr": label > 0})]}
    path = write_report(
        folder,
        records() if found is None else found,
        title=f"Report {NASTY}",
        command=f"python -m scripts.evaluate {NASTY}",
        date="2026-11-20",
        seed=7,
        cases=cases,
        n_resamples=20,
        **options,
    )
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report(folder, reference="segmentor", systems=SYSTEMS)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / PAGE).read_text(encoding="utf-8"))


def test_page_holds_no_reference_to_anything_outside(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "a")
        assert "href" not in attributes
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")
        assert not any(name.startswith("on") for name in attributes)
    assert not any(word in text for text in page.texts for word in ("http:", "https:", "url(", "@import", "fetch("))


def test_the_only_script_is_that_of_the_page(page: Page) -> None:
    assert len(page.all("script")) == 1
    assert page.all("b") == page.all("i") == []


def test_names_are_shown_as_they_are(page: Page) -> None:
    assert f"Report {NASTY}" in page.texts
    assert page.texts.count(NASTY) >= 5


def test_page_prints_command_date_seed_and_region(page: Page) -> None:
    for fact in (f"python -m scripts.evaluate {NASTY}", "2026-11-20", "7", "breast", "segmentor"):
        assert fact in page.texts


def test_pictures_are_embedded_and_described(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 6
    for image in images:
        data = base64.b64decode(str(image["src"]).split(",")[1], validate=True)
        assert data.startswith(b"\x89PNG")
        assert image["alt"]


def test_rows_are_in_the_order_asked_for(page: Page) -> None:
    systems = [text for text in page.texts if text in SYSTEMS]
    # After the fact sheet, which names the reference.
    assert systems[1:4] == SYSTEMS


def test_every_header_sorts_and_every_cell_has_its_key(page: Page) -> None:
    assert len(page.all("button")) == len(page.all("th"))
    assert all("data-key" in cell for cell in page.all("td"))


def test_missing_values_have_an_empty_key() -> None:
    table = Table("t", ("System", "p"), ((Cell("a", "a"), Cell("-", float("nan"))),))
    keys = [cell["data-key"] for cell in Page(render_page("t", {}, [Section("s", tables=[table])])).all("td")]
    assert keys == ["a", ""]


def test_captions_are_escaped_in_text_and_attribute() -> None:
    found = Page(render_page("t", {}, [Section("s", pictures=[Picture(NASTY, b"")])]))
    assert found.all("img")[0]["alt"] == NASTY
    assert NASTY in found.texts


def test_a_second_run_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    report(tmp_path, records()[::-1], reference="segmentor", systems=SYSTEMS)
    files = sorted(path.name for path in folder.iterdir())
    assert {PAGE, "table.csv", "table.md", "table.json", "01_shift_dose_boxes.png"} <= set(files)
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_pictures_without_anything_to_show_are_left_out(tmp_path: Path) -> None:
    points = [{**record, "pixels": None, "annotation": "points"} for record in records(dataset="a")]
    outlines = [{**record, "objects": []} for record in records(dataset="b") if record["objects"]]
    for record in outlines:
        record.update(pixels=None, annotation="outlines")
    report(tmp_path, points + outlines)
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert {name for name in names if "_a_" in name} == {
        "01_a_froc_object_cm2",
        "01_a_froc_object_cm2_log",
        "01_a_froc_cluster_image",
        "01_a_strata",
    }
    assert {name for name in names if "_b_" in name} == {"02_b_froc_cluster_image"}


def test_other_systems_than_those_of_the_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected the systems of the records"):
        report(tmp_path, systems=["ttgpr"])

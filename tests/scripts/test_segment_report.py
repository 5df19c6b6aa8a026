"""One command leaves everything, without further flags; what it cannot do it says in a line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.data import find_mammograms
from scripts import segment, segment_dicom
from scripts.segment import main, overrides, parse
from tests.data.mg_dicom import stored_view
from tests.reports.study_exam import COLUMNS, ROWS, VIEWS, write_exam, write_results, write_view


@pytest.fixture(autouse=True)
def inference(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the networks: results of every view that can be read, and status 1 if one cannot."""

    def run(options: dict[str, Any]) -> None:
        refused = False
        for item in find_mammograms(options["input"]):
            try:
                write_results(Path(item["image"]), Path(options["output_dir"]), spacing_mm=options["spacing_mm"])
            except ValueError:
                refused = True
        if refused:
            raise SystemExit(1)

    monkeypatch.setattr(segment, "segment_all", run)


def _names(out: Path) -> set[str]:
    return {path.name.replace(path.name.split("_")[0], "X", 1) for path in out.iterdir()}


def test_dicom_gives_json_seg_and_a_page_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("highdicom")
    write_exam(tmp_path / "views")
    main([str(tmp_path / "views"), "--output-dir", str(tmp_path / "out")])
    for kind in ("findings.json", "mask.png", "seg.dcm", "probability.dcm"):
        assert len(list((tmp_path / "out").glob(f"*_{kind}"))) == len(VIEWS), kind
    (page,) = (tmp_path / "out").glob("report_*.html")
    study = page.stem.removeprefix("report_")
    for kind in ("cad", "measurements"):
        assert (tmp_path / "out" / f"study-{study}_{kind}.dcm").exists(), "the objects and the page share their name"
    assert f"Report for people: {page}" in capsys.readouterr().out


def test_a_repeated_run_replaces_and_adds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    write_view(tmp_path / "a.dcm", "L", "CC")
    for _ in range(2):
        main([str(tmp_path / "a.dcm"), "--output-dir", str(tmp_path / "out")])
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert sum(name.endswith(".html") for name in names) == 1
    assert sum(name.endswith("_cad.dcm") for name in names) == 1
    assert not [name for name in names if name.startswith(".")]


def test_results_below_the_input_are_not_read_again(tmp_path: Path) -> None:
    write_view(tmp_path / "a.dcm", "L", "CC")
    for _ in range(2):
        main([str(tmp_path), "--output-dir", str(tmp_path / "out"), "--no-dicom"])
    assert len(list((tmp_path / "out").glob("report_*.html"))) == 1


def test_results_among_the_views_are_refused(tmp_path: Path) -> None:
    write_view(tmp_path / "a.dcm", "L", "CC")
    with pytest.raises(SystemExit, match="Expected another folder than the input's"):
        main([str(tmp_path), "--output-dir", str(tmp_path)])


@pytest.mark.parametrize(("option", "missing"), [("--no-dicom", "*.dcm"), ("--no-report", "*.html")])
def test_what_is_not_wanted_is_not_written(tmp_path: Path, option: str, missing: str) -> None:
    write_view(tmp_path / "a.dcm", "L", "CC")
    main([str(tmp_path / "a.dcm"), "--output-dir", str(tmp_path / "out"), option])
    assert not list((tmp_path / "out").glob(missing))
    assert list((tmp_path / "out").glob("*_findings.json"))


def test_without_highdicom_a_line_says_so_and_all_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(segment_dicom, "can_write", lambda: False)
    write_view(tmp_path / "a.dcm", "L", "CC")
    main([str(tmp_path / "a.dcm"), "--output-dir", str(tmp_path / "out")])
    assert "No DICOM SEG and SR: highdicom is not installed" in capsys.readouterr().out
    assert list((tmp_path / "out").glob("*.html"))
    assert not list((tmp_path / "out").glob("*.dcm"))


def test_pictures_get_a_page_and_no_word_about_dicom(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "views").mkdir()
    for number in range(2):
        view = stored_view(ROWS, COLUMNS, bits=8).astype(np.uint8)
        view[:, 200:] = 0
        Image.fromarray(view).save(tmp_path / "views" / f"{number}.png")
    main([str(tmp_path / "views"), "--output-dir", str(tmp_path / "out"), "--spacing-mm", "0.1"])
    (page,) = (tmp_path / "out").glob("report_*.html")
    text = page.read_text()
    assert text.count("<figure") == 2
    assert "View 1" in text
    assert "0.1 mm, as given" in text
    assert "DICOM" not in capsys.readouterr().out


def test_a_refused_view_costs_the_status_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("highdicom")
    views = tmp_path / "views"
    views.mkdir()
    good = write_view(views / "a.dcm", "L", "CC")
    (views / "b.dcm").write_bytes(good.read_bytes()[:50_000])
    with pytest.raises(SystemExit) as stop:
        main([str(views), "--output-dir", str(tmp_path / "out")])
    assert stop.value.code == 1
    (page,) = (tmp_path / "out").glob("report_*.html")
    assert "1 file left out" in page.read_text()
    assert (tmp_path / "out" / "a_seg.dcm").exists()
    assert "Report for people" in capsys.readouterr().out


def test_a_view_without_identifiers_is_told_to_have_no_objects(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("highdicom")
    write_view(tmp_path / "a.dcm", "L", "CC", SeriesInstanceUID=None)
    main([str(tmp_path / "a.dcm"), "--output-dir", str(tmp_path / "out")])
    assert "no DICOM objects: " in (said := capsys.readouterr().out)
    assert "Expected SeriesInstanceUID in the header" in said


def test_two_studies_have_two_pages(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for number in range(2):
        write_view(tmp_path / "views" / f"{number}.dcm", "L", "CC", StudyInstanceUID=f"1.2.3.{number}")
    main([str(tmp_path / "views"), "--output-dir", str(tmp_path / "out"), "--no-dicom"])
    pages = list((tmp_path / "out").glob("report_*.html"))
    assert len(pages) == 2
    assert all(page.read_text().count("<figure") == 1 for page in pages)


def test_names_are_on_the_page_for_who_asks(tmp_path: Path) -> None:
    write_view(tmp_path / "a.dcm", "L", "CC", PatientName="Roe^Jane")
    for option in ([], ["--show-patient"]):
        main([str(tmp_path / "a.dcm"), "--output-dir", str(tmp_path / "out"), "--no-dicom", *option])
        (page,) = (tmp_path / "out").glob("*.html")
        assert ("Roe^Jane" in page.read_text()) == bool(option)


def test_the_one_pass_is_kept_by_a_part_that_the_config_does_not_have() -> None:
    (part,) = overrides(parse(["in"]))["initialize"]
    assert part["_target_"] == "bundle.engines.first_pass.keep_first_pass"

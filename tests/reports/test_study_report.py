"""The page of a study: what it shows, what it must not show, and that it needs nothing but itself."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bundle.data.dicom_results import find_findings
from bundle.data.studies import group_studies, source_id
from bundle.data.view_maps import read_view_maps
from bundle.functional.outlines import pixel_outline
from bundle.reports.study_cards import cluster_facts
from bundle.reports.study_page import Study as StudyPage
from bundle.reports.study_page import render_study, view_labels
from bundle.reports.study_script import SCRIPT
from bundle.reports.study_view import crop_box, probability_tiles, svg_path, to_grey, view_panel
from scripts import segment_report
from scripts.segment_report import windowed_view, write_reports
from tests.reports.study_exam import (
    COLUMNS,
    LONELY,
    OPTIONS,
    ROWS,
    STUDY_UID,
    VIEWS,
    write_exam,
    write_results,
    write_view,
)  # fmt: skip

HANGING = ["R CC", "L CC", "R MLO", "L MLO"]


class Elements(HTMLParser):
    """Every element with its attributes, and the text of the page without style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.said, self._silent = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._silent = tag in ("style", "script", "title")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.said += "" if self._silent else f"{data} "

    def of(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        wanted = {name.rstrip("_"): value for name, value in wanted.items()}
        return [a for t, a in self.elements if t == tag and all(a.get(name) == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Views, results and the page of an exam of four."""
    folder = tmp_path_factory.mktemp("exam")
    views, out = folder / "views", folder / "out"
    for path in write_exam(views):
        write_results(path, out)
    (page,) = write_reports(group_studies(str(views)), out, OPTIONS)
    return views, out, page.read_text()


def _page_of(paths: list[Path], out: Path, **more: Any) -> str:
    (page,) = write_reports(group_studies(str(paths[0].parent)), out, OPTIONS, **more)
    return page.read_text()


def test_the_page_needs_nothing_but_itself(exam: tuple[Path, Path, str]) -> None:
    page = Elements(exam[2])
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "data", "action", "poster", "srcset"):
                assert value.startswith(("#", "data:image/")), (tag, name, value[:40])
    assert not re.search(r"@import|url\(|https?:", re.sub(r"data:image/[^\"]*", "", exam[2]))


def test_the_policy_lets_this_script_run_and_no_other(exam: tuple[Path, Path, str]) -> None:
    (policy,) = Elements(exam[2]).of("meta", **{"http-equiv": "Content-Security-Policy"})
    (script,) = re.findall(r"<script>(.*?)</script>", exam[2], flags=re.DOTALL)
    assert script == SCRIPT
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]


def test_the_first_words_say_what_the_page_is_not(exam: tuple[Path, Path, str]) -> None:
    assert Elements(exam[2]).said.split()[:5] == ["Not", "a", "medical", "device.", "Research"]


def test_views_hang_right_beside_left_whatever_the_files_order(exam: tuple[Path, Path, str]) -> None:
    assert re.findall(r"<h3>([RL] \w+)</h3><span", exam[2]) == HANGING
    figures = Elements(exam[2]).of("figure")
    assert [figure["id"] for figure in figures] == [f"v{VIEWS.index(tuple(name.split())) + 1}" for name in HANGING]
    assert [figure["data-align"] for figure in figures] == ["right", "left"] * 2


def test_every_cluster_has_a_card_that_names_its_frame(exam: tuple[Path, Path, str]) -> None:
    page = Elements(exam[2])
    cards = page.of("a", class_="card")
    assert [card["href"] for card in cards] == [f"#v{VIEWS.index(tuple(name.split())) + 1}-c1" for name in HANGING]
    frames = {frame["id"] for frame in page.of("rect")}
    assert {card["href"][1:] for card in cards} <= frames
    marks = {path["id"] for path in page.of("path")}
    assert {use["href"][1:] for use in page.of("use")} <= marks


def test_a_card_tells_count_extent_word_and_probability(exam: tuple[Path, Path, str]) -> None:
    # Squares of 3 x 3 px of 0.1 mm, at rows 150 to 190 and columns 60 to 110.
    assert exam[2].count("<dt>Calcifications</dt><dd>6</dd>") == 4
    assert exam[2].count("<dt>Distribution</dt><dd>grouped</dd>") == 4
    assert exam[2].count("<dd>4.3 mm high, 5.3 mm wide</dd>") == 4
    assert exam[2].count("<dd>mean 0.90, highest 0.90</dd>") == 4


def test_means_over_a_cluster_are_weighted_by_area() -> None:
    small = {"area_mm2": 1.0, "mean_probability": 0.5, "peak_probability": 0.6}
    large = {"area_mm2": 3.0, "mean_probability": 0.9, "peak_probability": 0.95}
    cluster = {"count": 2, "extent_mm": [1.0, 2.0], "distribution": "linear"}
    assert dict(cluster_facts(cluster, [small, large]))["Probability"] == "mean 0.80, highest 0.95"


def test_uncertainty_is_told_where_it_is_known_and_only_there(tmp_path: Path, exam: tuple[Path, Path, str]) -> None:
    assert exam[2].count("<dt>Found by</dt><dd>75% of passes on average, lowest 75%</dd>") == 4
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out", agreement=None)
    said = Elements(_page_of([path], tmp_path / "out")).said
    assert "Calcifications" in said
    assert "passes" not in said


def test_findings_outside_clusters_are_listed_where_they_lie(exam: tuple[Path, Path, str]) -> None:
    rows = re.findall(r"<tr><td><a href=\"#v\d-p\d+\"[^>]*>show</a></td>(.*?)</tr>", exam[2])
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    left = f"{LONELY[1] * 0.1:.1f}", f"{(COLUMNS - 1 - LONELY[1]) * 0.1:.1f}"
    assert sorted(cell[:3] for cell in cells) == sorted(
        [f"{side} {position}", f"{LONELY[0] * 0.1:.1f}", left[side == "R"]] for side, position in VIEWS
    )


def test_the_one_pass_stands_beside_the_method(exam: tuple[Path, Path, str]) -> None:
    page = Elements(exam[2])
    assert len(page.of("input", type="radio")) == 2
    assert exam[2].count('<span class="quiet of-method">7 findings, 1 cluster</span>') == 4
    assert exam[2].count('<span class="quiet of-first">6 findings, 1 cluster</span>') == 4


def test_one_pass_alone_has_no_switch(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out", method="segmentor")
    page = _page_of([path], tmp_path / "out")
    assert 'type="radio"' not in page
    assert 'class="layer method only"' in page


def test_settings_version_weights_and_date_are_told(exam: tuple[Path, Path, str]) -> None:
    model = Path(segment_report.ROOT) / "models" / "model.pt"
    said = Elements(exam[2]).said
    assert hashlib.sha256(model.read_bytes()).hexdigest()[:16] in said
    assert "probability of at least 0.5, the default" in said
    assert re.search(r"Version mcgenref \d", said)
    assert re.search(r"Made 20\d\d-\d\d-\d\d \d\d:\d\d", said)


def test_the_operating_point_says_who_chose_it(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out")
    studies = group_studies(str(path))
    for change, words in (({"threshold": 0.5}, "0.5, as given"), ({"fp_per_cm2": 0.4}, "for 0.4 false positives")):
        (page,) = write_reports(studies, tmp_path / "out", OPTIONS | change)
        assert words in page.read_text()


def test_one_view_hangs_alone(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out")
    page = Elements(_page_of([path], tmp_path / "out"))
    assert len(page.of("figure")) == 1
    assert page.of("section", class_="row single")
    assert "no R CC" not in page.said


def test_a_side_that_is_missing_is_told(tmp_path: Path) -> None:
    paths = [write_view(tmp_path / f"{name}.dcm", *name.split("_")) for name in ("L_CC", "R_MLO", "L_MLO")]
    for path in paths:
        write_results(path, tmp_path / "out")
    page = _page_of(paths, tmp_path / "out")
    assert page.count("no R CC in this study") == 1


def test_nothing_found_is_no_all_clear(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out", places=())
    page = _page_of([path], tmp_path / "out")
    assert "That does not mean that there is nothing." in page
    assert "Clusters</h2>" not in page
    assert 'class="card"' not in page


def test_what_was_refused_is_told_with_its_reason_and_without_its_name(tmp_path: Path) -> None:
    views, out = tmp_path / "views", tmp_path / "out"
    views.mkdir()
    good = write_view(views / "b.dcm", "L", "CC")
    write_results(good, out)
    (views / "Doe_Jane.dcm").write_bytes(good.read_bytes()[:90_000])
    (views / "Roe_Jane.png").write_text("no picture")
    page = _page_of([good], out)
    assert "File 1 of 3: Expected" in page
    assert "the file is truncated, copy it again" in page
    assert "File 2 of 3: Expected DICOM, PNG" in page
    assert "Jane" not in page
    assert "2 files left out" in page
    assert page.count("<figure") == 1


def test_a_study_of_refused_files_alone_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"nothing")
    page = _page_of([tmp_path / "bad.dcm"], tmp_path / "out")
    assert "No view could be segmented" in page
    assert "File 1 of 1" in page


def test_a_view_that_was_not_segmented_is_told(tmp_path: Path) -> None:
    views = tmp_path / "views"
    first, *others = write_exam(views)
    write_results(first, tmp_path / "out")
    page = _page_of([first, *others], tmp_path / "out")
    assert page.count("Expected findings, found none; segment the view again") == len(others)


def test_warnings_of_the_header_are_told_at_the_top_and_at_the_view(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC", BurnedInAnnotation="YES", BreastImplantPresent="YES")
    with pytest.warns(UserWarning, match="burned-in"):
        report = write_results(path, tmp_path / "out")
    assert report["warnings"] == ["burned-in annotation", "breast implant"]
    page = _page_of([path], tmp_path / "out")
    assert "<li><strong>L CC</strong>: burned-in annotation, breast implant</li>" in page
    assert '<p class="warning">burned-in annotation, breast implant</p>' in page


def test_patient_and_names_stay_out_unless_asked_for(tmp_path: Path) -> None:
    secrets = {"PatientName": "SECRETA^B", "PatientID": "SECRETC", "PatientBirthDate": "19440404"}
    path = write_view(tmp_path / "SECRETD.dcm", "L", "CC", AccessionNumber="SECRETE", **secrets)
    write_results(path, tmp_path / "out")
    page = _page_of([path], tmp_path / "out")
    assert "SECRET" not in page
    assert "19440404" not in page
    asked = Elements(_page_of([path], tmp_path / "out", show_patient=True)).said
    for secret in ("SECRETA^B", "SECRETC", "19440404", "SECRETD.dcm", "SECRETE"):
        assert secret in asked


def test_text_cannot_become_markup(exam: tuple[Path, Path, str]) -> None:
    views, out, _ = exam
    path = views / "0.dcm"
    maps = read_view_maps(find_findings(out)[source_id(path)])
    evil = "<script>alert(1)</script>\"'&"
    report = {**maps.report, "laterality": evil, "view_position": evil, "warnings": [evil]}
    panel = view_panel(windowed_view(str(path), OPTIONS), report=report, mask=maps.mask, probs=maps.probs)
    page = render_study(
        StudyPage(evil, [panel], refused=[(evil, evil)], facts={evil: evil}, patient={evil: evil}, names=[evil])
    )
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    assert len(Elements(page).of("script")) == 1


def test_ids_of_findings_and_clusters_cannot_become_markup(exam: tuple[Path, Path, str]) -> None:
    views, out, _ = exam
    path = views / "0.dcm"
    maps = read_view_maps(find_findings(out)[source_id(path)])
    evil = '"><h1>INJECTED</h1>'
    names = {one["id"]: f"{evil}{one['id']}" for one in maps.report["clusters"]}
    findings = [
        {**one, "id": f"{evil}{one['id']}", "cluster": names.get(one["cluster"])} for one in maps.report["findings"]
    ]
    clusters = [{**one, "id": names[one["id"]]} for one in maps.report["clusters"]]
    report = {**maps.report, "findings": findings, "clusters": clusters}
    panel = view_panel(windowed_view(str(path), OPTIONS), report=report, mask=maps.mask, probs=maps.probs)
    text = render_study(StudyPage("s", [panel]))
    assert "<h1>INJECTED" not in text
    page = Elements(text)
    assert f"#v1-c{names[1]}" in [card["href"] for card in page.of("a", class_="card")]
    assert f"v1-c{names[1]}" in [frame["id"] for frame in page.of("rect")]
    marks = {mark["id"] for mark in page.of("path")}
    assert {use["href"][1:] for use in page.of("use")} <= marks
    assert {f"v1-p{one['id']}" for one in findings} <= marks


def test_pictures_show_the_view_at_full_size(exam: tuple[Path, Path, str]) -> None:
    views, _, page = exam
    (data,) = re.findall(r'<figure class="view" id="v1".*?data:image/jpeg;base64,([^"]+)"', page, flags=re.DOTALL)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert picture.shape == (ROWS, COLUMNS)
    expected = to_grey(windowed_view(str(views / "0.dcm"), OPTIONS)).astype(int)
    assert np.abs(picture - expected).mean() < 4


def test_pictures_carry_no_metadata(exam: tuple[Path, Path, str]) -> None:
    found = re.findall(r"data:image/\w+;base64,([^\"]+)\"", exam[2])
    assert len(found) > 8
    for data in found:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            known = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "transparency"}
            assert set(picture.info) <= known


def test_tiles_put_together_are_the_map() -> None:
    rng = np.random.default_rng(0)
    probs = np.where(rng.random((300, 170)) < 0.01, rng.random((300, 170)), 0.0)
    levels = np.zeros(probs.shape, np.uint8)
    for tile in probability_tiles(probs, tile_px=64):
        piece = np.asarray(Image.open(io.BytesIO(tile.png)))
        assert piece.shape == (tile.rows, tile.columns)
        levels[tile.row : tile.row + tile.rows, tile.column : tile.column + tile.columns] += piece
    expected = np.rint(probs * 255).astype(np.uint8)
    assert (levels == np.where(expected < 0.05 * 255, 0, expected)).all()


def test_an_empty_map_needs_no_tile() -> None:
    assert probability_tiles(np.full((100, 100), 0.04)) == []


def test_the_more_probable_the_more_opaque() -> None:
    (tile,) = probability_tiles(np.linspace(0.1, 1, 64).reshape(8, 8))
    alpha = np.asarray(Image.open(io.BytesIO(tile.png)).convert("RGBA"))[..., 3].ravel().astype(int)
    assert (np.diff(alpha) >= 0).all()
    assert alpha[0] < alpha[-1]


def test_an_outline_runs_around_its_pixel() -> None:
    """Pixel (row 7, column 3) is the square from (3, 7) to (4, 8) in x and y."""
    path = svg_path(pixel_outline(np.ones((1, 1), bool)) + np.array([7, 3]))
    points = np.array([[float(value) for value in point.split(",")] for point in path[1:-1].split(" ")])
    assert path.startswith("M")
    assert path.endswith("Z")
    np.testing.assert_allclose(points.mean(axis=0), [3.5, 7.5])
    np.testing.assert_allclose(np.abs(points - [3.5, 7.5]).sum(axis=1), 0.5)


@pytest.mark.parametrize("box", [(50, 60, 80, 95), (0, 0, 5, 5), (395, 290, 400, 300), (0, 0, 400, 300)])
def test_a_crop_holds_its_cluster_and_stays_in_the_view(box: tuple[int, int, int, int]) -> None:
    shape, spacing = (400, 300), (0.1, 0.2)
    crop = crop_box(box, shape, spacing)
    assert crop[0] <= box[0] < box[2] <= crop[2]
    assert crop[1] <= box[1] < box[3] <= crop[3]
    assert min(crop[:2]) >= 0
    assert crop[2] <= shape[0]
    assert crop[3] <= shape[1]
    for axis in (0, 1):
        assert (crop[axis + 2] - crop[axis]) * spacing[axis] >= min(10.0, shape[axis] * spacing[axis]) - 1e-9


def test_unequal_pixels_are_drawn_in_proportion(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC", ImagerPixelSpacing=[0.05, 0.1])
    write_results(path, tmp_path / "out")
    (figure,) = Elements(_page_of([path], tmp_path / "out")).of("figure")
    assert float(figure["data-height"]) == pytest.approx(ROWS * 0.5)
    assert float(figure["data-width"]) == COLUMNS


def test_views_of_one_name_are_told_apart() -> None:
    tags = [("R", "CC"), ("R", "CC"), ("", ""), ("", ""), ("L", ""), ("R", "CC")]
    labels = view_labels([{"laterality": side, "view_position": position} for side, position in tags])
    assert labels == ["R CC", "R CC (2)", "View 3", "View 4", "L", "R CC (3)"]


def test_many_views_are_parted_into_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_report, "MAX_VIEWS", 3)
    for path in write_exam(tmp_path / "views"):
        write_results(path, tmp_path / "out")
    pages = write_reports(group_studies(str(tmp_path / "views")), tmp_path / "out", OPTIONS)
    assert [page.read_text().count("<figure") for page in pages] == [3, 1]
    assert "Page 2 of 2 of this study" in pages[1].read_text()


def test_a_second_run_gives_the_same_page(exam: tuple[Path, Path, str]) -> None:
    views, out, first = exam
    (page,) = write_reports(group_studies(str(views)), out, OPTIONS)
    undated = [re.sub(r"<dt>Made</dt><dd>.*?</dd>", "", text) for text in (first, page.read_text())]
    assert undated[0] == undated[1]


def test_damaged_results_leave_the_view_out(tmp_path: Path) -> None:
    path = write_view(tmp_path / "in.dcm", "L", "CC")
    write_results(path, tmp_path / "out")
    (tmp_path / "out" / "in_mask.png").write_bytes(b"cut")
    assert "Expected findings with mask and map beside them" in _page_of([path], tmp_path / "out")
    Image.fromarray(np.zeros((ROWS, COLUMNS), np.uint8)).save(tmp_path / "out" / "in_mask.png")
    assert "Expected an object of the mask" in _page_of([path], tmp_path / "out")


def test_the_study_is_named_by_a_hash_and_not_by_its_uid(exam: tuple[Path, Path, str]) -> None:
    views, _, page = exam
    (study,) = group_studies(str(views))
    assert study.name == hashlib.sha256(STUDY_UID.encode()).hexdigest()[:8]
    assert f"study {study.name}" in page
    assert STUDY_UID not in page

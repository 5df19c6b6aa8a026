from pathlib import Path

import numpy as np
import pytest

from bundle.data import MammogramError
from bundle.data.inbreast import inbreast_names, read_rois
from bundle.data.limits import MAX_XML_BYTES
from tests.data.inbreast_files import HEAD, POINT, POLYGON, write_inbreast

SQUARE = [(10.0, 20.0), (14.0, 20.0), (14.0, 26.0), (10.0, 26.0)]


def test_x_is_the_column(tmp_path: Path) -> None:
    rois = read_rois(write_inbreast(tmp_path / "1.xml", [("Calcification", POINT, [(7.5, 30.25)])]))
    np.testing.assert_array_equal(rois.points, [[30.25, 7.5]])


def test_polygons_keep_their_vertices_in_order(tmp_path: Path) -> None:
    (polygon,) = read_rois(write_inbreast(tmp_path / "1.xml", [("Calcification", POLYGON, SQUARE)])).polygons
    np.testing.assert_array_equal(polygon, [[row, column] for column, row in SQUARE])


@pytest.mark.parametrize("count", [1, 2])
def test_a_polygon_without_area_is_a_point_at_its_mean(tmp_path: Path, count: int) -> None:
    rois = read_rois(write_inbreast(tmp_path / "1.xml", [("Calcification", POLYGON, SQUARE[:count])]))
    assert rois.polygons == ()
    np.testing.assert_array_equal(rois.points, [[20.0, np.mean([10.0, 14.0][:count])]])


def test_regions_count_by_their_name(tmp_path: Path) -> None:
    listed = [(name, POLYGON, SQUARE) for name in ("Mass", "Calcifications", "Cluster", "Mass", "Asymmetry")]
    rois = read_rois(write_inbreast(tmp_path / "1.xml", listed))
    assert (len(rois.polygons), len(rois.clusters), len(rois.points)) == (1, 1, 0)
    assert rois.others == {"Mass": 2, "Asymmetry": 1}


def test_a_file_without_regions_is_empty(tmp_path: Path) -> None:
    rois = read_rois(write_inbreast(tmp_path / "1.xml", []))
    assert (rois.polygons, rois.points.shape, rois.clusters, rois.others) == ((), (0, 2), (), {})


def test_names_of_files_tell_view_and_patient() -> None:
    assert inbreast_names("20586908_6c613a14b80a8591_MG_R_CC_ANON") == ("20586908", "6c613a14b80a8591")
    for other in ("20586908", "view_1", "20586908_6c61_MG_R_CC_ANON", "20586908_6c613a14b80a8591_MG_R_CC_ANON_2"):
        assert inbreast_names(other) is None


def _laughs() -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f"<?xml version='1.0'?><!DOCTYPE plist [{entities}]><plist version='1.0'><string>&a9;</string></plist>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_laughs(), "without entities"),
        ("", "Expected an XML property list"),
        ("no xml", "Expected an XML property list"),
        (HEAD + "<plist><dict>", "Expected an XML property list"),
        (HEAD + "<plist><integer>many</integer></plist>", "Expected an XML property list"),
        (HEAD + "<plist><array/></plist>", "Expected a dictionary at the top"),
        (HEAD + "<plist><dict/></plist>", "of one image"),
        (HEAD + "<plist><dict><key>Images</key><array><dict/></array></dict></plist>", "a list `ROIs`"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", "Expected"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "1.xml").write_text(text)
    with pytest.raises(MammogramError, match=says) as error:
        read_rois(tmp_path / "1.xml")
    assert str(error.value).startswith(str(tmp_path / "1.xml"))
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("kind", "points", "says"),
    [(POINT, SQUARE[:2], "as many points"), (POINT, [], "as many points"), (7, SQUARE, "type 19")],
)
def test_regions_of_another_layout_are_refused(tmp_path: Path, kind: int, points: list, says: str) -> None:
    with pytest.raises(MammogramError, match=says):
        read_rois(write_inbreast(tmp_path / "1.xml", [("Calcification", kind, points)]))


@pytest.mark.parametrize("text", ["(nan, 1)", "(inf, 1)", "(1; 2)", "(1, 2, 3)", "1, 2", "(" + "1" * 200 + ", 2)"])
def test_points_that_are_no_pairs_of_numbers_are_refused(tmp_path: Path, text: str) -> None:
    path = write_inbreast(tmp_path / "1.xml", [("Calcification", POINT, [(1.0, 2.0)])])
    path.write_text(path.read_text().replace("(1.000000, 2.000000)", text))
    with pytest.raises(MammogramError, match=r"as '\(x, y\)' in px"):
        read_rois(path)


def test_a_file_too_large_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "1.xml").open("wb") as file:
        file.truncate(MAX_XML_BYTES + 1)
    with pytest.raises(MammogramError, match=f"at most {MAX_XML_BYTES} bytes"):
        read_rois(tmp_path / "1.xml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match="check the path"):
        read_rois(tmp_path / "1.xml")


REGION = "<key>Name</key><string>Calcification</string>"
PLACE = "<key>Point_px</key><array><string>(1, 2)</string></array>"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<key>Name</key><integer>SECRET^PATIENT</integer>", r"got ValueError; copy"),
        ("<key>Name</key><real>SECRET^PATIENT</real>", r"got ValueError; copy"),
        ("<key>Name</key><date>SECRET^PATIENT</date>", r"got \w+; copy"),
        ("<key>Name</key><SECRET_PATIENT/>", r"got \w+; copy"),
        ("<key>SECRET^PATIENT</key>", r"got \w+; copy"),
        ("<SECRET^PATIENT", r"got ExpatError in line 3, column \d+; copy"),
        (REGION + "<key>Point_px</key><array><string>SECRET^PATIENT</string></array>", "in px, got str; check"),
        (REGION + "<key>Point_px</key><array><string>(1; 2)</string></array>", "in px, got str; check"),
        (REGION + "<key>Point_px</key><array><string>(1, 2, 3)</string></array>", r"got '\(1, 2, 3\)'; check"),
        (REGION + PLACE + "<key>Type</key><string>SECRET^PATIENT</string>", r"\(polygon\), got str; convert"),
        (REGION + PLACE + "<key>NumberOfPoints</key><string>SECRET^PATIENT</string>", r"says \(str\), got 1"),
        (REGION + "<key>Point_px</key><array/>", r"says \(no number\), got 0"),
    ],
)
def test_no_text_of_an_annotation_is_repeated_but_numbers(tmp_path: Path, content: str, says: str) -> None:
    path = write_inbreast(tmp_path / "1.xml", [])
    path.write_text(path.read_text().replace("<array></array>", f"<array><dict>{content}</dict></array>"))
    with pytest.raises(MammogramError, match=says) as told:
        read_rois(path)
    assert "SECRET" not in str(told.value)

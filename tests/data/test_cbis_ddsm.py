from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bundle.data import MammogramError
from bundle.data.annotations import filled
from bundle.data.cbis_ddsm import list_cbis_ddsm, outlines_of
from tests.data.dataset_layouts import CBIS_BOX, SHAPE, cbis_ddsm, dicom


def test_the_official_split_and_the_tables_words_are_kept(tmp_path: Path) -> None:
    views = {view.name: view for view in list_cbis_ddsm(cbis_ddsm(tmp_path)).views}
    assert len(views) == 8
    for name, view in views.items():
        assert view.split == ("test" if "Test" in name else "training")
        assert (view.truth is None) == name.startswith("Mass")
    view = views["Calc-Training_P_00002_LEFT_CC"]
    assert (view.patient, view.laterality, view.view, view.density) == ("P_00002", "L", "CC", "C")


def test_the_mask_is_the_file_of_the_view_s_size_whatever_its_name(tmp_path: Path) -> None:
    listing = list_cbis_ddsm(cbis_ddsm(tmp_path))
    rois = listing.views[0].truth(SHAPE)
    (outline,) = rois.clusters
    expected = np.zeros(SHAPE, bool)
    expected[CBIS_BOX] = True
    np.testing.assert_array_equal(filled([outline], SHAPE) > 0, expected)
    assert rois.polygons == ()
    with pytest.raises(MammogramError, match="one mask of the view's 150 x 128 px, found 0"):
        listing.views[0].truth((150, 128))


def test_a_patient_of_the_mass_lists_goes_where_the_calcification_lists_say(tmp_path: Path) -> None:
    root = cbis_ddsm(tmp_path)
    table = root / "mass_case_description_train_set.csv"
    # The mass of P_00005 becomes one of P_00004, who is in the test set of the calcifications, in another view.
    table.write_text(table.read_text().replace("P_00005_LEFT_CC", "P_00004_LEFT_MLO"))
    for old in sorted((root / "CBIS-DDSM").glob("Mass-Training_P_00005_LEFT_CC*")):
        old.rename(old.with_name(old.name.replace("P_00005_LEFT_CC", "P_00004_LEFT_MLO")))
    views = {view.name: view for view in list_cbis_ddsm(root).views}
    assert views["Mass-Training_P_00004_LEFT_MLO"].split == "test"


def test_a_view_with_calcifications_is_no_negative_of_the_mass_lists(tmp_path: Path) -> None:
    root = cbis_ddsm(tmp_path)
    table = root / "mass_case_description_train_set.csv"
    table.write_text(table.read_text().replace("P_00005_LEFT_CC", "P_00001_LEFT_CC"))
    names = {view.name for view in list_cbis_ddsm(root).views}
    assert "Mass-Training_P_00001_LEFT_CC" not in names


def test_lost_files_and_damaged_rows_are_told(tmp_path: Path) -> None:
    root = cbis_ddsm(tmp_path)
    for path in (root / "CBIS-DDSM" / "Calc-Training_P_00000_LEFT_CC").rglob("*.dcm"):
        path.unlink()
    dicom(root / "CBIS-DDSM" / "Calc-Training_P_00001_LEFT_CC" / "again" / "1-1.dcm", np.zeros((80, 80), np.uint16))
    with (root / "calc_case_description_test_set.csv").open("a") as file:
        file.write("P_00009,2,LEFT,CC,1,calcification,X,X,4,BENIGN,3,../../elsewhere/1.dcm,x,y\nP_00010,2\n")
    listing = list_cbis_ddsm(root)
    assert len(listing.views) == 6
    told = [(entry.what, entry.detail) for entry in listing.skipped]
    assert told[2:] == [
        ("Calc-Training_P_00000_LEFT_CC", "found 0"),
        ("Calc-Training_P_00001_LEFT_CC", "found 2"),
    ]
    assert [what for what, _ in told[:2]] == [f"calc_case_description_test_set.csv row {n}" for n in (3, 4)]


def test_an_outline_fills_to_its_mask() -> None:
    picture = Image.new("1", (120, 90))
    ImageDraw.Draw(picture).ellipse((20, 10, 80, 60), fill=1)
    ImageDraw.Draw(picture).rectangle((95, 70, 119, 89), fill=1)  # touches two borders
    mask = np.asarray(picture)
    outlines = outlines_of(mask)
    assert len(outlines) == 2
    # Simplified by at most a pixel: what differs is a part of the border.
    different = (filled(outlines, mask.shape) > 0) != mask
    assert different.sum() < 0.05 * mask.sum()
    assert all(len(outline) < 40 for outline in outlines)


def test_a_hole_in_a_mask_is_inside_its_outline() -> None:
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    mask[25:35, 25:35] = False
    (outline,) = outlines_of(mask)
    assert filled([outline], mask.shape)[30, 30]

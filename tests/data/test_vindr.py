from pathlib import Path

import numpy as np
import pytest

from bundle.data.annotations import filled
from bundle.data.vindr import box_regions, list_vindr
from tests.data.dataset_layouts import SHAPE, vindr_mammo


def test_boxes_of_calcifications_and_normal_breasts_are_used_and_nothing_else(tmp_path: Path) -> None:
    listing = list_vindr(vindr_mammo(tmp_path))
    assert [view.name for view in listing.views] == ["image0", "image1", "image4", "image5"]
    assert [view.truth is None for view in listing.views] == [True, False, True, False]
    assert [view.split for view in listing.views] == ["training", "training", "test", "test"]
    assert [view.vendor for view in listing.views] == ["SIEMENS", "", "", ""]
    assert {(view.density, view.shape) for view in listing.views} == {("C", SHAPE)}


def test_a_box_is_a_region_of_rows_and_columns_cut_at_the_border() -> None:
    rois = box_regions([(60.0, 30.0, 79.0, 59.0), (150.0, -5.0, 500.0, 20.0)], SHAPE)
    label = filled(rois.clusters[:1], SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[60:80, 30:60] = 1
    np.testing.assert_array_equal(label, expected)
    np.testing.assert_array_equal(rois.clusters[1].max(axis=0), [SHAPE[0] - 1, 20])
    assert rois.clusters[1].min() == 0
    assert rois.polygons == ()


def test_a_finding_that_cannot_be_read_spoils_its_view_alone(tmp_path: Path) -> None:
    table = vindr_mammo(tmp_path) / "finding_annotations.csv"
    text = table.read_text()
    for old, new in (("30.0,60.0", "30.0,?"), ("['No Finding']", "__import__('os').getcwd()")):
        text = text.replace(old, new, 1)
    table.write_text(text)
    listing = list_vindr(tmp_path)
    assert [view.name for view in listing.views] == ["image4", "image5"]
    assert sorted(entry.what for entry in listing.skipped if "read" in entry.reason) == [
        "finding_annotations.csv row 2", "finding_annotations.csv row 3", "image0", "image1",
    ]  # fmt: skip


def test_a_lost_metadata_table_costs_the_makers_alone(tmp_path: Path) -> None:
    (vindr_mammo(tmp_path) / "metadata.csv").unlink()
    listing = list_vindr(tmp_path)
    assert len(listing.views) == 4
    assert any("metadata.csv" in note for note in listing.notes)


@pytest.mark.parametrize(("study", "image"), [("../../elsewhere", "image0"), ("study0", "../image0"), ("..", "image0")])
def test_no_row_leads_out_of_the_source(study: str, image: str, tmp_path: Path) -> None:
    table = vindr_mammo(tmp_path) / "breast-level_annotations.csv"
    table.write_text(table.read_text().replace("study0,series0,image0", f"{study},series0,{image}"))
    listing = list_vindr(tmp_path)
    assert [view.name for view in listing.views] == ["image1", "image4", "image5"]
    assert (listing.skipped[0].what, listing.skipped[0].reason) == (
        f"{table.name} row 2", "row whose study or image is no plain name",
    )  # fmt: skip


def test_a_rating_in_a_reason_is_short(tmp_path: Path) -> None:
    table = vindr_mammo(tmp_path) / "breast-level_annotations.csv"
    table.write_text(table.read_text().replace("BI-RADS 2", "x" * 1000))
    reasons = [entry.reason for entry in list_vindr(tmp_path).skipped]
    assert max(map(len, reasons)) < 130

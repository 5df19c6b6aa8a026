"""Reading a data set's views: once each, whatever was stopped in between."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data import MammogramError, MammogramReader
from bundle.data.datalist import ListedView, Listing
from bundle.data.prepare import Options, prepare_dataset
from bundle.data.prepare_views import Journal, place_view, read_once
from tests.data.dataset_layouts import SHAPE, dicom, view
from tests.disks import full_disk
from tests.hostile.dicom_bytes import file


def _listing(*views: ListedView) -> Listing:
    return Listing(dataset="toy", views=list(views), split_name="toy")


def test_a_view_of_another_size_than_the_table_says_is_skipped(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view())
    right, wrong = (
        ListedView(name=str(shape), image=image, patient="p", shape=shape) for shape in (SHAPE, SHAPE[::-1])
    )
    report = prepare_dataset(_listing(right, wrong), tmp_path / "out")
    assert [(entry["what"], entry["reason"]) for entry in report["skipped"]] == [
        (str(SHAPE[::-1]), f"Expected the {SHAPE[1]} x {SHAPE[0]} px that the data set states")
    ]


def test_a_view_that_is_listed_twice_is_used_once(tmp_path: Path) -> None:
    listed = ListedView(name="a", image=dicom(tmp_path / "a.dcm", view()), patient="p")
    report = prepare_dataset(_listing(listed, listed), tmp_path / "out")
    assert report["splits"]["training"]["views"] == 1
    assert report["reasons"] == {"listed twice": 1}


def test_a_view_without_a_breast_is_skipped(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.uint16)
    values[:8, :8] = 4000  # a marker
    listed = ListedView(name="a", image=dicom(tmp_path / "a.dcm", values), patient="p")
    with pytest.raises(MammogramError, match="found none of 1"):
        prepare_dataset(_listing(listed), tmp_path / "out")
    assert "Expected a breast of at least 1%" in (tmp_path / "out" / "report.md").read_text()


def test_burned_in_annotations_are_a_remark(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view(), BurnedInAnnotation="YES")
    report = prepare_dataset(_listing(ListedView(name="a", image=image, patient="p")), tmp_path / "out")
    assert report["remarks"] == {"burned-in annotation": 1}


def test_a_journal_that_was_cut_short_costs_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [dicom(tmp_path / f"{n}.dcm", view(seed=n)) for n in range(3)]
    journal = Journal.open(tmp_path / "out")
    first = [read_once(image, None, journal) for image in images]
    text = journal.path.read_text()
    journal.path.write_text(text[:-40])
    read: list[str] = []
    view_of = MammogramReader.view

    def counted(reader: MammogramReader, path: Path) -> object:
        read.append(Path(path).name)
        return view_of(reader, path)

    monkeypatch.setattr(MammogramReader, "view", counted)
    again = Journal.open(tmp_path / "out")
    assert [read_once(image, None, again) for image in images] == first
    assert read == ["2.dcm"]
    # The line after the cut one is whole.
    assert [read_once(image, None, Journal.open(tmp_path / "out")) for image in images] == first
    assert read == ["2.dcm"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view())
    assert read_once(image, None, Journal.open(tmp_path / "out")).shape == SHAPE
    dicom(image, view((100, 80)))
    assert read_once(image, None, Journal.open(tmp_path / "out")).shape == (100, 80)


@pytest.mark.parametrize("values", [np.uint8, np.uint16])
def test_a_picture_keeps_its_pixels_as_nifti_with_its_size_in_mm(tmp_path: Path, values: type) -> None:
    pixels = view(bits=8 * np.dtype(values).itemsize).astype(values)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    listing = _listing(ListedView(name="a", image=tmp_path / "a.png", patient="p"))
    prepare_dataset(listing, tmp_path / "out", Options(spacing_mm=0.05))
    (item,) = json.loads((tmp_path / "out" / "datalist.json").read_text())["training"]
    read = MammogramReader().view(tmp_path / "out" / item["image"])
    np.testing.assert_array_equal(read.pixels, pixels)
    np.testing.assert_allclose(read.spacing_mm, (0.05, 0.05))
    assert item["spacing_stated"] is False


def test_a_file_s_own_pixel_size_goes_before_a_given_one(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view(), ImagerPixelSpacing=[0.1, 0.1])
    listing = _listing(ListedView(name="a", image=image, patient="p", spacing_mm=0.07))
    report = prepare_dataset(listing, tmp_path / "out", Options(spacing_mm=0.05))
    assert report["spacings_mm"] == {"0.1 x 0.1": 1}


def test_a_copy_is_written_without_a_word_of_the_header(
    tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    image = tmp_path / "a.dcm"
    image.write_bytes(file({(0x0008, 0x0005): (b"CS", b"\\SECRET^PATIENT"), (0x0018, 0x1164): None}))
    prepare_dataset(_listing(ListedView(name="a", image=image, patient="p")), tmp_path / "out", Options(spacing_mm=0.1))
    assert MammogramReader().view(tmp_path / "out" / "views" / "training" / "a.dcm").spacing_mm == (0.1, 0.1)
    told = [*capfd.readouterr(), caplog.text, *(str(warning.message) for warning in recwarn)]
    assert not [text for text in told if "SECRET" in text]


def test_a_full_disk_is_not_the_fault_of_the_view_that_is_copied(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view(), ImagerPixelSpacing=None)
    reading = read_once(image, 0.1, Journal.open(tmp_path / "out"))
    with full_disk(1000), pytest.raises(OSError, match="File too large"):
        place_view(image, tmp_path / "out" / "a", reading)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["views_read.jsonl"]


@pytest.mark.parametrize("name", ["=1+cmd|SECRET", "+1", "-1", "@a", "\ta"])
def test_no_name_of_a_view_is_a_formula_in_a_spreadsheet(name: str, tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view())
    named = [ListedView(name=one, image=image, patient=one) for one in (name, "a=1+1")]
    report = prepare_dataset(_listing(*named), tmp_path / "out")
    with (tmp_path / "out" / "patients.csv").open(newline="") as table:
        assert list(csv.reader(table)) == [["image", "patient"], ["a=1+1.dcm", "a=1+1"]]
    (skipped,) = report["skipped"]
    assert skipped["refused"]
    assert skipped["detail"].endswith("begins with none of = + - @ and has no / and no .., got another; rename it")


def test_what_a_table_says_of_a_view_is_short_and_stays_in_its_cell(tmp_path: Path) -> None:
    image = dicom(tmp_path / "a.dcm", view())
    said = "Maker\n\n# forged | heading <script>alert(1)</script>\x1b[31m" + "y" * 2000
    words = dict.fromkeys(("vendor", "laterality", "view", "density", "machine"), said)
    prepare_dataset(_listing(ListedView(name="a", image=image, patient="p", **words)), tmp_path / "out")
    (item,) = json.loads((tmp_path / "out" / "datalist.json").read_text())["training"]
    assert {item[key] for key in words} == {"Maker # forged | heading <script>alert(1)</script>\\x1b[31myyyyyy"}
    page = (tmp_path / "out" / "report.md").read_text()
    row = "| Maker # forged &#124; heading &lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31myyyyyy | 1 |"
    assert row in page.splitlines()

"""Virtual normals as DICOM: nobody can take one for an image, references lead back, and validators agree."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bundle.data.dicom_header import remarks
from bundle.data.dicom_results import Placement, new_uid, read_header, write_dicom
from bundle.data.dicom_virtual_normal import BURNED_IN, GREYS, burned_in, stored_greys, virtual_normal_image
from bundle.data.phantom import phantom_datalist
from tests.data.dicom_exam import COLUMNS, ROWS, SERIES_UID, STUDY_UID, write_exam


def normal(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    ramp = np.linspace(-1, 0.7, rows)[:, None] + np.linspace(0, 0.2, columns)[None]
    ramp[:, : columns // 2] = -1
    return ramp.astype(np.float32)


def written(tmp_path: Path, **changes: object) -> tuple[pydicom.Dataset, pydicom.Dataset]:
    source = write_exam(tmp_path / "view.dcm", **changes)
    header = read_header(str(source))
    write_dicom(tmp_path / "normal.dcm", virtual_normal_image(header, normal(), Placement(new_uid(), 9911)))
    return pydicom.dcmread(tmp_path / "normal.dcm"), pydicom.dcmread(source, stop_before_pixels=True)


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    image, source = written(tmp_path)
    assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
    assert "VIRTUAL NORMAL" in image.SeriesDescription
    assert "Synthetic" in image.SeriesDescription
    assert "not a real image" in image.DerivationDescription
    assert "not for diagnosis" in image.ImageComments
    assert image.BurnedInAnnotation == "YES"
    assert image.PresentationIntentType == "FOR PRESENTATION"
    assert image.SOPClassUID == source.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.2"


def test_it_is_a_new_series_of_the_same_study_and_names_its_source(tmp_path: Path) -> None:
    image, source = written(tmp_path)
    assert image.StudyInstanceUID == STUDY_UID
    assert image.SeriesInstanceUID != SERIES_UID
    assert image.SOPInstanceUID != source.SOPInstanceUID
    (reference,) = image.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    for keyword in ("PatientName", "PatientID", "StudyDate", "ViewPosition", "ImageLaterality", "ImagerPixelSpacing"):
        assert image[keyword].value == source[keyword].value, keyword


def test_the_project_reads_it_back_as_a_synthetic_view(tmp_path: Path) -> None:
    image, _ = written(tmp_path)
    assert "synthetic" in remarks(image)


def test_pixels_are_the_virtual_normal_where_no_word_stands(tmp_path: Path) -> None:
    image, _ = written(tmp_path)
    read = image.pixel_array / (GREYS - 1) * 2 - 1
    away = slice(120, None)
    np.testing.assert_allclose(read[away], np.clip(normal(), -1, 1)[away], atol=1 / (GREYS - 1))


@pytest.mark.parametrize("columns", [90, 300, 2000])
def test_words_are_burned_in_at_the_darker_corner(columns: int) -> None:
    stored = stored_greys(normal(400, columns))
    marked = burned_in(stored)
    words = marked == GREYS
    assert not (stored == GREYS).any()
    assert words.any()
    rows, places = np.flatnonzero(words.any(axis=1)), np.flatnonzero(words.any(axis=0))
    assert rows[0] <= 20
    assert places[0] < columns / 4
    assert places[-1] - places[0] > columns / 4
    assert np.array_equal(marked[rows[-1] + 40 :], stored[rows[-1] + 40 :])


def test_words_go_to_the_other_side_for_the_other_breast() -> None:
    mirrored = burned_in(stored_greys(normal(400, 600)[:, ::-1]))
    assert np.flatnonzero((mirrored == GREYS).any(axis=0))[0] > 200


def test_a_wide_view_has_the_words_on_one_line_and_a_narrow_one_on_more() -> None:
    tall = {}
    for columns in (90, 600):
        words = burned_in(stored_greys(normal(400, columns))) == GREYS
        tall[columns] = (np.diff(np.flatnonzero(words.any(axis=1))) > 1).sum()
    assert tall[600] == 0
    assert tall[90] >= 2
    assert BURNED_IN == "VIRTUAL NORMAL - NOT A REAL IMAGE"


def test_another_size_is_refused(tmp_path: Path) -> None:
    header = read_header(str(write_exam(tmp_path / "view.dcm")))
    with pytest.raises(ValueError, match="240 x 90"):
        virtual_normal_image(header, normal(100, 90), Placement(new_uid(), 1))


REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dicom" / "ge_rmlo_jpeg_lossless_3voilut.dcm"
# The source's own anonymised birth date, 00000000, which is copied as it is, and the summary of it.
EXPECTED = {
    "phantom": [],
    "exam": [],
    "real": ["DA Patient's Birth Date", "invalid data values for Value Representations"],
}


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")
@pytest.mark.parametrize("kind", EXPECTED)
def test_dciodvfy_finds_no_error_of_ours(tmp_path: Path, kind: str) -> None:
    if kind == "real" and not REAL.exists():
        pytest.skip("needs the real DICOM view in shared/data")
    small = {"spacing_mm": 0.2, "height_mm": 60.0, "width_mm": 48.0}
    source = {
        "phantom": lambda: phantom_datalist(tmp_path, count=1, first_seed=3, **small)[0]["image"],
        "exam": lambda: write_exam(tmp_path / "view.dcm"),
        "real": lambda: REAL,
    }[kind]()
    header = read_header(str(source))
    path = tmp_path / "normal.dcm"
    made = normal(int(header.Rows), int(header.Columns))
    write_dicom(path, virtual_normal_image(header, made, Placement(new_uid(), 9911)))
    run = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    assert "MammographyImageForPresentation" in lines
    assert len(errors) == len(EXPECTED[kind]), errors
    assert all(words in line for words, line in zip(EXPECTED[kind], errors, strict=True)), errors

"""Files are grouped as the archive that they come from groups them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data.studies import group_studies, patient_facts, source_id, study_uid
from tests.data.mg_dicom import stored_view, write_mg

FIRST, SECOND = "1.2.3.1", "1.2.3.2"


def _dicom(path: Path, uid: str | None) -> Path:
    path.parent.mkdir(exist_ok=True)
    return write_mg(path, stored_view(), StudyInstanceUID=uid)


def _picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.eye(80, dtype=np.uint8)).save(path)
    return path


def _groups(folder: Path) -> list[tuple[bool, list[str]]]:
    return sorted((s.is_dicom, [Path(file).name for file in s.files]) for s in group_studies(str(folder)))


def test_a_study_is_held_together_across_folders(tmp_path: Path) -> None:
    _dicom(tmp_path / "a" / "1.dcm", FIRST)
    _dicom(tmp_path / "a" / "2.dcm", SECOND)
    _dicom(tmp_path / "b" / "3.dcm", FIRST)
    assert _groups(tmp_path) == [(True, ["1.dcm", "3.dcm"]), (True, ["2.dcm"])]


def test_pictures_are_a_study_by_their_folder(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        _picture(tmp_path / name)
    assert _groups(tmp_path) == [(False, ["1.png", "2.png"]), (False, ["3.png"])]


def test_pictures_beside_dicom_are_a_study_of_their_own(tmp_path: Path) -> None:
    _dicom(tmp_path / "1.dcm", FIRST)
    _picture(tmp_path / "2.png")
    assert _groups(tmp_path) == [(False, ["2.png"]), (True, ["1.dcm"])]


def test_a_file_that_names_no_study_goes_to_those_of_its_folder(tmp_path: Path) -> None:
    for name, uid in (("1.dcm", FIRST), ("2.dcm", SECOND), ("3.dcm", None)):
        _dicom(tmp_path / name, uid)
    (tmp_path / "4.dcm").write_bytes(b"nothing")
    assert _groups(tmp_path) == [(True, ["1.dcm", "3.dcm", "4.dcm"]), (True, ["2.dcm", "3.dcm", "4.dcm"])]


def test_files_that_name_no_study_alone_are_one_by_their_folder(tmp_path: Path) -> None:
    _dicom(tmp_path / "a" / "1.dcm", None)
    (tmp_path / "a" / "2.dcm").write_bytes(b"nothing")
    _dicom(tmp_path / "b" / "3.dcm", FIRST)
    assert _groups(tmp_path) == [(False, ["1.dcm", "2.dcm"]), (True, ["3.dcm"])]


def test_a_single_file_is_a_study(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "1.dcm", FIRST)
    (study,) = group_studies(str(path))
    assert study.files == (str(path),)
    assert study.name == hashlib.sha256(FIRST.encode()).hexdigest()[:8]


def test_the_name_of_a_file_in_its_findings_does_not_depend_on_how_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_id("a.dcm") == source_id(tmp_path / "a.dcm") != source_id("b.dcm")


def test_patient_facts_are_those_of_the_header_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    path = write_mg(tmp_path / "a.dcm", stored_view(), PatientName="A^B", PatientID="C", AccessionNumber="")
    assert patient_facts(str(path)) == {"Name": "A^B", "ID": "C"}
    assert patient_facts(str(_picture(tmp_path / "b.png"))) == {}


def test_a_damaged_header_names_no_study_and_no_patient(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "1.dcm", FIRST)
    path.write_bytes(path.read_bytes()[:140] + b"SECRET" * 40)
    assert study_uid(str(path)) is None
    assert patient_facts(str(path)) == {}

"""What a header says of the patient reaches the DICOM objects and nothing else: no line, file, name or exception."""

import gzip
import warnings
from pathlib import Path
from traceback import format_exception
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.data import MammogramError, MammogramReader, find_mammograms
from bundle.data.studies import group_studies
from scripts import segment
from tests.data.mg_dicom import JPEG_LOSSLESS_SV1, write_mg
from tests.reports.study_exam import STUDY_UID, write_view

SECRETS = {
    "PatientName": "SENTINELNAME^JANE", "PatientID": "SENTINELID", "PatientBirthDate": "19330303",
    "AccessionNumber": "SENTINELACC", "InstitutionName": "SENTINELINST", "ReferringPhysicianName": "SENTINELDOC",
    "OperatorsName": "SENTINELOP", "StudyDescription": "SENTINELSTUDY", "SeriesDescription": "SENTINELSERIES",
    "PatientComments": "SENTINELCOMMENT", "StudyDate": "20190909", "StudyID": "SENTINEL7",
}  # fmt: skip
MARKS = ("SENTINEL", "19330303", "20190909", STUDY_UID)


def _views(folder: Path) -> Path:
    """A good view, and files that break at the header, at the pixels and in the decoder."""
    folder.mkdir()
    good = write_view(folder / "a.dcm", "L", "CC", **SECRETS, BurnedInAnnotation="YES").read_bytes()
    (folder / "b.dcm").write_bytes(good[:100_000])
    (folder / "c.dcm").write_bytes(good.replace(b"MONOCHROME2", b"MONOCHROMEX"))
    (folder / "d.dcm").write_bytes(good.replace(b"19330303", b"SENTINEL").replace(b"0.1\\0.1", b"1.x\\0.1"))
    stored = np.ones((96, 80), np.uint16)
    write_mg(folder / "e.dcm", stored, frame=b"\xff\xd8SENTINEL\xff\xd9", syntax=JPEG_LOSSLESS_SV1, **SECRETS)
    write_view(folder / "f.dcm", "R", "CC", **SECRETS, ImagerPixelSpacing=["0", "0"])
    return folder


def _leaks(data: bytes) -> list[str]:
    return [mark for mark in MARKS if mark.encode() in data]


def test_nothing_of_the_patient_leaves_the_dicom_files(tmp_path: Path, capfd: Any, caplog: Any) -> None:
    pytest.importorskip("highdicom")
    views, out = _views(tmp_path / "views"), tmp_path / "out"
    with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
        segment.main([str(views), "--output-dir", str(out), "--method", "segmentor", "--threshold", "0.3"])
    said = "".join(capfd.readouterr()) + caplog.text + "".join(format_exception(stop.value))
    assert stop.value.code == 1
    assert "6 views: 1 segmented, 5 refused" in said
    assert "a.dcm: burned-in annotation" in said
    assert _leaks(said.encode()) == []
    written = sorted(path.name for path in out.iterdir())
    assert _leaks(" ".join(written).encode()) == []
    for path in out.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if path.suffix == ".dcm":
            assert pydicom.dcmread(path).PatientID == "SENTINELID", "objects belong to their patient"
        else:
            assert _leaks(data) == [], path.name
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.info == {}
    suffixes = {name.split("_", 1)[1] for name in written}
    assert {"findings.json", "mask.png", "overlay.png", "probability.nii.gz", "seg.dcm"} <= suffixes
    assert [name for name in written if name.startswith("report_") and name.endswith(".html")]


def test_nothing_of_the_patient_is_in_an_exception(tmp_path: Path) -> None:
    """The whole chain, as a traceback in a log would print it, without the lines of this project's own source."""
    refused = 0
    for item in find_mammograms(_views(tmp_path / "views")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                MammogramReader().view(item["image"])
            except MammogramError as error:
                refused += 1
                chain: BaseException | None = error
                while chain is not None:
                    assert _leaks(f"{chain} {chain.args}".encode()) == [], type(chain)
                    chain = chain.__cause__ or chain.__context__
    assert refused == 5


def test_studies_are_named_by_no_header(tmp_path: Path) -> None:
    assert _leaks(" ".join(study.name for study in group_studies(str(_views(tmp_path / "views")))).encode()) == []

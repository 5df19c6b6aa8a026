"""Nothing of the patient is in an error, in what led to it, in a page, or in what the commands print."""

import struct
import warnings
from pathlib import Path
from traceback import format_exception

import numpy as np
import pytest
from PIL import Image

from bundle.data import MammogramError, MammogramReader
from bundle.data.errors import reason_of, refuse
from bundle.data.studies import group_studies, patient_facts
from scripts.segment_report import write_reports
from tests.reports.study_exam import OPTIONS, write_results, write_view

from .dicom_bytes import EXPLICIT_LITTLE, Element, Tag, base, data_set, element, file, meta

NUMBERS: dict[Tag, Element] = {
    (0x0018, 0x1114): (b"DS", b"1.0 "), (0x0018, 0x1164): (b"DS", b"0.1\\0.1 "), (0x0020, 0x0032): (b"DS", b"1\\2\\3 "),
    (0x0028, 0x0008): (b"IS", b"1 "), (0x0028, 0x0120): (b"IS", b"0 "), (0x0028, 0x1050): (b"DS", b"500 "),
    (0x0028, 0x1052): (b"DS", b"0 "), (0x0028, 0x1053): (b"DS", b"1 "),
}  # fmt: skip


def chain_of(error: BaseException) -> str:
    """All that a log could print of an error and what led to it."""
    found, text = [], "".join(format_exception(error))
    now: BaseException | None = error
    while now is not None and now not in found:
        found.append(now)
        text += f"{now} {now.args}"
        now = now.__cause__ or now.__context__
    return text


@pytest.mark.parametrize("tag", NUMBERS, ids=lambda tag: f"{tag[0]:04x}_{tag[1]:04x}")
def test_a_number_that_is_a_name_is_in_no_chain_of_exceptions(tmp_path: Path, tag: Tag) -> None:
    path = tmp_path / "a.dcm"
    vr, _ = NUMBERS[tag]
    path.write_bytes(file({**NUMBERS, tag: (vr, b"SECRET^PATIENT")}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            MammogramReader(default_spacing_mm=0.1).view(path)
        except MammogramError as error:
            shown = chain_of(error)
        else:
            shown = ""
    assert "PATIENT" not in shown


@pytest.mark.parametrize("vr", [b"LO", b"OB", b"SQ"])
@pytest.mark.parametrize("name", [b"SECRET^PATIENT", b"A\\SECRET^PATIENT"])
def test_a_manufacturer_that_is_no_single_text_is_none(tmp_path: Path, vr: bytes, name: bytes) -> None:
    item = element((0x0010, 0x0010), b"PN", name)
    value = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item if vr == b"SQ" else item
    path = tmp_path / "a.dcm"
    path.write_bytes(file({(0x0008, 0x0070): (vr, value)}))
    try:
        shown = str(MammogramReader().view(path).meta())
    except MammogramError as error:
        shown = chain_of(error)
    assert "SECRET" not in shown


def test_a_name_behind_a_damaged_one_is_not_told(tmp_path: Path) -> None:
    window = {(0x0028, 0x1050): (b"DS", b"500\\6 "), (0x0028, 0x1051): (b"DS", b"900\\9 ")}
    swallowed = element((0x0032, 0x1032), b"PN", b"DOE^J\\SECRET^DOCTOR")
    named = {**window, (0x0028, 0x1055): (b"LO", b"SOFT"), (0x0032, 0x1032): (b"PN", b"DOE^J\\SECRET^DOCTOR")}
    path = tmp_path / "a.dcm"
    path.write_bytes(meta(EXPLICIT_LITTLE) + data_set(named, lengths={(0x0028, 0x1055): 4 + len(swallowed)}))
    with pytest.raises(MammogramError, match="VOI transforms 0 to 1") as told:
        MammogramReader(voi=5).view(path)
    assert "DOCTOR" not in str(told.value)


def test_facts_of_the_patient_hold_no_other_element(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(file({(0x0008, 0x0050): (b"SH", b"7 "), (0x0010, 0x0010): (b"PN", "MÜLLER^J".encode("latin-1"))}))
    assert patient_facts(str(path))["Accession number"] == "7"
    following = b"".join(element(tag, *found) for tag, found in sorted(base().items()) if (8, 0x50) < tag < (0x18, 0))
    forged = data_set({(0x0008, 0x0050): (b"SH", b"7 ")}, lengths={(0x0008, 0x0050): 2 + len(following)})
    path.write_bytes(meta(EXPLICIT_LITTLE) + forged)
    assert patient_facts(str(path)) == {}


def test_a_reason_names_no_file() -> None:
    path = "/in/Doe  Jane\x1b.png"
    assert reason_of(refuse(path, "Expected a breast, found none"), path) == "Expected a breast, found none"
    other = refuse("/in/SECRET.img", "Expected an existing file, found none")
    assert reason_of(other, path) == "Expected an existing file, found none"
    assert reason_of(MammogramError("Expected a breast, found none"), path) == "Expected a breast, found none"


def test_a_page_names_no_file_whatever_is_wrong_with_one(tmp_path: Path) -> None:
    views, out = tmp_path / "SECRETDIR  X", tmp_path / "SECRETOUT"
    views.mkdir()
    flat = np.full((120, 100), 7, np.uint8)
    # Without a breast: a name that is no UTF-8, and one with two spaces.
    for name in ("SECRET\udcfc.png", "SECRET  X.png"):
        Image.fromarray(flat).save(views / name)
    (views / "SECRET.nii").write_bytes(b"\x5c\x01" + bytes(342) + b"ni1\0")
    good = write_view(views / "SECRET.dcm", "L", "CC")
    write_results(good, out)
    for mask in out.glob("*_mask.png"):
        mask.unlink()
    pages = write_reports(group_studies(str(views)), out, OPTIONS)
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert "SECRET" not in text
    assert text.count("Expected") >= 4

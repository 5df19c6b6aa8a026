"""Mammography CAD SR: mandatory content of TID 4000 row by row, coordinates on the right pixel, validators, privacy."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from skimage.measure import points_in_poly

from bundle.data import dicom_sr_codes
from bundle.data.dicom_cad_sr import mammography_cad_sr
from bundle.data.dicom_results import ALGORITHMS, Placement, find_findings, new_uid, read_results, write_dicom
from bundle.functional.findings import METHODS
from tests.data.dicom_exam import OBJECTS, STUDY_UID, exam_mask, write_exam, write_exam_results

SPREAD = (*OBJECTS, ((230, 80), (231, 80)))
PIXELMED = Path("/usr/share/java/pixelmed.jar")
ONE, SOME, ANY = (1, 1), (1, None), (0, None)


class Row(NamedTuple):
    """A row of a template: what children of a content item there must be."""

    name: str
    parent: str
    relation: str
    value_type: str
    concept: str
    count: tuple[int, int | None]
    cid: int | None = None


# PS3.16 Annex A, rows with requirement type M, or MC whose condition our documents meet. "" is the document, and a
# concept that occurs under several parents is named with its value.
ROWS = (
    Row("4000 row 2 / 1204 row 1", "111036", "HAS CONCEPT MOD", "CODE", "121049", ONE),
    Row("4000 row 3", "111036", "CONTAINS", "CONTAINER", "111028", ONE),
    Row("4020 row 1", "111028", "CONTAINS", "IMAGE", "", SOME),
    Row("4001 row 1", "111036", "CONTAINS", "CODE", "111017", ONE, 6047),
    Row("4002 row 5", "111017", "HAS PROPERTIES", "TEXT", "111033", ONE),
    Row("4002 row 11 / 4019 row 1", "111017", "HAS PROPERTIES", "TEXT", "111001", ONE),
    Row("4002 row 11 / 4019 row 2", "111017", "HAS PROPERTIES", "TEXT", "111003", ONE),
    Row("4003 row 1", "111017", "INFERRED FROM", "CONTAINER", "111034", ANY),
    Row("4003 row 2", "111034", "HAS CONCEPT MOD", "CODE", "111056", ONE, 6034),
    Row("4003 row 5 / 4006 row 1", "111034", "CONTAINS", "CODE", "111059", SOME, 6014),
    Row("4006 row 2", "111059", "HAS CONCEPT MOD", "CODE", "111056", ONE, 6034),
    Row("4006 row 5 / 4019 row 1", "111059", "HAS PROPERTIES", "TEXT", "111001", ONE),
    Row("4006 row 5 / 4019 row 2", "111059", "HAS PROPERTIES", "TEXT", "111003", ONE),
    Row("4006 row 8 / 4021 row 1", "111059", "HAS PROPERTIES", "SCOORD", "111010", ONE),
    Row("4021 row 2", "111010", "SELECTED FROM", "by reference", "", ONE),
    Row("4021 row 4", "111041", "SELECTED FROM", "by reference", "", ONE),
    Row("4000 row 6", "111036", "CONTAINS", "CODE", "111064", ONE, 6042),
    Row("4015 row 1", "111064", "INFERRED FROM", "CONTAINER", "111063", ONE),
    Row("4015 row 2 / 4017 row 1", "111063", "CONTAINS", "CODE", "111022", SOME, 6014),
    Row("4017 row 2 / 4019 row 1", "111022", "HAS PROPERTIES", "TEXT", "111001", ONE),
    Row("4017 row 2 / 4019 row 2", "111022", "HAS PROPERTIES", "TEXT", "111003", ONE),
    Row("4017 row 4", "111022", "HAS PROPERTIES", "by reference", "", SOME),
    Row("4017 row 9 / 4023 row 1", "111022", "HAS PROPERTIES", "NUM", "111072", ONE),
    Row("4000 row 8", "111036", "CONTAINS", "CODE", "111065", ONE, 6042),
)


def _concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue) if "ConceptNameCodeSequence" in item else ""


def _value(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence") or [])


def _walk(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in _children(item):
        yield from _walk(child)


def _named(document: Dataset, concept: str) -> list[Dataset]:
    return [item for item in _walk(document) if _concept(item) == concept]


def _fits(child: Dataset, row: Row) -> bool:
    value_type = child.get("ValueType", "by reference")
    return (child.RelationshipType, value_type, _concept(child)) == (row.relation, row.value_type, row.concept)


def _broken_rows(document: Dataset) -> list[str]:
    """Names of the rows that the document does not follow."""
    broken = []
    for row in ROWS:
        for parent in _named(document, row.parent):
            found = [child for child in _children(parent) if _fits(child, row)]
            low, high = row.count
            group = getattr(codes, f"cid{row.cid}") if row.cid else None
            allowed = {getattr(group, name).value for name in group.dir()} if group else set()
            values = {_value(child) for child in found} if row.cid else set()
            if len(found) < low or (high is not None and len(found) > high) or not values <= allowed:
                broken.append(row.name)
    return broken


def _document(tmp_path: Path, *views: Any, **changes: Any) -> pydicom.FileDataset:
    read = []
    for number, objects in enumerate(views or (SPREAD,)):
        source = write_exam(tmp_path / f"view{number}.dcm", **changes)
        write_exam_results(source, tmp_path / "results", objects=objects)
        read.append(read_results(str(source), findings=find_findings(tmp_path / "results")))
    write_dicom(tmp_path / "cad.dcm", mammography_cad_sr(read, Placement(new_uid(), 901)))
    return pydicom.dcmread(tmp_path / "cad.dcm")


@pytest.mark.parametrize("views", [(SPREAD,), (OBJECTS,), ((),), ((((3, 4),),),), (SPREAD, (), OBJECTS)])
def test_every_mandatory_row_of_tid_4000_is_there(tmp_path: Path, views: Any) -> None:
    document = _document(tmp_path, *views)
    assert _concept(document) == "111036"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    assert _broken_rows(document) == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.count[0]], ids=lambda row: row.name)
def test_the_row_check_notices_what_is_missing(tmp_path: Path, row: Row) -> None:
    document = _document(tmp_path)
    parent = _named(document, row.parent)[0]
    parent.ContentSequence = [child for child in _children(parent) if not _fits(child, row)]
    assert row.name in _broken_rows(document)


def test_the_row_check_notices_a_code_of_another_group(tmp_path: Path) -> None:
    document = _document(tmp_path)
    _named(document, "111064")[0].ConceptCodeSequence[0].CodeValue = "111242"
    assert _broken_rows(document) == ["4000 row 6"]


def test_the_library_says_side_view_orientation_and_spacing(tmp_path: Path) -> None:
    (image,) = _children(_named(_document(tmp_path), "111028")[0])
    said = {_concept(child): child for child in _children(image)}
    assert _value(said["111027"]) == "80248007"
    assert _value(said["111031"]) == "399162004"
    assert (said["111044"].TextValue, said["111043"].TextValue) == ("A", "R")
    spacing = {code: float(said[code].MeasuredValueSequence[0].NumericValue) for code in ("111066", "111026")}
    assert spacing == {"111066": 0.1, "111026": 0.08}
    assert (said["111060"].Date, said["111061"].Time) == ("20260102", "101500")


def test_a_header_that_does_not_say_leaves_the_rows_out(tmp_path: Path) -> None:
    absent = dict.fromkeys(("ImageLaterality", "ViewPosition", "ViewCodeSequence", "PatientOrientation", "StudyDate"))
    document = _document(tmp_path, **absent)
    (image,) = _children(_named(document, "111028")[0])
    assert {"111027", "111031", "111044", "111043", "111060"}.isdisjoint(map(_concept, _children(image)))
    assert _broken_rows(document) == []


def _geometry(item: Dataset, concept: str) -> np.ndarray:
    """Positions as rows and columns, whole numbers at pixel centres."""
    (scoord,) = (child for child in _children(item) if _concept(child) == concept)
    return np.reshape(scoord.GraphicData, (-1, 2))[:, ::-1] - 0.5


def _calcifications(document: Dataset) -> list[Dataset]:
    return [item for item in _named(document, "111059") if _value(item) == "129770007"]


def test_centres_lie_on_their_objects(tmp_path: Path) -> None:
    centres = {tuple(np.round(_geometry(item, "111010")[0], 3)) for item in _calcifications(_document(tmp_path))}
    assert centres == {tuple(np.round(np.mean(pixels, axis=0), 3)) for pixels in SPREAD}


def test_column_comes_before_row_from_the_corner_of_the_image(tmp_path: Path) -> None:
    (item,) = _calcifications(_document(tmp_path, (((100, 7),),)))
    (centre,) = (child for child in _children(item) if _concept(child) == "111010")
    assert list(centre.GraphicData) == [7.5, 100.5]


def test_outlines_give_the_mask_back(tmp_path: Path) -> None:
    mask = exam_mask(SPREAD)
    centres = np.stack(np.indices(mask.shape), axis=-1).reshape(-1, 2)
    found = np.zeros(mask.size, bool)
    for item in _calcifications(_document(tmp_path)):
        found |= points_in_poly(centres, _geometry(item, "111041"))
    assert (found.reshape(mask.shape) == mask).all()


def test_outlines_close_and_stay_in_the_image_even_at_its_corners(tmp_path: Path) -> None:
    rows, columns = exam_mask().shape
    document = _document(tmp_path, (((0, 0),), ((rows - 1, columns - 1),)))
    for scoord in _named(document, "111041"):
        positions = np.reshape(scoord.GraphicData, (-1, 2))
        assert (positions[0] == positions[-1]).all()
        assert (positions >= 0).all()
        assert (positions <= (columns, rows)).all()


def test_a_cluster_holds_its_members_count_and_extent(tmp_path: Path) -> None:
    document = _document(tmp_path)
    (cluster,) = (item for item in _named(document, "111059") if _value(item) == "129769006")
    members = [child for child in _children(cluster) if _concept(child) == "111059"]
    assert len(members) == len(OBJECTS)
    assert {child.RelationshipType for child in members} == {"INFERRED FROM"}
    numbers = {_concept(child): float(child.MeasuredValueSequence[0].NumericValue) for child in _children(cluster)
               if child.get("ValueType") == "NUM"}  # fmt: skip
    # Rows 20 to 40 of 0.1 mm, columns 30 to 52 of 0.08 mm.
    assert numbers == {"111038": 5, "121207": pytest.approx(2.1), "103355008": pytest.approx(1.84)}
    hull = _geometry(cluster, "111041")
    for pixels in OBJECTS:
        assert points_in_poly(np.asarray(pixels, float), hull).all()
    assert not points_in_poly([[230, 80]], hull).any()


def test_area_is_that_of_the_object(tmp_path: Path) -> None:
    areas = sorted(
        float(item.MeasuredValueSequence[0].NumericValue) for item in _named(_document(tmp_path), "42798000")
    )
    assert areas == pytest.approx(sorted(len(pixels) * 0.008 for pixels in SPREAD))


def test_references_of_the_second_view_lead_to_the_second_image(tmp_path: Path) -> None:
    document = _document(tmp_path, (((5, 6),),), (((70, 8),),))
    for number, impression in enumerate(_named(document, "111034")):
        source = pydicom.dcmread(tmp_path / f"view{number}.dcm", stop_before_pixels=True)
        for scoord in (item for item in _walk(impression) if item.get("ValueType") == "SCOORD"):
            target = document
            first, *path = _children(scoord)[0].ReferencedContentItemIdentifier
            assert first == 1
            for position in path:
                target = _children(target)[position - 1]
            assert target.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == STUDY_UID
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 2


def test_neither_certainty_nor_cancer_nor_a_category_is_claimed(tmp_path: Path) -> None:
    document = _document(tmp_path)
    claimed = {_concept(item) for item in _walk(document) if "ValueType" in item}
    assert claimed.isdisjoint({"111012", "111047", "111013", "111005", "111023", "111053"})
    assert {_value(item) for item in _named(document, "111056")} == {"111151"}
    said = [item.TextValue for item in _named(document, "111002")]
    assert any(text.startswith("network output, not calibrated: peak 0.7") for text in said)


def test_every_method_has_a_name_that_fits_its_element() -> None:
    assert set(METHODS) <= set(ALGORITHMS)
    assert all(len(name) <= 64 for name in ALGORITHMS.values())


def test_it_says_that_it_is_no_device(tmp_path: Path) -> None:
    document = _document(tmp_path, ())
    (impression,) = _named(document, "111033")
    assert "not a medical device" in impression.TextValue
    assert "not for diagnosis" in document.SeriesDescription
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_patient_and_study_are_those_of_the_source(tmp_path: Path) -> None:
    document = _document(tmp_path, PatientName="Müller^Jörg")
    source = pydicom.dcmread(tmp_path / "view0.dcm", stop_before_pixels=True)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
        assert document[keyword].value == source[keyword].value, keyword
    assert document.StudyInstanceUID == STUDY_UID


def test_views_of_two_studies_make_no_document(tmp_path: Path) -> None:
    views = []
    for number in range(2):
        source = write_exam(tmp_path / f"{number}.dcm", StudyInstanceUID=f"1.2.{number}")
        write_exam_results(source, tmp_path / "results")
        views.append(read_results(str(source), findings=find_findings(tmp_path / "results")))
    with pytest.raises(ValueError, match="one study, got 2"):
        mammography_cad_sr(views, Placement(new_uid(), 901))


def _codes() -> list[tuple[str, Any]]:
    return [
        (name, code)
        for name, value in vars(dicom_sr_codes).items()
        for code in (value.values() if isinstance(value, dict) and name.isupper() else [value])
        if isinstance(code, dicom_sr_codes.Code) and code.scheme_designator in ("DCM", "SCT")
    ]


@pytest.mark.parametrize(("name", "code"), _codes())
def test_a_code_means_what_pydicoms_dictionary_says(name: str, code: Any) -> None:
    from pydicom.sr._concepts_dict import concepts

    meanings = {
        meaning.replace("\u200b", "").lower()
        for entries in concepts[code.scheme_designator].values()
        for value, (meaning, _) in entries.items()
        if value == code.value
    }
    assert code.meaning.lower() in meanings


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")
@pytest.mark.parametrize("views", [(SPREAD,), ((),), (SPREAD, OBJECTS)])
def test_dciodvfy_finds_no_error(tmp_path: Path, views: Any) -> None:
    _document(tmp_path, *views)
    run = subprocess.run(["dciodvfy", str(tmp_path / "cad.dcm")], capture_output=True, text=True, check=False)
    assert "MammographyCADSR" in run.stdout + run.stderr
    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(not shutil.which("dsrdump"), reason="needs dcmtk")
def test_dcmtk_reads_it_with_its_own_constraints(tmp_path: Path) -> None:
    _document(tmp_path)
    run = subprocess.run(["dsrdump", "+Pc", str(tmp_path / "cad.dcm")], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert run.stdout.count('"Individual Calcification")') == len(SPREAD) + 1
    assert "<selected from 1.2.1>" in run.stdout
    dump = subprocess.run(["dcmdump", str(tmp_path / "cad.dcm")], capture_output=True, text=True, check=False)
    assert dump.returncode == 0
    assert "MammographyCADSRStorage" in dump.stdout


@pytest.mark.slow
@pytest.mark.skipif(not (PIXELMED.exists() and shutil.which("java")), reason="needs libpixelmed-java")
def test_pixelmeds_template_validator_finds_no_error(tmp_path: Path) -> None:
    _document(tmp_path)
    # Its rules have more XPath operators than Java's default limit.
    limits = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprOp", "TotalOp", "ExprGrp")]
    command = ["java", *limits, "-cp", str(PIXELMED), "com.pixelmed.validate.DicomSRValidator"]
    run = subprocess.run([*command, str(tmp_path / "cad.dcm")], capture_output=True, text=True, check=False)
    said = (run.stdout + run.stderr).splitlines()
    assert "Found Root Template TID_4000 (MammographyCADDocumentRoot)" in said
    assert "Root Template Validation Complete" in said
    assert [line for line in said if line.startswith("Error")] == []

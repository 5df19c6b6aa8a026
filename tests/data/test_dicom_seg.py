"""DICOM Segmentation objects: the mask bit for bit, the map within half a step, references, codes and privacy."""

import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

hd = pytest.importorskip("highdicom")

from bundle.data.dicom_results import Placement, find_findings, new_uid, read_results, write_dicom  # noqa: E402
from bundle.data.dicom_seg import binary_segmentation, fractional_segmentation  # noqa: E402
from tests.data.dicom_exam import (  # noqa: E402
    OBJECTS,
    SERIES_UID,
    STUDY_UID,
    exam_mask,
    exam_probs,
    write_exam,
    write_exam_results,
)

BUILDERS = {"binary": binary_segmentation, "fractional": fractional_segmentation}


def _written(tmp_path: Path, kind: str, *, objects=OBJECTS, **changes) -> Path:
    source = write_exam(tmp_path / "view.dcm", **changes)
    write_exam_results(source, tmp_path / "results", objects=objects)
    view = read_results(str(source), findings=find_findings(tmp_path / "results"))
    path = tmp_path / f"{kind}.dcm"
    write_dicom(path, BUILDERS[kind](view, Placement(new_uid(), 900)))
    return path


def test_the_mask_survives_bit_for_bit_through_highdicoms_reader(tmp_path: Path) -> None:
    segmentation = hd.seg.segread(_written(tmp_path, "binary"))
    source = pydicom.dcmread(tmp_path / "view.dcm", stop_before_pixels=True)
    pixels = segmentation.get_pixels_by_source_instance(source_sop_instance_uids=[source.SOPInstanceUID])
    assert (pixels[0, ..., 0] == exam_mask()).all()


def test_pydicom_alone_reads_the_same_mask(tmp_path: Path) -> None:
    assert (pydicom.dcmread(_written(tmp_path, "binary")).pixel_array == exam_mask()).all()


def test_a_view_without_findings_has_an_empty_mask(tmp_path: Path) -> None:
    pixels = pydicom.dcmread(_written(tmp_path, "binary", objects=())).pixel_array
    assert pixels.shape == exam_mask().shape
    assert not pixels.any()


def test_the_probability_map_survives_to_half_a_step(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(_written(tmp_path, "fractional"))
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    read = dataset.pixel_array / dataset.MaximumFractionalValue
    assert np.abs(read - exam_probs(exam_mask())).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("kind", BUILDERS)
def test_references_lead_to_the_source(tmp_path: Path, kind: str) -> None:
    dataset = pydicom.dcmread(_written(tmp_path, kind))
    source = pydicom.dcmread(tmp_path / "view.dcm", stop_before_pixels=True)
    assert dataset.StudyInstanceUID == STUDY_UID
    assert dataset.SeriesInstanceUID != SERIES_UID
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES_UID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    (frame,) = dataset.PerFrameFunctionalGroupsSequence
    derived = frame.DerivationImageSequence[0].SourceImageSequence[0]
    assert derived.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert derived.SpatialLocationsPreserved == "YES"
    assert "PlanePositionSequence" not in frame
    assert "FrameOfReferenceUID" not in dataset


@pytest.mark.parametrize("kind", BUILDERS)
def test_patient_and_study_are_those_of_the_source(tmp_path: Path, kind: str) -> None:
    dataset = pydicom.dcmread(_written(tmp_path, kind, PatientName="Müller^Jörg", PatientIdentityRemoved="NO"))
    source = pydicom.dcmread(tmp_path / "view.dcm", stop_before_pixels=True)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyID",
                    "PatientSex", "ReferringPhysicianName", "PatientIdentityRemoved"):  # fmt: skip
        assert dataset[keyword].value == source[keyword].value, keyword


def test_nothing_more_of_the_patient_is_copied(tmp_path: Path) -> None:
    more = {"OtherPatientNames": "MORE^NAME", "PatientComments": "MORE words", "ClinicalTrialSubjectID": "MORE-1"}
    assert b"MORE" not in _written(tmp_path, "binary", **more).read_bytes()


def test_what_the_source_lacks_is_empty(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(_written(tmp_path, "binary", StudyID=None, PatientBirthDate=None, AccessionNumber=None))
    assert not dataset.StudyID
    assert not dataset.PatientBirthDate


def test_segment_and_algorithm_are_coded_and_it_is_no_device(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(_written(tmp_path, "binary"))
    (segment,) = dataset.SegmentSequence
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("44771000", "SCT")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "MC-GenRef segmentor refined by TT-GPR"
    assert algorithm.AlgorithmVersion == "mcgenref 0.1.0"
    assert "threshold=0.5" in algorithm.AlgorithmParameters
    assert "not a medical device" in dataset.ContentDescription
    assert "not for diagnosis" in dataset.SeriesDescription


def test_only_calibrated_pixel_spacing_is_copied(tmp_path: Path) -> None:
    bare = pydicom.dcmread(_written(tmp_path, "binary"))
    assert "PixelMeasuresSequence" not in bare.SharedFunctionalGroupsSequence[0]
    given = pydicom.dcmread(_written(tmp_path, "binary", PixelSpacing=[0.09, 0.07]))
    measures = given.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.09, 0.07]


def test_nothing_of_the_patient_is_said(tmp_path: Path, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG):
        _written(tmp_path, "binary", PatientName="SECRETONE", PatientSex="SECRETSEX", PatientID="SECRET-2")
    said = caplog.text + "".join(capfd.readouterr())
    assert "SECRET" not in said
    assert "SECRET" not in " ".join(str(path) for path in tmp_path.rglob("*"))


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")
@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("changes", [{}, {"PixelSpacing": [0.09, 0.07]}, {"PatientOrientation": None}], ids=str)
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: str, changes: dict) -> None:
    run = subprocess.run(
        ["dciodvfy", str(_written(tmp_path, kind, **changes))], capture_output=True, text=True, check=False
    )
    errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    assert "Segmentation" in run.stdout + run.stderr
    assert errors == []

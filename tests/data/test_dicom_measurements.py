"""TID 1500 measurements: numbers, regions and references, read back by highdicom's own reader."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from skimage.measure import points_in_poly

hd = pytest.importorskip("highdicom")

from bundle.data.dicom_measurements import measurement_report  # noqa: E402
from bundle.data.dicom_results import Placement, find_findings, new_uid, read_results, write_dicom  # noqa: E402
from tests.data.dicom_exam import OBJECTS, STUDY_UID, exam_mask, write_exam, write_exam_results  # noqa: E402

SPREAD = (*OBJECTS, ((230, 80), (231, 80)))


def _report(tmp_path: Path, *views: Any) -> Any:
    read = []
    for number, objects in enumerate(views or (SPREAD,)):
        source = write_exam(tmp_path / f"view{number}.dcm")
        write_exam_results(source, tmp_path / "results", objects=objects)
        read.append(read_results(str(source), findings=find_findings(tmp_path / "results")))
    write_dicom(tmp_path / "measurements.dcm", measurement_report(read, Placement(new_uid(), 904)))
    return hd.sr.srread(tmp_path / "measurements.dcm")


def _numbers(group: Any) -> dict[str, float]:
    return {item.name.value: float(item.value) for item in group.get_measurements()}


def _polygon(group: Any) -> np.ndarray:
    return np.asarray(group.roi.value)[:, ::-1] - 0.5


def test_a_cluster_has_its_number_extent_and_area(tmp_path: Path) -> None:
    report = _report(tmp_path)
    (group,) = report.content.get_planar_roi_measurement_groups(finding_type=codes.SCT.CalcificationCluster)
    numbers = _numbers(group)
    # Rows 20 to 40 of 0.1 mm, columns 30 to 52 of 0.08 mm.
    assert (numbers["111038"], numbers["121207"], numbers["103355008"]) == pytest.approx((5, 2.1, 1.84))
    # The area is that of the outline: more than the calcifications, less than their box.
    assert 11 * 0.008 < numbers["42798000"] < 2.1 * 1.84


def test_each_calcification_has_the_area_of_its_pixels_and_an_outline_around_them(tmp_path: Path) -> None:
    report = _report(tmp_path)
    groups = report.content.get_planar_roi_measurement_groups(finding_type=codes.SCT.IndividualCalcification)
    areas = sorted(_numbers(group)["42798000"] for group in groups)
    assert areas == pytest.approx(sorted(len(pixels) * 0.008 for pixels in SPREAD))
    mask = exam_mask(SPREAD)
    centres = np.stack(np.indices(mask.shape), axis=-1).reshape(-1, 2)
    found = np.any([points_in_poly(centres, _polygon(group)) for group in groups], axis=0)
    assert (found.reshape(mask.shape) == mask).all()


def test_every_view_has_its_number_of_calcifications_even_none(tmp_path: Path) -> None:
    report = _report(tmp_path, OBJECTS, ())
    groups = report.content.get_image_measurement_groups()
    sources = [pydicom.dcmread(tmp_path / f"view{n}.dcm", stop_before_pixels=True).SOPInstanceUID for n in range(2)]
    counted = {group.source_images[0].referenced_sop_instance_uid: _numbers(group)["111038"] for group in groups}
    assert counted == dict(zip(sources, (5, 0), strict=True))
    assert all(group.finding_type is None for group in groups)


def test_patient_study_and_evidence_are_those_of_the_source(tmp_path: Path) -> None:
    report = _report(tmp_path)
    source = pydicom.dcmread(tmp_path / "view0.dcm", stop_before_pixels=True)
    assert (report.PatientID, str(report.PatientName)) == (source.PatientID, str(source.PatientName))
    assert report.StudyInstanceUID == STUDY_UID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_it_says_that_it_is_no_device(tmp_path: Path) -> None:
    report = _report(tmp_path)
    assert "not a medical device" in report.CompletionFlagDescription
    assert "not for diagnosis" in report.SeriesDescription


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")
@pytest.mark.parametrize("views", [(SPREAD,), ((),), (SPREAD, ())])
def test_dciodvfy_finds_no_error(tmp_path: Path, views: Any) -> None:
    _report(tmp_path, *views)
    run = subprocess.run(["dciodvfy", str(tmp_path / "measurements.dcm")], capture_output=True, text=True, check=False)
    assert "ComprehensiveSR" in run.stdout + run.stderr
    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(not shutil.which("dsrdump"), reason="needs dcmtk")
def test_dcmtk_reads_it(tmp_path: Path) -> None:
    _report(tmp_path)
    run = subprocess.run(["dsrdump", str(tmp_path / "measurements.dcm")], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert run.stdout.count('"Measurement Group")') == 1 + 1 + len(SPREAD)

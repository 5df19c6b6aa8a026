"""The command writes objects beside the results, tells in one line what it leaves out, and says nothing of patients."""

from pathlib import Path
from traceback import format_exception
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from bundle.data import LoadMammogramd, MammogramError
from bundle.data.dicom_results import write_dicom
from bundle.transforms.findings import SaveFindingsd
from scripts import dicom_results, segment
from tests.data.dicom_exam import OBJECTS, exam_mask, exam_probs, write_exam, write_exam_results


def _study(folder: Path, **changes: Any) -> tuple[Path, Path]:
    views, results = folder / "views", folder / "out"
    views.mkdir()
    for name, objects in (("left", OBJECTS), ("right", ())):
        write_exam_results(write_exam(views / f"{name}.dcm", **changes), results, objects=objects)
    return views, results


def _run(views: Path, results: Path, *more: str) -> None:
    dicom_results.main(["--input", str(views), "--results", str(results), *more])


def _written(results: Path) -> dict[str, pydicom.FileDataset]:
    return {path.name: pydicom.dcmread(path) for path in results.glob("*.dcm")}


def test_cad_sr_is_one_per_study_and_needs_no_highdicom(tmp_path: Path) -> None:
    views, results = _study(tmp_path)
    _run(views, results, "--objects", "cad")
    ((name, document),) = _written(results).items()
    assert name.startswith("study-")
    assert len(document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence) == 1
    assert len(document.ContentSequence[1].ContentSequence) == 2


def test_views_of_two_studies_make_two_documents(tmp_path: Path) -> None:
    views, results = _study(tmp_path)
    write_exam_results(write_exam(views / "other.dcm", StudyInstanceUID="1.2.3"), results)
    _run(views, results, "--objects", "cad")
    assert {document.StudyInstanceUID for document in _written(results).values()} >= {"1.2.3"}
    assert len(_written(results)) == 2


def test_all_objects_of_a_study_share_a_series_per_kind(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    views, results = _study(tmp_path)
    _run(views, results)
    written = _written(results)
    assert {name for name in written if not name.startswith("study-")} == {
        "left_seg.dcm", "left_probability.dcm", "right_seg.dcm", "right_probability.dcm"
    }  # fmt: skip
    for kind in ("seg", "probability"):
        pair = [written[f"{side}_{kind}.dcm"] for side in ("left", "right")]
        assert len({dataset.SeriesInstanceUID for dataset in pair}) == 1
        assert [dataset.InstanceNumber for dataset in pair] == [1, 2]
    assert (written["left_seg.dcm"].pixel_array == exam_mask()).all()
    numbers = {dataset.SeriesInstanceUID: dataset.SeriesNumber for dataset in written.values()}
    assert len(numbers) == len(set(numbers.values())) == len(dicom_results.KINDS)
    assert len({dataset.SOPInstanceUID for dataset in written.values()}) == len(written)


def test_a_png_is_left_out_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    views, results = _study(tmp_path)
    Image.fromarray(np.zeros((80, 80), np.uint8)).save(views / "flat.png")
    with pytest.raises(SystemExit) as stop:
        _run(views, results, "--objects", "cad")
    assert stop.value.code == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("left out"))
    assert "flat.png: Expected a DICOM view, got PNG, TIFF or JPEG" in line
    assert len(_written(results)) == 1


def test_a_view_without_results_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    views, results = _study(tmp_path)
    write_exam(views / "new.dcm")
    with pytest.raises(SystemExit):
        _run(views, results, "--objects", "cad")
    assert "new.dcm: Expected its findings, found none; run python -m scripts.segment" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda results: (results / "left_mask.png").unlink(), "Expected its mask"),
        (lambda results: Image.new("L", (9, 8)).save(results / "left_mask.png"), "Expected results of the view's size"),
    ],
)
def test_results_that_do_not_fit_are_told(tmp_path: Path, capsys: Any, spoil: Any, says: str) -> None:
    views, results = _study(tmp_path)
    spoil(results)
    with pytest.raises(SystemExit):
        _run(views, results, "--objects", "cad")
    assert f"left.dcm: {says}" in capsys.readouterr().out
    assert len(_written(results)) == 1


def test_a_header_without_identifiers_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    views, results = _study(tmp_path, StudyInstanceUID=None)
    with pytest.raises(SystemExit):
        _run(views, results, "--objects", "cad")
    assert "Expected StudyInstanceUID in the header, found none" in capsys.readouterr().out


def test_a_mask_of_other_findings_ends_in_one_line(tmp_path: Path) -> None:
    views, results = _study(tmp_path)
    Image.fromarray(np.zeros(exam_mask().shape, np.uint8)).save(results / "left_mask.png")
    with pytest.raises(SystemExit, match="error: Expected an object of the mask in box"):
        _run(views, results, "--objects", "cad")


def test_nothing_of_the_patient_is_said_or_named(tmp_path: Path, capfd: Any, caplog: Any) -> None:
    views, results = _study(tmp_path, PatientName="SECRETNAME", PatientID="SECRET-2", AccessionNumber="SECRET-3")
    _run(views, results, "--objects", "cad")
    assert "SECRET" not in "".join(capfd.readouterr()) + caplog.text
    assert "SECRET" not in " ".join(path.name for path in results.iterdir())
    (document,) = _written(results).values()
    assert document.PatientID == "SECRET-2"


@pytest.mark.parametrize("kind", ["seg", "cad"])
@pytest.mark.parametrize("keyword", ["PatientBirthDate", "StudyDate"])
def test_malformed_values_are_copied_and_not_quoted(
    tmp_path: Path, capfd: Any, caplog: Any, kind: str, keyword: str
) -> None:
    if kind == "seg":
        pytest.importorskip("highdicom")
    views, results = _study(tmp_path, PatientSex="F ", **{keyword: "19600101"})
    for path in views.iterdir():
        path.write_bytes(path.read_bytes().replace(b"19600101", b"SECRETXX"))
    _run(views, results, "--objects", kind)
    assert "SECRET" not in "".join(capfd.readouterr()) + caplog.text
    assert all(b"SECRETXX" in path.read_bytes() for path in results.glob("*.dcm"))


def test_what_cannot_be_written_is_told_without_its_value(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_exam(tmp_path / "view.dcm"))
    dataset["Rows"]._value = "SECRET"
    with pytest.raises(MammogramError, match="Expected elements that can be written") as caught:
        write_dicom(tmp_path / "out.dcm", dataset)
    assert "SECRET" not in "".join(format_exception(caught.value))
    assert not (tmp_path / "out.dcm").exists()


def test_the_grid_of_a_read_view_is_that_of_its_objects(tmp_path: Path) -> None:
    """From the reader to the object, with what really writes the results: no axis turned, no flip, no resampling."""
    hd = pytest.importorskip("highdicom")
    source = write_exam(tmp_path / "view.dcm", PhotometricInterpretation="MONOCHROME1")
    image = LoadMammogramd("image")({"image": str(source)})["image"]
    image.data = image.data / image.data.max()
    probs = torch.from_numpy(exam_probs(exam_mask()))[None]
    SaveFindingsd("pred", output_dir=tmp_path / "out", sigmoid=False, pictures=False)({"pred": probs, "image": image})
    _run(source, tmp_path / "out")
    assert (hd.seg.segread(tmp_path / "out" / "view_seg.dcm").pixel_array == exam_mask()).all()
    read = pydicom.dcmread(tmp_path / "out" / "view_probability.dcm").pixel_array / 255
    assert np.abs(read - probs[0].numpy()).max() <= 0.5 / 255 + 1e-6
    (cad,) = (dataset for name, dataset in _written(tmp_path / "out").items() if name.endswith("_cad.dcm"))
    centres = {
        tuple(element.value) for element in cad.iterall() if element.keyword == "GraphicData" and element.VM == 2
    }
    # Single pixels at rows 25, 30 and 40, columns 40, 33 and 45, from the corner of the image.
    assert centres >= {(40.5, 25.5), (33.5, 30.5), (45.5, 40.5)}


@pytest.mark.parametrize("refused", [False, True])
def test_segment_writes_the_objects_of_what_it_could_read(tmp_path: Path, monkeypatch: Any, refused: bool) -> None:
    pytest.importorskip("highdicom")
    views, results = tmp_path / "views", tmp_path / "out"
    views.mkdir()
    source = write_exam(views / "view.dcm")
    if refused:
        (views / "bad.dcm").write_bytes(b"no image")

    def inference(options: dict[str, Any]) -> None:
        write_exam_results(source, results)
        if refused:
            raise SystemExit(1)

    monkeypatch.setattr(segment, "segment_all", inference)
    status = 0
    try:
        segment.main([str(views), "--output-dir", str(results), "--dicom"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == int(refused)
    assert (results / "view_seg.dcm").exists()


def test_segment_writes_none_on_request(tmp_path: Path, monkeypatch: Any) -> None:
    source = write_exam(tmp_path / "view.dcm")
    monkeypatch.setattr(segment, "segment_all", lambda *_: write_exam_results(source, tmp_path / "out"))
    segment.main([str(source), "--output-dir", str(tmp_path / "out"), "--no-dicom"])
    assert _written(tmp_path / "out") == {}

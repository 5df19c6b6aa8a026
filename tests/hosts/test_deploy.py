"""The MONAI Deploy application in its own environment gives what `scripts.segment` gives, and tells the rest."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.data import phantom_datalist, phantom_seed
from tests.data.mg_dicom import FOR_PROCESSING, TOMOSYNTHESIS, stored_view, write_mg

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-deploy"
PYTHON = ENVIRONMENT / "bin" / "python"
GE_VIEW = ROOT.parent / "shared" / "data" / "dicom" / "ge_rmlo_jpeg_lossless_3voilut.dcm"
SPACING_MM, HEIGHT_MM, WIDTH_MM = 0.15, 40.0, 38.0  # one window of the network
CT, FILM = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"
STUDY, OTHER_STUDY, SERIES = (
    "1.2.826.0.1.3680043.8.498.77",
    "1.2.826.0.1.3680043.8.498.78",
    "1.2.826.0.1.3680043.8.498.7",
)
PATIENT = "SECRET^NAME"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ENVIRONMENT / ".installed").exists(),
        reason="needs the MONAI Deploy App SDK in .venv-deploy (make .venv-deploy/.installed)",
    ),
]


@dataclass(frozen=True)
class Ended:
    status: int
    said: str
    results: Path

    def report(self, stem: str) -> dict:
        return json.loads((self.results / f"{stem}_findings.json").read_text())

    def dicom(self, pattern: str) -> pydicom.FileDataset:
        (path,) = self.results.glob(pattern)
        return pydicom.dcmread(path)


def _run(python: Path | str, results: Path, *command: str, cwd: Path = ROOT, **environment: str) -> Ended:
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), *command],
        cwd=cwd,
        env={**inherited, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    return Ended(done.returncode, done.stdout + done.stderr, results)


def _app(views: Path, results: Path, *options: str) -> Ended:
    return _run(PYTHON, results, "-m", "scripts.deploy_app", "-i", str(views), "-o", str(results), *options)


def _segment(views: Path, results: Path, *options: str) -> Ended:
    return _run(sys.executable, results, "-m", "scripts.segment", str(views), "--output-dir", str(results), *options)


def _phantom(path: Path, number: int, **identity: str) -> None:
    """A phantom of the tuning seeds, of one window, under the identifiers of an exam."""
    (item,) = phantom_datalist(
        path.parent / "phantoms", count=1, first_seed=phantom_seed("tune", number), spacing_mm=SPACING_MM,
        height_mm=HEIGHT_MM, width_mm=WIDTH_MM, view="CC",
    )  # fmt: skip
    dataset = pydicom.dcmread(item["image"])
    for keyword, value in {"StudyInstanceUID": STUDY, "PatientName": PATIENT, **identity}.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    shutil.rmtree(path.parent / "phantoms")


REASONS = {
    "cut": "the file is truncated", "raw": "got For Processing", "tomo": "got tomosynthesis",
    "ct": "Expected modality MG, got 'CT'", "film": "Expected modality MG and the class Digital Mammography X-Ray",
    "twin_2": "Expected a view that the SDK's loader keeps", "black": "Expected an image, got 0 at every pixel",
    "nameless": "Expected SeriesInstanceUID, StudyInstanceUID", "empty": "got an empty file",
    "text": "found none of their signatures", "photo": "got PNG, TIFF or JPEG",
}  # fmt: skip
"""What is said of each file that is no view for the application."""


def _write_other_files(folder: Path) -> None:
    folder.mkdir()
    stored, black = stored_view(), np.zeros((96, 80), np.uint16)
    # In the series of good views, as some detectors file them.
    mine = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{SERIES}.1", "PatientName": PATIENT}
    raw = {"SOPClassUID": FOR_PROCESSING, "PresentationIntentType": "FOR PROCESSING"}
    write_mg(folder / "raw.dcm", stored, **mine, **raw)
    write_mg(folder / "tomo.dcm", np.stack([stored] * 3), **mine, SOPClassUID=TOMOSYNTHESIS, NumberOfFrames=3)
    write_mg(folder / "ct.dcm", stored, **mine | {"SeriesInstanceUID": f"{SERIES}.8"}, SOPClassUID=CT, Modality="CT")
    other = {"StudyInstanceUID": OTHER_STUDY, "PatientName": PATIENT}
    write_mg(folder / "film.dcm", stored, **other, SeriesInstanceUID=f"{SERIES}.9", SOPClassUID=FILM)
    twins = other | {"SeriesInstanceUID": f"{SERIES}.6", "ImagePositionPatient": [0, 0, 0]}
    for name in ("black.dcm", "twin_2.dcm"):
        write_mg(folder / name, black, **twins)
    write_mg(folder / "nameless.dcm", stored, PatientName=PATIENT)
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "text.dcm").write_text("not a mammogram")
    Image.fromarray(np.zeros((80, 80), np.uint8)).save(folder / "photo.png")


VIEWS = ("one", "two", "three")


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two views in one series, a third in another."""
    folder = tmp_path_factory.mktemp("exam")
    for number, name in enumerate(VIEWS):
        series = f"{SERIES}.{1 + (name == 'three')}"
        _phantom(folder / f"{name}.dcm", 50 + number, SeriesInstanceUID=series)
    return folder


@pytest.fixture(scope="module")
def reference(exam: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return _segment(exam, tmp_path_factory.mktemp("reference") / "out", "--no-report")


@pytest.fixture(scope="module")
def mixed(exam: Path, reference: Ended, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The application on the same views and all the other files, which are there after the reference was made."""
    _write_other_files(exam / "more")
    (exam / "more" / "cut.dcm").write_bytes((exam / "one.dcm").read_bytes()[:-50_000])
    return _app(exam, tmp_path_factory.mktemp("mixed") / "out")


def _numbers(dataset: pydicom.Dataset) -> list[str]:
    return [str(element.value) for element in dataset.iterall() if element.keyword == "NumericValue"]


def _same_results(got: Ended, expected: Ended, stem: str) -> int:
    """Assert that a view's results are the same; returns the number of findings."""
    assert got.report(stem) == expected.report(stem)
    for suffix in ("mask.png", "probability.nii.gz", "overlay.png"):
        name = f"{stem}_{suffix}"
        assert (got.results / name).read_bytes() == (expected.results / name).read_bytes(), name
    for kind in ("seg", "probability"):
        mine, theirs = got.dicom(f"{stem}_{kind}.dcm"), expected.dicom(f"{stem}_{kind}.dcm")
        assert mine.PixelData == theirs.PixelData
        assert mine.ReferencedSeriesSequence == theirs.ReferencedSeriesSequence
    mask = np.asarray(Image.open(got.results / f"{stem}_mask.png")) > 0
    assert (got.dicom(f"{stem}_seg.dcm").pixel_array.astype(bool) == mask).all()
    return len(got.report(stem)["findings"])


def test_every_view_of_every_selected_series_is_as_the_command_segments_it(mixed: Ended, reference: Ended) -> None:
    assert reference.status == 0, reference.said
    assert sum(_same_results(mixed, reference, stem) for stem in VIEWS) > 0
    assert sorted(path.name for path in mixed.results.glob("*_findings.json")) == sorted(
        f"{v}_findings.json" for v in VIEWS
    )


def test_reports_say_the_same(mixed: Ended, reference: Ended) -> None:
    cads = [run.dicom("study-*_cad.dcm") for run in (mixed, reference)]
    assert cads[0].ContentSequence == cads[1].ContentSequence
    numbers = [_numbers(run.dicom("study-*_measurements.dcm")) for run in (mixed, reference)]
    assert numbers[0] == numbers[1] != []


def test_each_other_file_is_told_in_one_line_and_the_status_says_so(mixed: Ended) -> None:
    lines = [line for line in mixed.said.splitlines() if line.startswith("refused: ")]
    for name, reason in REASONS.items():
        (told,) = (line for line in lines if f"{os.sep}{name}." in line)
        assert reason in told
    assert len(lines) == len(REASONS)
    assert f"{len(VIEWS) + len(lines)} files: {len(VIEWS)} segmented, {len(lines)} refused" in mixed.said
    assert mixed.status == 1


def test_a_page_tells_what_the_rule_left_out(mixed: Ended) -> None:
    texts = [page.read_text() for page in mixed.results.glob("report_*.html")]
    assert sum(REASONS["film"] in text for text in texts) == 1
    assert not any(PATIENT in text for text in texts)


def test_nothing_else_is_said_and_nothing_of_the_patient(mixed: Ended) -> None:
    assert "Traceback" not in mixed.said
    assert [secret for secret in (PATIENT, STUDY, SERIES, "SECRET-4711") if secret in mixed.said] == []


def test_segmentations_open_and_lead_to_their_source(mixed: Ended, exam: Path) -> None:
    hd = pytest.importorskip("highdicom")
    for name in VIEWS:
        source = pydicom.dcmread(exam / f"{name}.dcm", stop_before_pixels=True)
        segmentation = hd.seg.segread(mixed.results / f"{name}_seg.dcm")
        ((study, series, instance),) = segmentation.get_source_image_uids()
        assert (study, series, instance) == (STUDY, source.SeriesInstanceUID, source.SOPInstanceUID)
        pixels = segmentation.get_pixels_by_source_instance([instance], combine_segments=True)
        assert (pixels[0] == np.asarray(Image.open(mixed.results / f"{name}_mask.png")) / 255).all()
        assert segmentation.PatientName == PATIENT


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dicom3tools")
def test_dciodvfy_finds_no_error(mixed: Ended) -> None:
    objects = sorted(mixed.results.glob("*.dcm"))
    assert len(objects) == 2 * len(VIEWS) + 2
    for path in objects:
        checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        said = checked.stdout + checked.stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == [], path.name
        assert "Segmentation" in said or "SR" in said


def test_the_packaged_folder_refines_as_the_command_does(tmp_path: Path, exam: Path) -> None:
    """Started as a container starts it: from elsewhere, by the folder, told everything by the environment."""
    one = tmp_path / "in"
    one.mkdir()
    shutil.copy(exam / "three.dcm", one)
    folder, results = tmp_path / "app", tmp_path / "app out"
    made = _run(sys.executable, folder, "-m", "scripts.deploy_app.folder", "--output-dir", str(folder))
    assert made.status == 0, made.said
    told = {"HOLOSCAN_INPUT_PATH": str(one), "HOLOSCAN_OUTPUT_PATH": str(results), "MCGENREF_METHOD": "ttgpr"}
    app = _run(PYTHON, results, str(folder), cwd=tmp_path, **told)
    assert app.status == 0, app.said
    expected = _segment(one, tmp_path / "command out", "--method", "ttgpr", "--no-report")
    assert expected.status == 0, expected.said
    assert app.report("three")["method"] == "ttgpr"
    assert _same_results(app, expected, "three") > 0


def test_the_packager_accepts_app_yaml(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from holoscan_cli.packager.config_reader import ApplicationConfiguration;"
        "read = ApplicationConfiguration(); read.read(pathlib.Path(sys.argv[1])); print(read.title())"
    )
    checked = _run(PYTHON, tmp_path, "-c", code, str(ROOT / "scripts" / "deploy_app" / "app.yaml"))
    assert checked.status == 0, checked.said
    assert "research only" in checked.said


@pytest.mark.skipif(not GE_VIEW.exists(), reason="needs the real DICOM view in shared/data")
def test_a_real_view_is_as_the_command_segments_it(tmp_path: Path) -> None:
    views = tmp_path / "views"
    views.mkdir()
    shutil.copy(GE_VIEW, views / "real.dcm")
    expected = _segment(views, tmp_path / "command", "--method", "segmentor", "--no-report")
    app = _app(views, tmp_path / "app", "--method", "segmentor", "--no-report")
    assert (expected.status, app.status) == (0, 0), app.said
    assert _same_results(app, expected, "real") > 0

"""The round trip through a real archive: pushed by C-STORE, found, fetched, segmented, results in the same study."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.data import phantom_datalist, phantom_seed
from bundle.data.archive_journal import NAME
from bundle.data.archive_objects import source_uids
from scripts import segment, watch
from tests.integration.orthanc import PASSWORD, USER, Orthanc, missing

hd = pytest.importorskip("highdicom")
pytest.importorskip("requests")
from bundle.data.archive import PASSWORD_VARIABLE, Archive  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(missing()), reason=missing())]

STUDY = "1.2.826.0.1.3680043.8.498.7"
SECRET = "SECRETNAME"
SEG, CAD, MEASUREMENTS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.50",
    "1.2.840.10008.5.1.4.1.1.88.33",
)
WAIT_S = 240.0
KILLS_ITSELF = """
import os, signal, sys
from bundle.data.archive import Archive
from scripts import watch
store, calls = Archive.store, []
def stores_three_and_dies(*arguments):
    store(*arguments)
    calls.append(0)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Archive.store = stores_three_and_dies
watch.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two small views: a breast, and the same one mirrored."""
    folder = tmp_path_factory.mktemp("views")
    seed = phantom_seed("tune", 50)
    (file,) = phantom_datalist(
        tmp_path_factory.mktemp("phantom"), count=1, first_seed=seed, height_mm=40.0, width_mm=40.0, view="CC"
    )
    dataset = pydicom.dcmread(file["image"])
    dataset.StudyInstanceUID, dataset.PatientName, dataset.PatientID = STUDY, SECRET, "SECRET-1"
    for number, pixels in enumerate((dataset.pixel_array, dataset.pixel_array[:, ::-1]), start=1):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{number}"
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
        dataset.save_as(folder / f"{number}.dcm")
    return folder


@pytest.fixture(scope="module")
def masks(views: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What `scripts.segment` writes for the same files, by SOP Instance UID."""
    out = tmp_path_factory.mktemp("segmented")
    segment.main([str(views), "--output-dir", str(out), "--method", "segmentor"])
    return {f"{STUDY}.{number}": np.asarray(Image.open(out / f"{number}_mask.png")) > 0 for number in (1, 2)}


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Orthanc]:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.kill()


def _arguments(server: Orthanc, out: Path, *more: str) -> list[str]:
    return ["--archive", server.url, "--user", USER, "--output-dir", str(out), "--method", "segmentor", *more]


def _watch_once(server: Orthanc, out: Path) -> None:
    watch.main(_arguments(server, out, "--once"))


def _objects(server: Orthanc) -> list[pydicom.Dataset]:
    """All objects of the archive, read back."""
    archive = Archive(server.url, user=USER, password=PASSWORD)
    return [
        pydicom.dcmread(io.BytesIO(archive.fetch(study, instance)))
        for study in archive.studies()
        for instance in archive.instances(study)
    ]


def _assert_all_results_once(objects: list[pydicom.Dataset]) -> None:
    """Two segmentations per view and one report of each kind, all in the study of the views."""
    assert {dataset.StudyInstanceUID for dataset in objects} == {STUDY}
    assert {dataset.PatientID for dataset in objects} == {"SECRET-1"}
    results = Counter(
        (dataset.SOPClassUID, dataset.get("SegmentationType", ""), source_uids(dataset))
        for dataset in objects
        if dataset.Modality != "MG"
    )
    one, two = frozenset([f"{STUDY}.1"]), frozenset([f"{STUDY}.2"])
    expected = [(SEG, kind, view) for kind in ("BINARY", "FRACTIONAL") for view in (one, two)]
    assert results == Counter([*expected, (CAD, "", one | two), (MEASUREMENTS, "", one | two)])


def _assert_masks_are_those_of_the_command(objects: list[pydicom.Dataset], masks: dict[str, np.ndarray]) -> None:
    found = {}
    for dataset in objects:
        if dataset.get("SegmentationType") == "BINARY":
            segmentation = hd.seg.Segmentation.from_dataset(dataset)
            (source,) = source_uids(dataset)
            found[source] = segmentation.get_pixels_by_source_instance([source])[0, ..., 0] > 0
    assert found.keys() == masks.keys()
    for source, mask in masks.items():
        assert mask.any()
        np.testing.assert_array_equal(found[source], mask)


def _events(out: Path) -> Counter[str]:
    return Counter(json.loads(line)["event"] for line in (out / NAME).read_text().splitlines())


def test_round_trip(
    orthanc: Orthanc, views: Path, masks: dict[str, np.ndarray], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    _watch_once(orthanc, out)  # nothing is there yet
    assert _events(out) == Counter()
    orthanc.receive(*views.iterdir())
    _watch_once(orthanc, out)
    objects = _objects(orthanc)
    _assert_all_results_once(objects)
    _assert_masks_are_those_of_the_command(objects, masks)
    (measurements,) = (dataset for dataset in objects if dataset.SOPClassUID == MEASUREMENTS)
    assert len(hd.sr.ComprehensiveSR.from_dataset(measurements).content.get_image_measurement_groups()) == 2

    _watch_once(orthanc, out)
    assert _events(out) == {"found": 1, "started": 1, "segmented": 1, "stored": 1}
    shutil.rmtree(out)
    _watch_once(orthanc, out)  # the journal is lost
    assert _events(out) == {"found": 1, "stored": 1}
    assert {dataset.SOPInstanceUID for dataset in _objects(orthanc)} == {dataset.SOPInstanceUID for dataset in objects}
    said = capfd.readouterr()
    assert "not a medical device" in said.out
    assert "SECRET" not in said.out + said.err + (out / NAME).read_text()


def test_server_killed_while_results_are_stored(
    orthanc: Orthanc, views: Path, masks: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = Archive.store, []

    def kills_the_server(*arguments: object) -> None:
        store(*arguments)  # type: ignore[arg-type]
        calls.append(0)
        if len(calls) == 2:
            orthanc.kill()

    monkeypatch.setattr(Archive, "store", kills_the_server)
    orthanc.receive(*views.iterdir())
    with pytest.raises(SystemExit, match=r"Expected an archive at .*, got ConnectionError"):
        _watch_once(orthanc, tmp_path / "out")
    assert len(calls) == 2
    orthanc.start()
    _watch_once(orthanc, tmp_path / "out")
    assert len(calls) == 6
    assert _events(tmp_path / "out")["segmented"] == 1
    _assert_all_results_once(_objects(orthanc))
    _assert_masks_are_those_of_the_command(_objects(orthanc), masks)


def test_watcher_killed_while_it_stores_and_the_next_one_terminated(
    orthanc: Orthanc, views: Path, masks: dict[str, np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    orthanc.receive(*views.iterdir())
    dying = [sys.executable, "-c", KILLS_ITSELF, *_arguments(orthanc, out, "--once")]
    assert subprocess.run(dying, timeout=WAIT_S, capture_output=True).returncode == -signal.SIGKILL
    assert len(_objects(orthanc)) == 2 + 3
    assert _events(out) == {"found": 1, "started": 1, "segmented": 1}

    command = [
        sys.executable,
        "-m",
        "scripts.watch",
        *_arguments(orthanc, out, "--interval-s", "0.5", "--settle-s", "1"),
    ]
    next_one = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + WAIT_S
        while not _events(out)["stored"] and time.monotonic() < end:
            time.sleep(0.2)
    finally:
        next_one.send_signal(signal.SIGTERM)
        said, _ = next_one.communicate(timeout=WAIT_S)
    assert next_one.returncode == 0
    assert said.splitlines()[-1].startswith("stopped")
    assert _events(out)["segmented"] == 1
    _assert_all_results_once(_objects(orthanc))
    _assert_masks_are_those_of_the_command(_objects(orthanc), masks)


@pytest.mark.parametrize(
    ("archive", "user", "line"),
    [
        ("{root}", USER, "correct --archive"),
        ("{root}/dicom", USER, "correct --archive"),
        ("{root}/dicom-web", "somebody", "Expected a login"),
        ("http://127.0.0.1:1/dicom-web", USER, "got ConnectionError"),
    ],
)
def test_a_wrong_address_or_login_is_one_line(
    orthanc: Orthanc, tmp_path: Path, archive: str, user: str, line: str
) -> None:
    url = archive.format(root=orthanc.url.removesuffix("/dicom-web"))
    with pytest.raises(SystemExit, match=line) as stop:
        watch.main(["--archive", url, "--user", user, "--output-dir", str(tmp_path / "out"), "--once"])
    assert len(str(stop.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()

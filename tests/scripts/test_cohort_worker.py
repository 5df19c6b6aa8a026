"""A worker's results appear whole or not at all, lie below the output folder, and say nothing of the patient."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bundle.data.cohort import CohortView, studies_of, views_of_archive, views_of_input
from bundle.data.errors import MammogramError
from bundle.data.manifest import DONE, FAILED, REFUSED
from scripts import cohort, cohort_worker
from scripts.cohort_worker import STOP, Worker, WorkerSettings, study_folder, view_folder
from tests.disks import full_disk
from tests.reports.study_exam import OPTIONS, write_results, write_view
from tests.scripts.dicomweb_service import DicomwebService
from tests.scripts.watch_archive import MemoryArchive

SECRETS = {"PatientName": "SENTINEL^JANE", "PatientID": "SENTINELID"}


class LittleSegmenter:
    """In place of the networks: results of every view that can be read."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.out = Path(options["output_dir"])

    def __call__(self, path: str) -> None:
        if "bug" in path:
            raise KeyError("SENTINEL")
        write_results(Path(path), self.out, method="segmentor")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(cohort_worker, "ViewSegmenter", LittleSegmenter)
    monkeypatch.setattr(cohort_worker, "quiet", lambda tell: None)
    monkeypatch.setattr(cohort_worker.torch, "set_num_threads", lambda count: None)
    options = {**OPTIONS, "method": "segmentor"}
    return Worker(WorkerSettings(folder=str(tmp_path / "out"), options=options, dicom=False))


def _inputs(tmp_path: Path) -> list[CohortView]:
    """Two views of one study under equal names, and a cut one."""
    for folder in "ab":
        (tmp_path / "in" / folder).mkdir(parents=True)
        write_view(tmp_path / "in" / folder / "x.dcm", "L", "CC", **SECRETS)
    (tmp_path / "in" / "cut.dcm").write_bytes((tmp_path / "in" / "a" / "x.dcm").read_bytes()[:5000])
    return views_of_input(str(tmp_path / "in"))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_names_lie_in_different_folders_below_the_output(worker: Worker, tmp_path: Path) -> None:
    outcomes = {view.key: worker.view(view) for view in _inputs(tmp_path)}
    assert sorted(outcome.end for outcome in outcomes.values()) == [DONE, DONE, REFUSED]
    done = [key for key, outcome in outcomes.items() if outcome.end == DONE]
    for key in done:
        assert (worker.folder / view_folder(key) / "x_findings.json").exists()
        assert outcomes[key].details["name"] == "x.dcm"
    assert {path.parts[0] for path in map(Path, _files(worker.folder))} == {"views"}


def test_a_page_shows_both_views_of_equal_names(worker: Worker, tmp_path: Path) -> None:
    inputs = _inputs(tmp_path)
    done = frozenset(view.key for view in inputs if worker.view(view).end == DONE)
    (study,) = studies_of(inputs)
    outcome = worker.study(study, {view.key: view for view in inputs}, done)
    assert outcome.end == DONE, outcome.reason
    (page,) = (worker.folder / study_folder(study.key)).iterdir()
    assert page.read_text().count("<figure") == 2
    assert "1 file left out" in page.read_text()


def test_the_same_view_gives_the_same_hash_and_what_is_there_is_kept(worker: Worker, tmp_path: Path) -> None:
    view = next(view for view in _inputs(tmp_path) if view.path.endswith("x.dcm"))
    first = worker.view(view)
    before = _files(worker.folder)
    os.remove(view.path)
    again = worker.view(view)
    assert (again.end, again.details["sha256"]) == (DONE, first.details["sha256"])
    assert _files(worker.folder) == before


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_full_disk_stops_the_run_and_leaves_nothing_behind(worker: Worker, tmp_path: Path, size: int) -> None:
    view = _inputs(tmp_path)[0]
    with full_disk(size):
        outcome = worker.view(view)
    assert outcome.end == STOP
    assert "Expected room for results" in outcome.reason
    assert _files(worker.folder) == {}
    assert worker.view(view).end == DONE


def test_reasons_have_no_path_and_nothing_of_the_patient(worker: Worker, tmp_path: Path) -> None:
    inputs = _inputs(tmp_path)
    (cut,) = (worker.view(view) for view in inputs if view.path.endswith("cut.dcm"))
    bug = worker.view(CohortView("0" * 16, "bug/SENTINEL.dcm"))
    assert (cut.end, bug.end) == (REFUSED, FAILED)
    assert cut.reason.startswith("Expected")
    assert bug.reason.startswith("KeyError at test_cohort_worker.py:")
    for outcome in (cut, bug):
        assert str(tmp_path) not in outcome.reason
        assert "SENTINEL" not in outcome.reason


@pytest.mark.parametrize("name", [b"SENTINEL  JANE.dcm", b"SENTINEL\x1b[31m\n.dcm", b"SENTINEL\xfc.dcm"])
def test_reasons_have_no_path_whatever_it_holds(worker: Worker, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "in" / os.fsdecode(name)
    path.parent.mkdir()
    write_view(tmp_path / "whole.dcm", "L", "CC")
    path.write_bytes((tmp_path / "whole.dcm").read_bytes()[:5000])
    views = views_of_input(str(path.parent))
    told = worker.view(views[0])
    assert told.end == REFUSED
    assert told.reason.startswith("Expected")
    assert "SENTINEL" not in told.reason


def test_views_whose_names_are_no_utf_8_go_through(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for position in ("CC", "MLO"):
        path = tmp_path / "in" / os.fsdecode(b"M\xfcller\x1b[31m-%s.dcm" % position.encode())
        write_view(tmp_path / "view.dcm", "L", position).rename(path)
    views = views_of_input(str(tmp_path / "in"))
    assert [worker.view(view).end for view in views] == [DONE, DONE]
    (study,) = studies_of(views)
    outcome = worker.study(study, {view.key: view for view in views}, frozenset(view.key for view in views))
    assert outcome.end == DONE, outcome.reason


def test_names_of_files_do_not_lead_out_of_the_folder(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name = "x..\\..\\%2e%2e;$(x) \n.dcm"
    write_view(tmp_path / "in" / name, "L", "CC")
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(worker.folder)}
    (view,) = views_of_input(str(tmp_path / "in"))
    assert worker.view(view).end == DONE
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(worker.folder)} == before


def test_views_of_an_archive_are_fetched_checked_and_segmented(worker: Worker, tmp_path: Path) -> None:
    archive = MemoryArchive()
    for position in ("CC", "MLO"):
        archive.add(write_view(tmp_path / f"{position}.dcm", "L", position, **SECRETS))
    good, swapped = views_of_archive(archive, worker.folder)
    assert good.instance is not None
    assert swapped.instance is not None
    files = archive.files[good.study_uid]
    files[swapped.instance.sop_uid] = files[good.instance.sop_uid]
    worker._archive = archive
    assert worker.view(good).end == DONE
    outcome = worker.view(swapped)
    assert (outcome.end, Path(swapped.path).exists()) == (REFUSED, False)
    assert "Expected the view that was asked for" in outcome.reason


def test_an_archive_is_asked_over_http_and_its_files_go_when_they_are_done_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("requests")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, stand_in in (("ViewSegmenter", LittleSegmenter), ("quiet", lambda tell: None)):
        monkeypatch.setattr(cohort_worker, name, stand_in)
    monkeypatch.setattr(cohort_worker.torch, "set_num_threads", lambda count: None)
    archive, out = MemoryArchive(), tmp_path / "out"
    for position in ("CC", "MLO"):
        archive.add(write_view(tmp_path / f"{position}.dcm", "L", position, **SECRETS))
    service = DicomwebService(archive)
    try:
        arguments = cohort.parse([service.url, "--output-dir", str(out), "--method", "segmentor", "--no-dicom"])
        views = cohort.find_views(arguments)
        assert service.fetched == []
        made = Worker(cohort.worker_settings(arguments))
        assert [made.view(view).end for view in views] == [DONE, DONE]
        (study,) = studies_of(views)
        by_key = {view.key: view for view in views}
        cohort.forget(views[:1])
        assert made.study(study, by_key, frozenset(by_key)).end == DONE
    finally:
        service.stop()
    assert len(service.fetched) == 3, "what is there is not fetched again"
    (page,) = (out / study_folder(study.key)).iterdir()
    assert page.read_text().count("<figure") == 2
    cohort.forget(views)
    assert not [path for path in out.rglob("*.dcm")]
    names = " ".join(map(str, out.rglob("*"))) + "".join(path.read_text() for path in out.rglob("*.json"))
    assert "SENTINEL" not in names
    assert all(view.study_uid not in names for view in views)


def test_an_archive_without_mammograms_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("requests")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    service = DicomwebService(MemoryArchive())
    try:
        with pytest.raises(ValueError, match="Expected mammograms For Presentation"):
            cohort.find_views(cohort.parse([service.url, "--output-dir", str(tmp_path)]))
    finally:
        service.stop()


def test_weights_that_do_not_fit_are_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: Mapping[str, Any]) -> None:
        raise MammogramError("Expected weights, got none; fetch them again")

    monkeypatch.setattr(cohort_worker, "ViewSegmenter", broken)
    monkeypatch.setattr(cohort_worker, "quiet", lambda tell: None)
    monkeypatch.setattr(cohort_worker.torch, "set_num_threads", lambda count: None)
    made = Worker(WorkerSettings(folder=str(tmp_path), options=OPTIONS))
    assert made.ready() == "Expected weights, got none; fetch them again"

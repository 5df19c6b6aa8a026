"""The watcher brings every view through once, whatever dies and when, and says nothing of patients."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bundle.data.archive_answers import ArchiveAwayError, ArchiveRefusedError
from bundle.data.archive_journal import NAME, Journal, hashed
from bundle.data.errors import MammogramError
from scripts import watch as command
from scripts.watch import Settled, Watcher, price, terminated_like_interrupted, watch
from scripts.watch_segment import segment_like_the_command
from scripts.watch_study import PER_VIEW, Worker, remove_leftovers
from tests.data.mg_dicom import FOR_PROCESSING
from tests.scripts.watch_archive import (
    BAD,
    Fuse,
    FusedJournal,
    KilledError,
    LittleSegmentation,
    MemoryArchive,
    add_view,
)

A, B = "1.2.3", "1.2.4"
METHOD = "segmentor"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def archive(tmp_path: Path) -> MemoryArchive:
    """Two views and one that is refused in study A, one view in study B."""
    filled = MemoryArchive()
    for study, changes in ((A, {}), (A, {}), (A, {"SOPInstanceUID": BAD}), (B, {})):
        add_view(filled, tmp_path, study=study, **changes)
    return filled


def _round(archive: MemoryArchive, folder: Path, fuse: Fuse | None = None, **options: Any) -> tuple[int, list[str]]:
    """A start of the command with --once: number of failures, and the views that were segmented."""
    fuse = archive.fuse = FusedJournal.fuse = fuse or Fuse()
    segment = LittleSegmentation(fuse)
    journal = FusedJournal(folder, method=METHOD)
    remove_leftovers(folder)
    try:
        worker = Worker(archive, journal, folder, segment, METHOD, **options)
        return Watcher(worker, Settled(0.0)).round(), segment.seen
    finally:
        journal.close()


def _views(archive: MemoryArchive, study: str) -> list[str]:
    """The good views of a study."""
    return sorted(
        uid for uid in archive.files[study] if archive.listed[uid].sop_class.endswith(".1.1.2") and uid != BAD
    )


def _assert_each_view_once(archive: MemoryArchive, folder: Path) -> None:
    """Every kind is about every good view once, and nothing that names a patient is left."""
    for study in archive.files:
        for kind, sources in archive.results(study).items():
            assert sorted(uid for views in sources for uid in views) == _views(archive, study), kind
            assert kind not in PER_VIEW or all(len(views) == 1 for views in sources)
    assert not list(folder.rglob("*.dcm"))


def test_every_view_is_brought_through_once(archive: MemoryArchive, tmp_path: Path) -> None:
    failures, seen = _round(archive, tmp_path / "out")
    assert failures == 1
    assert sorted(seen) == sorted(_views(archive, A) + _views(archive, B))
    _assert_each_view_once(archive, tmp_path / "out")
    assert {kind: len(sources) for kind, sources in archive.results(A).items()} == {
        "seg": 2, "probability": 2, "cad": 1, "measurements": 1
    }  # fmt: skip


def test_a_second_run_does_nothing(archive: MemoryArchive, tmp_path: Path) -> None:
    _round(archive, tmp_path / "out", attempts=1)
    before = {study: dict(files) for study, files in archive.files.items()}
    assert _round(archive, tmp_path / "out", attempts=1) == (0, [])
    assert archive.files == before


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("new_view", [False, True])
def test_killed_at_any_step_nothing_is_lost_and_nothing_twice(
    archive: MemoryArchive, tmp_path: Path, lost: bool, new_view: bool
) -> None:
    del archive.files[B]
    at = 0
    while True:
        at += 1
        folder = tmp_path / f"out{at}"
        copy = MemoryArchive(
            {study: dict(files) for study, files in archive.files.items()}, listed=dict(archive.listed)
        )
        try:
            _round(copy, folder, Fuse(at))
        except KilledError:
            pass
        else:
            break
        if lost:
            shutil.rmtree(folder)
        if new_view:
            add_view(copy, tmp_path, study=A)
        _, seen = _round(copy, folder)
        assert len(seen) == len(set(seen))
        _assert_each_view_once(copy, folder)
        assert _round(copy, folder)[1] == []
        _assert_each_view_once(copy, folder)
    # Before and after 5 lines of the journal and 6 objects, and 5 steps of the segmentation.
    assert at - 1 == 2 * 5 + 2 * 6 + 5


def test_segmented_before_the_kill_is_not_segmented_again(archive: MemoryArchive, tmp_path: Path) -> None:
    def broken(name: str, *_: Any) -> None:
        if name == "store":
            raise KilledError

    archive.fault = broken
    with pytest.raises(KilledError):
        _round(archive, tmp_path / "out")
    archive.fault = lambda *_: None
    _, seen = _round(archive, tmp_path / "out")
    assert sorted(seen) == _views(archive, B)
    _assert_each_view_once(archive, tmp_path / "out")


def test_a_view_that_comes_later_gets_its_own_results(archive: MemoryArchive, tmp_path: Path) -> None:
    _round(archive, tmp_path / "out")
    late = add_view(archive, tmp_path, study=A)
    assert _round(archive, tmp_path / "out")[1] == [late]
    assert frozenset([late]) in archive.results(A)["cad"]
    assert archive.numbers(A, "seg") == [1, 2, 3]
    assert archive.numbers(A, "cad") == [1, 2]
    _assert_each_view_once(archive, tmp_path / "out")


def test_results_that_somebody_deleted_stay_deleted(archive: MemoryArchive, tmp_path: Path) -> None:
    _round(archive, tmp_path / "out", attempts=1)
    for study, files in archive.files.items():
        archive.files[study] = {uid: files[uid] for uid in [*_views(archive, study), *{BAD} & set(files)]}
    assert _round(archive, tmp_path / "out", attempts=1) == (0, [])


def test_another_method_makes_results_of_its_own(archive: MemoryArchive, tmp_path: Path) -> None:
    _round(archive, tmp_path / "out")
    journal = Journal(tmp_path / "out", method="ttgpr")
    worker = Worker(archive, journal, tmp_path / "out", LittleSegmentation(), "ttgpr")
    Watcher(worker, Settled(0.0)).round()
    journal.close()
    assert len(archive.results(B)["cad"]) == 2


def test_raw_views_are_left_alone(tmp_path: Path) -> None:
    archive = MemoryArchive()
    add_view(archive, tmp_path, SOPClassUID=FOR_PROCESSING)
    assert _round(archive, tmp_path / "out") == (0, [])


def test_a_refused_view_is_tried_so_often_and_forgiven_on_request(archive: MemoryArchive, tmp_path: Path) -> None:
    for _ in range(3):
        assert _round(archive, tmp_path / "out", attempts=3)[0] == 1
    assert _round(archive, tmp_path / "out", attempts=3) == (0, [])
    journal = Journal(tmp_path / "out", method=METHOD)
    assert journal.state(hashed(BAD)).attempts == 3
    assert journal.state(hashed(BAD)).reason == "Expected another view"
    journal.write("forgiven", [hashed(BAD)])
    journal.close()
    assert _round(archive, tmp_path / "out", attempts=3)[0] == 1


@pytest.mark.parametrize("call", ["instances", "fetch", "store"])
def test_a_study_that_fails_does_not_stop_the_others(
    archive: MemoryArchive, tmp_path: Path, call: str, capsys: pytest.CaptureFixture
) -> None:
    def broken(name: str, study: str = "") -> None:
        if (name, study) == (call, A):
            raise ArchiveRefusedError("got HTTP 500")

    archive.fault = broken
    assert _round(archive, tmp_path / "out")[0] == 1
    assert "got HTTP 500" in capsys.readouterr().out
    assert len(archive.results(B)["cad"]) == 1
    archive.fault = lambda *_: None
    _round(archive, tmp_path / "out")
    _assert_each_view_once(archive, tmp_path / "out")


def test_an_archive_that_is_away_costs_no_attempt(archive: MemoryArchive, tmp_path: Path) -> None:
    away = False

    def broken(name: str, *_: Any) -> None:
        nonlocal away
        away = away or name == "store"
        if away:
            raise ArchiveAwayError("away")

    archive.fault = broken
    with pytest.raises(ArchiveAwayError):
        _round(archive, tmp_path / "out")
    journal = Journal(tmp_path / "out", method=METHOD)
    assert [journal.state(hashed(uid)).attempts for uid in _views(archive, A)] == [0, 0]
    journal.close()


def test_an_archive_that_breaks_off_at_one_study_costs_its_attempt(archive: MemoryArchive, tmp_path: Path) -> None:
    def broken(name: str, study: str = "") -> None:
        if (name, study) == ("store", A):
            raise ArchiveAwayError("away")

    archive.fault = broken
    for _ in range(2):
        _round(archive, tmp_path / "out", attempts=2)
    assert _round(archive, tmp_path / "out", attempts=2) == (0, [])
    assert len(archive.results(B)["cad"]) == 1


def test_our_own_bug_is_told_without_its_text(archive: MemoryArchive, tmp_path: Path, capsys: Any) -> None:
    def broken(name: str, study: str = "") -> None:
        if (name, study) == ("fetch", A):
            raise KeyError("SECRET")

    archive.fault = broken
    _round(archive, tmp_path / "out")
    assert "KeyError at test_watch.py:" in capsys.readouterr().out
    assert "SECRET" not in (tmp_path / "out" / NAME).read_text()


def test_another_view_than_asked_for_is_refused(archive: MemoryArchive, tmp_path: Path) -> None:
    first, second = _views(archive, A)
    archive.files[A][first] = archive.files[A][second]
    _round(archive, tmp_path / "out")
    assert archive.results(A)["seg"] == [frozenset([second])]
    assert "Expected the view that was asked for" in (tmp_path / "out" / NAME).read_text()


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM" + b"\0" * 40])
def test_an_unreadable_file_is_refused(archive: MemoryArchive, tmp_path: Path, content: bytes) -> None:
    first, second = _views(archive, A)
    archive.files[A][first] = content
    failures, seen = _round(archive, tmp_path / "out")
    assert failures == 1
    assert set(seen) == {second, *_views(archive, B)}
    journal = Journal(tmp_path / "out", method=METHOD)
    assert journal.state(hashed(first)).reason.startswith("Expected")
    journal.close()


@pytest.mark.parametrize("name", ["out  of JANE", "out\x1b[31m\nJANE", os.fsdecode(b"out\xfcJANE")])
def test_reasons_have_no_path_whatever_it_holds(archive: MemoryArchive, tmp_path: Path, name: str) -> None:
    first, _ = _views(archive, A)
    archive.files[A][first] = b"no DICOM at all"
    _round(archive, tmp_path / name)
    journal = Journal(tmp_path / name, method=METHOD)
    assert journal.state(hashed(first)).reason.startswith("Expected")
    assert "JANE" not in journal.state(hashed(first)).reason
    journal.close()


def test_nothing_of_the_patient_is_said_named_or_kept(archive: MemoryArchive, tmp_path: Path, capfd: Any) -> None:
    add_view(archive, tmp_path, study=B, PatientName="SECRETNAME", PatientID="SECRET-2", PatientBirthDate="19111111")
    out = tmp_path / "out"
    _round(archive, out)
    _round(archive, out)
    written = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    said = "".join(capfd.readouterr()) + written + " ".join(map(str, out.rglob("*")))
    for word in ("SECRET", "Secret", "19111111", "A-77", A, *_views(archive, A)):
        assert word not in said


def test_the_real_segmentation_tells_who_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "0123456789abcdef"

    def main(arguments: list[str]) -> None:
        print(f"refused: {arguments[0]}/view-{name}.dcm: Expected a breast, found none")
        print(f"left out: {arguments[0]}/view-{name}.dcm: Expected its findings, found none")
        raise SystemExit(1)

    monkeypatch.setattr("scripts.segment.main", main)
    assert segment_like_the_command(tmp_path, tmp_path, options=[]) == {name: "Expected a breast, found none"}


def test_an_error_of_the_segmentation_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(_: list[str]) -> None:
        raise SystemExit("error: Expected weights")

    monkeypatch.setattr("scripts.segment.main", main)
    with pytest.raises(MammogramError, match=r"^Expected weights$"):
        segment_like_the_command(tmp_path, tmp_path, options=[])


def test_a_study_settles_when_its_views_stop_coming() -> None:
    settled = Settled(10.0)
    answers = [settled("a", count, now_s) for count, now_s in ((1, 0.0), (1, 9.0), (2, 9.5), (2, 19.0), (2, 19.5))]
    assert answers == [False, False, False, False, True]


def test_a_study_that_waits_costs_nothing_while_it_does(archive: MemoryArchive, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out", method=METHOD)
    segment = LittleSegmentation()
    watcher = Watcher(Worker(archive, journal, tmp_path / "out", segment, METHOD), Settled(1e9))
    assert watcher.round() == watcher.round() == 0
    assert segment.seen == []
    journal.close()


def test_a_failure_waits_ever_longer_for_its_next_attempt(
    archive: MemoryArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(command.time, "monotonic", lambda: now_s)
    journal = Journal(tmp_path / "out", method=METHOD)
    watcher = Watcher(Worker(archive, journal, tmp_path / "out", LittleSegmentation(), METHOD), Settled(0.0))
    tried_s = []
    while now_s < 1000.0:
        if watcher.round():
            tried_s.append(now_s)
        now_s += 10.0
    assert tried_s == [0.0, 60.0, 60.0 + 240.0]
    journal.close()


def test_price_is_views_times_seconds() -> None:
    assert price(6, 2, 30.0) == "6 views of 2 studies to do, about 3.0 minutes (30 s per view)"
    assert "known after the first" in price(4, 1, None)


def test_an_archive_that_is_away_is_asked_ever_more_seldom(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    waits: list[float] = []

    class Away:
        def round(self) -> int:
            if len(waits) == 6:
                return 0
            raise ArchiveAwayError("away")

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        watch(Away(), interval_s=30.0)  # type: ignore[arg-type]
    assert waits == [60.0, 120.0, 240.0, 300.0, 300.0, 300.0, 30.0]
    assert "away; asked again in 60 s" in capsys.readouterr().out


def test_termination_is_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interruption_costs_no_attempt(archive: MemoryArchive, tmp_path: Path) -> None:
    def broken(name: str, *_: Any) -> None:
        if name == "fetch":
            raise KeyboardInterrupt

    archive.fault = broken
    with pytest.raises(KeyboardInterrupt):
        _round(archive, tmp_path / "out")
    journal = Journal(tmp_path / "out", method=METHOD)
    assert journal.state(hashed(BAD)).attempts == 0
    journal.close()


@pytest.mark.parametrize("library", ["highdicom", "requests"])
def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    if library == "requests":
        pytest.importorskip("highdicom")
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "bundle.data.archive", raising=False)
    with pytest.raises(SystemExit, match=f"error: Expected {library}, found none; pip install") as stop:
        command.main(["--archive", "http://host/x", "--output-dir", str(tmp_path)])
    assert len(str(stop.value).splitlines()) == 1


def test_stopped_while_it_starts_it_ends_cleanly(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "make_watcher", interrupted)
    command.main(["--archive", "http://host/x", "--output-dir", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert "not a medical device" in said[0]
    assert said[-1].startswith("stopped")


@pytest.fixture
def empty_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the address, an archive with nothing in it."""
    pytest.importorskip("highdicom")
    pytest.importorskip("requests")
    monkeypatch.setattr("bundle.data.archive.Archive.studies", lambda _: {})


@pytest.mark.usefixtures("empty_archive")
@pytest.mark.parametrize(
    "option", [["--attempts", "0"], ["--interval-s", "0"], ["--settle-s", "-1"], ["--threshold", "1"]]
)
def test_wrong_options_are_one_line(tmp_path: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit, match="error: Expected") as stop:
        command.main(["--archive", "http://host/x", "--output-dir", str(tmp_path / "out"), "--once", *option])
    assert len(str(stop.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("empty_archive")
def test_what_was_given_up_is_told_until_it_is_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    journal = Journal(tmp_path, method=METHOD)
    for _ in range(3):
        journal.write("started", ["a", "b"])
    journal.write("stored", ["b"])
    journal.close()
    arguments = ["--archive", "http://host/x", "--output-dir", str(tmp_path), "--once", "--method", METHOD]
    command.main(arguments)
    assert "given up earlier: 1 views; --retry" in capsys.readouterr().out
    command.main([*arguments, "--retry"])
    command.main(arguments)
    assert "given up" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("study", "instance"),
    [
        ({"0020000D": {"Value": ["\ud800"]}}, {}),
        ({"0020000D": {"Value": ["../../tools/shutdown?x="]}}, {}),
        ({"0020000D": {"Value": ["1.2"]}, "00201208": {"Value": ["²"]}}, {}),
        ({"0020000D": {"Value": ["1.2"]}}, {"00080018": {"Value": ["1.3"]}, "00080016": "text"}),
        ({"0020000D": {"Value": ["1.2"]}}, {"00080018": {"Value": ["\udc80"]}, "0020000E": 7}),
    ],
)
def test_no_answer_ends_the_watcher(
    study: dict[str, Any], instance: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("highdicom")
    pytest.importorskip("requests")
    asked: list[str] = []

    def answer(_: object, method: str, path: str, **__: Any) -> Any:
        asked.append(path)
        return SimpleNamespace(content=json.dumps([study] if path == "studies" else [instance]).encode())

    monkeypatch.setattr("bundle.data.archive.Archive._ask", answer)
    command.main(["--archive", "http://host/x", "--output-dir", str(tmp_path), "--once", "--method", METHOD])
    assert capsys.readouterr().out.splitlines()[-1] == "done"
    assert set(asked) <= {"studies", "studies/1.2/instances"}


@pytest.mark.usefixtures("empty_archive")
def test_what_a_killed_run_fetched_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "study-0123456789abcdef" / "01234567.part" / "views"
    left.mkdir(parents=True)
    (left / "view.dcm").write_text("a patient")
    command.main(["--archive", "http://host/x", "--output-dir", str(tmp_path), "--once"])
    assert not list(tmp_path.rglob("*.part"))

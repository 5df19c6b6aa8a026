"""Names of files that no terminal takes, in the lines of the cohort and of commands that tell of files as it does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bundle.data.cohort import CohortView
from bundle.data.errors import MammogramError, refuse
from bundle.data.manifest import REFUSED, Entry, Manifest
from scripts import virtual_normal
from scripts.cohort import Progress, tell_status
from scripts.cohort_worker import Outcome, ending
from scripts.deploy_app.views import Intake

NAME = os.fsdecode(b"M\xfcller\x1b[31m\nforged: x.dcm")
VIEW = CohortView("k", f"/in/{NAME}")
SHOWN = "M\\udcfcller\\x1b[31m forged: x.dcm"
LINE = f"refused: /in/{SHOWN}: Expected x, got y"


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    opened = Manifest(tmp_path, {})
    yield opened
    opened.close()


def test_the_status_is_one_line_per_file(capsys: pytest.CaptureFixture) -> None:
    tell_status([VIEW], {"k": Entry(end=REFUSED, reason="Expected x, got y")})
    assert capsys.readouterr().out == f"{LINE}\n"


def test_progress_is_one_line_per_file(manifest: Manifest, capsys: pytest.CaptureFixture) -> None:
    progress = Progress([VIEW], manifest)
    progress("k", Outcome(REFUSED, "Expected x, got y", remarks=(f"{VIEW.path}: odd",)), False)
    progress.bar.close()
    assert capsys.readouterr().out.splitlines() == [f"warning: /in/{SHOWN}: odd", LINE]


def test_the_application_tells_of_a_file_in_one_line(capsys: pytest.CaptureFixture) -> None:
    intake = Intake()
    intake.refuse(VIEW.path, refuse(VIEW.path, "Expected x, got y"))
    assert intake.refused == {VIEW.path: "Expected x, got y"}
    assert capsys.readouterr().out == f"{LINE}\n"


def test_virtual_normals_name_a_view_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / NAME).write_bytes(b"")
    inferer = type("Toy", (), {"inpainter": torch.nn.Linear(1, 1), "__call__": lambda self, view, hidden: view})()
    monkeypatch.setattr(virtual_normal, "find_mammograms", lambda folder: [{"image": str(tmp_path / NAME)}])
    monkeypatch.setattr(virtual_normal, "inpainter_inferer", lambda arguments: inferer)
    monkeypatch.setattr(virtual_normal, "Compose", lambda steps: lambda item: {"image": torch.zeros(1, 4, 4)})
    monkeypatch.setattr(virtual_normal, "price", lambda view, inferer: "free")
    monkeypatch.setattr(virtual_normal, "write_view", lambda *arguments: None)
    virtual_normal.main([str(tmp_path), "--output-dir", str(tmp_path / "out"), "--replace", "everywhere"])
    assert capsys.readouterr().out.splitlines()[0] == f"{SHOWN}: free"


@pytest.mark.parametrize("path", [VIEW.path, "/in/two  spaces.dcm", "/in/plain.dcm"])
@pytest.mark.parametrize("reason", ["Expected x, got y", "the file is cut: Expected x, got y", "out of memory"])
def test_a_reason_has_no_path_and_is_whole(path: str, reason: str) -> None:
    assert ending(refuse(path, reason), {"/in/other.dcm", path, "/in/another.dcm"}) == (REFUSED, reason)


def test_a_reason_without_a_path_is_whole() -> None:
    assert ending(MammogramError("Expected a breast, found none"), {"/in/x.dcm"})[1] == "Expected a breast, found none"

import json
import subprocess
from pathlib import Path

import pytest

from scripts import assemble, label_server


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a few bytes."""
    root = tmp_path / "project"
    for name in ("bundle/a.py", "configs/train.yaml", "docs/a.md", "models/model.pt", "scripts/b.py", "LICENSE"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_what_is_served_is_what_is_handed_out() -> None:
    assert label_server.FOLDERS == assemble.FOLDERS


def test_a_new_copy_keeps_what_was_trained_and_nothing_else_of_the_old_one(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    label_server.copy_bundle(project, copy)
    (copy / "models" / "model_labelled.pt").write_text("trained")
    (copy / "models" / "model.pt").write_text("damaged")
    (copy / "bundle" / "gone.py").write_text("")
    (copy / "runs").mkdir()
    label_server.copy_bundle(project, copy)
    assert (copy / "models" / "model_labelled.pt").read_text() == "trained"
    assert (copy / "models" / "model.pt").read_text() == "models/model.pt"
    assert not (copy / "bundle" / "gone.py").exists()
    assert (copy / "runs").is_dir()
    assert not (project / "models" / "model_labelled.pt").exists()


def test_dicom_is_listed_and_archives_are_asked_for_mammograms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    told = label_server.settings(tmp_path)
    assert "*.dcm" in json.loads(told["MONAI_LABEL_DATASTORE_FILE_EXT"])
    assert json.loads(told["MONAI_LABEL_DICOMWEB_SEARCH_FILTER"]) == {"Modality": "MG"}
    assert told["PYTHONPATH"].split(":") == ["before", str(tmp_path)]
    monkeypatch.setenv("MONAI_LABEL_DATASTORE_FILE_EXT", '["*.nii"]')
    assert label_server.settings(tmp_path)["MONAI_LABEL_DATASTORE_FILE_EXT"] == '["*.nii"]'


def test_a_folder_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*nowhere: Expected a folder of mammograms or the URL"):
        label_server.main(["--studies", str(tmp_path / "nowhere"), "--app-dir", str(tmp_path / "app")])
    assert not (tmp_path / "app").exists()
    assert label_server.checked_studies("http://localhost:8042/dicom-web") == "http://localhost:8042/dicom-web"


def test_without_monai_label_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="run make label"):
        label_server.main(["--app-dir", str(tmp_path)])


def test_a_torchvision_of_another_build_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Traceback\n  File ...\nRuntimeError: operator torchvision::nms does not exist\n"
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr=said)
    monkeypatch.setattr(label_server.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(label_server.subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(SystemExit, match="nms does not exist; take torch and torchvision of one build") as status:
        label_server.main(["--app-dir", str(tmp_path)])
    assert len(str(status.value).splitlines()) == 1

"""What the MONAI Deploy application decides without the SDK: files, options, its environment and its folder."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import bundle
from bundle.data import MammogramError
from bundle.data.studies import group_studies
from scripts import segment
from scripts.deploy_app.__main__ import check, main, parse
from scripts.deploy_app.folder import main as write_folder
from scripts.deploy_app.views import RULES, Intake, readable_views
from scripts.segment_report import write_reports
from tests.data.dicom_exam import write_exam, write_exam_results
from tests.data.mg_dicom import FOR_PRESENTATION, FOR_PROCESSING

ROOT = Path(__file__).resolve().parents[2]


def _pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {Requirement(line).name: str(Requirement(line).specifier) for line in lines}


def test_what_both_environments_have_is_of_one_version() -> None:
    deploy, project = _pins("requirements-deploy.txt"), _pins("requirements.txt")
    assert {name: deploy[name] for name in deploy if name in project} == {
        name: project[name] for name in project if name in deploy
    }
    assert {"torch", "monai", "numpy", "scipy", "highdicom", "pydicom"} <= deploy.keys() & project.keys()


def test_a_view_in_a_folder_below_is_taken_and_a_raw_one_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "deep").mkdir()
    good = write_exam(tmp_path / "deep" / "good")
    raw = write_exam(tmp_path / "two  spaces.dcm", SOPClassUID=FOR_PROCESSING, PresentationIntentType="FOR PROCESSING")
    intake = Intake()
    assert readable_views(str(tmp_path), intake) == [str(good)]
    assert len(intake.refused) == 1
    assert intake.refused[str(raw)].startswith("Expected a For Presentation image, got For Processing")
    assert capsys.readouterr().out == f"refused: {raw}: {intake.refused[str(raw)]}\n"


def test_the_page_tells_what_was_left_out_and_shows_no_older_findings_of_it(tmp_path: Path) -> None:
    views = tmp_path / "views"
    views.mkdir()
    paths = [write_exam(views / f"{name}.dcm") for name in ("SECRET_taken", "SECRET_left")]
    for path in paths:
        write_exam_results(path, tmp_path / "out")
    options = segment.overrides(parse(["-i", str(views), "-o", str(tmp_path / "out")]))
    left_out = {str(paths[1]): "Expected another class"}
    (page,) = write_reports(group_studies(str(views)), tmp_path / "out", options, left_out=left_out)
    text = page.read_text()
    assert "Expected another class" in text
    assert text.count("<figure") == 1
    assert "SECRET" not in text


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match="Expected a folder with DICOM"):
        readable_views(str(tmp_path), Intake())


def test_what_a_step_did_not_take_is_told_once_each() -> None:
    intake = Intake()
    intake.refuse_missing(["b", "a", "c"], ["c"], "Expected another")
    assert intake.refused == {"a": "Expected another", "b": "Expected another"}


@pytest.mark.parametrize(
    ("uid", "fits"), [(FOR_PRESENTATION, True), (FOR_PROCESSING, False), (FOR_PRESENTATION.replace(".", "1"), False)]
)
def test_the_rule_is_one_class_and_no_other(uid: str, fits: bool) -> None:
    (selection,) = json.loads(RULES)["selections"]
    assert bool(re.search(selection["conditions"]["SOPClassUID"], uid)) == fits


def test_without_options_inference_is_that_of_the_command() -> None:
    mine = segment.overrides(parse(["-i", "in", "-o", "out"]))
    assert mine == segment.overrides(segment.parse(["in", "--output-dir", "out"]))


def test_a_container_tells_all_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOLOSCAN_INPUT_PATH": "a", "HOLOSCAN_OUTPUT_PATH": "b", "MCGENREF_METHOD": "ttgpr"}.items():
        monkeypatch.setenv(name, value)
    options = segment.overrides(parse([]))
    assert (options["input"], options["output_dir"], options["method"]) == ("a", "b", "ttgpr")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-i", "nowhere"], "Expected a folder of DICOM files, found none at nowhere"),
        (["-o", "{folder}"], "Expected another folder than the input's"),
        (["--convert-raw"], "Expected For Presentation views alone"),
    ],
)
def test_wrong_arguments_give_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    filled = [argument.format(folder=tmp_path) for argument in arguments]
    with pytest.raises(SystemExit, match=line) as status:
        main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), *filled])
    assert len(str(status.value).splitlines()) == 1


@pytest.mark.skipif(find_spec("monai.deploy") is not None, reason="the SDK is here")
def test_without_the_sdk_there_is_one_line(tmp_path: Path) -> None:
    write_exam(tmp_path / "view.dcm")
    with pytest.raises(SystemExit, match="error: Expected the MONAI Deploy App SDK, found none; run make deploy"):
        main(["-i", str(tmp_path), "-o", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_of_the_environment_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCGENREF_METHOD", "best")
    with pytest.raises(ValueError, match="Expected MCGENREF_METHOD among"):
        check(parse(["-i", str(tmp_path)]))


def test_the_folder_for_the_packager_is_whole_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    for _ in range(2):
        write_folder(["--output-dir", str(folder)])
    for name in ("__main__.py", "app.yaml", "requirements.txt", "models/model.pt", "configs/inference.yaml"):
        assert (folder / name).is_file(), name
    assert not list(folder.rglob("__pycache__"))
    assert (folder / "requirements.txt").read_text() == (ROOT / "requirements-deploy.txt").read_text()
    application = yaml.safe_load((folder / "app.yaml").read_text())["application"]
    assert application["version"] == bundle.__version__


def test_another_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(SystemExit, match="Expected nothing or an application's folder"):
        write_folder(["--output-dir", str(tmp_path)])
    assert (tmp_path / "kept.txt").read_text() == "kept"

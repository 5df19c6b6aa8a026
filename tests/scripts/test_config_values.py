"""Names of files and settings from files are never run by a config."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigParser

from scripts import evaluate, segment
from scripts.command import open_config
from scripts.config_values import Expression, plain
from tests.reports.study_exam import write_view

CODE = "$__import__('pathlib').Path('RAN').touch() or 'x.dcm'"
NAMES = [
    CODE,
    "@method",
    "%plain.dcm",
    "a@::b",
    "50%",
    "a#b",
    'it\'s "so"',
    "line\nfeed",
    "\udcff",
    "\\",
    "$",
    "",
    "plain",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_stays_the_text_that_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parser = ConfigParser({"method": "other", "used": "$@given + ''", "all": {"input": "@given", "listed": "@many"}})
    parser.update(plain({"given": name, "many": [name, {"of": (name, 1.5)}]}))
    found = parser.get_parsed_content("all")
    assert found["input"] == parser.get_parsed_content("used") == name
    assert found["listed"][0] == name
    assert tuple(found["listed"][1]["of"]) == (name, 1.5)
    assert not Path("RAN").exists()


def test_the_programs_own_expressions_are_run() -> None:
    parser = ConfigParser({"number": 3})
    parser.update(plain({"more": Expression("$@number + 1"), "same": [Expression("@number")], "none": None}))
    assert [parser.get_parsed_content(name) for name in ("more", "same", "none")] == [4, [3], None]


def test_a_command_line_is_taken_as_it_is() -> None:
    content = open_config(
        "evaluate", {"images": CODE, "masks": "@images", "output_dir": "%x"}
    ).parser.get_parsed_content
    assert [content(name) for name in ("images", "masks", "output_dir")] == [CODE, "@images", "%x"]


def test_a_file_whose_name_is_code_is_segmented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = write_view(tmp_path / "made.dcm", "L", "CC")
    # A name cannot hold a slash.
    for number, name in enumerate((CODE, "%plain.dcm", "@evaluator")):
        shutil.copy(made, tmp_path / name)
        out = f"${number}"
        segment.main(
            [name, "--output-dir", out, "--method", "segmentor", "--threshold", "0.4", "--no-report", "--no-dicom"]
        )
        assert len(list((tmp_path / out).glob("*_findings.json"))) == 1
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        {"_target_": "pathlib.Path.touch", "self": "RAN"},
        {"iterations": {"_target_": "pathlib.Path.touch", "self": "RAN"}},
        {"iterations": [CODE]},
        {"a::b": 1},
        {"iterations": CODE},
    ],
)
def test_settings_from_a_file_hold_numbers_and_words_alone(tmp_path: Path, overrides: dict[str, Any]) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"preset": "default", "overrides": overrides, "threshold": 0.5}))
    with pytest.raises(ValueError, match="Expected overrides that are numbers or words, got others; tune again"):
        segment.tuned_settings(path)


def test_settings_from_a_file_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    best = {"preset": "default", "overrides": {"seed_mode": CODE}, "threshold": 0.5}
    Path("best.json").write_text(json.dumps(best))
    write_view(tmp_path / "a.dcm", "L", "CC")
    with pytest.raises(SystemExit, match=r"best\.json: Expected seed_mode to be one of"):
        segment.main(["a.dcm", "--output-dir", "out", "--settings", "best.json"])
    Path("best.json").write_text(json.dumps(best | {"threshold": CODE}))
    with pytest.raises(SystemExit, match=r"best\.json: Expected a threshold that is a number"):
        segment.main(["a.dcm", "--output-dir", "out", "--settings", "best.json"])
    assert not Path("RAN").exists()


def test_evaluate_takes_names_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="Expected an existing folder of masks"):
        evaluate.main(["--images", CODE, "--masks", "m", "--output-dir", "out", *_options()])
    assert not Path("RAN").exists()


def _options() -> list[str]:
    return ["--overrides", yaml.safe_dump({"iterations": 1}, default_flow_style=True).strip()]

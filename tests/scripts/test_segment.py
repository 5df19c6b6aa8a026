"""The command that users type, with the shipped weights, on good and bad files."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bundle.data import phantom_datalist, phantom_seed
from scripts.segment import main, overrides, parse
from tests.data.mg_dicom import stored_view, write_mg

CT = "1.2.840.10008.5.1.4.1.1.2"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SMALL_MM = 40.0
SPACING_MM = 0.1


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phantom")
    files = phantom_datalist(
        directory,
        count=1,
        first_seed=phantom_seed("tune", 50),
        spacing_mm=SPACING_MM,
        height_mm=SMALL_MM,
        width_mm=SMALL_MM,
        view="CC",
    )
    return Path(files[0]["image"])


def _bad_files(folder: Path, phantom: Path) -> dict[str, Path]:
    """One file of each kind that must be refused in one line."""
    folder.mkdir()
    whole = phantom.read_bytes()
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "text.dcm").write_text("not a mammogram")
    (folder / "truncated.dcm").write_bytes(whole[: len(whole) // 2])
    write_mg(folder / "ct.dcm", stored_view(), SOPClassUID=CT, Modality="CT")
    write_mg(folder / "tomosynthesis.dcm", np.stack([stored_view()] * 3), SOPClassUID=TOMOSYNTHESIS, NumberOfFrames=3)
    write_mg(folder / "zero_spacing.dcm", stored_view(), ImagerPixelSpacing=[0, 0])
    write_mg(folder / "one_pixel.dcm", np.ones((1, 1), np.uint16))
    write_mg(folder / "black.dcm", np.zeros((128, 128), np.uint16))
    colour = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(colour).save(folder / "colour.png")
    return {path.stem: path for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("method", [None, "segmentor", "company", "evidence", "ttgpr"])
def test_results_have_the_view_s_size_and_spacing(
    tmp_path: Path, phantom: Path, method: str | None, capsys: pytest.CaptureFixture
) -> None:
    main([str(phantom), "--output-dir", str(tmp_path), *(["--method", method] if method else [])])
    assert "1 views: 1 segmented, 0 refused" in capsys.readouterr().out
    side = round(SMALL_MM / 0.1)
    assert Image.open(tmp_path / f"{phantom.stem}_mask.png").size == (side, side)
    report = json.loads((tmp_path / f"{phantom.stem}_findings.json").read_text())
    assert report["method"] == (method or "augmentation")
    volume = nib.load(tmp_path / f"{phantom.stem}_probability.nii.gz")
    assert volume.shape[:2] == (side, side)
    np.testing.assert_allclose(volume.header.get_zooms()[:2], (0.1, 0.1), rtol=1e-5)
    assert (tmp_path / f"{phantom.stem}_segmentor.nii.gz").exists() == (method != "segmentor")
    (page,) = tmp_path.glob("report_*.html")
    assert ("one pass</label>" in page.read_text()) == (method != "segmentor")


def test_bad_files_are_refused_and_the_good_one_finishes(
    tmp_path: Path, phantom: Path, capsys: pytest.CaptureFixture
) -> None:
    bad = _bad_files(tmp_path / "in", phantom)
    (tmp_path / "in" / "good.dcm").write_bytes(phantom.read_bytes())
    with pytest.raises(SystemExit) as status:
        main([str(tmp_path / "in"), "--output-dir", str(tmp_path / "out"), "--method", "segmentor"])
    assert status.value.code == 1
    output = capsys.readouterr()
    lines = [line for line in (output.out + output.err).splitlines() if "refused: " in line]
    assert len(lines) == len(bad)
    for path in bad.values():
        assert sum(str(path) in line for line in lines) == 1
    assert f"{len(bad) + 1} views: 1 segmented, {len(bad)} refused" in output.out
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["good_findings.json"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.dcm"], "Expected an existing file or folder"),
        (["{phantom}", "--threshold", "7"], "Expected a probability above 0 and below 1"),
        (["{phantom}", "--preset", "best"], "preset"),
        (["{phantom}", "--spacing-mm", "-1"], "spacing"),
        (["{phantom}", "--fp-per-cm2", "1000"], "false positives per cm2 within the measured"),
        (["{phantom}", "--operating-points", "nowhere.json"], "Expected a table of thresholds"),
        (["{phantom}", "--settings", "nowhere.json"], "Expected an existing file"),
    ],
)
def test_wrong_arguments_give_one_line(tmp_path: Path, phantom: Path, arguments: list[str], line: str) -> None:
    filled = [argument.format(phantom=phantom) for argument in arguments]
    with pytest.raises(SystemExit, match=line) as status:
        main([*filled, "--output-dir", str(tmp_path)])
    assert len(str(status.value).splitlines()) == 1
    assert not list(tmp_path.glob("*_findings.json"))


def test_tuned_settings_are_used_and_a_given_threshold_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"preset": "paper", "overrides": {"beta": 2.0}, "threshold": 0.3, "trials": 9}))
    chosen = overrides(parse(["in", "--settings", str(path)]))
    assert (chosen["preset"], chosen["overrides"], chosen["threshold"]) == ("paper", {"beta": 2.0}, 0.3)
    assert overrides(parse(["in", "--settings", str(path), "--threshold", "0.6"]))["threshold"] == 0.6
    assert overrides(parse(["in", "--settings", str(path), "--fp-per-cm2", "0.6"]))["threshold"] is None


def test_wanted_false_positive_rate_chooses_the_threshold(tmp_path: Path, phantom: Path) -> None:
    thresholds = []
    for rate in ("1.0", "0.1"):
        main([str(phantom), "--output-dir", str(tmp_path / rate), "--method", "segmentor", "--fp-per-cm2", rate])
        thresholds.append(json.loads((tmp_path / rate / f"{phantom.stem}_findings.json").read_text())["threshold"])
    assert thresholds[0] < thresholds[1]

"""Commands on folders of good and hostile files: the good ones finish, each bad one has its line."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data import phantom_datalist, phantom_seed
from bundle.data.errors import line_start
from scripts import evaluate, prepare, segment

from .forked import Ended, run
from .seeds import Seed, all_seeds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names that are no UTF-8, as Linux has them"),
]
SIDE_MM = 40.0
EVERY = 17
"""Of the refused seeds, one in so many goes into the folder."""
CONTROL = "\x1b[31m\nb\u202e"
STRANGE_NAMES = (f"-rf{CONTROL};$(touch x)`.dcm", "b\udcff\udcfe.dcm", "c" * 240 + ".dcm")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = phantom_datalist(
        tmp_path_factory.mktemp("phantom"), count=1, first_seed=phantom_seed("tune", 50), spacing_mm=0.1,
        height_mm=SIDE_MM, width_mm=SIDE_MM, view="CC",
    )  # fmt: skip
    return Path(made[0]["image"])


def _bad_seeds() -> list[Seed]:
    return [
        seed
        for seed in all_seeds()
        if seed.reader in ("dicom", "flat", "nifti")
        and not seed.good
        and ("_cut_" in seed.name or "bomb" in seed.name)
        and len(seed.content) < 10**6
    ][::EVERY]


def _fill(folder: Path, phantom: Path) -> tuple[list[Path], list[Path]]:
    """Good files under strange names, and bad ones of every kind."""
    folder.mkdir()
    good = [folder / name for name in ("good.dcm", *STRANGE_NAMES)]
    for path in good:
        path.write_bytes(phantom.read_bytes())
    bad = []
    for seed in _bad_seeds():
        (folder / seed.name).write_bytes(seed.content)
        bad.append(folder / seed.name)
    (folder / "out.dcm").symlink_to("/etc/passwd")
    (folder / "nowhere.dcm").symlink_to(folder / "missing")
    (folder / "circle.dcm").symlink_to(folder / "circle.dcm")
    os.mkfifo(folder / "pipe.dcm")
    (folder / f"bad{CONTROL}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "bad\udcff.nii.gz").write_bytes(b"\x1f\x8b")
    (folder / "folder.dcm").mkdir()
    strange = ("out.dcm", "nowhere.dcm", "circle.dcm", "pipe.dcm", f"bad{CONTROL}.png", "bad\udcff.nii.gz")
    return good, bad + [folder / name for name in strange]


def _check_lines(ended: Ended, bad: list[Path]) -> None:
    assert "Traceback" not in ended.said, ended.said[-3000:]
    assert ended.status == 1
    assert not re.search("\x1b\\[31m|\u202e", ended.said)  # bars move the cursor, by other sequences
    for path in bad:
        assert len(ended.lines_about(line_start(path)[:-2])) == 1, (path.name, ended.said[-3000:])


def _outside(folder: Path, allowed: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and allowed not in path.parents]


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory, phantom: Path) -> tuple[Ended, Path, list[Path], list[Path]]:
    folder = tmp_path_factory.mktemp("segment")
    good, bad = _fill(folder / "in", phantom)
    out = folder / "out"
    options = ["--spacing-mm", "0.1", "--output-dir", str(out), "--method", "segmentor", "--no-dicom", "--show-patient"]
    return run(segment.main, [str(folder / "in"), *options], folder), out, good, bad


def test_segment_finishes_the_good_and_has_a_line_for_each_bad_one(segmented) -> None:
    ended, out, good, bad = segmented
    _check_lines(ended, bad)
    assert f"{len(good) + len(bad)} views: {len(good)} segmented, {len(bad)} refused" in ended.said
    assert len(list(out.glob("*_findings.json"))) == len(good)


def test_what_segment_writes_has_plain_names_and_stays_in_its_folder(segmented) -> None:
    _, out, _, _ = segmented
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", path.name) and path.parent == out for path in out.rglob("*"))
    assert {path.name for path in out.parent.iterdir()} == {"in", "out", "out.txt", "err.txt"}


def test_prepare_finishes_the_good_and_counts_each_bad_one(tmp_path: Path, phantom: Path) -> None:
    good, bad = _fill(tmp_path / "in", phantom)
    options = ["--source", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out"), "--missing-is-clean"]
    ended = run(prepare.main, ["folder", *options], tmp_path)
    # One name is too long, and a spreadsheet would take one for a formula.
    refused = [path for path in good if len(path.name) > 200 or path.name.startswith("-")]
    assert len(refused) == 2
    _check_lines(ended, [*bad, *refused])
    assert f"skipped: {len(bad) + len(refused)} " in ended.said
    views = [path for path in (tmp_path / "out" / "views").rglob("*") if path.is_symlink()]
    assert len(views) == len(good) - len(refused)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "out.txt", "err.txt"}


def test_a_table_cannot_lead_prepare_out_of_its_folder(tmp_path: Path, phantom: Path) -> None:
    images = tmp_path / "in" / "images" / "s"
    images.mkdir(parents=True)
    header = (
        "study_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split,"
        "finding_categories,ymin,xmin,ymax,xmax"
    )
    side = round(SIDE_MM / 0.1)
    rows = [
        f"s,{name},L,CC,{side},{side},BI-RADS 1,DENSITY A,training,['No Finding'],,,,"
        for name in ("../../../leak", "ok")
    ]
    for table in ("breast-level_annotations.csv", "finding_annotations.csv"):
        (tmp_path / "in" / table).write_text("\n".join([header, *rows]))
    (images / "ok.dicom").write_bytes(phantom.read_bytes())
    (tmp_path / "leak.dicom").write_bytes(phantom.read_bytes())
    options = ["--source", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]
    ended = run(prepare.main, ["vindr-mammo", *options], tmp_path)
    assert "Traceback" not in ended.said, ended.said[-3000:]
    assert "skipped: 1 " in ended.said
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "out.txt", "err.txt", "leak.dicom"}
    assert [path.name for path in (tmp_path / "out" / "views").rglob("*.*")] == ["ok.dicom"]


def test_evaluate_names_every_bad_file_before_it_scores_any(tmp_path: Path, phantom: Path) -> None:
    """A table of the good ones alone would hide that cases are missing."""
    good, bad = _fill(tmp_path / "in", phantom)
    (tmp_path / "masks").mkdir()
    side = round(SIDE_MM / 0.1)
    for path in good:
        if len(os.fsencode(path.name)) < 240:
            Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / "masks" / f"{path.stem}.png")
    broken = tmp_path / "masks" / "good.png"
    broken.write_bytes(broken.read_bytes()[:60])
    options = ["--missing-is-clean", "--systems", "top-hat", "--output-dir", str(tmp_path / "out")]
    ended = run(
        evaluate.main, ["--images", str(tmp_path / "in"), "--masks", str(tmp_path / "masks"), *options], tmp_path
    )
    _check_lines(ended, [*bad, broken])
    assert not list((tmp_path / "out").rglob("*.json"))

"""Phantoms on disk: what is written reads back."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.data import phantom as module
from bundle.data.phantom import phantom_datalist, phantom_seed, write_phantom_dicom, write_phantom_label
from bundle.functional.phantom import PhantomView, render_phantom, sample_phantom
from scripts.make_phantom import main

SMALL = {"spacing_mm": 0.2, "height_mm": 60.0, "width_mm": 48.0}


@pytest.fixture(scope="module")
def view() -> PhantomView:
    return render_phantom(sample_phantom(np.random.default_rng(3), view="MLO", laterality="R", **SMALL))


def test_dicom_reads_back_with_its_pixels_and_geometry(view: PhantomView, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_phantom_dicom(tmp_path / "a" / "p.dcm", view, seed=7))
    np.testing.assert_array_equal(dataset.pixel_array, view.image)
    assert [float(value) for value in dataset.ImagerPixelSpacing] == [0.2, 0.2]
    assert (dataset.Modality, dataset.ViewPosition, dataset.ImageLaterality) == ("MG", "MLO", "R")
    assert (dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation) == (12, 11, 0)
    assert (dataset.PhotometricInterpretation, dataset.PresentationIntentType) == ("MONOCHROME2", "FOR PRESENTATION")
    assert dataset.SOPClassUID.name == "Digital Mammography X-Ray Image Storage - For Presentation"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert str(dataset.PatientName) == "Phantom^7"
    assert list(dataset.PatientOrientation) == ["P", "FL"]


def test_uids_follow_from_the_seed(view: PhantomView, tmp_path: Path) -> None:
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    uids = []
    for index, seed in enumerate((1, 1, 2)):
        dataset = pydicom.dcmread(write_phantom_dicom(tmp_path / f"{index}.dcm", view, seed=seed))
        uids.append([dataset[name].value for name in names])
    assert uids[0] == uids[1]
    assert not set(uids[0]) & set(uids[2])
    assert len(set(uids[0])) == 3


def test_files_of_one_phantom_are_the_same_bytes(view: PhantomView, tmp_path: Path) -> None:
    first, second = (write_phantom_dicom(tmp_path / f"{k}.dcm", view, seed=1).read_bytes() for k in range(2))
    assert first == second


def test_label_reads_back(tmp_path: Path) -> None:
    label = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    path = write_phantom_label(tmp_path / "label.png", label)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), label)


def test_datalist_writes_what_is_missing_and_only_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = phantom_datalist(tmp_path, count=2, first_seed=0, **SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 4
    Path(files[1]["label"]).unlink()
    rendered = []
    monkeypatch.setattr(module, "render_phantom", lambda p: rendered.append(p) or render_phantom(p))
    assert phantom_datalist(tmp_path, count=2, first_seed=0, **SMALL) == files
    assert len(rendered) == 1
    assert Path(files[0]["image"]).stat().st_mtime_ns == before[Path(files[0]["image"])]
    assert Path(files[1]["label"]).exists()


def test_other_parameters_get_other_files(tmp_path: Path) -> None:
    lists = [
        phantom_datalist(tmp_path, count=1, first_seed=4, **SMALL),
        phantom_datalist(tmp_path, count=1, first_seed=4, calcified=False, **SMALL),
        phantom_datalist(tmp_path, count=1, first_seed=5, **SMALL),
    ]
    assert len({item["image"] for files in lists for item in files}) == 3


def test_failed_write_leaves_no_file(view: PhantomView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: str, *_: object, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "dcmwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_phantom_dicom(tmp_path / "p.dcm", view)
    assert list(tmp_path.iterdir()) == []


def test_normal_phantoms_have_an_empty_label(tmp_path: Path) -> None:
    (item,) = phantom_datalist(tmp_path, count=1, first_seed=0, calcified=False, **SMALL)
    assert not np.asarray(Image.open(item["label"])).any()


def test_splits_do_not_share_seeds() -> None:
    assert [phantom_seed(split, 0) for split in ("train", "tune", "test")] == [0, 100_000, 200_000]
    assert phantom_seed("train", 99_999) < phantom_seed("tune", 0)
    assert phantom_seed("tune", 99_999) < phantom_seed("test", 0)


@pytest.mark.parametrize(("split", "n"), [("train", 100_000), ("train", -1), ("validation", 0)])
def test_seeds_outside_a_split_are_refused(split: str, n: int) -> None:
    with pytest.raises(ValueError, match="Expected"):
        phantom_seed(split, n)


def test_script_writes_files_and_reports_a_wrong_spacing_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--height-mm", "60", "--width-mm", "48", "--count", "1", "--png", "--output-dir", str(tmp_path)]
    assert main([*small, "--spacing-mm", "0.2"]) == 0
    assert len(list(tmp_path.glob("*.dcm"))) == 1
    assert len(list(tmp_path.glob("*.png"))) == 2
    capsys.readouterr()
    assert main([*small, "--spacing-mm", "0"]) == 1
    assert capsys.readouterr().err.count("\n") == 1

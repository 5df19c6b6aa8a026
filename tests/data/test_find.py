"""Which files count as mammograms."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data.errors import MammogramError
from bundle.data.find import find_mammograms
from tests.data.mg_dicom import stored_view, write_mg


def test_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    assert find_mammograms(tmp_path / "notes.txt") == [{"image": str(tmp_path / "notes.txt")}]


def test_a_folder_is_searched_to_its_depth_in_order_of_paths(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    names = ["b/c/IM0001", "b/1.2.840.5", "a.dcm", "z.PNG"]
    for name in names[:3]:
        write_mg(tmp_path / name, stored_view())
    Image.fromarray(np.eye(70, dtype=np.uint8)).save(tmp_path / "z.PNG")
    expected = ["a.dcm", "b/1.2.840.5", "b/c/IM0001", "z.PNG"]
    assert find_mammograms(tmp_path) == [{"image": str(tmp_path / name)} for name in expected]


def test_hidden_files_directories_of_media_and_other_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (".hidden/a.dcm", "._a.dcm", "DICOMDIR", "a.dcm"):
        write_mg(tmp_path / name, stored_view())
    (tmp_path / "README.txt").write_text("text")
    (tmp_path / "LICENSE").write_text("text")
    assert find_mammograms(tmp_path) == [{"image": str(tmp_path / "a.dcm")}]


def test_labels_beside_their_views_are_left_out(tmp_path: Path) -> None:
    write_mg(tmp_path / "a.dcm", stored_view())
    for name in ("a_label.png", "b_label.png"):
        Image.fromarray(np.eye(70, dtype=np.uint8)).save(tmp_path / name)
    expected = [{"image": str(tmp_path / "a.dcm")}, {"image": str(tmp_path / "b_label.png")}]
    assert find_mammograms(tmp_path) == expected


def test_a_bad_file_with_a_good_name_is_listed_for_the_reader_to_report(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("text")
    assert find_mammograms(tmp_path) == [{"image": str(tmp_path / "text.dcm")}]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match="found none"):
        find_mammograms(tmp_path)
    with pytest.raises(MammogramError, match="existing file or folder"):
        find_mammograms(tmp_path / "nowhere")


def test_results_below_the_folder_are_no_views(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    results = tmp_path / "out"
    (results / "pictures").mkdir(parents=True)
    for name in ("a_findings.json", "a_mask.png", "a_seg.dcm", "pictures/b.png"):
        (results / name).write_bytes(b"x")
    assert [Path(item["image"]).name for item in find_mammograms(tmp_path)] == ["a.png"]
    assert len(find_mammograms(results)) == 3

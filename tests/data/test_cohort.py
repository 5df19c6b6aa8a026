"""Every view of the input is in the cohort once, under a name that no other has."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data.cohort import STUDY_FILES, studies_of, views_of_archive, views_of_input, views_on_disk
from bundle.data.errors import MammogramError
from tests.data.mg_dicom import FOR_PROCESSING, stored_view, write_mg
from tests.scripts.watch_archive import MemoryArchive, add_view


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(80, dtype=np.uint8)).save(path)
    return path


def test_equal_names_in_different_folders_have_different_keys(tmp_path: Path) -> None:
    for folder in "ab":
        _picture(tmp_path / folder / "x.png")
    first, second = views_of_input(str(tmp_path))
    assert first.key != second.key
    assert {len(first.key), len(second.key)} == {16}


def test_a_file_named_twice_is_one_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _picture(tmp_path / "x.png")
    monkeypatch.chdir(tmp_path)
    assert len(views_on_disk([str(path), "x.png", f"{tmp_path}/./x.png"])) == 1
    assert views_on_disk(["x.png"])[0].key == views_on_disk([str(path)])[0].key


def test_a_datalist_gives_each_of_its_views_once(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png"]
    items = [{"image": str(_picture(tmp_path / "views" / name).relative_to(tmp_path))} for name in names]
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"training": items[:2], "negatives": items[:1], "test": items[2:], "seed": 0}))
    assert [Path(view.path).name for view in views_of_input(str(path))] == ["a.png", "b.png", "c.png"]
    assert [Path(view.path).name for view in views_of_input(str(path), lists=["test"])] == ["c.png"]
    in_folder = {view.key for view in views_of_input(str(tmp_path / "views"))}
    assert {view.key for view in views_of_input(str(path))} == in_folder, "the list and the folder name the same views"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"test": []}', '{"test": [{}]}', '{"test": 1}'])
def test_a_datalist_without_views_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "datalist.json"
    path.write_text(content)
    with pytest.raises(MammogramError, match="Expected a") as error:
        views_of_input(str(path))
    assert "\n" not in str(error.value)


def test_lists_of_a_folder_are_refused(tmp_path: Path) -> None:
    _picture(tmp_path / "x.png")
    with pytest.raises(MammogramError, match="Expected a datalist"):
        views_of_input(str(tmp_path), lists=["test"])


def test_every_view_is_in_a_study_of_its_own_kind(tmp_path: Path) -> None:
    for number in range(STUDY_FILES + 1):
        _picture(tmp_path / "pictures" / f"{number:02d}.png")
    (tmp_path / "exam").mkdir()
    for number in range(2):
        write_mg(tmp_path / "exam" / f"{number}.dcm", stored_view(), StudyInstanceUID="1.2.3")
    views = views_of_input(str(tmp_path))
    studies = studies_of(views)
    assert sorted(key for study in studies for key in study.views) == sorted(view.key for view in views)
    assert sorted(len(study.views) for study in studies) == [1, 2, STUDY_FILES]
    assert [len(study.views) for study in studies if study.study.is_dicom] == [2]
    assert len({study.key for study in studies}) == 3


def test_a_study_that_grew_is_another_one(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png")
    (before,) = studies_of(views_of_input(str(tmp_path)))
    assert studies_of(views_of_input(str(tmp_path))) == [before]
    _picture(tmp_path / "b.png")
    (after,) = studies_of(views_of_input(str(tmp_path)))
    assert after.key != before.key


def test_an_archive_gives_its_views_for_presentation_and_fetches_none(tmp_path: Path) -> None:
    archive = MemoryArchive()
    archive.fault = lambda name, *_: pytest.fail("fetched") if name == "fetch" else None
    for study in ("1.2.3", "1.2.4"):
        add_view(archive, tmp_path, study=study)
    add_view(archive, tmp_path, study="1.2.3", SOPClassUID=FOR_PROCESSING)
    views = views_of_archive(archive, tmp_path / "out")
    assert len(views) == 2
    for view in views:
        assert Path(view.path).is_relative_to(tmp_path / "out")
        assert view.instance is not None
        assert view.instance.sop_uid not in view.path
        assert view.study_uid not in view.path
    assert [study.views for study in studies_of(views)] == [(view.key,) for view in views]

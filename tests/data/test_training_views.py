import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.data import MammogramError, training_views

# The package exports a function under its module's name.
MODULE = import_module("bundle.data.training_views")


def _normals(folder: Path, count: int) -> str:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"{number}.png")
    return str(folder)


def test_weights_give_the_real_views_their_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = [{"image": f"phantom_{n}.dcm", "label": "-"} for n in range(5)]
    monkeypatch.setattr(MODULE, "phantom_datalist", lambda *args, **kwargs: phantoms)
    views = training_views(_normals(tmp_path / "real", 2), phantom_dir=str(tmp_path), phantom_count=5, real_share=0.7)
    assert sum(view["weight"] for view in views) == pytest.approx(1.0)
    assert sum(view["weight"] for view in views if "phantom" not in Path(view["image"]).name) == pytest.approx(0.7)


def test_real_views_alone(tmp_path: Path) -> None:
    views = training_views(_normals(tmp_path / "real", 3), phantom_dir=str(tmp_path), phantom_count=0)
    assert [view["weight"] for view in views] == pytest.approx([1 / 3] * 3)


def test_phantoms_alone_are_clean_and_of_the_training_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def phantoms(directory: Path, **options: object) -> list[dict]:
        asked.update(options)
        return [{"image": "phantom.dcm", "label": "-"}]

    monkeypatch.setattr(MODULE, "phantom_datalist", phantoms)
    views = training_views("", phantom_dir=str(tmp_path), phantom_count=1)
    assert [view["weight"] for view in views] == [1.0]
    assert asked["calcified"] is False
    assert asked["first_seed"] == 0


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="real views or phantoms"):
        training_views("", phantom_dir=str(tmp_path), phantom_count=0)
    with pytest.raises(MammogramError):
        training_views(str(tmp_path / "nowhere"), phantom_dir=str(tmp_path), phantom_count=0)


def test_excluded_exams_are_never_drawn_and_the_others_share_their_weight(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("A4", "B1", "exam_L-CC", "exam_R-CC"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"{name}.png")
    views = training_views(str(folder), phantom_dir=str(tmp_path), phantom_count=0, exclude=["exam_", "A4"])
    assert [Path(view["image"]).stem for view in views] == ["B1"]
    assert views[0]["weight"] == 1.0


@pytest.mark.parametrize("misspelt", ["a4", "A44", ""])
def test_an_exclusion_that_fits_no_file_is_refused(tmp_path: Path, misspelt: str) -> None:
    with pytest.raises(MammogramError, match="correct `exclude`"):
        training_views(_normals(tmp_path / "real", 2), phantom_dir=str(tmp_path), phantom_count=0, exclude=[misspelt])


def _datalist(folder: Path) -> str:
    names = ("A_1.dcm", "A_2.dcm", "B_1.dcm")
    items = [{"image": f"views/{name}", "spacing_mm": [0.1, 0.1]} for name in names]
    (folder / "datalist.json").write_text(json.dumps({"negatives": items, "training": [{"image": "calcified.dcm"}]}))
    return str(folder / "datalist.json")


def test_a_datalist_gives_its_negatives_and_exclude_works_on_them(tmp_path: Path) -> None:
    options = {"phantom_dir": str(tmp_path), "phantom_count": 0}
    views = training_views(_datalist(tmp_path), **options)
    assert [view["image"] for view in views] == [str(tmp_path / "views" / n) for n in ("A_1.dcm", "A_2.dcm", "B_1.dcm")]
    assert [view["weight"] for view in views] == pytest.approx([1 / 3] * 3)
    # Whatever a list says of them, real views are never taken for known to be clean: they are screened.
    assert not any("known_clean" in view for view in views)
    left = training_views(_datalist(tmp_path), **options, exclude=["A_"])
    assert [Path(view["image"]).name for view in left] == ["B_1.dcm"]
    with pytest.raises(MammogramError, match="correct `exclude`"):
        training_views(_datalist(tmp_path), **options, exclude=["calcified"])

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle.data import MammogramError
from bundle.data.real_backgrounds import Crop, RealBackgrounds, crop_box, crop_boxes, crops_of, exams_of

SPACING = 0.1


def folder_of(tmp_path: Path, *names: str) -> Path:
    tmp_path.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    return tmp_path


def load(item: Any, *, spacing: tuple[float, float] = (SPACING, SPACING)) -> dict[str, Any]:
    """A breast of noise on the left, whatever the file."""
    image = np.random.default_rng(len(Path(item["image"]).name)).normal(-0.3, 0.05, (1, 620, 500)).astype(np.float32)
    image[..., 450:] = -1
    meta = {"spacing_mm": np.array(spacing)}
    return {"image": MetaTensor(torch.from_numpy(image), meta=meta), "breast": torch.from_numpy(image > -1)}


def crop(injection: int | None, *, number: int = 0, path: str = "a/A1.png") -> Crop:
    return Crop("A1", path, number, injection)


def test_exam_is_what_stands_before_the_first_underscore(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "b_L-CC.png", "b_R_MLO.png", "A4.png", "A40.png")
    exams = exams_of(folder)
    assert {exam: [Path(path).name for path in paths] for exam, paths in exams.items()} == {
        "A4": ["A4.png"],
        "A40": ["A40.png"],
        "b": ["b_L-CC.png", "b_R_MLO.png"],
    }


def test_a_table_overrides_the_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "normals", "a_1.png", "a_2.png", "c.png")
    table = tmp_path / "exams.csv"
    table.write_text("image,exam\na_1.png,first\na_2.png,second\nc.png,first\n")
    assert {exam: len(paths) for exam, paths in exams_of(folder, table).items()} == {"first": 2, "second": 1}
    table.write_text("image,exam\na_1.png,first\n")
    with pytest.raises(MammogramError, match=r"found none for a_2\.png"):
        exams_of(folder, table)
    table.write_text("file;patient\n")
    with pytest.raises(MammogramError, match="columns image and exam"):
        exams_of(folder, table)


def test_one_exam_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match="at least two exams"):
        exams_of(folder_of(tmp_path, "a_1.png", "a_2.png"))


def test_two_files_of_one_name_are_refused_since_cases_go_by_it(tmp_path: Path) -> None:
    for exam in "ab":
        folder_of(tmp_path / exam, "L_CC.png", f"{exam}_1.png")
    with pytest.raises(MammogramError, match=r"several called L_CC\.png"):
        exams_of(tmp_path)


def test_every_crop_comes_clean_and_with_each_injection() -> None:
    crops = crops_of({"a": ["x/a_1.png", "x/a_2.png"], "b": ["x/b.png"]}, crops_per_view=2, injections=3)
    assert len(crops) == 3 * 2 * 4
    assert len({one.name for one in crops}) == len(crops)
    assert sum(one.injection is None for one in crops) == 3 * 2


def test_a_whole_view_holds_what_its_crops_hold_and_nothing_between_them() -> None:
    backgrounds = RealBackgrounds(load, crop_mm=20.0)
    view, plain = backgrounds.load_whole("A1", "a/A1.png", 1), load({"image": "a/A1.png"})
    image, breast = np.asarray(plain["image"])[0], np.asarray(plain["breast"])[0]
    between = np.ones(image.shape, bool)
    boxes = crop_boxes(breast, side_px=200, path="a/A1.png")
    assert len(boxes) > 2
    for number, box in enumerate(boxes):
        case = backgrounds.load(crop(1, number=number))
        np.testing.assert_array_equal(view["image"][box], case["image"])
        np.testing.assert_array_equal(view["label"][box], case["label"])
        assert between[box].all()
        between[box] = False
    np.testing.assert_array_equal(view["image"][between], image[between])
    assert not view["label"][between].any()


def test_injection_changes_the_crop_at_its_calcifications_alone() -> None:
    backgrounds = RealBackgrounds(load, crop_mm=20.0)
    clean, injected = backgrounds.load(crop(None)), backgrounds.load(crop(0))
    assert not clean["label"].any()
    assert (injected["label"] == 1).any()
    changed = clean["image"] != injected["image"]
    rows, columns = np.nonzero(injected["label"])
    for row, column in zip(*np.nonzero(changed), strict=True):
        assert np.hypot(rows - row, columns - column).min() < 1.5 / SPACING
    assert (injected["image"] - clean["image"])[injected["label"] == 1].min() > 0
    assert clean["image"].shape == (200, 200)
    assert clean["spacing_mm"] == (SPACING, SPACING)


def test_what_an_injection_adds_is_the_difference_of_its_crops_before_rounding() -> None:
    backgrounds = RealBackgrounds(load, crop_mm=20.0)
    clean, injected = backgrounds.load(crop(None)), backgrounds.load(crop(0))
    added = backgrounds.added(crop(0))
    assert added.max() > 0.05
    # Both crops are rounded to 256 grey levels over a range of 2.
    np.testing.assert_allclose(injected["image"] - clean["image"], added, atol=2 / 255 + 1e-6)
    assert (added[injected["label"] == 1] > 0).all()


def test_a_case_is_the_same_in_any_order_and_any_folder() -> None:
    first, second = RealBackgrounds(load, crop_mm=20.0), RealBackgrounds(load, crop_mm=20.0)
    second.load(crop(2))
    second.load(crop(1, path="other/B.png"))
    for key in ("image", "label"):
        np.testing.assert_array_equal(first.load(crop(1))[key], second.load(crop(1, path="moved/to/A1.png"))[key])


def test_injections_and_files_have_streams_of_their_own() -> None:
    backgrounds = RealBackgrounds(load, crop_mm=20.0)
    labels = [backgrounds.load(one)["label"] for one in (crop(0), crop(1), crop(0, number=1), crop(0, path="a/A2.png"))]
    assert len({label.tobytes() for label in labels}) == 4


def test_views_are_read_once_as_long_as_they_come_one_after_another() -> None:
    read: list[str] = []

    def counted(item: Any) -> dict[str, Any]:
        read.append(item["image"])
        return load(item)

    backgrounds = RealBackgrounds(counted, crop_mm=20.0)
    for one in crops_of({"a": ["a/A1.png"], "b": ["a/B1.png"]}, crops_per_view=2, injections=1):
        backgrounds.load(one)
    assert read == ["a/A1.png", "a/B1.png"]


def test_clean_and_injected_crops_are_quantised_and_compressed_alike() -> None:
    plain, compressed = RealBackgrounds(load, crop_mm=20.0), RealBackgrounds(load, crop_mm=20.0, jpeg_quality=70)
    for one in (crop(None), crop(0)):
        levels = (plain.load(one)["image"] + 1) / 2 * 255
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
        changed = plain.load(one)["image"] != compressed.load(one)["image"]
        assert changed.mean() > 0.5


def test_screened_spots_count_nowhere_and_injected_ones_still_do() -> None:
    def spotted(item: Any) -> dict[str, Any]:
        view = load(item)
        view["image"] = view["image"].clone()
        view["image"][0, 100::60, 100::60] = 1.0
        return view

    plain, screened = (RealBackgrounds(spotted, crop_mm=20.0, screen=screen) for screen in (False, True))
    assert not plain.load(crop(None))["label"].any()
    spots = screened.load(crop(None))["label"]
    assert set(np.unique(spots)) == {0, 2}
    assert spots.mean() < 0.1
    before, after = plain.load(crop(0))["label"], screened.load(crop(0))["label"]
    np.testing.assert_array_equal(after == 1, before == 1)
    assert (after[spots == 2] != 0).all()


def test_crops_of_a_view_do_not_overlap_and_hold_breast() -> None:
    breast = np.asarray(load({"image": "x"})["breast"])[0]
    seen = np.zeros(breast.shape, int)
    for number in range(4):
        box = crop_box(breast, number=number, side_px=200, path="x")
        seen[box] += 1
        assert breast[box].sum() >= 0.5 * 200**2
    assert seen.max() == 1
    with pytest.raises(MammogramError, match="at least 10 crops"):
        crop_box(breast, number=9, side_px=200, path="x")


def test_oblong_pixels_and_senseless_sizes_are_refused() -> None:
    oblong = RealBackgrounds(lambda item: load(item, spacing=(0.1, 0.12)), crop_mm=20.0)
    with pytest.raises(MammogramError, match="square pixels"):
        oblong.load(crop(None))
    with pytest.raises(ValueError, match="side > 0 mm"):
        RealBackgrounds(load, crop_mm=0)

from pathlib import Path

import numpy as np
import pytest

from bundle.data.annotations import filled
from bundle.data.mini_mias import circle_regions, list_mini_mias


def _lines(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Info.txt").write_text("\n".join(["Some words", *lines]))
    return folder


def test_y_counts_upwards_from_the_bottom_row() -> None:
    (outline,) = circle_regions([(300, 0, 10)], (1024, 1024)).clusters
    assert outline[:, 0].max() == 1023
    (outline,) = circle_regions([(300, 700, 40)], (1024, 1024)).clusters
    np.testing.assert_allclose(outline.mean(axis=0), [1023 - 700, 300], atol=1e-9)


@pytest.mark.parametrize("radius", [3, 40, 93])
def test_a_circle_has_its_area(radius: int) -> None:
    rois = circle_regions([(500, 400, radius)], (1024, 1024))
    assert filled(rois.clusters, (1024, 1024)).sum() == pytest.approx(
        np.pi * radius**2, rel=0.15 if radius < 5 else 0.02
    )


def test_films_of_a_pair_are_one_patient_left_even_right_odd(tmp_path: Path) -> None:
    views = list_mini_mias(_lines(tmp_path, *(f"mdb{n:03d} F NORM" for n in range(1, 5)))).views
    assert [view.patient for view in views] == ["pair001", "pair001", "pair002", "pair002"]
    assert [view.laterality for view in views] == ["R", "L", "R", "L"]


def test_all_circles_of_a_film_are_its_truth_and_one_without_a_place_spoils_it(tmp_path: Path) -> None:
    listing = list_mini_mias(
        _lines(
            tmp_path,
            "mdb223 D CALC B 523 482 29",
            "mdb223 D CALC B 591 529 6",
            "mdb226 D CALC B 287 610 7",
            "mdb226 D CALC B *NOTE 3*",
            "mdb249 D CIRC B 544 508 48",
            "mdb249 D CALC B 544 508 48",
        )
    )
    assert [view.name for view in listing.views] == ["mdb223", "mdb249"]
    assert [len(view.truth((1024, 1024)).clusters) for view in listing.views] == [2, 1]
    assert [(entry.what, entry.reason) for entry in listing.skipped] == [("mdb226", "calcifications without a place")]


def test_a_line_that_cannot_be_read_spoils_its_film_alone(tmp_path: Path) -> None:
    listing = list_mini_mias(
        _lines(tmp_path, "mdb001 F NORM", "mdb002 F WHAT B 1 2 3", "mdb002 F NORM", "mdb00", "mdb003 F NORM")
    )
    assert [view.name for view in listing.views] == ["mdb001", "mdb003"]
    assert [entry.what for entry in listing.skipped] == ["Info.txt line 3", "Info.txt line 5"]

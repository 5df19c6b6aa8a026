"""Qualitative panels colour objects as they are counted."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from bundle.functional.objects import count_objects
from bundle.reports.figures import png
from bundle.reports.panels import FALSE, FOUND, MISSED, PanelCase, _wrapped, densest_crop, panel_sheet

SHAPE = (90, 120)


def case(**changes: object) -> PanelCase:
    """Two true objects, one of which is found, and two false ones, one of them outside the breast."""
    image = np.linspace(-0.5, 0.5, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    image[:, 100:] = -1
    label = np.zeros(SHAPE, np.uint8)
    label[20:22, 30:32] = label[50:53, 60:62] = 1
    pred = np.zeros(SHAPE, bool)
    pred[20:22, 30:33] = pred[70:72, 20:22] = pred[10:12, 110:112] = True
    settings = {"image": image, "label": label, "preds": {"segmentor": pred}, "region": image > -1, **changes}
    return PanelCase(name="one", **settings)  # type: ignore[arg-type]


def test_counts_below_a_panel_are_those_of_the_metrics() -> None:
    shown = case()
    counts = count_objects(shown.preds["segmentor"], shown.label, spacing_mm=(0.07, 0.07), region=shown.region)
    axes: Any = panel_sheet([shown], ["segmentor"]).axes
    assert axes[2].get_xlabel() == f"{counts.tp:g} found, {counts.fp:g} false, {counts.fn:g} missed"
    assert axes[1].get_xlabel() == f"{counts.tp + counts.fn:g} true"


def test_pixels_of_an_object_have_the_colour_of_its_fate() -> None:
    axes: Any = panel_sheet([case()], ["segmentor"]).axes[2]
    layers = [image.get_array() for image in axes.images[1:]]
    for layer, (colour, _, _), (row, column), pixels in zip(
        layers, (FOUND, FALSE, MISSED), ((20, 32), (70, 20), (50, 60)), (6, 4, 6), strict=True
    ):
        np.testing.assert_allclose(layer[row, column], to_rgba(colour))
        assert np.count_nonzero(layer[..., 3]) == pixels


def test_rings_are_at_columns_and_rows_of_the_crop() -> None:
    axes: Any = panel_sheet([case()], ["segmentor"], crop_px=60).axes[2]
    crop = densest_crop(case().label == 1, case().image > -1, crop_px=60)
    (ring,) = axes.collections[2].get_offsets()
    np.testing.assert_allclose(ring, [60.5 - crop[1].start, 51 - crop[0].start])


def test_a_system_without_a_prediction_says_so() -> None:
    axes: Any = panel_sheet([case()], ["segmentor", "unet"]).axes
    assert [text.get_text() for text in axes[3].texts] == ["no prediction"]


def test_scale_bar_is_as_long_as_it_says() -> None:
    axes: Any = panel_sheet([case(spacing_mm=(0.1, 0.05))], ["segmentor"]).axes[0]
    (left, right), length_mm = axes.lines[0].get_xdata(), float(axes.texts[0].get_text().removesuffix(" mm"))
    assert (right - left) * 0.05 == pytest.approx(length_mm)
    assert length_mm == 2


def test_views_without_objects_breast_or_prediction_are_drawn() -> None:
    empty = case(label=np.zeros(SHAPE, np.uint8), preds={"segmentor": np.zeros(SHAPE, bool)})
    nothing = case(image=np.full(SHAPE, -1, np.float32), region=None)
    figure = panel_sheet([empty, nothing], ["segmentor"])
    assert figure.axes[2].get_xlabel() == "0 found, 0 false, 0 missed"
    assert png(figure).startswith(b"\x89PNG")


def test_crop_holds_all_it_can_in_its_middle() -> None:
    wanted = np.zeros((400, 300), bool)
    wanted[200:220, 140:160] = True
    wanted[5, 5] = True
    crop = densest_crop(wanted, ~wanted, crop_px=101)
    assert wanted[crop].sum() == 400
    for part, middle in zip(crop, (209.5, 149.5), strict=True):
        assert part.stop - part.start == 101
        assert abs((part.start + part.stop - 1) / 2 - middle) <= 1.5


@pytest.mark.parametrize("corner", [(0, 0), (0, 299), (399, 0), (399, 299)])
def test_crop_stays_inside_the_view(corner: tuple[int, int]) -> None:
    wanted = np.zeros((400, 300), bool)
    wanted[corner] = True
    crop = densest_crop(wanted, wanted, crop_px=128)
    assert wanted[crop].shape == (128, 128)
    assert wanted[crop].any()


def test_small_views_are_shown_whole() -> None:
    wanted = np.zeros((40, 300), bool)
    assert densest_crop(wanted, wanted, crop_px=64)[0] == slice(0, 40)


def test_long_names_break_between_words() -> None:
    assert _wrapped("segmentor") == "segmentor"
    assert _wrapped("difference-of-gaussians") == "difference-of-\ngaussians"
    assert _wrapped("segmentor of another site") == "segmentor of another\nsite"

"""The breast of a view and its intensity window."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from bundle.functional.breast import (
    apply_window,
    breast_mask,
    dilated,
    eroded,
    intensity_window,
    windowed_view,
)

SPACING_MM = (0.2, 0.2)
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def disc_view(rows: int = 600, columns: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A half disc of textured tissue at the left edge with a faint skin, a dense band and no air noise."""
    row, column = np.mgrid[:rows, :columns]
    distance = np.hypot(row - rows / 2, column)
    truth = distance < 0.6 * columns
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=(rows, columns)), 3)
    tissue = 100 + 200 * texture + rng.normal(size=(rows, columns))
    thickness = np.clip((0.6 * columns - distance) / 20, 0.1, 1)
    return np.where(truth, np.maximum(tissue * thickness, 8), 0.0).astype(np.float32), truth


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def add_marker(view: np.ndarray, row: int, column: int) -> np.ndarray:
    """A burned-in frame with two strokes, brighter than any tissue, 10 x 24 mm."""
    marked = view.copy()
    marked[row : row + 50, column : column + 120] = 255
    marked[row + 4 : row + 46, column + 4 : column + 116] = view[row + 4 : row + 46, column + 4 : column + 116]
    marked[row + 10 : row + 40, column + 30 : column + 36] = 255
    marked[row + 10 : row + 40, column + 60 : column + 66] = 255
    return marked


class TestBreastMask:
    def test_it_is_the_disc_skin_included(self):
        view, truth = disc_view()
        assert overlap(breast_mask(view, spacing_mm=SPACING_MM), truth) > 0.98

    @pytest.mark.parametrize("flip", [np.fliplr, np.flipud])
    def test_flipping_the_view_flips_the_mask(self, flip):
        view, _ = disc_view()
        mask = breast_mask(view, spacing_mm=SPACING_MM)
        np.testing.assert_array_equal(breast_mask(flip(view), spacing_mm=SPACING_MM), flip(mask))

    @pytest.mark.parametrize(("gain", "offset"), [(1 / 255, 0.0), (16.0, 1000.0), (1.0, -500.0)])
    def test_grey_scale_and_offset_do_not_matter(self, gain, offset):
        view, _ = disc_view()
        mask = breast_mask(view, spacing_mm=SPACING_MM)
        assert overlap(breast_mask(gain * view + offset, spacing_mm=SPACING_MM), mask) > 0.995

    def test_noisy_sloping_background_is_air(self):
        view, truth = disc_view()
        noise = np.random.default_rng(1).normal(0, 3, view.shape)
        sloping = view + 30 + noise + np.linspace(0, 6, view.shape[1])
        assert overlap(breast_mask(sloping, spacing_mm=SPACING_MM), truth) > 0.95

    def test_markers_are_not_breast(self):
        view, _ = disc_view()
        mask = breast_mask(view, spacing_mm=SPACING_MM)
        marked = breast_mask(add_marker(view, 20, 260), spacing_mm=SPACING_MM)
        assert not marked[15:75, 255:385].any()
        assert overlap(marked, mask) > 0.999

    def test_a_line_that_joins_a_marker_to_the_breast_is_cut(self):
        view, _ = disc_view()
        joined = add_marker(view, 275, 270)
        joined[298:301, 200:275] = 255
        assert not breast_mask(joined, spacing_mm=SPACING_MM)[275:325, 285:390].any()

    def test_dark_fat_inside_the_breast_is_breast(self):
        view, truth = disc_view()
        view[280:320, 60:120] = 0
        assert overlap(breast_mask(view, spacing_mm=SPACING_MM), truth) > 0.98

    def test_a_view_without_air_is_breast_everywhere(self):
        view, _ = disc_view()
        assert breast_mask(view[200:400, 20:160], spacing_mm=SPACING_MM).all()

    def test_the_pixel_size_changes_the_grid_and_not_the_breast(self):
        view, _ = disc_view()
        fine = breast_mask(view, spacing_mm=(0.05, 0.05))
        assert overlap(fine, breast_mask(view, spacing_mm=(0.1, 0.2))) > 0.97

    @pytest.mark.parametrize(
        ("reason", "view"),
        [
            ("contrast, got 0", np.zeros((100, 100))),
            ("8 x 8", np.zeros((1, 1))),
            ("rows, columns", np.zeros((1, 100, 100))),
            ("finite", np.full((100, 100), np.nan)),
        ],
    )
    def test_what_is_no_view_is_refused(self, reason, view):
        with pytest.raises(ValueError, match=reason):
            breast_mask(view, spacing_mm=SPACING_MM)

    def test_a_black_view_with_a_marker_holds_no_breast(self):
        with pytest.raises(ValueError, match="only markers"):
            breast_mask(add_marker(np.zeros((600, 400)), 20, 260), spacing_mm=SPACING_MM)

    def test_zero_spacing_is_refused(self):
        with pytest.raises(ValueError, match="--spacing-mm"):
            breast_mask(disc_view()[0], spacing_mm=(0.0, 0.1))

    @pytest.mark.skipif(not (SHARED / "data").exists(), reason="the real views are not part of the project")
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["A4.jpg", "B1.jpg", "B2.jpg", "C3.jpg", "C4.jpg", "D2.jpg"])
    def test_real_views_keep_their_breast_and_lose_their_marker(self, name):
        view = np.asarray(Image.open(SHARED / "data" / "normal_mammograms" / name).convert("L"), dtype=np.float32)
        mask = breast_mask(view, spacing_mm=(0.07, 0.07))
        lit = ndimage.binary_opening(view[::8, ::8] > 10, iterations=3)
        labels, _ = ndimage.label(lit)
        largest = labels == np.bincount(labels[lit]).argmax()
        assert overlap(mask[::8, ::8], largest) > 0.95
        assert ndimage.label(mask[::8, ::8])[1] == 1


class TestWindow:
    def test_the_percentiles_go_to_minus_one_and_high_value(self):
        view, truth = disc_view()
        low, high = intensity_window(view, truth)
        inside = apply_window(view, low, high)[truth]
        assert np.mean(inside <= -1) == pytest.approx(0.001, abs=2e-3)
        assert np.mean(inside > 0.8) == pytest.approx(0.001, abs=1e-4)
        assert apply_window(np.array([low, high]), low, high) == pytest.approx([-1, 0.8])

    def test_it_is_linear_between_and_clipped_beyond(self):
        windowed = apply_window(np.array([-99.0, 0.0, 5.0, 10.0, 99.0]), 0, 10)
        np.testing.assert_allclose(windowed, [-1, -1, -0.1, 0.8, 1], atol=1e-7)

    def test_peaks_above_the_window_survive_up_to_a_ninth_of_its_width(self):
        assert apply_window(np.array([11.0]), 0, 10)[0] == pytest.approx(0.98)

    def test_what_lies_outside_the_breast_does_not_move_the_window(self):
        view, truth = disc_view()
        assert intensity_window(add_marker(view, 20, 260), truth) == intensity_window(view, truth)

    def test_gain_and_offset_cancel(self):
        view, truth = disc_view()
        plain = windowed_view(view, truth, spacing_mm=SPACING_MM)
        np.testing.assert_allclose(windowed_view(16 * view + 100, truth, spacing_mm=SPACING_MM), plain, atol=1e-4)

    def test_the_input_is_left_alone(self):
        view, truth = disc_view()
        before = view.copy()
        windowed_view(view, truth, spacing_mm=SPACING_MM)
        np.testing.assert_array_equal(view, before)

    def test_empty_masks_and_constant_breasts_are_refused(self):
        view, truth = disc_view()
        with pytest.raises(ValueError, match="empty"):
            intensity_window(view, np.zeros_like(truth))
        with pytest.raises(ValueError, match="got 3 at both percentiles"):
            intensity_window(np.full_like(view, 3), truth)
        with pytest.raises(ValueError, match="shape"):
            intensity_window(view, truth[:10])
        with pytest.raises(ValueError, match="0 <= low < high"):
            intensity_window(view, truth, low_percentile=50, high_percentile=50)
        with pytest.raises(ValueError, match="low < high"):
            apply_window(view, 5, 5)
        with pytest.raises(ValueError, match="low_value < high_value"):
            apply_window(view, 0, 5, high_value=1.5)


class TestWindowedView:
    def test_outside_the_margin_is_exactly_minus_one_markers_and_all(self):
        view, truth = disc_view()
        windowed = windowed_view(add_marker(view, 20, 260), truth, spacing_mm=SPACING_MM)
        far = ndimage.distance_transform_edt(~truth, sampling=SPACING_MM) > 1.5 + 0.6
        assert (windowed[far] == -1).all()

    def test_above_minus_one_holds_the_whole_breast(self):
        view, truth = disc_view()
        assert (windowed_view(view, truth, spacing_mm=SPACING_MM)[truth] > -1).all()

    def test_the_range_is_kept_and_is_float32(self):
        view, truth = disc_view()
        windowed = windowed_view(view.astype(np.float64), truth, spacing_mm=SPACING_MM)
        assert windowed.dtype == np.float32
        assert (windowed.min(), windowed.max()) == (-1, pytest.approx(1, abs=0.2))


class TestMargins:
    @pytest.mark.parametrize("radius_mm", [0.0, 1.5, 4.0])
    def test_dilation_is_the_distance_transforms_to_a_grid_cell(self, radius_mm):
        _, truth = disc_view()
        grown = dilated(truth, radius_mm, spacing_mm=SPACING_MM)
        distance = ndimage.distance_transform_edt(~truth, sampling=SPACING_MM)
        assert (grown >= truth).all()
        assert grown[distance <= radius_mm - 0.6].all()
        assert not grown[distance > radius_mm + 0.6].any()

    def test_erosion_is_the_dilation_of_the_complement(self):
        _, truth = disc_view()
        np.testing.assert_array_equal(
            eroded(truth, 2.0, spacing_mm=SPACING_MM), ~dilated(~truth, 2.0, spacing_mm=SPACING_MM)
        )

    def test_erosion_keeps_the_chest_wall(self):
        _, truth = disc_view()
        assert eroded(truth, 2.0, spacing_mm=SPACING_MM)[300, 0]
        assert not eroded(truth, 2.0, spacing_mm=SPACING_MM)[300, 238]

    def test_an_empty_mask_stays_empty_and_a_full_one_full(self):
        empty = np.zeros((50, 50), bool)
        assert not dilated(empty, 3.0, spacing_mm=SPACING_MM).any()
        assert eroded(~empty, 3.0, spacing_mm=SPACING_MM).all()

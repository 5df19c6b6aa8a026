"""Measures of puncta, edges, blobs and the independent renderer, against closed forms and what is known."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.functional.fidelity import (
    PROFILE_REACH_MM,
    drawn_puncta,
    edge_width_mm,
    measure_blobs,
    nearest_neighbour_mm,
    outline,
    radial_profile,
    radial_samples,
    reference_sphere,
    sample_distance,
)
from bundle.functional.injection import (
    IGNORE,
    MICROCALCIFICATION,
    Injection,
    InjectionRanges,
    inject,
    local_contrast,
    sample_injection,
)
from bundle.functional.puncta import Punctum, render_punctum

SPACING_MM = 0.07
# 90 to 10 % of a Gaussian, in standard deviations: sqrt(2 ln 10) - sqrt(2 ln (10 / 9)).
GAUSSIAN_EDGE = math.sqrt(2 * math.log(10)) - math.sqrt(2 * math.log(10 / 9))


def _background(seed: int = 0, side: int = 256) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.05, (side, side))
    return (gaussian_filter(noise, 1.0) - 0.3).astype(np.float32)


def _disc(radius_mm: float) -> np.ndarray:
    return np.array([[0.0, 0.0, radius_mm, radius_mm, 0.0]])


@pytest.mark.parametrize("by_thickness", [False, True])
def test_drawn_puncta_are_those_that_inject_makes(by_thickness: bool) -> None:
    """Peak and visibility of each punctum alone, measured from the image and label that `inject` returns."""
    background = _background()
    ranges = InjectionRanges(empty_share=0, by_thickness_share=float(by_thickness), puncta=(8, 12))
    injection = sample_injection(np.random.default_rng(2), extent_mm=(256 * SPACING_MM,) * 2, ranges=ranges)
    drawn = drawn_puncta(background, injection, spacing_mm=SPACING_MM)
    assert len(drawn.cnr) == len(injection.puncta) > 5
    assert set(drawn.visible) == {True, False}
    contrast = local_contrast(background, spacing_mm=SPACING_MM)
    for n, punctum in enumerate(injection.puncta):
        alone = Injection((punctum,), injection.blur_sigma_mm, injection.by_thickness)
        image, label = inject(background, alone, spacing_mm=SPACING_MM)
        assert label.max() == (MICROCALCIFICATION if drawn.visible[n] else IGNORE)
        local = float(contrast[int(punctum.row_mm / SPACING_MM), int(punctum.column_mm / SPACING_MM)])
        # A punctum at the border may have its peak outside the patch.
        if all(1 < place < 255 * SPACING_MM - 1 for place in (punctum.row_mm, punctum.column_mm)):
            assert (image - background).max() / local == pytest.approx(drawn.cnr[n], rel=1e-3)


def test_puncta_outside_the_breast_are_not_drawn() -> None:
    background = _background()
    background[:, :128] = -1
    puncta = tuple(Punctum(5.0, column, _disc(0.2), 10.0) for column in (3.0, 14.0, 99.0))
    drawn = drawn_puncta(background, Injection(puncta, 0.04), spacing_mm=SPACING_MM)
    np.testing.assert_array_equal(drawn.position_mm, [[5.0, 14.0]])


def test_pieces_are_counted_in_the_label() -> None:
    """Two dots 0.6 mm apart are one punctum whose label is two objects."""
    apart = np.array([[0.0, -0.3, 0.1, 0.1, 0.0], [0.0, 0.3, 0.1, 0.1, 0.0]])
    puncta = Punctum(5.0, 5.0, apart, 10.0), Punctum(9.0, 9.0, _disc(0.1), 10.0)
    drawn = drawn_puncta(_background(), Injection(puncta, 0.04), spacing_mm=SPACING_MM)
    assert drawn.pieces.tolist() == [2, 1]


def test_no_puncta_have_empty_measures() -> None:
    drawn = drawn_puncta(_background(), Injection((), 0.04), spacing_mm=SPACING_MM)
    assert [len(values) for values in drawn] == [0] * 6


def test_outline_of_a_disc_is_its_diameter() -> None:
    diameter, elongation = outline(_disc(0.2))
    assert diameter == pytest.approx(0.4, rel=0.02)
    assert elongation == pytest.approx(1.0, rel=0.02)


def test_outline_of_an_ellipse_is_its_area_and_axes() -> None:
    diameter, elongation = outline(np.array([[0.1, -0.2, 0.4, 0.1, 0.7]]))
    assert diameter == pytest.approx(2 * math.sqrt(0.4 * 0.1), rel=0.02)
    assert elongation == pytest.approx(4.0, rel=0.05)


def test_outline_counts_an_overlap_once() -> None:
    assert outline(np.repeat(_disc(0.2), 3, axis=0)) == pytest.approx(outline(_disc(0.2)))


def test_nearest_neighbours_of_three_on_a_line() -> None:
    np.testing.assert_allclose(nearest_neighbour_mm(np.array([[0.0, 0], [0, 1], [0, 4]])), [1, 1, 3])
    assert nearest_neighbour_mm(np.zeros((1, 2))).tolist() == [math.inf]


@pytest.mark.parametrize("spacing_mm", [0.05, 0.1])
@pytest.mark.parametrize("blur_mm", [0.025, 0.065])
def test_reference_sphere_keeps_its_volume(spacing_mm: float, blur_mm: float) -> None:
    tile = reference_sphere(0.3, spacing_mm=spacing_mm, blur_sigma_mm=blur_mm, offset_px=(0.3, -0.2))
    assert tile.sum() * spacing_mm**2 == pytest.approx(math.pi * 0.3**3 / 6, rel=4e-3)


def test_reference_sphere_without_blur_has_its_diameter_at_the_centre() -> None:
    assert reference_sphere(0.5, spacing_mm=0.005, blur_sigma_mm=1e-4).max() == pytest.approx(0.5, rel=1e-3)


def test_a_small_sphere_is_the_blur_itself() -> None:
    """Far finer than the blur: a Gaussian with the volume of the sphere, at the centre of a fine pixel."""
    tile = reference_sphere(0.02, spacing_mm=0.01, blur_sigma_mm=0.065)
    assert tile.max() == pytest.approx(math.pi * 0.02**3 / 6 / (2 * math.pi * 0.065**2), rel=0.02)


def test_reference_sphere_moves_with_its_offset() -> None:
    tile = reference_sphere(0.2, spacing_mm=0.07, blur_sigma_mm=0.05, offset_px=(0.4, -0.3))
    rows, columns = np.indices(tile.shape) - tile.shape[0] // 2
    assert (tile * rows).sum() / tile.sum() == pytest.approx(0.4, abs=0.01)
    assert (tile * columns).sum() / tile.sum() == pytest.approx(-0.3, abs=0.01)


@pytest.mark.parametrize("diameter_mm", [0.2, 0.3, 0.5])
def test_training_renderer_is_within_five_percent_of_the_reference(diameter_mm: float) -> None:
    punctum = Punctum(0.3 * SPACING_MM, 0.6 * SPACING_MM, _disc(diameter_mm / 2), 1.0)
    own = render_punctum(punctum, spacing_mm=SPACING_MM, blur_sigma_mm=0.04).peak_mm
    peak = reference_sphere(diameter_mm, spacing_mm=SPACING_MM, blur_sigma_mm=0.04, offset_px=(-0.2, 0.1)).max()
    assert own == pytest.approx(peak, rel=0.05)


def test_edge_width_of_a_gaussian() -> None:
    radius = np.arange(0, 1, 0.002)
    assert edge_width_mm(radius, np.exp(-(radius**2) / 2 / 0.1**2)) == pytest.approx(0.1 * GAUSSIAN_EDGE, rel=1e-3)


def test_edge_that_never_falls_has_no_width() -> None:
    assert math.isnan(edge_width_mm(np.arange(5.0), np.ones(5)))


def test_radial_profile_recovers_a_gaussian_from_its_pixels() -> None:
    """Several places within the pixel give a profile finer than the pixels."""
    distances, values = [], []
    for shift in np.linspace(0, 0.9, 8):
        centre = np.array([30 + shift, 30.4])
        rows, columns = np.indices((61, 61)) + 0.5
        squared = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) * SPACING_MM**2
        distance, value = radial_samples(np.exp(-squared / 2 / 0.15**2), centre, spacing_mm=SPACING_MM)
        distances.append(distance)
        values.append(value * np.exp(-squared / 2 / 0.15**2).max())
    radius, profile = radial_profile(np.concatenate(distances), np.concatenate(values))
    np.testing.assert_allclose(profile, np.exp(-(radius**2) / 2 / 0.15**2), atol=0.02)
    assert radius.max() < PROFILE_REACH_MM


def test_radial_samples_at_the_border_stay_inside() -> None:
    picture = np.zeros((20, 20))
    picture[0, 0] = 2.0
    distance, value = radial_samples(picture, (0.5, 0.5), spacing_mm=SPACING_MM)
    assert distance[value.argmax()] == 0
    assert value.max() == 1


@pytest.mark.parametrize("sigma_mm", [0.1, 0.15])
def test_a_gaussian_blob_is_found_at_its_place_and_scale(sigma_mm: float) -> None:
    rows, columns = np.indices((100, 100))
    blob = np.exp(-((rows - 40) ** 2 + (columns - 60) ** 2) * SPACING_MM**2 / 2 / sigma_mm**2)
    blobs = measure_blobs((0.5 * blob - 0.5).astype(np.float32), spacing_mm=SPACING_MM)
    strongest = int(blobs.contrast.argmax())
    assert blobs.position_px[strongest].tolist() == [40, 60]
    # The normalised DoG of a Gaussian of deviation s is largest near scale s; scales are 25 % apart.
    assert blobs.scale_mm[strongest] == pytest.approx(sigma_mm, rel=0.3)
    assert blobs.roundness[strongest] == pytest.approx(1.0, abs=0.01)


def test_an_elongated_blob_is_less_round() -> None:
    rows, columns = np.indices((100, 100))
    squared = ((rows - 50) / 1.5) ** 2 + ((columns - 50) / 4.5) ** 2
    blobs = measure_blobs((np.exp(-squared / 2) - 0.5).astype(np.float32), spacing_mm=SPACING_MM)
    assert blobs.roundness[blobs.contrast.argmax()] < 0.6


def test_a_flat_image_and_the_skin_line_hold_no_blobs() -> None:
    image = np.full((100, 100), -1, np.float32)
    image[:, 50:] = 0.2
    assert len(measure_blobs(image, spacing_mm=SPACING_MM).contrast) == 0


def test_equal_samples_are_no_distance_apart() -> None:
    values = np.random.default_rng(0).normal(size=500)
    assert sample_distance(values, values) == (0, 0)


def test_a_shift_is_its_wasserstein_distance() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    distance = sample_distance(values + 0.5 * values.std(), values)
    assert distance.wasserstein == pytest.approx(0.5)
    # Kolmogorov-Smirnov of two normals half a deviation apart: 2 Phi(1 / 4) - 1.
    assert distance.ks == pytest.approx(math.erf(0.25 / math.sqrt(2)), abs=0.03)


def test_an_empty_sample_has_no_distance() -> None:
    assert all(math.isnan(value) for value in sample_distance(np.zeros(0), np.ones(3)))

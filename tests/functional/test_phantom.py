"""Laws of the phantom: replay, physics, texture, labels."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from bundle.functional.phantom import (
    DELTA_MU_CALCIFICATION_PER_MM,
    PhantomParameters,
    PhantomView,
    render_phantom,
    sample_phantom,
)
from bundle.functional.phantom_anatomy import Grid, rounded_thickness_mm, sample_breast_shape, signed_distance_mm
from bundle.functional.phantom_calcifications import (
    Cluster,
    Punctum,
    half_peak_support,
    primary_contrast,
    sample_diameters_mm,
    stamp_punctum,
)
from bundle.functional.phantom_detector import transfer
from bundle.functional.phantom_shapes import KINDS, Ellipsoid, sample_parts, sphere, union_thickness_mm
from bundle.functional.phantom_texture import draw_strands, power_law_field, resample_linear

SMALL = {"height_mm": 76.8, "width_mm": 61.4}


@cache
def parameters(seed: int = 5, *, calcified: bool = True, view: str | None = None) -> PhantomParameters:
    return sample_phantom(np.random.default_rng(seed), calcified=calcified, view=view, **SMALL)


@cache
def view(seed: int = 5, *, calcified: bool = True) -> PhantomView:
    return render_phantom(parameters(seed, calcified=calcified))


def with_sphere(base: PhantomParameters, *, beam_scale: float, diameter_mm: float = 0.5) -> PhantomParameters:
    """One sphere in the middle of the breast, stretched along the beam."""
    half = diameter_mm / 2.0
    part = Ellipsoid(0.0, 0.0, 0.0, half, half, half * beam_scale, 0.0)
    row_mm, column_mm = base.shape.nipple_row_mm, 0.5 * base.shape.depth_mm
    punctum = Punctum(row_mm, column_mm, diameter_mm, "round", (part,))
    return replace(base, clusters=(Cluster("isolated", row_mm, column_mm, 0.0, (punctum,)),))


def spectral_slope(patches: list[np.ndarray], *, spacing_mm: float, low: float, high: float) -> float:
    """Exponent beta of the power spectrum between two frequencies, from windowed square patches."""
    size = patches[0].shape[0]
    window = np.outer(np.hanning(size), np.hanning(size))
    power = sum(np.abs(np.fft.fft2((patch - patch.mean()) * window)) ** 2 for patch in patches)
    frequency = np.hypot(np.fft.fftfreq(size, spacing_mm)[:, None], np.fft.fftfreq(size, spacing_mm)[None, :])
    edges = np.geomspace(low, high, 10)
    mean = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(edges)]
    return -float(np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(mean), 1)[0])


def test_same_parameters_give_the_same_bits() -> None:
    again = render_phantom(parameters())
    for name in ("image", "label", "breast", "thickness_mm"):
        np.testing.assert_array_equal(getattr(again, name), getattr(view(), name))
    assert again.findings == view().findings


def test_same_seed_draws_the_same_parameters_and_another_seed_others() -> None:
    assert sample_phantom(np.random.default_rng(5), **SMALL) == parameters()
    assert sample_phantom(np.random.default_rng(6), **SMALL) != parameters()


def test_image_is_twelve_bit_with_a_black_background_and_uses_its_range() -> None:
    image = view().image
    assert image.dtype == np.uint16
    assert image.max() <= 4095
    assert np.median(image[~view().breast]) == 0
    low, high = np.percentile(image[view().breast], [1, 99])
    assert high - low > 1500


def test_without_calcifications_label_and_thickness_are_empty() -> None:
    normal = view(calcified=False)
    assert not normal.label.any()
    assert not normal.thickness_mm.any()
    assert normal.findings == ()


def test_calcifications_change_nothing_but_their_neighbourhood() -> None:
    """Same breast, same noise: away from calcifications and their scatter the two views agree to rounding."""
    normal, calcified = view(calcified=False).image.astype(int), view().image.astype(int)
    difference = np.abs(calcified - normal)
    touched = view().thickness_mm > 0
    assert touched.any()
    assert difference[touched].mean() > 20 * difference[~touched].mean()
    assert np.median(difference[~touched]) <= 1


def test_calcifications_are_brighter_than_what_they_replace() -> None:
    normal, calcified = view(calcified=False).image.astype(int), view().image.astype(int)
    assert (calcified - normal)[view().label == 1].mean() > 0


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_doubling_the_thickness_about_doubles_a_contrast_below_white(seed: int) -> None:
    """Log exposure is linear in thickness; scatter and the flattening display curve take a little off the double."""
    base = parameters(seed, calcified=False)
    normal = view(seed, calcified=False).image.astype(float)
    thin, thick = (render_phantom(with_sphere(base, beam_scale=scale)).image for scale in (0.25, 0.5))
    place = np.unravel_index((thick - normal).argmax(), normal.shape)
    assert thick[place] < 4095  # a clipped peak would say nothing about contrast
    assert 1.7 < (thick - normal).max() / (thin - normal).max() < 2.1


def test_few_visible_calcifications_are_cut_off_at_white() -> None:
    clipped = []
    for seed in (5, 8, 9):
        for finding in view(seed).findings:
            row, column = round(finding.row_px), round(finding.column_px)
            if finding.visible:
                clipped.append(view(seed).image[row - 2 : row + 3, column - 2 : column + 3].max() == 4095)
    assert len(clipped) > 20
    assert np.mean(clipped) < 0.15


def test_breast_holds_every_label_pixel() -> None:
    for seed in (5, 8, 9):
        assert view(seed).breast[view(seed).label > 0].all()


def test_right_is_the_mirror_image_of_left() -> None:
    left, right = (render_phantom(replace(parameters(), laterality=side)) for side in "LR")
    for name in ("image", "label", "breast", "thickness_mm"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name)[:, ::-1])
    for a, b in zip(left.findings, right.findings, strict=True):
        assert a.column_px + b.column_px == pytest.approx(left.image.shape[1] - 1)


def test_chest_wall_is_on_the_left_edge_of_a_left_breast() -> None:
    breast = render_phantom(replace(parameters(calcified=False), laterality="L")).breast
    assert breast[:, 0].mean() > 0.4
    assert not breast[:, -1].any()


def test_findings_point_at_their_calcifications() -> None:
    for finding in view().findings:
        row, column = round(finding.row_px), round(finding.column_px)
        near = view().thickness_mm[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
        assert near.max() > 0


def test_faint_calcifications_are_marked_ignore_and_strong_ones_are_not() -> None:
    base = parameters(calcified=False)
    strong = render_phantom(with_sphere(base, beam_scale=1.0, diameter_mm=0.8))
    faint = render_phantom(with_sphere(base, beam_scale=0.02, diameter_mm=0.3))
    assert set(np.unique(strong.label)) == {0, 1}
    assert set(np.unique(faint.label)) == {0, 2}


def test_views_with_muscle_are_denser_in_the_axillary_corner() -> None:
    mlo = replace(parameters(3, calcified=False, view="MLO"), laterality="L")
    image = render_phantom(mlo).image
    corner = image[20:60, 10:40].mean()
    below = image[round(mlo.shape.nipple_row_mm * 10) :, 10:40]
    assert corner > 1.2 * np.median(below[below > 0])


@pytest.mark.parametrize(("diameter_um", "percent"), [(100, 7.3), (200, 14.0), (300, 20.0), (500, 31.0)])
def test_primary_contrast_of_spheres_is_that_of_the_literature(diameter_um: int, percent: float) -> None:
    """METHOD.md section 2: peak contrast before blur and scatter, near 20 keV."""
    diameter_mm = diameter_um / 1000.0
    punctum = Punctum(2.0, 2.0, diameter_mm, "round", sphere(diameter_mm))
    stamp = stamp_punctum(punctum, spacing_mm=0.005, shape=(800, 800))
    assert stamp is not None
    peak = primary_contrast(stamp.thickness_mm, delta_mu_per_mm=DELTA_MU_CALCIFICATION_PER_MM).max()
    assert 100.0 * peak == pytest.approx(percent, abs=0.5)


@pytest.mark.parametrize("spacing_mm", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("offset_mm", [0.0, 0.033])
def test_pixels_hold_the_volume_whatever_their_size_and_phase(spacing_mm: float, offset_mm: float) -> None:
    punctum = Punctum(3.0 + offset_mm, 3.0 - offset_mm, 0.25, "round", sphere(0.25))
    stamp = stamp_punctum(punctum, spacing_mm=spacing_mm, shape=(200, 200))
    assert stamp is not None
    assert stamp.thickness_mm.sum() * spacing_mm**2 == pytest.approx(np.pi / 6 * 0.25**3, rel=0.02)


def test_stamp_outside_the_view_is_none() -> None:
    assert stamp_punctum(Punctum(0.0, 3.0, 0.3, "round", sphere(0.3)), spacing_mm=0.1, shape=(60, 60)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_volume_of_its_sphere(kind: str) -> None:
    parts = sample_parts(np.random.default_rng(0), kind=kind, diameter_mm=0.3)
    axis = np.linspace(-1.0, 1.0, 801, dtype=np.float32)
    volume = union_thickness_mm(parts, row_mm=axis[:, None], column_mm=axis[None, :]).sum() * 0.0025**2
    assert volume == pytest.approx(np.pi / 6 * 0.3**3, rel=0.03)


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="round, irregular"):
        sample_parts(np.random.default_rng(0), kind="star", diameter_mm=0.3)


def test_union_of_overlapping_parts_matches_counting_voxels() -> None:
    """Slow twin: voxels inside any part."""
    parts = (
        Ellipsoid(0.1, 0.0, 0.2, 0.5, 0.3, 0.4, 0.3),
        Ellipsoid(-0.2, 0.1, -0.1, 0.3, 0.3, 0.5, 0.0),
        Ellipsoid(0.0, 0.0, 0.0, 0.2, 0.2, 0.1, 0.0),
    )
    axis = np.linspace(-0.9, 0.9, 45, dtype=np.float32)
    depth = np.linspace(-1.0, 1.0, 801)[:, None, None]
    inside = np.zeros((801, 45, 45), dtype=bool)
    for part in parts:
        row, column = axis[None, :, None] - part.row_mm, axis[None, None, :] - part.column_mm
        along = column * np.cos(part.angle) + row * np.sin(part.angle)
        across = row * np.cos(part.angle) - column * np.sin(part.angle)
        inside |= (along / part.long_mm) ** 2 + (across / part.short_mm) ** 2 + (
            (depth - part.depth_mm) / part.beam_mm
        ) ** 2 < 1
    expected = inside.sum(axis=0) * 0.0025
    np.testing.assert_allclose(
        union_thickness_mm(parts, row_mm=axis[:, None], column_mm=axis[None, :]), expected, atol=0.006
    )


def test_half_peak_support_of_a_faint_pixel_is_that_pixel() -> None:
    thickness = np.zeros((3, 3), dtype=np.float32)
    assert not half_peak_support(thickness).any()
    thickness[1, 1] = 1e-4
    assert half_peak_support(thickness).sum() == 1


def test_diameters_have_the_median_and_range_of_the_literature() -> None:
    diameters_mm = sample_diameters_mm(np.random.default_rng(0), 20_000)
    assert diameters_mm.min() >= 0.1
    assert diameters_mm.max() <= 1.0
    # 12 % around 0.6 lift the median of 0.22 a little; share above 0.5 mm: 0.88 * P(z > 1.82) + 0.12 * P(z > -0.91).
    assert np.median(diameters_mm) == pytest.approx(0.24, abs=0.01)
    assert (diameters_mm > 0.5).mean() == pytest.approx(0.128, abs=0.01)


@pytest.mark.parametrize("beta", [2.5, 3.0, 3.5])
def test_texture_has_the_slope_it_is_asked_for(beta: float) -> None:
    fields = [power_law_field(np.random.default_rng(n), (512, 512), beta=beta, spacing_mm=0.2) for n in range(3)]
    assert spectral_slope(fields, spacing_mm=0.2, low=0.1, high=1.5) == pytest.approx(beta, abs=0.2)


def test_texture_is_standardised() -> None:
    field = power_law_field(np.random.default_rng(0), (200, 301), beta=3.0, spacing_mm=0.1)
    assert field.shape == (200, 301)
    assert field.mean() == pytest.approx(0.0, abs=1e-4)
    assert field.std() == pytest.approx(1.0, abs=1e-3)


def test_render_of_a_fatty_region_has_a_mammographic_spectrum() -> None:
    """Mammograms have beta near 3 between 0.2 and 1 cycles per mm; the noise floor comes later."""
    image = render_phantom(replace(parameters(calcified=False), laterality="L")).image.astype(float)
    row = round(parameters().shape.nipple_row_mm * 10)
    patch = image[row - 128 : row + 128, 20 : 20 + 256]
    assert 2.0 < spectral_slope([patch], spacing_mm=0.1, low=0.15, high=1.2) < 4.0


def test_straight_strand_of_weight_one_has_peak_one_and_its_width() -> None:
    row = np.full((1, 200), 5.05)
    column = np.linspace(-2.0, 12.0, 200)[None]
    ridge = draw_strands(
        (100, 100), row_mm=row, column_mm=column, weight=np.ones((1, 200)), width_mm=1.0, spacing_mm=0.1
    )
    middle = ridge[:, 50]
    assert middle.max() == pytest.approx(1.0, abs=0.03)
    assert (middle > 0.5).sum() == pytest.approx(10, abs=1)


def test_zero_blur_and_no_scatter_is_identity() -> None:
    image = np.random.default_rng(0).random((40, 50), dtype=np.float32)
    np.testing.assert_allclose(transfer(image, spacing_mm=0.1, blur_mm=0.0), image, atol=1e-5)


def test_blur_keeps_a_constant_and_scatter_takes_its_share_of_a_point() -> None:
    options = {"spacing_mm": 0.1, "blur_mm": 0.0, "scatter": 0.3, "scatter_mm": 2.0}
    flat = np.full((120, 120), 2.0, dtype=np.float32)
    np.testing.assert_allclose(transfer(flat, **options), 2.0, rtol=1e-5)
    point = np.zeros((120, 120), dtype=np.float32)
    point[60, 60] = 1.0
    assert transfer(point, **options)[60, 60] == pytest.approx(0.7, abs=0.01)


def test_rounded_thickness_is_a_quarter_circle() -> None:
    distance = np.array([-1.0, 0.0, 10.0, 20.0, 50.0], dtype=np.float32)
    expected = [0.0, 0.0, 40.0 * np.sqrt(0.75), 40.0, 40.0]
    np.testing.assert_allclose(rounded_thickness_mm(distance, thickness_mm=40.0, edge_mm=20.0), expected, rtol=1e-5)


def test_distance_to_the_skin_has_unit_slope() -> None:
    shape = sample_breast_shape(np.random.default_rng(1), view="CC", height_mm=120.0, width_mm=90.0)
    grid = Grid(240, 180, 0.5)
    distance = signed_distance_mm(shape, grid)
    slope = np.hypot(*np.gradient(distance, 0.5))
    assert np.median(slope) == pytest.approx(1.0, abs=0.01)
    assert distance.min() < 0 < distance.max()


def test_resampling_keeps_a_ramp() -> None:
    coarse = Grid(60, 40, 0.2)
    row_mm, column_mm = coarse.axes_mm()
    fine = resample_linear(row_mm + 2 * column_mm, spacing_mm=0.2, shape=(100, 60), to_spacing_mm=0.1)
    row_fine, column_fine = Grid(100, 60, 0.1).axes_mm()
    np.testing.assert_allclose(fine[1:, 1:], (row_fine + 2 * column_fine)[1:, 1:], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "ML"}, "view"),
        ({"laterality": "B"}, "laterality"),
        ({"density": "E"}, "density"),
        ({"spacing_mm": 0.0}, "spacing"),
        ({"height_mm": 5.0}, "40 x 30"),
    ],
)
def test_wrong_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_phantom(np.random.default_rng(0), **options)

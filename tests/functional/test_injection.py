import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as label_objects

from bundle.functional.injection import (
    IGNORE,
    MICROCALCIFICATION,
    Injection,
    InjectionRanges,
    inject,
    local_contrast,
    sample_injection,
    tissue_density,
)
from bundle.functional.puncta import (
    DIAMETER_RANGE_MM,
    REFERENCE_MM,
    Punctum,
    render_punctum,
    sample_diameter_mm,
    sample_parts,
)

SPACING = 0.07


def _texture(seed: int = 0, size: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.05, (size, size)).astype(np.float32)


def _disc(diameter_mm: float, cnr: float = 10.0, at_mm: tuple[float, float] = (4.0, 4.0)) -> Punctum:
    return Punctum(*at_mm, np.array([[0.0, 0.0, diameter_mm / 2, diameter_mm / 2, 0.0]]), cnr)


def test_nothing_to_inject_is_identity() -> None:
    background = _texture()
    image, label = inject(background, Injection((), 0.05), spacing_mm=SPACING)
    np.testing.assert_array_equal(image, background)
    assert not label.any()


def test_replay_is_bitwise() -> None:
    injection = sample_injection(
        np.random.default_rng(3), extent_mm=(9.0, 9.0), ranges=InjectionRanges(empty_share=0.0)
    )
    first, second = (inject(_texture(), injection, spacing_mm=SPACING) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_peak_is_the_wanted_contrast_to_noise_ratio() -> None:
    background = _texture()
    image, _ = inject(background, Injection((_disc(0.5, cnr=6.0),), 0.05), spacing_mm=SPACING)
    row = column = int(4.0 / SPACING)
    expected = 6.0 * local_contrast(background, spacing_mm=SPACING)[row, column]
    assert (image - background).max() == pytest.approx(expected, rel=1e-4)


def test_image_stays_in_its_range() -> None:
    image, _ = inject(_texture(), Injection((_disc(0.5, cnr=500.0),), 0.05), spacing_mm=SPACING)
    assert image.max() == 1.0
    assert image.min() >= -1.0


def test_nothing_is_injected_outside_the_breast() -> None:
    background = _texture()
    background[:, :64] = -1.0
    image, label = inject(background, Injection((_disc(0.3, at_mm=(4.0, 2.0)),), 0.05), spacing_mm=SPACING)
    np.testing.assert_array_equal(image, background)
    assert not label.any()


def test_mask_covers_the_disc_at_half_amplitude() -> None:
    """Thickness of a sphere falls to half at sqrt(3)/2 of its radius."""
    diameter = 1.0
    expected_px = math.pi * (math.sqrt(3) / 2 * diameter / 2 / 0.02) ** 2
    _, label = inject(_texture(), Injection((_disc(diameter, at_mm=(1.28, 1.28)),), 0.05), spacing_mm=0.02)
    assert (label == MICROCALCIFICATION).sum() == pytest.approx(expected_px, rel=0.02)


def test_halving_the_spacing_quadruples_the_mask() -> None:
    areas = [render_punctum(_disc(1.0), spacing_mm=s, blur_sigma_mm=0.05).support.sum() for s in (0.05, 0.025)]
    assert areas[1] / areas[0] == pytest.approx(4.0, rel=0.1)


def test_smallest_punctum_has_a_mask() -> None:
    assert render_punctum(_disc(0.02), spacing_mm=0.1, blur_sigma_mm=0.05).support.sum() >= 1


def test_more_blur_means_a_broader_picture() -> None:
    half = [render_punctum(_disc(0.2), spacing_mm=0.05, blur_sigma_mm=b).half_px for b in (0.02, 0.1)]
    assert half[1] > half[0]


def test_invisible_punctum_is_ignored() -> None:
    _, faint = inject(_texture(), Injection((_disc(0.2, cnr=0.5),), 0.05), spacing_mm=SPACING)
    _, clear = inject(_texture(), Injection((_disc(0.2, cnr=8.0),), 0.05), spacing_mm=SPACING)
    assert set(np.unique(faint)) == {0, IGNORE}
    assert set(np.unique(clear)) == {0, MICROCALCIFICATION}


def test_overlapping_signals_add_up() -> None:
    background = _texture()
    one, _ = inject(background, Injection((_disc(0.4),), 0.05), spacing_mm=SPACING)
    two, _ = inject(background, Injection((_disc(0.4), _disc(0.4)), 0.05), spacing_mm=SPACING)
    unclipped = two < 1
    np.testing.assert_allclose((two - background)[unclipped], 2 * (one - background)[unclipped], atol=1e-6)


def test_by_thickness_contrast_doubles_with_the_diameter() -> None:
    """Without blur and with fine pixels, the peak of a sphere is its diameter times one gain."""
    background = _texture(size=400)
    peaks = []
    for diameter in (0.4, 0.8):
        puncta = (_disc(diameter, cnr=3.0),)
        image, _ = inject(background, Injection(puncta, 0.005, by_thickness=True), spacing_mm=0.02)
        peaks.append((image - background).max())
    assert peaks[1] / peaks[0] == pytest.approx(2.0, rel=0.02)


def test_by_thickness_the_reference_thickness_has_the_drawn_ratio() -> None:
    background = _texture(size=400)
    puncta = (_disc(REFERENCE_MM, cnr=6.0),)
    image, _ = inject(background, Injection(puncta, 0.005, by_thickness=True), spacing_mm=0.02)
    typical = np.median(local_contrast(background, spacing_mm=0.02))
    assert (image - background).max() == pytest.approx(6.0 * typical, rel=0.02)


def test_by_thickness_small_puncta_sink_below_the_floor() -> None:
    puncta = (_disc(0.1, cnr=4.0, at_mm=(2.0, 2.0)), _disc(0.6, cnr=4.0, at_mm=(6.0, 6.0)))
    _, label = inject(_texture(), Injection(puncta, 0.05, by_thickness=True), spacing_mm=SPACING)
    assert label[int(2.0 / SPACING), int(2.0 / SPACING)] == IGNORE
    assert label[int(6.0 / SPACING), int(6.0 / SPACING)] == MICROCALCIFICATION


def test_centres_follow_the_density() -> None:
    background = np.full((64, 64), -0.8, np.float32)
    background[:, 32:] = 0.6
    background[:16] = -1.0
    density = tissue_density(background)
    rng = np.random.default_rng(0)
    ranges = InjectionRanges(empty_share=0.0, clusters=(0, 0), isolated=(1, 1))
    places = np.array(
        [
            (p.row_mm, p.column_mm)
            for _ in range(400)
            for p in sample_injection(rng, extent_mm=(6.4, 6.4), ranges=ranges, density=density).puncta
        ]
    )
    assert (places[:, 0] >= 1.6).all()
    assert (places[:, 1] >= 3.2).mean() == pytest.approx(1.6 / 1.8, abs=0.05)


def test_diameters_follow_the_literature() -> None:
    rng = np.random.default_rng(0)
    diameters = np.array([sample_diameter_mm(rng) for _ in range(4000)])
    assert diameters.min() >= DIAMETER_RANGE_MM[0]
    assert diameters.max() <= DIAMETER_RANGE_MM[1]
    assert np.median(diameters) == pytest.approx(0.22, rel=0.05)
    assert 0.15 <= (diameters > 0.45).mean() <= 0.25


@pytest.mark.parametrize("shape", ["oval", "irregular", "rod", "amorphous"])
def test_shapes_are_centred_and_of_their_size(shape: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        parts = sample_parts(rng, 0.3, shape=shape)
        assert np.abs(parts[:, :2].mean(axis=0)).max() < 0.05
        assert Punctum(0, 0, parts, 1.0).reach_mm < (3.0 if shape == "rod" else 0.6)


def test_share_of_empty_patches() -> None:
    rng = np.random.default_rng(0)
    empty = [not sample_injection(rng, extent_mm=(18, 18)).puncta for _ in range(600)]
    assert np.mean(empty) == pytest.approx(InjectionRanges().empty_share, abs=0.06)


def test_unknown_shape_and_wrong_spacing_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected shape"):
        sample_parts(np.random.default_rng(0), 0.3, shape="star")
    with pytest.raises(ValueError, match="pixel spacing > 0"):
        inject(_texture(), Injection((), 0.05), spacing_mm=0.0)


@pytest.mark.parametrize(("shape", "most"), [("oval", 0.0), ("irregular", 0.12), ("rod", 0.12)])
def test_the_mask_of_a_calcification_rarely_falls_apart(shape: str, most: float) -> None:
    rng = np.random.default_rng(0)
    pieces = []
    for _ in range(100):
        parts = sample_parts(rng, sample_diameter_mm(rng), shape=shape)
        picture = render_punctum(Punctum(3.0, 3.0, parts, 5.0), spacing_mm=SPACING, blur_sigma_mm=0.05)
        pieces.append(label_objects(picture.support, np.ones((3, 3)))[1])
    assert np.mean(np.array(pieces) > 1) <= most


def test_beads_of_a_rod_point_along_it() -> None:
    """Neighbouring beads are joined by a line that runs along their long axis (radians, rows over columns)."""
    rng = np.random.default_rng(0)
    off = []
    for _ in range(40):
        parts = sample_parts(rng, 0.4, shape="rod")
        if len(parts) > 8:  # branched
            continue
        steps = np.diff(parts[:, :2], axis=0)
        turn = np.arctan2(steps[:, 0], steps[:, 1]) - parts[:-1, 4]
        off += np.abs((turn + math.pi / 2) % math.pi - math.pi / 2).tolist()
    assert np.median(off) < 0.35


def test_smallest_spheres_are_rendered_within_five_per_cent() -> None:
    """Against spheres on a grid of 24 points a pixel, blurred and integrated there."""
    for diameter, spacing in ((0.1, 0.1), (0.1, 0.07), (0.2, 0.1)):
        picture = render_punctum(_disc(diameter, at_mm=(4.05, 4.05)), spacing_mm=spacing, blur_sigma_mm=0.03)
        points, half = 24, 6
        centre = 4.05 - int(4.05 / spacing) * spacing
        axis = (np.arange((2 * half + 1) * points) + 0.5) / points * spacing - half * spacing - centre
        squared = (diameter / 2) ** 2 - axis[:, None] ** 2 - axis[None, :] ** 2
        fine = gaussian_filter(2 * np.sqrt(np.maximum(squared, 0)), 0.03 / spacing * points, truncate=6)
        reference = fine.reshape(2 * half + 1, points, 2 * half + 1, points).mean(axis=(1, 3)).max()
        assert picture.peak_mm == pytest.approx(reference, rel=0.05), (diameter, spacing)


def test_each_part_is_drawn_in_full() -> None:
    """A twin that evaluates every part over the whole tile, point by point."""
    spacing, points = 0.07, 3
    parts = sample_parts(np.random.default_rng(3), 0.3, shape="rod")
    rendered = render_punctum(Punctum(2.0, 2.0, parts, 1), spacing_mm=spacing, blur_sigma_mm=1e-4)
    side = rendered.tile.shape[0]
    fine = (np.arange(side * points) + 0.5) / points * spacing
    thickness = np.zeros((side * points, side * points))
    for i, row in enumerate(fine + rendered.first[0] * spacing - 2.0):
        for j, column in enumerate(fine + rendered.first[1] * spacing - 2.0):
            for part_row, part_column, major, minor, angle in parts:
                turned = complex(column - part_column, row - part_row) * complex(math.cos(angle), -math.sin(angle))
                inside = 1 - (turned.real / major) ** 2 - (turned.imag / minor) ** 2
                thickness[i, j] = max(thickness[i, j], 2 * min(major, minor) * math.sqrt(max(inside, 0)))
    twin = thickness.reshape(side, points, side, points).mean(axis=(1, 3))
    np.testing.assert_allclose(rendered.tile, twin / twin.max(), atol=1e-6)
    assert rendered.peak_mm == pytest.approx(twin.max())

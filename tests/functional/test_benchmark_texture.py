"""Textures of the shift benchmark: the published blob, spectra near those of mammograms, same seed same bits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.functional.benchmark_texture import (
    Compartments,
    Lumps,
    adipose_compartments,
    blob,
    clustered_lumpy,
    lumpy_texture,
    standardised,
)

PUBLISHED = Lumps(
    unit_mm=0.1, clusters=150, blobs=20, long=5, short=2, alpha=2.1, beta=0.5, spread=12, fine=0.9, fine_ratio=0.35
)
COMPARTMENTS = Compartments(axis_mm=(2.0, 10.0), wall_mm=0.4, filling=2.0, fat=0.2, warp_mm=2.0)
SHAPE = (256, 224)


def spectral_slope(image: np.ndarray, spacing_mm: float) -> float:
    """Exponent beta of a power spectrum f^-beta between 0.15 and 1.5 cycles per mm."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side, spacing_mm) for side in image.shape), indexing="ij"))
    edges = np.geomspace(0.15, 1.5, 10)
    means = [power[(frequency >= a) & (frequency < b)].mean() for a, b in itertools.pairwise(edges)]
    return -float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(means), 1)[0])


def lumpy(seed: int, lumps: Lumps = PUBLISHED) -> np.ndarray:
    return lumpy_texture(np.random.default_rng(seed), SHAPE, spacing_mm=0.1, lumps=lumps)


def compartments(seed: int, **changes: float) -> np.ndarray:
    chosen = replace(COMPARTMENTS, **changes)
    return adipose_compartments(np.random.default_rng(seed), SHAPE, spacing_mm=0.1, depth_mm=50.0, compartments=chosen)


def test_blob_is_the_published_one() -> None:
    row, column = np.array([[0.0], [4.0]]), np.array([[0.0, 9.0]])
    values = blob(row, column, angle=0.0, lumps=PUBLISHED)
    assert values[0, 0] == 1.0
    assert values[0, 1] == pytest.approx(np.exp(-2.1 * 3.0 / 5.0), rel=1e-5)
    assert values[1, 0] == pytest.approx(np.exp(-2.1 * 2.0 / 2.0), rel=1e-5)


def test_turning_a_blob_by_a_right_angle_swaps_rows_and_columns() -> None:
    axis = np.linspace(-6.0, 6.0, 9)
    level = blob(axis[:, None], axis[None, :], angle=0.0, lumps=PUBLISHED)
    upright = blob(axis[:, None], axis[None, :], angle=np.pi / 2, lumps=PUBLISHED)
    np.testing.assert_allclose(upright, level.T, rtol=1e-4)


def test_a_cluster_without_spread_is_its_blob_in_one_direction() -> None:
    lone = replace(PUBLISHED, spread=0.0, clusters=0.05, blobs=30.0)
    rng = np.random.default_rng(4)
    field = clustered_lumpy(rng, (128, 128), spacing_mm=0.1, lumps=lone)
    peak = np.unravel_index(np.argmax(field), field.shape)
    away = np.hypot(*(np.indices(field.shape) - np.reshape(peak, (2, 1, 1))))
    # Heights at one distance differ by direction only: between exp(-a r^b / short) and exp(-a r^b / long).
    ring = (np.abs(away - 9.0) < 0.5) & (away > 0)
    scale = (field[ring] - field.min()) / (field.max() - field.min())
    assert scale.max() / max(scale.min(), 1e-3) > 2.0


@pytest.mark.parametrize("make", [lumpy, compartments])
def test_same_seed_same_bits_other_seed_other_field(make) -> None:
    np.testing.assert_array_equal(make(3), make(3))
    assert abs(np.corrcoef(make(3).ravel(), make(4).ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("make", [lumpy, compartments])
def test_fields_are_standardised(make) -> None:
    field = make(1)
    assert field.shape == SHAPE
    assert field.dtype == np.float32
    assert float(field.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(field.std()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("make", "low", "high"), [(lumpy, 2.6, 4.2), (compartments, 1.8, 3.5)])
def test_spectrum_falls_about_as_that_of_mammograms(make, low: float, high: float) -> None:
    assert low < np.mean([spectral_slope(make(seed), 0.1) for seed in range(3)]) < high


def test_a_finer_layer_adds_fine_structure() -> None:
    def fine_deviation(field: np.ndarray) -> float:
        return float((field - gaussian_filter(field, 5.0)).std())

    assert fine_deviation(lumpy(2)) > 1.2 * fine_deviation(lumpy(2, replace(PUBLISHED, fine=0.0)))


def test_walls_are_thin_and_bright() -> None:
    field = compartments(5, fat=0.0, filling=0.5)
    assert ((field - field.mean()) ** 3).mean() > 0.3


def test_fat_in_compartments_takes_brightness_away() -> None:
    assert ((compartments(5, fat=3.0, filling=0.5)) ** 3).mean() < 0


def test_a_constant_field_cannot_be_standardised() -> None:
    with pytest.raises(ValueError, match="contrast"):
        standardised(np.zeros((4, 4)))

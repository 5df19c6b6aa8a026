"""The imaging chain of the shift benchmark, against an 8 times oversampled renderer written here for itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from scipy.special import j0

from bundle.functional.benchmark_clusters import Calcification
from bundle.functional.benchmark_imaging import (
    MAXIMUM,
    Exposure,
    Mtf,
    detected,
    display,
    display_limits,
    log_exposure,
    peripheral_correction,
    primary_loss,
    stamp_calcification,
    unit_noise,
)
from bundle.functional.benchmark_shapes import sphere

CSI = Mtf(sigma_mm=0.038, tail=0.12, tail_mm=0.15)
SELENIUM = Mtf(sigma_mm=0.0, tail=0.0, tail_mm=0.15, aperture_mm=0.05)
EXPOSURE = Exposure(
    quanta_per_mm2=4e5,
    scatter_to_primary=0.5,
    scatter_mm=6.0,
    noise_share=0.6,
    electronic=0.0,
    equalisation=0.9,
    gamma=1.8,
    half=0.65,
)
OVERSAMPLING = 8


def ball(diameter_mm: float, row_mm: float = 3.013, column_mm: float = 2.987) -> Calcification:
    return Calcification(row_mm, column_mm, diameter_mm, "round", sphere(), 0, "grouped")


def reference_peak(one: Calcification, *, spacing_mm: float, side: int, mtf: Mtf) -> float:
    """Peak of the primary loss, 8 samples a pixel: analytic sphere on a field, blur in space, mean over pixels."""
    fine_mm = spacing_mm / OVERSAMPLING
    axis = (np.arange(side * OVERSAMPLING) + 0.5) * fine_mm
    away2 = (axis[:, None] - one.row_mm) ** 2 + (axis[None, :] - one.column_mm) ** 2
    chord = 2.0 * np.sqrt(np.maximum((one.diameter_mm / 2) ** 2 - away2, 0.0))
    loss = 1.0 - np.exp(-0.755 * chord)
    if mtf.aperture_mm:
        # Point spread of a radial sinc in frequency, by a plain sum over frequencies in place of an FFT.
        reach = np.arange(-round(0.3 / fine_mm), round(0.3 / fine_mm) + 1) * fine_mm
        radius = np.hypot(reach[:, None], reach[None, :])
        frequency = (np.arange(2000) + 0.5) * 0.02
        table_mm = np.linspace(0.0, radius.max(), 400)
        weight = 2 * np.pi * frequency * np.sinc(mtf.aperture_mm * frequency) * np.exp(-((frequency / 25.0) ** 4))
        table = (j0(2 * np.pi * table_mm[:, None] * frequency) * weight).sum(axis=1) * 0.02
        kernel = np.interp(radius, table_mm, table) * fine_mm**2
        blurred = fftconvolve(loss, kernel, mode="same")
    else:
        reach = np.arange(-round(2.0 / fine_mm), round(2.0 / fine_mm) + 1) * fine_mm
        far = mtf.tail_mm / (2 * np.pi * (mtf.tail_mm**2 + reach[:, None] ** 2 + reach[None, :] ** 2) ** 1.5)
        near = gaussian_filter(loss, mtf.sigma_mm / fine_mm, truncate=6.0)
        blurred = (1 - mtf.tail) * near + mtf.tail * fftconvolve(loss, far * fine_mm**2, mode="same")
    return float(blurred.reshape(side, OVERSAMPLING, side, OVERSAMPLING).mean(axis=(1, 3)).max())


@pytest.mark.parametrize(("diameter_mm", "percent"), [(0.1, 7.3), (0.2, 14.0), (0.3, 20.0), (0.5, 31.0)])
def test_primary_contrast_is_that_of_the_method(diameter_mm: float, percent: float) -> None:
    one = ball(diameter_mm)
    stamp = stamp_calcification(one, spacing_mm=0.01, shape=(600, 600), mtf=CSI)
    assert 100 * primary_loss(np.array(diameter_mm)) == pytest.approx(percent, abs=0.5)
    assert 100 * stamp.sharp.max() == pytest.approx(percent, abs=0.5)


@pytest.mark.parametrize("mtf", [CSI, replace(CSI, sigma_mm=0.075, tail=0.18, tail_mm=0.2), SELENIUM])
@pytest.mark.parametrize("spacing_mm", [0.05, 0.07, 0.1])
@pytest.mark.parametrize("diameter_mm", [0.1, 0.2, 0.3, 0.5])
def test_peak_is_that_of_an_8_times_oversampled_renderer(diameter_mm: float, spacing_mm: float, mtf: Mtf) -> None:
    side = round(6.0 / spacing_mm) // 2
    for shift in (0.0, 0.31 * spacing_mm):
        one = ball(diameter_mm, 1.5 + shift, 1.5 - 0.7 * shift)
        stamp = stamp_calcification(one, spacing_mm=spacing_mm, shape=(side, side), mtf=mtf)
        expected = reference_peak(one, spacing_mm=spacing_mm, side=side, mtf=mtf)
        assert stamp.blurred.max() == pytest.approx(expected, rel=0.05)


def test_blur_moves_the_loss_and_keeps_its_sum() -> None:
    stamp = stamp_calcification(ball(0.3), spacing_mm=0.07, shape=(90, 90), mtf=CSI)
    assert stamp.blurred.sum() == pytest.approx(stamp.sharp.sum(), rel=1e-4)
    assert stamp.blurred.max() < 0.9 * stamp.sharp.max()


def test_a_calcification_over_the_border_is_refused() -> None:
    with pytest.raises(ValueError, match="move it inside"):
        stamp_calcification(ball(0.3, row_mm=0.2), spacing_mm=0.07, shape=(90, 90), mtf=CSI)


def test_transfer_of_the_published_csi_detector() -> None:
    frequency = np.array([2.0, 4.0, 5.0], np.float32)
    with_pixels = CSI(frequency) * np.sinc(0.1 * frequency)
    np.testing.assert_allclose(with_pixels, [0.73, 0.42, 0.28], atol=0.035)


@pytest.mark.parametrize("mtf", [CSI, SELENIUM])
def test_transfer_begins_at_one(mtf: Mtf) -> None:
    assert mtf(np.zeros(1, np.float32)) == pytest.approx(1.0)


def test_scatter_takes_contrast_away_by_its_share() -> None:
    primary = np.full((200, 200), 0.05, np.float32)
    beam, scatter = detected(primary, np.ones((200, 200), bool), spacing_mm=0.1, mtf=CSI, exposure=EXPOSURE)
    np.testing.assert_allclose(beam, 0.05, rtol=1e-4)
    np.testing.assert_allclose(scatter, 0.025, rtol=1e-3)


def test_air_does_not_scatter_into_the_breast() -> None:
    primary = np.full((200, 200), 0.05, np.float32)
    primary[:, 150:] = 1.0
    _, scatter = detected(primary, primary < 0.5, spacing_mm=0.1, mtf=CSI, exposure=EXPOSURE)
    assert scatter.max() <= 0.0251


def test_noise_is_white_at_no_share_and_follows_the_detector_at_full_share() -> None:
    power = {}
    for share in (0.0, 1.0):
        exposure = replace(EXPOSURE, noise_share=share)
        noise = unit_noise(np.random.default_rng(0), (512, 512), spacing_mm=0.07, mtf=CSI, exposure=exposure)
        spectrum = np.abs(np.fft.fft2(noise)) ** 2 / noise.size
        frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(512, 0.07),) * 2, indexing="ij"))
        power[share] = [spectrum[np.abs(frequency - level) < 0.1].mean() for level in (0.3, 4.0)]
    np.testing.assert_allclose(power[0.0], 1.0, rtol=0.1)
    expected = CSI(np.array([0.3, 4.0], np.float32)) ** 2
    np.testing.assert_allclose(power[1.0], expected, rtol=0.1)


def test_a_quarter_of_the_dose_doubles_the_noise() -> None:
    unit = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    deviation = [
        float(log_exposure(np.full_like(unit, quanta), unit, np.zeros_like(unit), air=100 * quanta).std())
        for quanta in (2000.0, 500.0)
    ]
    assert deviation[0] == pytest.approx(2000.0**-0.5, rel=0.02)
    assert deviation[1] / deviation[0] == pytest.approx(2.0, rel=0.02)


def test_the_periphery_of_a_breast_of_fat_becomes_flat() -> None:
    distance = np.broadcast_to(np.linspace(30.0, -10.0, 400, dtype=np.float32), (300, 400))
    inward = np.clip(distance / 10.0, 0.0, 1.0)
    fat = (2.0 * np.sqrt(inward * (2.0 - inward))).astype(np.float32)
    added = peripheral_correction(fat, distance, share=1.0)
    assert not added[distance <= 0].any()
    inside = (distance > 2.0) & (distance < 14.0)
    assert np.ptp((fat + added)[inside]) < 0.1 * np.ptp(fat[inside])
    np.testing.assert_allclose(peripheral_correction(fat, distance, share=0.5), 0.5 * added, atol=1e-6)


def test_display_rises_from_black_to_white() -> None:
    levels = np.linspace(-1.0, 3.0, 101, dtype=np.float32)
    shown = display(levels, (0.0, 2.0), exposure=EXPOSURE)
    assert (np.diff(shown) >= 0).all()
    assert not shown[levels <= 0].any()
    np.testing.assert_allclose(shown[levels >= 2], MAXIMUM, rtol=1e-5)


def test_display_limits_leave_room_above_the_densest_tissue() -> None:
    view = np.random.default_rng(0).uniform(1.0, 2.0, (100, 100)).astype(np.float32)
    low, high = display_limits(view, np.ones_like(view, bool))
    assert low < 1.0
    assert high > 2.0 + 0.3

"""Fibres and vessels of the shift benchmark: chords in closed form, volumes kept on any pixel grid."""

import numpy as np
import pytest

from bundle.functional.benchmark_curves import STEP_MM, Tube, add_tube, curves_mm, random_walk, tube_thickness_mm


def straight(length_mm: float = 10.0, row_mm: float = 3.0) -> np.ndarray:
    column = np.arange(2.0, 2.0 + length_mm, STEP_MM / 4)
    return np.column_stack([np.full_like(column, row_mm), column])


def test_chord_of_a_thick_tube() -> None:
    points = straight()
    thickness = tube_thickness_mm(points, np.full(len(points), 0.8), (60, 140), spacing_mm=0.1)
    away = (np.arange(60) + 0.5) * 0.1 - 3.0
    np.testing.assert_allclose(thickness[:, 70], 2.0 * np.sqrt(np.maximum(0.64 - away**2, 0.0)), atol=0.02)


@pytest.mark.parametrize("spacing_mm", [0.05, 0.07, 0.1])
def test_a_fibre_below_a_pixel_keeps_its_volume(spacing_mm: float) -> None:
    points, radius = straight(), 0.04
    shape = (round(6 / spacing_mm), round(14 / spacing_mm))
    thickness = tube_thickness_mm(points, np.full(len(points), radius), shape, spacing_mm=spacing_mm)
    middle = thickness[:, round(4 / spacing_mm) : round(9 / spacing_mm)]
    assert middle.sum(axis=0).mean() * spacing_mm == pytest.approx(np.pi * radius**2, rel=0.13)


def test_density_multiplies_and_tubes_add() -> None:
    tube = Tube(straight(), np.full(len(straight()), 0.3), 0.0, 2.0, 0.0)
    once = np.zeros((60, 140), np.float32)
    add_tube(once, tube, spacing_mm=0.1)
    twice = once.copy()
    add_tube(twice, tube, spacing_mm=0.1)
    assert once.max() == pytest.approx(2.0 * 0.6, rel=0.05)
    np.testing.assert_allclose(twice, 2.0 * once)


def test_walls_of_a_vessel_show_as_two_lines() -> None:
    points = straight()
    total = np.zeros((60, 140), np.float32)
    add_tube(total, Tube(points, np.full(len(points), 0.8), 0.2, 0.0, 1.0), spacing_mm=0.05)
    profile = total[40:80, 70] if total.shape[0] > 80 else total[:, 100]
    inside = np.flatnonzero(profile > 0)
    middle = profile[(inside[0] + inside[-1]) // 2]
    assert profile.max() > 1.5 * middle > 0


def test_a_tube_outside_the_view_adds_nothing() -> None:
    total = np.zeros((20, 20), np.float32)
    add_tube(total, Tube(straight() + 50.0, np.full(len(straight()), 0.3), 0.0, 1.0, 0.0), spacing_mm=0.1)
    assert not total.any()


def test_walks_step_evenly_and_bend_gently() -> None:
    walk = random_walk(np.random.default_rng(0), start_mm=np.zeros(3), length_mm=20.0, persistence_mm=50.0)
    steps = np.diff(walk, axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), STEP_MM, rtol=1e-6)
    turns = (steps[1:] * steps[:-1]).sum(axis=1) / STEP_MM**2
    assert turns.min() > 0.98


def test_the_same_curves_whatever_the_pixels() -> None:
    maps = []
    for spacing_mm in (0.05, 0.1):
        shape = (round(30 / spacing_mm), round(20 / spacing_mm))
        rng = np.random.default_rng(7)
        maps.append(curves_mm(rng, shape, size_mm=(30.0, 20.0), spacing_mm=spacing_mm, fibres_per_cm2=3.0, vessels=1))
    fine = maps[0].reshape(300, 2, 200, 2).mean(axis=(1, 3))
    assert np.corrcoef(fine.ravel(), maps[1].ravel())[0, 1] > 0.97
    assert fine.mean() == pytest.approx(maps[1].mean(), rel=0.05)

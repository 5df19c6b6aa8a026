"""Solids of the shift benchmark: volumes, chords in closed form, nothing beyond their reach."""

import numpy as np
import pytest

from bundle.functional.benchmark_shapes import KINDS, UNIT_VOLUME, Ball, Cast, Crystal, sample_solid, sphere

SEEDS = range(6)


def grid(reach: float, count: int = 241) -> tuple[np.ndarray, np.ndarray, float]:
    axis = np.linspace(-1.05 * reach, 1.05 * reach, count, dtype=np.float32)
    return axis[:, None], axis[None, :], float(axis[1] - axis[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_solid_has_the_volume_of_the_unit_sphere(kind: str, seed: int) -> None:
    solid = sample_solid(np.random.default_rng(seed), kind)
    row, column, step = grid(solid.reach)
    assert solid.thickness(row, column).sum() * step**2 == pytest.approx(UNIT_VOLUME, rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_lies_beyond_the_reach(kind: str, seed: int) -> None:
    solid = sample_solid(np.random.default_rng(seed), kind)
    row, column, step = grid(1.5 * solid.reach)
    thickness = solid.thickness(row, column)
    # A stone's reach is half the side of its square grid, so its corners may lie farther out.
    outside = np.maximum(np.abs(row), np.abs(column)) > solid.reach + step
    assert (thickness >= 0).all()
    assert np.isfinite(thickness).all()
    assert not thickness[outside].any()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_shape(kind: str) -> None:
    first, second = (sample_solid(np.random.default_rng(9), kind) for _ in range(2))
    row, column, _ = grid(first.reach, 41)
    np.testing.assert_array_equal(first.thickness(row, column), second.thickness(row, column))


def test_chord_of_the_sphere() -> None:
    row = np.array([[0.0], [0.3], [0.6]], np.float32)
    np.testing.assert_allclose(sphere().thickness(row, np.zeros((1, 1), np.float32))[:, 0], [1.0, 0.8, 0.0], atol=1e-6)


def test_a_cube_is_as_thick_as_its_side_and_no_wider() -> None:
    normals = np.vstack([np.eye(3), -np.eye(3)])
    cube = Crystal(np.column_stack([normals, np.full(6, -0.5)]), 0.8)
    axis = np.array([-0.6, -0.4, 0.0, 0.4, 0.6], np.float32)
    expected = np.outer(np.abs(axis) < 0.5, np.abs(axis) < 0.5).astype(np.float32)
    np.testing.assert_allclose(cube.thickness(axis[:, None], axis[None, :]), expected, atol=1e-5)


def test_a_tilted_octahedron_against_counted_voxels() -> None:
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    faces = np.column_stack([signs / np.sqrt(3) @ rotation, np.full(8, -0.5)])
    axis = np.linspace(-1, 1, 81, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    inside = (points @ faces[:, :3].T.astype(np.float32) <= 0.5).all(axis=-1)
    thickness = Crystal(faces, 1.0).thickness(axis[:, None], axis[None, :])
    np.testing.assert_allclose(thickness, inside.sum(axis=2) * (axis[1] - axis[0]), atol=0.06)


def test_a_straight_cast_is_a_cylinder() -> None:
    column = np.linspace(-2.0, 2.0, 161)
    cast = Cast((np.column_stack([np.zeros((161, 1)), column, np.zeros(161), np.full(161, 0.5)]),), 2.5)
    row = np.array([[0.0], [0.3], [0.6]], np.float32)
    np.testing.assert_allclose(cast.thickness(row, np.zeros((1, 1), np.float32))[:, 0], [1.0, 0.8, 0.0], atol=1e-3)


def test_a_cast_along_the_beam_is_as_thick_as_long() -> None:
    depth = np.linspace(-2.0, 2.0, 161)
    cast = Cast((np.column_stack([np.zeros((161, 2)), depth, np.full(161, 0.5)]),), 0.5)
    assert cast.thickness(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)).item() == pytest.approx(5.0)


def test_a_branch_inside_the_trunk_adds_nothing() -> None:
    column = np.linspace(-2.0, 2.0, 161)
    trunk = np.column_stack([np.zeros((161, 1)), column, np.zeros(161), np.full(161, 0.5)])
    inner = trunk * (1.0, 0.5, 1.0, 0.5)
    row, axis, _ = grid(2.5, 61)
    np.testing.assert_allclose(
        Cast((trunk, inner), 2.5).thickness(row, axis), Cast((trunk,), 2.5).thickness(row, axis), atol=1e-5
    )


def test_an_ellipsoid_has_its_axes() -> None:
    ball = Ball((0.5, 0.25, 0.75))
    assert ball.thickness(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)).item() == 1.5
    assert ball.thickness(np.full((1, 1), 0.49, np.float32), np.zeros((1, 1), np.float32)).item() > 0
    assert ball.thickness(np.zeros((1, 1), np.float32), np.full((1, 1), 0.26, np.float32)).item() == 0


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="crystal, stone, cast, round"):
        sample_solid(np.random.default_rng(0), "star")

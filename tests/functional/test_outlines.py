"""Outlines hold the centres of their object's pixels and no other."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import points_in_poly

from bundle.functional.outlines import enclosing_outline, object_outlines, pixel_outline, polygon_area


def _inside(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    centres = np.stack(np.indices(shape), axis=-1).reshape(-1, 2)
    return points_in_poly(centres, polygon).reshape(shape)


def test_a_single_pixel_is_a_diamond_of_half_a_pixel() -> None:
    outline = pixel_outline([[True]])
    assert {tuple(vertex) for vertex in outline} == {(0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)}
    assert (outline[0] == outline[-1]).all()


@pytest.mark.parametrize("seed", range(8))
def test_every_object_is_recovered_from_its_outline(seed: int) -> None:
    mask = np.random.default_rng(seed).random((14, 11)) > 0.75
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    boxes = [(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(labels)]
    assert count > 1
    for number, outline in enumerate(object_outlines(mask, boxes), start=1):
        expected = ndimage.binary_fill_holes(labels == number)
        assert (_inside(outline, mask.shape) == expected).all()


def test_a_ring_is_outlined_with_its_hole() -> None:
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert _inside(pixel_outline(ring), (3, 3)).all()


def test_an_object_inside_the_ring_of_another_keeps_its_own_outline() -> None:
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    inner = object_outlines(mask, [(3, 3, 4, 4)])[0]
    assert _inside(inner, mask.shape).sum() == 1


def test_a_box_of_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected an object"):
        object_outlines(np.eye(4, dtype=bool), [(0, 0, 2, 2)])


def test_the_enclosing_outline_holds_every_vertex_of_its_parts() -> None:
    parts = [pixel_outline(np.ones((2, 3), bool)), pixel_outline([[True]]) + np.array((5, 9))]
    hull = enclosing_outline(parts)
    assert (hull[0] == hull[-1]).all()
    middle = hull.mean(axis=0)
    for vertex in np.concatenate(parts):
        assert points_in_poly([vertex + 1e-6 * (middle - vertex)], hull).all()


def test_the_area_of_a_rectangle_is_the_product_of_its_sides_in_either_direction() -> None:
    corners = np.array([(1, 2), (1, 7), (4, 7), (4, 2), (1, 2)], float)
    assert polygon_area(corners) == polygon_area(corners[::-1]) == 15

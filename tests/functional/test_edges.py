import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from bundle.functional.edges import edge_map, eroded_breast, gaussian_smooth, sobel_magnitude


def _breast(rows: int = 80, columns: int = 60, depth: int = 40) -> Tensor:
    """Breast on the left of a background of -1, with texture."""
    image = torch.full((1, 1, rows, columns), -1.0)
    image[..., :depth] = 0.2 * torch.rand(rows, depth, generator=torch.Generator().manual_seed(0))
    return image


@pytest.mark.parametrize("sigma_px", [0.7, 1.0, 3.0])
def test_gaussian_equals_scipys(sigma_px: float) -> None:
    image = torch.rand(1, 1, 30, 25, dtype=torch.float64)
    radius = int(np.ceil(3 * sigma_px))
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), sigma_px, mode="nearest", radius=radius)
    np.testing.assert_allclose(gaussian_smooth(image, sigma_px)[0, 0].numpy(), expected, atol=1e-12)


def test_zero_sigma_is_identity() -> None:
    image = torch.rand(1, 1, 9, 9)
    assert gaussian_smooth(image, 0.0) is image


def test_sobel_equals_scipys() -> None:
    image = torch.rand(1, 1, 30, 25, dtype=torch.float64)
    plane = image[0, 0].numpy()
    expected = np.hypot(ndimage.sobel(plane, 0, mode="nearest"), ndimage.sobel(plane, 1, mode="nearest")) / 8
    np.testing.assert_allclose(sobel_magnitude(image)[0, 0].numpy(), expected, atol=1e-12)


def test_sobel_of_a_ramp_is_its_slope() -> None:
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    ramp = (3.0 * rows + 4.0 * columns)[None, None]
    torch.testing.assert_close(sobel_magnitude(ramp)[..., 1:-1, 1:-1], torch.full((1, 1, 7, 7), 5.0))


def test_a_constant_image_has_no_edges() -> None:
    assert edge_map(torch.zeros(1, 1, 20, 20)).abs().max() == 0
    assert edge_map(torch.full((1, 1, 20, 20), -1.0)).abs().max() == 0


@pytest.mark.parametrize("kind", ["sobel", "high_pass"])
def test_edges_are_normalised_inside_the_breast_and_zero_outside(kind: str) -> None:
    edges = edge_map(_breast(), kind=kind, erode_px=5)
    assert edges.abs().max() == 1.0
    assert (edges[..., 35:] == 0).all()
    assert (edges[..., :35] != 0).any()


def test_the_skin_line_does_not_set_the_scale() -> None:
    soft, hard = _breast(), _breast()
    hard[..., 39] = 1.0
    assert torch.equal(edge_map(soft, erode_px=5), edge_map(hard, erode_px=5))


def test_contrast_and_brightness_leave_the_map_alone() -> None:
    image = torch.rand(1, 1, 30, 30) * 0.5 - 0.5
    torch.testing.assert_close(edge_map(0.5 * image + 0.3), edge_map(image))


def test_high_pass_keeps_its_sign() -> None:
    image = torch.zeros(1, 1, 31, 31)
    image[..., 10, 10], image[..., 20, 20] = 0.5, -0.5
    edges = edge_map(image, kind="high_pass")
    assert edges[0, 0, 10, 10] == pytest.approx(1.0)
    assert edges[0, 0, 20, 20] == pytest.approx(-1.0)


def test_images_of_a_batch_have_their_own_scale() -> None:
    image = torch.rand(1, 1, 30, 30)
    edges = edge_map(torch.cat([image, 0.1 * image]))
    torch.testing.assert_close(edges[0], edges[1])


def test_erosion_takes_the_rim_but_not_the_border_of_the_image() -> None:
    inner = eroded_breast(_breast(), erode_px=5)[0, 0]
    assert inner[:, :35].all()
    assert not inner[:, 35:].any()


def test_holes_are_breast() -> None:
    image = _breast()
    image[..., 40, 20] = -1.0
    assert eroded_breast(image, erode_px=5)[0, 0, :, :35].all()


def test_a_breast_thinner_than_the_erosion_keeps_its_rim() -> None:
    image = torch.full((1, 1, 40, 40), -1.0)
    image[..., 18:22, 18:22] = 0.0
    assert torch.equal(eroded_breast(image, erode_px=8), image > -1)


@pytest.mark.parametrize(("options", "message"), [({"kind": "canny"}, "canny"), ({"erode_px": -1}, "-1")])
def test_meaningless_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edge_map(torch.zeros(1, 1, 8, 8), **options)  # type: ignore[arg-type]

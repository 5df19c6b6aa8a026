"""Equations that meet in several modules; `docs/method.md` says which test holds which equation."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from bundle.engines import prepare_flow_batch
from bundle.functional.flow import flow_matching_loss
from bundle.functional.injection import CONTRAST_FLOOR, HIGH_PASS_MM, LOCAL_MM, Injection, inject
from bundle.functional.puncta import Punctum, render_punctum
from bundle.functional.segmentation_loss import dice_loss, focal_tversky_loss, overlap_sums
from bundle.losses import DiceFocalTverskyLoss, FlowMatchingLoss
from bundle.networks import Restormer
from bundle.transforms import RandFlowStated

PARTS = np.array([[0.05, -0.03, 0.15, 0.08, 0.4], [-0.06, 0.04, 0.1, 0.1, 0.0]])


# Eq. 1.


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (16, 40)])
def test_the_segmentor_gives_one_logit_per_pixel(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    network = Restormer(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0, output_bias=-4.0).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, 1, rows, columns) * 2 - 1)
    assert logits.shape == (2, 1, rows, columns)
    # Logits, not probabilities: rare pixels start far below zero.
    assert logits.mean() < -2


# Eq. 2.


def test_the_blurred_punctum_is_its_sharp_one_convolved_with_h() -> None:
    spacing_mm, sigma_mm = 0.01, 0.05
    punctum = Punctum(1.0, 1.0, PARTS, 1.0)
    (top, left), blurred, *_ = render_punctum(punctum, spacing_mm=spacing_mm, blur_sigma_mm=sigma_mm)
    (first_row, first_column), sharp, *_ = render_punctum(punctum, spacing_mm=spacing_mm, blur_sigma_mm=0.0)
    field = np.zeros_like(blurred)
    rows, columns = sharp.shape
    field[first_row - top :, first_column - left :][:rows, :columns] = sharp
    expected = gaussian_filter(field, sigma_mm / spacing_mm, mode="constant")
    np.testing.assert_allclose(blurred, expected / expected.max(), atol=5e-3)


def _kappa(background: np.ndarray, row: int, column: int, spacing_mm: float) -> float:
    """Standard deviation of the high-passed background around a pixel far from the border, in plain loops."""

    def window(size_mm: float) -> range:
        size = max(3, round(size_mm / spacing_mm))
        return range(-(size // 2), size - size // 2)

    squares = []
    for i in window(LOCAL_MM):
        for j in window(LOCAL_MM):
            near = [background[row + i + m, column + j + n] for m in window(HIGH_PASS_MM) for n in window(HIGH_PASS_MM)]
            squares.append((background[row + i, column + j] - np.mean(near)) ** 2)
    return math.sqrt(np.mean(squares)) + CONTRAST_FLOOR


def test_the_image_is_the_background_plus_kappa_times_the_blurred_field() -> None:
    spacing_mm, row, column = 0.2, 20, 24
    background = np.random.default_rng(0).normal(0.6, 0.05, (40, 48)).astype(np.float32)
    punctum = Punctum((row + 0.5) * spacing_mm, (column + 0.3) * spacing_mm, 3 * PARTS, 12.0)
    image, _ = inject(background, Injection((punctum,), 0.05), spacing_mm=spacing_mm)
    (top, left), tile, *_ = render_punctum(punctum, spacing_mm=spacing_mm, blur_sigma_mm=0.05)
    field = np.zeros_like(background)
    field[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    expected = background + punctum.cnr * _kappa(background, row, column, spacing_mm) * field
    assert expected.max() > 1
    np.testing.assert_allclose(image, np.clip(expected, -1, 1), atol=1e-5)


# Eq. 3.


@pytest.mark.parametrize(("lambda_dice", "lambda_tversky"), [(1.0, 1.0), (2.0, 0.0), (0.0, 3.0), (0.4, 0.6)])
def test_the_loss_is_the_weighted_sum_of_its_two_terms(lambda_dice: float, lambda_tversky: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 6, 6, generator=generator)
    label = torch.randint(0, 2, logits.shape, generator=generator)
    sums = overlap_sums(logits.sigmoid(), label.float())
    expected = lambda_dice * dice_loss(*sums) + lambda_tversky * focal_tversky_loss(*sums)
    loss = DiceFocalTverskyLoss(lambda_dice=lambda_dice, lambda_tversky=lambda_tversky)(logits, label)
    torch.testing.assert_close(loss, expected)


# Eq. 5.


def test_training_minimises_the_flow_matching_loss() -> None:
    """Transform, batch and loss together are eq. 5 with the same t and z, if all pixels weigh the same."""
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    label = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    label[..., 4:7, 5:8] = 1
    transform = RandFlowStated(seed_weight=1.0)
    transform.set_random_state(seed=0)
    samples = [transform({"image": x[i], "label": label[i]}) for i in range(2)]
    batch = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return 0.5 * state + t.view(-1, 1, 1, 1) + condition.sum(dim=1, keepdim=True)

    inputs, target, args, kwargs = prepare_flow_batch(batch, "cpu")
    trained = FlowMatchingLoss()(generator(inputs, *args, **kwargs), target)
    z = x - target[:, :1]
    torch.testing.assert_close(trained, flow_matching_loss(generator, x, batch["condition"], batch["t"], z))

import pytest
import torch
from torch import Tensor, nn

from bundle.networks.inpainter import Inpainter, ResidualChannelSegmentor, fill_hidden
from bundle.networks.inpainter_grid import cell_hidden, cell_weight, compose, grid_offsets

LIKE = torch.zeros(1, 1, 72, 56)


def tissue(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed)) * 0.6 - 0.5


def trained_alike() -> Inpainter:
    """Not trained, but with an output that is not 0."""
    torch.manual_seed(0)
    network = Inpainter(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0).eval()
    nn.init.normal_(network.restormer.output.weight, std=0.1)
    return network


def both(image: Tensor, hidden: Tensor) -> Tensor:
    return torch.cat([image, hidden.to(image.dtype)], dim=1)


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("cell_px", [2, 8, 14])
def test_weights_of_all_passes_sum_to_one(cell_px: int, blended: bool) -> None:
    offsets = grid_offsets(cell_px, blended=blended)
    assert len(offsets) == (16 if blended else 4)
    total = sum(cell_weight(LIKE, offset, cell_px=cell_px, blended=blended) for offset in offsets)
    torch.testing.assert_close(total, torch.ones(72, 56))


@pytest.mark.parametrize("blended", [False, True])
def test_only_hidden_pixels_have_weight_and_a_quarter_is_hidden(blended: bool) -> None:
    for offset in grid_offsets(8, blended=blended):
        hidden = cell_hidden(torch.zeros(64, 64), offset, cell_px=8)
        weight = cell_weight(torch.zeros(64, 64), offset, cell_px=8, blended=blended)
        assert hidden.sum() == 64 * 64 / 4
        assert torch.equal(weight > 0, hidden)


def test_cells_of_a_hand_drawn_grid() -> None:
    drawn = ["..##..##", "..##..##", "........", "........", "..##..##"]
    expected = torch.tensor([[mark == "#" for mark in row] for row in drawn])
    assert torch.equal(cell_hidden(torch.zeros(5, 8), (0, 2), cell_px=2), expected)


def test_blending_leaves_no_step_at_the_border_of_a_cell() -> None:
    """Passes that disagree by 1 at every pixel change over within half a cell, not from one pixel to the next."""
    offsets = grid_offsets(16)
    sums = {True: torch.zeros(64, 64), False: torch.zeros(64, 64)}
    for blended, total in sums.items():
        for number, offset in enumerate(grid_offsets(16, blended=blended)):
            total += (number % 2) * cell_weight(total, offset, cell_px=16, blended=blended)
    assert len(offsets) == 16
    assert sums[False].diff(dim=1).abs().max() == 1
    assert sums[True].diff(dim=1).abs().max() <= 1 / 8 + 1e-6


@pytest.mark.parametrize("cell_px", [0, 7])
def test_an_odd_cell_is_refused(cell_px: int) -> None:
    with pytest.raises(ValueError, match="even cell side"):
        grid_offsets(cell_px)


def test_a_hidden_pixel_is_the_mean_of_the_seen_ones_around_it() -> None:
    """By hand: one pixel of a row of three is hidden, air takes no part."""
    image = torch.full((1, 1, 3, 3), -1.0)
    image[0, 0, 1] = torch.tensor([0.2, 0.9, 0.4])
    hidden = torch.zeros(1, 1, 3, 3)
    hidden[0, 0, 1, 1] = 1
    filled = fill_hidden(image, hidden)
    assert filled[0, 0, 1, 1].item() == pytest.approx(0.3, abs=1e-6)
    assert torch.equal(filled[hidden == 0], image[hidden == 0])


def test_what_is_seen_next_to_a_pixel_counts_alone() -> None:
    """Two pixels inside a hidden box more than a quarter of the smallest square is seen."""
    image = torch.full((1, 1, 64, 64), 0.1)
    image[..., 40:] = 0.7
    hidden = torch.zeros_like(image)
    hidden[..., 10:54, 30:60] = 1
    filled = fill_hidden(image, hidden)
    assert filled[0, 0, 32, 31].item() == pytest.approx(0.1, abs=1e-6)
    hidden[..., 60:] = 1
    hidden[..., 58:] = 0
    assert fill_hidden(image, hidden)[0, 0, 32, 56].item() == pytest.approx(0.7, abs=1e-6)


def test_a_fill_has_no_steps() -> None:
    """Squares of all sizes meet in a wide box; from pixel to pixel the fill moves by little of what lies around it."""
    image = torch.full((1, 1, 128, 128), 0.0)
    image[..., 64:] = 1.0
    hidden = torch.zeros_like(image)
    hidden[..., 14:114, 14:114] = 1
    filled = fill_hidden(image, hidden)[0, 0, 14:114, 14:114]
    # Around the box the image itself steps from 0 to 1, which the rim of the fill follows.
    assert filled[12:-12].diff(dim=1).abs().max() < 0.15
    assert filled[12:-12].diff(dim=0).abs().max() < 0.15
    assert filled[50, 0] < 0.01
    assert filled[50, -1] > 0.99


def test_where_nothing_is_seen_the_fill_is_zero() -> None:
    image = tissue(32, 32)
    assert not fill_hidden(image, torch.ones_like(image)).any()


def test_an_untrained_inpainter_gives_the_fill() -> None:
    image, hidden = tissue(64, 64), cell_hidden(torch.zeros(1, 1, 64, 64), (8, 0), cell_px=16)[None, None]
    network = Inpainter(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0)
    assert torch.equal(network(both(image, hidden)), fill_hidden(image, hidden))


@pytest.mark.parametrize("value", [-0.9, 1.0, float("inf")])
def test_no_output_depends_on_a_hidden_value(value: float) -> None:
    network, image = trained_alike(), tissue(64, 64)
    hidden = torch.zeros_like(image)
    hidden[..., 20:30, 20:30] = 1
    changed = image.clone()
    changed[..., 25, 22] = value
    with torch.no_grad():
        assert torch.equal(network(both(image, hidden)), network(both(changed, hidden)))


def test_every_output_nearby_depends_on_a_seen_value() -> None:
    network, image = trained_alike(), tissue(64, 64)
    changed = image.clone()
    changed[..., 25, 22] += 0.3
    hidden = torch.zeros_like(image)
    with torch.no_grad():
        difference = network(both(image, hidden)) - network(both(changed, hidden))
    assert difference[0, 0, 25, 22].abs() > 0.1


@pytest.mark.parametrize("blended", [False, True])
def test_a_perfect_prediction_composes_to_the_image_and_air_stays_zero(blended: bool) -> None:
    image = tissue(40, 40)
    image[..., :10] = -1
    composed = compose(image, lambda image, hidden: image, cell_px=8, blended=blended)
    torch.testing.assert_close(composed[..., 10:], image[..., 10:])
    assert not composed[..., :10].any()


def test_channel_counts_are_checked() -> None:
    with pytest.raises(ValueError, match="image and hidden"):
        trained_alike()(torch.zeros(1, 1, 64, 64))


class Second(nn.Module):
    """Its second channel as logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, stacked: Tensor) -> Tensor:
        return self.scale * stacked[:, 1:]


def test_the_second_channel_is_the_residual_and_the_inpainter_is_not_trained() -> None:
    network = ResidualChannelSegmentor(trained_alike(), Second(), cell_px=16, gain=10.0)
    image = tissue(64, 64)
    image[..., 50:] = -1
    logits = network(image)
    torch.testing.assert_close(logits, 10 * network.residual(image))
    assert not network.residual(image)[..., 50:].any()
    logits.sum().backward()
    assert all(parameter.grad is None for parameter in network.inpainter.parameters())
    assert network.segmentor.scale.grad is not None


def test_the_residual_at_a_pixel_rises_as_much_as_the_pixel() -> None:
    """Its virtual normal does not know of it."""
    network = ResidualChannelSegmentor(trained_alike(), Second(), cell_px=16)
    image = tissue(64, 64)
    changed = image.clone()
    changed[..., 24, 24] += 0.25
    difference = network.residual(changed) - network.residual(image)
    assert difference[0, 0, 24, 24].item() == pytest.approx(0.25, abs=1e-5)

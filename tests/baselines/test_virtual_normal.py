import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.baselines.network import NetworkInferer
from bundle.baselines.segai import GenerativeRefinedInferer
from bundle.baselines.virtual_normal import VirtualNormalInferer, noise_deviation
from bundle.inferers import WindowedInferer
from bundle.networks.inpainter import Inpainter, fill_hidden

SPACING = (0.1, 0.1)
SPOT = (35, 20)


def view(rows: int = 56, columns: int = 40) -> Tensor:
    image = torch.randn(1, 1, rows, columns, generator=torch.Generator().manual_seed(0)) * 0.02 - 0.2
    image[..., 30:] = -1
    return image


def spotted() -> Tensor:
    image = view()
    image[0, 0, SPOT[0] - 1 : SPOT[0] + 2, SPOT[1] - 1 : SPOT[1] + 2] += 0.5
    return image


def windowed() -> WindowedInferer:
    return WindowedInferer(32, sw_batch_size=8)


def mean_of_seen(stacked: Tensor) -> Tensor:
    """The limit case of an inpainter: the mean of the breast that is seen nearby."""
    return fill_hidden(*stacked.split(1, dim=1))


def all_of_it(stacked: Tensor) -> Tensor:
    """Returns what it is given, hidden values included, if they reach it."""
    return stacked[:, :1]


def random_inpainter() -> Inpainter:
    torch.manual_seed(0)
    network = Inpainter(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=0).eval()
    torch.nn.init.normal_(network.restormer.output.weight, std=0.1)
    return network


def inferer(network: object = mean_of_seen, **options: object) -> VirtualNormalInferer:
    return VirtualNormalInferer(network, windowed=windowed(), **{"cell_px": 8, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("network", [all_of_it, mean_of_seen, random_inpainter()], ids=["all", "mean", "transformer"])
def test_a_virtual_normal_does_not_know_the_pixel_it_stands_for(network: object, blended: bool) -> None:
    """A change of one pixel moves the prediction elsewhere, and not there."""
    changed = view()
    changed[0, 0, SPOT[0], SPOT[1]] += 0.4
    made = inferer(network, blended=blended)
    difference = (made(changed) - made(view())).abs()[0, 0]
    assert difference[SPOT] < 1e-6
    if network is not all_of_it:
        assert difference.max() > 1e-4


def test_the_control_knows_it() -> None:
    changed = view()
    changed[0, 0, SPOT[0], SPOT[1]] += 0.4
    made = inferer(random_inpainter(), hide="nothing")
    assert (made(changed) - made(view()))[0, 0][SPOT].abs() > 0.1


def test_the_control_can_copy_and_then_leaves_nothing_over() -> None:
    made = inferer(all_of_it, hide="nothing")
    torch.testing.assert_close(made(spotted()), spotted())
    assert made.residual(spotted()).abs().max() < 1e-6


def test_in_constant_tissue_a_mean_of_what_is_seen_is_that_tissue() -> None:
    image = torch.where(view() > -1, 0.3, -1.0)
    torch.testing.assert_close(inferer()(image), image)


def test_a_spot_in_constant_tissue_is_left_over_whole() -> None:
    """By hand: the mean around a hidden cell is the tissue, so view less virtual normal is the spot."""
    image = torch.where(view() > -1, -0.2, -1.0)
    image[0, 0, 34:37, 19:22] = 0.3
    hidden = torch.zeros_like(image, dtype=torch.bool)
    hidden[0, 0, 30:42, 14:26] = True
    made = inferer(hide="mask")
    left = made.residual(image, hidden=hidden)[0, 0]
    expected = torch.zeros_like(left)
    expected[34:37, 19:22] = 0.5
    torch.testing.assert_close(left, expected, atol=1e-5, rtol=0)
    normal = made(image, hidden=hidden)
    assert torch.equal(normal[~hidden], image[~hidden])
    torch.testing.assert_close(normal[hidden], torch.full_like(normal[hidden], -0.2), atol=1e-5, rtol=0)


def test_dark_spots_leave_nothing_over() -> None:
    image = torch.where(view() > -1, -0.2, -1.0)
    image[0, 0, 35, 20] = -0.9
    hidden = torch.zeros_like(image, dtype=torch.bool)
    hidden[0, 0, 30:42, 14:26] = True
    assert inferer(hide="mask").residual(image, hidden=hidden).max() < 1e-6


def test_windows_without_anything_hidden_are_not_looked_at() -> None:
    seen = []

    def counting(stacked: Tensor) -> Tensor:
        seen.append(len(stacked))
        return mean_of_seen(stacked)

    hidden = torch.zeros_like(view(), dtype=torch.bool)
    hidden[0, 0, 3, 3] = True
    inferer(counting, hide="mask")(view(), hidden=hidden)
    assert sum(seen) == 1


def test_patch_maps_are_summed_and_divided_by_coverage() -> None:
    """Slow twin of eqs. 4 and 5: window by window, with a prediction that differs between windows."""
    image = view()
    hidden = torch.zeros_like(image, dtype=torch.bool)
    hidden[0, 0, 10:45, 3:28] = True

    def by_window(stacked: Tensor) -> Tensor:
        spots = stacked[:, 1:].sum(dim=(2, 3), keepdim=True)
        return torch.where(stacked[:, :1] > -2, -0.2 + 0.1 * torch.sin(spots), 0.0)

    total, count = np.zeros((56, 40)), np.zeros((56, 40))
    for top in (0, 16, 24):
        for left in (0, 8):
            box = (slice(top, top + 32), slice(left, left + 32))
            spots = hidden[0, 0][box].numpy()
            made = -0.2 + 0.1 * np.sin(np.float32(spots.sum()))
            total[box] += np.maximum(0, image[0, 0][box].numpy() - made)
            count[box] += 1
    expected = np.where(hidden[0, 0].numpy(), total / count, 0)
    found = inferer(by_window, hide="mask").residual(image, hidden=hidden)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("hide", ["grid", "nothing"])
def test_air_stays_air_and_nothing_of_it_is_left_over(hide: str) -> None:
    made = inferer(random_inpainter(), hide=hide)
    assert (made(view())[..., 30:] == -1).all()
    assert not made.residual(view())[..., 30:].any()


def test_options_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="grid, mask, nothing"):
        VirtualNormalInferer(hide="all")
    with pytest.raises(ValueError, match="hide='mask'"):
        inferer(hide="mask")(view())
    with pytest.raises(ValueError, match="hide='mask'"):
        inferer()(view(), hidden=view() > 0)
    with pytest.raises(ValueError, match="a network"):
        VirtualNormalInferer(windowed=windowed())(view())


def test_noise_deviation_of_white_noise_is_its_standard_deviation() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (128, 128)).astype(np.float32)
    deviation = noise_deviation(noise, np.ones(noise.shape, bool), spacing_mm=SPACING)
    # The Gaussian mean of 3.2 px takes a hundredth of white noise away.
    assert deviation[20:-20, 20:-20].mean() == pytest.approx(0.05, rel=0.03)


def test_noise_deviation_does_not_know_what_is_hidden() -> None:
    image = np.random.default_rng(1).normal(0, 0.05, (96, 96)).astype(np.float32)
    seen = np.ones(image.shape, bool)
    seen[40:50, 40:50] = False
    bright = image.copy()
    bright[~seen] = 1.0
    made = [noise_deviation(values, seen, spacing_mm=SPACING) for values in (image, bright)]
    np.testing.assert_array_equal(*made)
    assert (made[0] > 0).all()


# SegAI + R:GenAI


def around_the_spot(windows: Tensor) -> Tensor:
    """A segmentor that is sure of what is bright."""
    return torch.where(windows > 0.0, 8.0, -8.0)


def refined(hide: str = "mask", network: object = mean_of_seen, **options: object) -> GenerativeRefinedInferer:
    segmentor = NetworkInferer(options.pop("segmentor", around_the_spot), windowed=windowed())  # type: ignore[arg-type]
    return GenerativeRefinedInferer(inferer(network, hide=hide), segmentor, **options)  # type: ignore[arg-type]


def test_a_marked_spot_is_found_and_the_rest_of_the_mask_is_not() -> None:
    probs = torch.sigmoid(refined()(spotted(), spacing_mm=SPACING))[0, 0]
    found = (probs >= 0.5).nonzero()
    assert probs[SPOT] > 0.9
    assert (found - torch.tensor(SPOT)).abs().max() <= 1
    assert len(found) == 9


def test_refinement_lowers_the_activation_rate_of_a_segmentor_that_marks_too_much() -> None:
    """The behaviour that the paper states: 1.22 % becomes 0.43 %, with the calcification kept."""

    def generous(windows: Tensor) -> Tensor:
        return torch.where(torch.nn.functional.max_pool2d(windows, 9, stride=1, padding=4) > 0.0, 8.0, -8.0)

    segmentor = NetworkInferer(generous, windowed=windowed())
    before = (segmentor(spotted()) >= 0).sum()
    after = (refined(segmentor=generous)(spotted(), spacing_mm=SPACING) >= 0).sum()
    assert 0 < after < before / 3


def test_outside_the_mask_the_logit_is_minus_twelve() -> None:
    logits = refined(grow_px=0)(spotted(), spacing_mm=SPACING)
    mask = spotted() > 0.0
    assert (logits[~mask] == -12).all()
    assert (logits[mask] > -12).all()


def test_the_mask_is_grown_by_as_many_pixels() -> None:
    image = torch.where(spotted() > 0.0, 0.3, torch.where(view() > -1, -0.2, -1.0))
    image[0, 0, SPOT[0] - 4, SPOT[1]] = -0.1
    scores = {grow: refined(grow_px=grow).scores(image, spacing_mm=SPACING)[0, 0] for grow in (2, 3)}
    assert scores[2][SPOT[0] - 4, SPOT[1]] == 0
    assert scores[3][SPOT[0] - 4, SPOT[1]] > 0


def test_a_control_that_copies_finds_nothing() -> None:
    logits = refined("nothing", all_of_it)(spotted(), spacing_mm=SPACING)
    assert (logits < 0).all()


def test_without_a_segmentor_the_grid_looks_everywhere() -> None:
    alone = GenerativeRefinedInferer(inferer(), None, threshold=5.0)
    probs = torch.sigmoid(alone(spotted(), spacing_mm=SPACING))[0, 0]
    assert probs[SPOT] > 0.5
    assert (probs[:, 30:] < 1e-5).all()


def test_the_score_is_in_deviations_and_the_threshold_is_one_half() -> None:
    scores = refined().scores(spotted(), spacing_mm=SPACING)
    at = scores[0, 0][SPOT].item()
    probs = torch.sigmoid(refined(threshold=at)(spotted(), spacing_mm=SPACING))
    assert probs[0, 0][SPOT].item() == pytest.approx(0.5, abs=1e-5)
    # A spot of 0.5 over noise of 0.02.
    assert at == pytest.approx(0.5 / 0.02, rel=0.2)


def test_another_spot_does_not_move_the_scale_but_moves_a_distribution() -> None:
    more = spotted()
    more[0, 0, 10:13, 10:13] += 0.5
    at = {}
    for normalise in ("deviation", "distribution"):
        made = refined(normalise=normalise)
        at[normalise] = [made.scores(image, spacing_mm=SPACING)[0, 0][SPOT].item() for image in (spotted(), more)]
    assert at["deviation"][1] == pytest.approx(at["deviation"][0], rel=0.02)
    assert at["distribution"][1] < 0.7 * at["distribution"][0]


def test_a_distribution_sums_to_one() -> None:
    scores = refined(normalise="distribution").scores(spotted(), spacing_mm=SPACING)
    assert scores.sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"threshold": 0.0}, "threshold > 0"), ({"binarise": 1.0}, "binarise"), ({"normalise": "max"}, "normalise")],
)
def test_options_out_of_range_are_named(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        refined(**options)


def test_a_hidden_mask_needs_a_segmentor() -> None:
    with pytest.raises(ValueError, match="segmentor"):
        GenerativeRefinedInferer(inferer(hide="mask"))


def test_without_a_spacing_there_is_no_deviation() -> None:
    with pytest.raises(ValueError, match="spacing"):
        refined()(spotted())

import pytest
import torch
from monai.networks.blocks.cablock import CABlock, FeedForward

from bundle.networks import Restormer
from bundle.networks.restormer import (
    GatedFeedForward,
    RestormerBlock,
    TransposedAttention,
    high_pass,
    time_features,
    velocity_from,
)

SMALL = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
PUBLISHED_PARAMETERS = 26.1e6


def _copy_monai(ours: torch.nn.Module, theirs: torch.nn.Module, names: dict[str, str]) -> None:
    state = {mine: theirs.state_dict()[other] for mine, other in names.items()}
    ours.load_state_dict({k: v.reshape(ours.state_dict()[k].shape) for k, v in state.items()})


def test_attention_agrees_with_monai() -> None:
    torch.manual_seed(0)
    theirs, ours = CABlock(2, 16, 4, bias=False), TransposedAttention(16, 4)
    torch.nn.init.uniform_(theirs.temperature, 0.5, 2.0)
    names = {
        "temperature": "temperature",
        "qkv.weight": "qkv.conv.weight",
        "depthwise.weight": "qkv_dwconv.conv.weight",
    }
    _copy_monai(ours, theirs, {**names, "project_out.weight": "project_out.conv.weight"})
    x = torch.randn(2, 16, 12, 10)
    torch.testing.assert_close(ours(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), theirs(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("dim", "padding"), [(16, 0), (24, 1), (48, 1), (192, 2)])
def test_feed_forward_agrees_with_monai(dim: int, padding: int) -> None:
    torch.manual_seed(0)
    theirs, ours = FeedForward(2, dim, 2.66, bias=False), GatedFeedForward(dim, 2.66)
    assert ours.padding == padding
    _copy_monai(
        ours,
        theirs,
        {
            f"{n}.weight": f"{m}.conv.weight"
            for n, m in (("project_in", "project_in"), ("depthwise", "dwconv"), ("project_out", "project_out"))
        },
    )
    x = torch.randn(2, dim, 12, 10)
    torch.testing.assert_close(ours(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), theirs(x), atol=1e-5, rtol=1e-4)


def test_channels_without_any_signal_give_finite_gradients() -> None:
    attention = TransposedAttention(8, 2)
    x = torch.zeros(1, 4, 4, 8, requires_grad=True)
    attention(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_published_size_has_the_published_parameters() -> None:
    network = Restormer(in_channels=3, out_channels=3)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(PUBLISHED_PARAMETERS, rel=0.005)


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = Restormer(**SMALL).eval()
    x = torch.randn(3, 1, 32, 32)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]), atol=1e-5, rtol=1e-4)


def test_scripted_network_gives_the_same() -> None:
    torch.manual_seed(0)
    x, t, condition = torch.randn(2, 1, 32, 24), torch.rand(2), torch.rand(2, 2, 32, 24)
    segmentor = Restormer(**SMALL).eval()
    generator = Restormer(**SMALL, condition_channels=2, time_dim=16, flow_sigma=0.03).eval()
    torch.testing.assert_close(torch.jit.script(segmentor)(x), segmentor(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        torch.jit.script(generator)(x, t, condition), generator(x, t, condition), atol=1e-5, rtol=1e-4
    )


def test_untrained_time_embedding_changes_nothing() -> None:
    torch.manual_seed(0)
    block = RestormerBlock(8, 2, 2.66, time_dim=16)
    x = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(block(x, torch.randn(2, 16)), block(x, None))


def test_trained_time_embedding_changes_the_output() -> None:
    block = RestormerBlock(8, 2, 2.66, time_dim=16)
    torch.nn.init.normal_(block.film.weight)
    x = torch.randn(1, 8, 8, 8)
    assert not torch.allclose(block(x, torch.zeros(1, 16)), block(x, torch.ones(1, 16)))


def test_neighbouring_times_have_different_features() -> None:
    features = time_features(torch.tensor([0.0, 0.01, 0.5, 1.0]))
    assert torch.pdist(features).min() > 0.1


def test_every_parameter_gets_a_gradient() -> None:
    network = Restormer(**SMALL, condition_channels=2, time_dim=16)
    for stage in network.modules():
        if isinstance(stage, RestormerBlock):
            torch.nn.init.normal_(stage.film.weight, std=0.1)
    network(torch.randn(1, 1, 16, 16), torch.rand(1), torch.rand(1, 2, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_silent_network_gives_the_best_linear_guess_of_the_velocity() -> None:
    torch.manual_seed(0)
    sigma, time = 0.5, 0.4
    x, z, t = sigma * torch.randn(1, 1, 500, 500), torch.randn(1, 1, 500, 500), torch.tensor([time])
    state, target = time * x + (1 - time) * z, x - z
    guess = velocity_from(torch.zeros_like(state), state, t, sigma)
    fitted = (target * state).sum() / state.square().sum()
    torch.testing.assert_close(guess, fitted * state, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("time", [0.0, 0.3, 0.9])
def test_without_unknown_texture_the_network_estimates_the_image(time: float) -> None:
    torch.manual_seed(0)
    x, z, t = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8), torch.full((2,), time)
    velocity = velocity_from(x, time * x + (1 - time) * z, t, sigma=1e-4)
    torch.testing.assert_close(velocity, x - z, atol=1e-3, rtol=1e-3)


def test_velocity_is_finite_at_both_ends() -> None:
    state, t = torch.ones(2, 1, 8, 8), torch.tensor([0.0, 1.0])
    velocity = velocity_from(torch.ones_like(state), state, t, sigma=0.03)
    # At t = 0 the state is z, and the network's picture less z is the velocity; at t = 1 it is x, and z is guessed.
    torch.testing.assert_close(velocity[:, 0, 0, 0], torch.tensor([0.0, 2.0]))


def test_an_estimate_of_the_image_needs_a_time() -> None:
    with pytest.raises(ValueError, match="pass time_dim too"):
        Restormer(**SMALL, flow_sigma=0.03)


def test_rows_and_columns_may_differ() -> None:
    network = Restormer(**SMALL).eval()
    assert network(torch.randn(1, 1, 16, 40)).shape == (1, 1, 16, 40)


@pytest.mark.parametrize("arguments", [(torch.zeros(1, 1, 16, 16), torch.zeros(1)), (torch.zeros(1, 1, 20, 16),)])
def test_wrong_input_is_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Restormer(**SMALL)(*arguments)


def test_folding_the_stem_keeps_the_size_and_quarters_the_pixels_of_each_level() -> None:
    network = Restormer(**SMALL, stem_stride=2).eval()
    seen = []
    network.encoder1.register_forward_hook(lambda module, inputs, out: seen.append(out.shape))
    assert network(torch.randn(1, 1, 32, 48)).shape == (1, 1, 32, 48)
    assert seen[0][1:3] == (16, 24)
    with pytest.raises(ValueError, match="multiples of 16"):
        network(torch.randn(1, 1, 24, 32))


def test_high_pass_of_a_plane_is_zero_inside_and_of_a_point_nearly_itself() -> None:
    plane = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    assert high_pass(plane)[..., 7:-7].abs().max() < 1e-6
    point = torch.zeros(1, 1, 32, 32)
    point[..., 16, 16] = 1.0
    assert high_pass(point)[0, 0, 16, 16] == pytest.approx(1 - 1 / 169)
    assert high_pass(point).sum() == pytest.approx(0.0, abs=1e-5)


def test_high_pass_takes_off_the_mean_of_a_square() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 1, 20, 31)
    expected = image[0, 0, 9, 17] - image[0, 0, 3:16, 11:24].mean()
    torch.testing.assert_close(high_pass(image)[0, 0, 9, 17], expected, atol=1e-6, rtol=0)


def test_folded_and_high_passed_network_is_the_same_as_a_script() -> None:
    network = Restormer(**SMALL, stem_stride=2, high_pass_gain=10.0).eval()
    image = torch.randn(2, 1, 32, 32)
    assert torch.allclose(torch.jit.script(network)(image), network(image), atol=1e-6)


def test_channels_that_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the heads"):
        Restormer(dim=9, heads=(2, 2, 4, 8))

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.functional import windows as windows_module
from bundle.functional.refinement_settings import preset
from bundle.inferers import TTGPRInferer, WindowedInferer, trace_rows

from . import slow_twin
from .toys import Generator, Segmentor, lay_windows_backwards, view


def _inferer(generator: object = None, **options: object) -> TTGPRInferer:
    chosen = {"window_px": 16, "gate_threshold": 0.0, "overrides": {"edge_erode_px": 2}} | options
    return TTGPRInferer(generator or Generator(), **chosen)  # type: ignore[arg-type]


# The slow twin.


@pytest.mark.parametrize("iterations", [1, 2, 6])
def test_one_window_gets_the_method_as_printed(iterations: int) -> None:
    image = view(14, 14, seed=3).clamp(min=-0.9)

    def segmentor(x: np.ndarray) -> np.ndarray:
        return 8.0 * x + 3.0 * np.roll(x, 1, axis=0) - 2.0

    def generator(m: np.ndarray, t: float, s: np.ndarray) -> np.ndarray:
        return 0.3 - 0.5 * m + 0.4 * t + s

    inferer = _inferer(
        preset="paper",
        overrides={"iterations": iterations},
        window_px=14,
        gate_threshold=None,
        noise_seed=5,
        trace=True,
    )
    fast = inferer(image, Segmentor())
    slow, energies = slow_twin.refine(image[0, 0].double().numpy(), segmentor, generator, iterations=iterations, seed=5)
    np.testing.assert_allclose(fast[0, 0].numpy(), slow, atol=5e-4)
    assert [row["energy"] for row in inferer.last_trace] == pytest.approx(energies, rel=1e-6)
    assert inferer.last_trace[0]["n_seeds"] > 0
    assert np.abs(slow - segmentor(image[0, 0].numpy())).max() > 1.0


# Golden tensors: single iterations along the 50 of Table I, by the slow twin in float64. The chain as a whole is no
# golden tensor, see the test that follows.

GOLDEN = json.loads((Path(__file__).parent / "golden_paper.json").read_text())


class _Starting(Segmentor):
    """The toy, except that it says the given logits of the image itself, so that a refinement starts from them."""

    def __init__(self, image: Tensor, logits: Tensor) -> None:
        super().__init__()
        self.image, self.logits = image, logits

    def __call__(self, image: Tensor) -> Tensor:
        return self.logits.clone() if torch.equal(image, self.image) else super().__call__(image)


@pytest.mark.parametrize("golden", GOLDEN["iterations"], ids=lambda golden: f"iteration {golden['refine_iter']}")
def test_the_paper_s_iterations_are_golden(golden: dict[str, Any]) -> None:
    image, before = (torch.tensor(plane)[None, None] for plane in (GOLDEN["image"], golden["before"]))
    inferer = _inferer(
        preset="paper",
        overrides={"iterations": 1, "t_start": golden["t"]},
        window_px=image.shape[-1],
        gate_threshold=None,
        noise_seed=GOLDEN["noise_seed"],
        trace=True,
    )
    after = inferer(image, _Starting(image, before))
    torch.testing.assert_close(after[0, 0], torch.tensor(golden["after"]), atol=5e-5, rtol=0)
    (row,) = inferer.last_trace
    assert (row["steps"], row["n_seeds"], row["n_windows"]) == (golden["steps"], golden["n_seeds"], 1)
    for name in ("t", "energy", "tversky", "stabilisation", "edge", "step"):
        assert row[name] == pytest.approx(golden[name], rel=1e-5, abs=1e-4), name


def test_golden_iterations_span_the_schedule_of_the_paper() -> None:
    paper = preset("paper")
    times = np.linspace(paper.t_start, paper.t_end, paper.iterations)
    numbers = [golden["refine_iter"] for golden in GOLDEN["iterations"]]
    assert (numbers[0], numbers[-1]) == (0, paper.iterations - 1)
    assert [golden["t"] for golden in GOLDEN["iterations"]] == pytest.approx(times[numbers])
    assert {golden["steps"] for golden in GOLDEN["iterations"]} == {1, 2, 3, 4}


def test_the_paper_s_steps_expand_rounding_and_the_default_s_do_not() -> None:
    """Steps of up to 8.5 logits overshoot at strong edges: what differs by 1e-6 ends logits apart."""
    image = view(14, 14, seed=3).clamp(min=-0.9)
    other = image + 1e-6 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    apart = {}
    for name in ("default", "paper"):
        one, two = (_inferer(preset=name, window_px=14)(each, Segmentor()) for each in (image, other))
        apart[name] = float((one - two).abs().max())
    assert apart["paper"] > 1.0
    assert apart["default"] < 1e-3


# Laws.


@pytest.mark.parametrize("name", ["default", "paper"])
@pytest.mark.parametrize("size", [(16, 16), (40, 56), (9, 30)])
def test_zero_iterations_are_the_segmentor_bit_by_bit(name: str, size: tuple[int, int]) -> None:
    image, generator = view(*size, batch=2), Generator()
    logits = _inferer(generator, preset=name, overrides={"iterations": 0})(image, Segmentor())
    assert torch.equal(logits, WindowedInferer(16)(image, Segmentor()))
    assert generator.windows == 0


@pytest.mark.parametrize("name", ["default", "paper"])
def test_zero_learning_rate_without_mixing_changes_nothing(name: str) -> None:
    image = view()
    logits = _inferer(preset=name, overrides={"iterations": 3, "eta": 0.0, "rho": 0.0})(image, Segmentor())
    assert torch.equal(logits, WindowedInferer(16)(image, Segmentor()))


def test_refinement_moves_the_logits() -> None:
    image = view()
    moved = _inferer()(image, Segmentor()) - WindowedInferer(16)(image, Segmentor())
    assert moved.abs().max() > 0.5


def test_without_evidence_the_generator_is_never_asked() -> None:
    image, generator = view() * 0.5 - 0.4, Generator()
    logits = _inferer(generator, gate_threshold=0.5, trace=True)(image, lambda x: x - 3.0)
    assert generator.windows == 0
    assert torch.equal(logits, WindowedInferer(16)(image, lambda x: x - 3.0))


def test_the_gate_leaves_windows_without_evidence_bit_by_bit() -> None:
    image = torch.full((1, 1, 16, 64), -0.8)
    image[..., 8, 4] = 0.8
    generator = Generator()
    inferer = _inferer(generator, gate_threshold=0.5, overrides={"iterations": 2}, overlap=0.0, trace=True)
    logits, initial = inferer(image, Segmentor()), WindowedInferer(16, 0.0)(image, Segmentor())
    assert [row["n_windows"] for row in inferer.last_trace] == [1, 1]
    assert generator.windows == 2
    assert torch.equal(logits[..., 16:], initial[..., 16:])
    assert not torch.equal(logits[..., :16], initial[..., :16])


def test_a_gate_at_the_largest_probability_lets_it_in() -> None:
    image = view(16, 16)
    largest = float(WindowedInferer(16)(image, Segmentor()).sigmoid().max())
    for gate, asked in ((largest, True), (min(1.0, largest + 1e-4), largest + 1e-4 > 1.0)):
        generator = Generator()
        _inferer(generator, gate_threshold=gate)(image, Segmentor())
        assert (generator.windows > 0) == asked


@pytest.mark.parametrize("sw_batch_size", [1, 3, 100])
def test_batches_of_windows_change_nothing(sw_batch_size: int) -> None:
    image = view(batch=2)
    one, other = (_inferer(sw_batch_size=size)(image, Segmentor()) for size in (4, sw_batch_size))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_the_order_of_windows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = view()
    forward = _inferer()(image, Segmentor())
    lay_windows_backwards(monkeypatch)
    torch.testing.assert_close(_inferer()(image, Segmentor()), forward, atol=1e-4, rtol=0)


def test_images_of_a_batch_are_refined_as_if_alone() -> None:
    image = torch.cat([view(seed=seed) for seed in (0, 1, 2)])
    options = {"overrides": {"edge_erode_px": 2, "stop_change": 0.05}}
    together = _inferer(**options)(image, Segmentor())
    alone = torch.cat([_inferer(**options)(one[None], Segmentor()) for one in image])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_the_noise_seed_alone_decides_the_noise() -> None:
    image = view()
    one, same, other = (_inferer(noise_seed=seed)(image, Segmentor()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_overlapping_windows_see_one_noise() -> None:
    states: list[Tensor] = []

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        states.append(state.clone())
        return torch.zeros_like(state)

    image = torch.zeros(1, 1, 16, 24)
    _inferer(generator, overrides={"iterations": 1, "t_start": 0.0, "steps": 1}, sw_batch_size=1)(image, Segmentor())
    left, right = states
    assert torch.equal(left[..., 8:], right[..., :8])
    assert not torch.equal(left, right)


@pytest.mark.parametrize(("method", "calls"), [("euler", 3), ("heun", 6)])
def test_cost_is_what_the_settings_say(method: str, calls: int) -> None:
    generator, segmentor = Generator(), Segmentor()
    overrides = {"iterations": 4, "steps": 3, "method": method, "draws": 2}
    _inferer(generator, overrides=overrides)(view(16, 16), segmentor)
    assert generator.windows == 4 * 2 * calls
    assert segmentor.windows == 1 + 4 * 2


def test_draws_are_averaged() -> None:
    targets = []

    def segmentor(x: Tensor) -> Tensor:
        targets.append(torch.sigmoid(3.0 * x))
        return 3.0 * x

    inferer = _inferer(
        overrides={
            "iterations": 1,
            "draws": 3,
            "w_tversky": 0.0,
            "edge_reduction": "off",
            "eta": 1e-3,
            "max_step": None,
        }
    )
    image = view(16, 16)
    moved = inferer(image, segmentor) - 3.0 * image
    p, q = targets[0], torch.stack(targets[1:]).mean(dim=0)
    expected = -1e-3 * inferer.settings.w_stabilisation * 2 * (p - q) * p * (1 - p)
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)
    assert not torch.equal(targets[1], targets[2])


def test_declared_seeds_reach_the_generator() -> None:
    seen: list[Tensor] = []

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        seen.append(condition.clone())
        return torch.zeros_like(state)

    image = view(16, 16)
    for complete in (False, True):
        _inferer(generator, overrides={"iterations": 1, "seeds_complete": complete})(image, Segmentor())
    assert torch.equal(seen[0][:, 0], seen[1][:, 0])
    assert seen[0][:, 0].sum() > 0
    assert (seen[0][:, 1] == 0).all()
    assert (seen[1][:, 1] == 1).all()


def test_logits_stay_within_their_limit() -> None:
    image = view()
    initial = WindowedInferer(16)(image, Segmentor())
    logits = _inferer(preset="paper", overrides={"iterations": 5, "logit_limit": 4.0})(image, Segmentor())
    assert (logits.abs() <= initial.abs().clamp(min=4.0)).all()
    free = _inferer(preset="paper", overrides={"iterations": 5})(image, Segmentor())
    assert (free.abs() > initial.abs().clamp(min=4.0)).any()


def test_pixels_outside_the_breast_stay_empty() -> None:
    logits = _inferer(preset="paper", overrides={"iterations": 2})(view(32, 128), Segmentor())
    assert (logits[..., 112:] == -12).all()


# Options.


def test_mixing_once_is_the_last_word() -> None:
    image = view(16, 16).clamp(min=-0.9)
    overrides = {"iterations": 2, "rho": 0.5}
    plain = _inferer(overrides=overrides | {"mixing": "off"})(image, Segmentor())
    once = _inferer(overrides=overrides | {"mixing": "once"})(image, Segmentor())
    edges = slow_twin.edges(image[0, 0].double().numpy())
    np.testing.assert_allclose((once - plain)[0, 0].numpy(), 0.5 * edges, atol=1e-4)


def test_mixing_every_time_adds_up() -> None:
    image = view(16, 16).clamp(min=-0.9)
    overrides = {"iterations": 3, "rho": 0.5, "eta": 0.0, "mixing": "every"}
    moved = _inferer(overrides=overrides)(image, Segmentor()) - Segmentor()(image)
    np.testing.assert_allclose(moved[0, 0].numpy(), 1.5 * slow_twin.edges(image[0, 0].double().numpy()), atol=1e-4)


def test_an_image_at_rest_is_not_refined_further() -> None:
    image = torch.cat([view(), view(seed=1)])
    inferer = _inferer(overrides={"eta": 0.0, "stop_change": 1e-3}, trace=True)
    inferer(image, Segmentor())
    assert len(inferer.last_trace) == 1
    eager = _inferer(overrides={"stop_change": 0.0}, trace=True)
    eager(image, Segmentor())
    assert len(eager.last_trace) == eager.settings.iterations


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed_mode": "points"},
        {"seed_mode": "skeleton"},
        {"seed_second_threshold": 0.2},
        {"edge_kind": "high_pass", "mixing": "annealed", "rho": 0.3},
        {"mixing": "every", "mixing_form": "logits", "rho": 0.3},
        {"stabilisation_reduction": "mass", "edge_reduction": "mass"},
    ],
)
def test_every_reading_gives_finite_logits_of_its_own(overrides: dict[str, object]) -> None:
    image = view()
    logits = _inferer(overrides=overrides)(image, Segmentor())
    assert torch.isfinite(logits).all()
    assert not torch.equal(logits, _inferer(overrides={})(image, Segmentor()))


def test_settings_may_be_given_whole() -> None:
    image = view()
    by_name = _inferer(preset="paper", overrides={"iterations": 2})(image, Segmentor())
    whole = _inferer(settings=preset("paper", iterations=2), overrides=None)(image, Segmentor())
    assert torch.equal(by_name, whole)


def test_misspelt_options_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'iterations'"):
        _inferer(overrides={"iteration": 3})
    with pytest.raises(ValueError, match="'papers'"):
        _inferer(preset="papers")
    with pytest.raises(TypeError, match="gate"):
        _inferer(gate=0.5)


# Hosts.


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_every_grad_mode_gives_the_same(context: type) -> None:
    image, expected = view(), _inferer()(view(), Segmentor())
    with context():
        logits = _inferer()(image + 0.0, Segmentor())
    assert torch.equal(logits, expected)
    assert not logits.requires_grad


def test_hosts_that_name_the_arguments_are_served() -> None:
    image = MetaTensor(view(), meta={"spacing_mm": [0.07, 0.07]})
    logits = _inferer()(inputs=image, network=Segmentor())
    assert isinstance(logits, MetaTensor)
    assert logits.meta["spacing_mm"] == [0.07, 0.07]
    assert torch.equal(logits.as_tensor(), _inferer()(view(), Segmentor()))


def test_extra_arguments_reach_the_network_after_the_window() -> None:
    def network(window: Tensor, offset: float, *, gain: float) -> Tensor:
        return gain * Segmentor()(window) + offset

    logits = _inferer()(view(), network, 0.0, gain=1.0)
    assert torch.equal(logits, _inferer()(view(), Segmentor()))
    assert not torch.equal(logits, _inferer()(view(), network, 1.0, gain=1.0))


class _Conv(torch.nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, 1, 3, padding=1)
        self.drop = torch.nn.Dropout(0.5)


class _ConvSegmentor(_Conv):
    def forward(self, image: Tensor) -> Tensor:
        return 4.0 * self.conv(image)


class _ConvGenerator(_Conv):
    def forward(self, state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return self.drop(self.conv(torch.cat([state, condition], dim=1))) + t.view(-1, 1, 1, 1)


@pytest.fixture
def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    return _ConvSegmentor(1).eval(), _ConvGenerator(3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_scripted_networks_give_the_same(networks: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    segmentor, generator = networks
    eager = _inferer(generator)(view(), segmentor)
    with torch.inference_mode():
        scripted = _inferer(torch.jit.script(generator))(view(), torch.jit.script(segmentor))
    torch.testing.assert_close(scripted, eager)


def test_a_module_generator_is_set_to_evaluation(networks: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    segmentor, generator = networks
    inferer = _inferer(generator.train())
    assert not generator.training
    assert torch.equal(inferer(view(), segmentor), inferer(view(), segmentor))


def test_networks_keep_their_weights_and_gain_no_gradients(networks: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    segmentor, generator = networks
    before = [weight.clone() for network in networks for weight in network.parameters()]
    with torch.enable_grad():
        _inferer(generator)(view(), segmentor)
    for weight, old in zip((w for network in networks for w in network.parameters()), before, strict=True):
        assert torch.equal(weight, old)
        assert weight.grad is None


@pytest.mark.usefixtures("bfloat16")
def test_reduced_precision_stays_close(networks: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    segmentor, generator = networks
    full = _inferer(generator)(view(), segmentor)
    reduced = _inferer(generator, dtype="bfloat16")(view(), segmentor)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, full)
    torch.testing.assert_close(reduced, full, atol=0.1, rtol=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same(networks: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    segmentor, generator = networks
    on_cpu = _inferer(generator)(view(), segmentor)
    on_gpu = _inferer(generator)(view().cuda(), segmentor.cuda())
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, atol=1e-3, rtol=0)


# The trace.


def test_the_trace_tells_each_iteration() -> None:
    inferer = _inferer(preset="paper", overrides={"iterations": 4}, trace=True)
    image = view()
    inferer(image, Segmentor())
    trace = inferer.last_trace
    assert [row["refine_iter"] for row in trace] == [0, 1, 2, 3]
    assert [row["t"] for row in trace] == pytest.approx(np.linspace(0.09053149415704413, 0.8052230726911125, 4))
    assert [row["steps"] for row in trace] == [4, 3, 2, 1]
    for row in trace:
        assert row["energy"] == pytest.approx(row["tversky"] + row["stabilisation"] + row["edge"], rel=1e-5)
        assert row["n_windows"] == len(windows_module.breast_windows(image, window_px=16))
        assert row["step"] > 0


def test_no_trace_is_kept_unasked_and_none_from_the_call_before() -> None:
    inferer = _inferer()
    inferer(view(), Segmentor())
    assert inferer.last_trace == []
    traced = _inferer(trace=True)
    traced(view(), Segmentor())
    traced(torch.full((1, 1, 20, 20), -1.0), Segmentor())
    assert traced.last_trace == []


def test_a_trace_becomes_a_table() -> None:
    assert trace_rows([]) == []
    assert trace_rows([{"t": 0.1, "step": 2.0}, {"t": 0.2, "step": 1.0}]) == [["t", "step"], [0.1, 2.0], [0.2, 1.0]]


# The spread over noise.


def test_the_spread_is_that_of_refinements_with_other_noise_and_changes_nothing() -> None:
    image = view(batch=2)
    members = [_inferer(noise_seed=seed)(image, Segmentor()) for seed in (5, 6, 7)]
    inferer = _inferer(noise_seed=5, noise_members=3, trace=True)
    assert torch.equal(inferer(image, Segmentor()), members[0])
    assert inferer.last_uncertainty is not None
    probs = torch.stack(members).sigmoid().numpy()
    np.testing.assert_allclose(inferer.last_uncertainty.pixel_sd, probs.std(axis=0), atol=1e-6)
    assert inferer.last_uncertainty.pixel_sd.max() > 1e-3
    assert (inferer.last_uncertainty.members == 3).all()
    assert len(inferer.last_trace) == inferer.settings.iterations


def test_one_refinement_has_no_spread_and_none_is_refused() -> None:
    inferer = _inferer()
    inferer(view(), Segmentor())
    assert inferer.last_uncertainty is None
    with pytest.raises(ValueError, match="noise_members"):
        _inferer(noise_members=0)

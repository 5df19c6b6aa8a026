import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bundle.functional.edges import gaussian_smooth
from bundle.functional.flow import ode_steps
from bundle.functional.refinement import (
    edge_energy,
    energy,
    energy_gradient,
    high_pass_mixing,
    mixing_rate,
    refine_step,
    stabilisation,
    time_schedule,
    tversky_index,
)
from bundle.functional.refinement_settings import PRESETS, RefinementSettings, change, preset

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (2, 1, 6, 7)


def _rand(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Eq. 7.


def test_schedule_runs_from_start_to_end_in_equal_steps() -> None:
    assert time_schedule(5, t_start=0.1, t_end=0.9) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_a_single_iteration_is_at_the_start() -> None:
    assert time_schedule(1, t_start=0.1, t_end=0.9) == [0.1]
    assert time_schedule(0, t_start=0.1, t_end=0.9) == []


# Eqs. 10-12.


def test_tversky_of_equal_masks_and_of_nothing_is_one() -> None:
    mask = (_rand(0) > 0.5).double()
    assert tversky_index(mask, mask).tolist() == [1.0, 1.0]
    assert tversky_index(mask * 0, mask * 0, beta=3.0).tolist() == [1.0, 1.0]


def test_tversky_counts_misses_and_false_alarms_by_their_weights() -> None:
    probs, target = torch.zeros(1, 1, 1, 6), torch.zeros(1, 1, 1, 6)
    probs[..., [0, 1, 2, 3]] = 1.0
    target[..., [0, 1, 4]] = 1.0
    # Two hits, two false alarms, one miss.
    expected = (2 + 0.5) / (2 + 0.7 * 2 + 3.0 * 1 + 0.5)
    assert tversky_index(probs, target, alpha=0.7, beta=3.0, epsilon=0.5).item() == pytest.approx(expected)


def test_tversky_with_halves_is_soft_dice_without_epsilon() -> None:
    probs, target = _rand(1), _rand(2)
    dims = (1, 2, 3)
    dice = 2 * (probs * target).sum(dims) / (probs.sum(dims) + target.sum(dims))
    index = tversky_index(probs, target, alpha=0.5, beta=0.5, epsilon=1e-12)
    torch.testing.assert_close(index, dice)


# Eq. 13.


def test_stabilisation_of_equal_maps_is_zero() -> None:
    assert stabilisation(_rand(1), _rand(1)).tolist() == [0.0, 0.0]


def test_stabilisation_is_a_sum_a_mean_or_per_mass() -> None:
    probs, target = torch.full(SHAPE, 0.5), torch.full(SHAPE, 0.2)
    assert stabilisation(probs, target)[0].item() == pytest.approx(42 * 0.09)
    assert stabilisation(probs, target, reduction="mean")[0].item() == pytest.approx(0.09)
    assert stabilisation(probs, target, reduction="mass")[0].item() == pytest.approx(42 * 0.09 / 22)


def test_unknown_reductions_are_refused() -> None:
    with pytest.raises(ValueError, match="median"):
        stabilisation(_rand(0), _rand(1), reduction="median")


def test_flat_probabilities_have_no_edge_energy() -> None:
    assert edge_energy(torch.full(SHAPE, 0.3), _rand(1).float(), reduction="sum").tolist() == [0.0, 0.0]


def test_edge_energy_of_a_step_is_its_length_times_its_height() -> None:
    probs = torch.zeros(1, 1, 6, 7)
    probs[..., 3:] = 0.5
    assert edge_energy(probs, torch.zeros_like(probs), reduction="sum").item() == pytest.approx(6 * 0.5)
    assert edge_energy(probs, torch.zeros_like(probs), reduction="mean").item() == pytest.approx(6 * 0.5 / 42)
    assert edge_energy(probs.mT, torch.zeros_like(probs).mT, reduction="sum").item() == pytest.approx(6 * 0.5)


def test_a_step_on_an_edge_costs_less() -> None:
    probs = torch.zeros(1, 1, 6, 7)
    probs[..., 3:] = 0.5
    edges = torch.ones_like(probs)
    cost = edge_energy(probs, edges, sharpness=2.0, reduction="sum").item()
    assert cost == pytest.approx(6 * 0.5 * math.exp(-2.0))
    assert edge_energy(probs, -edges, sharpness=2.0, reduction="sum").item() == pytest.approx(cost)


@pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
def test_edge_energy_knows_no_direction(dims: tuple[int, ...]) -> None:
    probs, edges = _rand(1), _rand(2)
    torch.testing.assert_close(edge_energy(probs.flip(dims), edges.flip(dims)), edge_energy(probs, edges))


def test_edge_energy_can_be_off() -> None:
    assert edge_energy(_rand(1), _rand(2), reduction="off").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", list(PRESETS))
def test_terms_add_up_to_the_energy_of_each_window(name: str) -> None:
    terms = energy(_rand(1), _rand(2), _rand(3), preset(name))
    torch.testing.assert_close(terms.total, terms.tversky + terms.stabilisation + terms.edge)
    assert terms.total.shape == (2,)
    alone = energy(_rand(1)[1:], _rand(2)[1:], _rand(3)[1:], preset(name))
    torch.testing.assert_close(alone.total, terms.total[1:])


def test_weights_are_those_of_eq_13() -> None:
    settings = preset("paper")
    terms = energy(_rand(1), _rand(2), _rand(3), settings)
    index = tversky_index(_rand(1), _rand(2), beta=settings.beta)
    torch.testing.assert_close(terms.tversky, settings.w_tversky * (1 - index))
    torch.testing.assert_close(terms.stabilisation, settings.w_stabilisation * stabilisation(_rand(1), _rand(2)))
    torch.testing.assert_close(terms.edge, settings.w_edge * edge_energy(_rand(1), _rand(3)))


# Eq. 14.


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradient_equals_finite_differences(reduction: str) -> None:
    settings = change(preset("paper"), stabilisation_reduction=reduction, edge_reduction=reduction)
    logits, target, edges = 4 * _rand(1) - 2, _rand(2), _rand(3)
    gradient, terms = energy_gradient(logits, target, edges, settings)
    step = 1e-6
    for index in ((0, 0, 0, 0), (0, 0, 3, 4), (1, 0, 5, 6)):
        ahead, behind = logits.clone(), logits.clone()
        ahead[index] += step
        behind[index] -= step
        change_of_energy = energy(ahead.sigmoid(), target, edges, settings).total - (
            energy(behind.sigmoid(), target, edges, settings).total
        )
        assert gradient[index].item() == pytest.approx(change_of_energy.sum().item() / (2 * step), rel=1e-5)
    torch.testing.assert_close(terms.total, energy(logits.sigmoid(), target, edges, settings).total)


def test_gradient_of_the_stabilisation_is_its_closed_form() -> None:
    settings = change(preset("paper"), w_tversky=0.0, w_edge=0.0)
    logits, target = 4 * _rand(1) - 2, _rand(2)
    probs = logits.sigmoid()
    gradient, _ = energy_gradient(logits, target, _rand(3), settings)
    torch.testing.assert_close(gradient, 2 * settings.w_stabilisation * (probs - target) * probs * (1 - probs))


def test_gradient_per_mass_holds_the_mass_constant() -> None:
    per_mass = change(preset("paper"), w_tversky=0.0, w_edge=0.0, stabilisation_reduction="mass")
    summed = change(per_mass, stabilisation_reduction="sum")
    logits, target = 4 * _rand(1) - 2, _rand(2)
    mass = logits.sigmoid().sum((1, 2, 3), keepdim=True) + per_mass.epsilon
    gradient, _ = energy_gradient(logits, target, _rand(3), per_mass)
    torch.testing.assert_close(gradient, energy_gradient(logits, target, _rand(3), summed)[0] / mass)


def test_largest_stabilisation_step_of_table_i_is_eight_and_a_half_logits() -> None:
    settings = change(preset("paper"), w_tversky=0.0, w_edge=0.0)
    logits = torch.linspace(-6, 6, 4001, dtype=torch.float64).view(1, 1, 1, -1)
    gradient, _ = energy_gradient(logits, torch.zeros_like(logits), torch.zeros_like(logits), settings)
    step = (logits - refine_step(logits, gradient, eta=settings.eta)).max().item()
    assert step == pytest.approx(2 * settings.eta * settings.w_stabilisation * 4 / 27, rel=1e-4)
    assert step == pytest.approx(8.5, abs=0.05)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradient_needs_no_help_from_the_host(context: type) -> None:
    logits, target, edges = _rand(1), _rand(2), _rand(3)
    expected, _ = energy_gradient(logits, target, edges, preset("paper"))
    with context():
        gradient, terms = energy_gradient(logits + 0.0, target + 0.0, edges + 0.0, preset("paper"))
    assert torch.equal(gradient, expected)
    assert not terms.total.requires_grad


def test_zero_learning_rate_moves_nothing() -> None:
    assert torch.equal(refine_step(_rand(1), _rand(2), eta=0.0), _rand(1))


def test_steps_go_downhill_and_stay_under_their_cap() -> None:
    logits, gradient = torch.zeros(1, 1, 1, 3), torch.tensor([[[[4.0, -0.5, -40.0]]]])
    assert refine_step(logits, gradient, eta=0.5).flatten().tolist() == [-2.0, 0.25, 20.0]
    assert refine_step(logits, gradient, eta=0.5, max_step=1.0).flatten().tolist() == [-1.0, 0.25, 1.0]


def test_small_steps_lower_the_energy() -> None:
    settings = preset("paper")
    logits, target, edges = 4 * _rand(1) - 2, _rand(2), _rand(3)
    gradient, before = energy_gradient(logits, target, edges, settings)
    moved = refine_step(logits, gradient, eta=1e-4)
    assert (energy(moved.sigmoid(), target, edges, settings).total < before.total).all()


# Eq. 15.


def test_printed_mixing_adds_rho_times_the_edges() -> None:
    torch.testing.assert_close(high_pass_mixing(_rand(1), _rand(2), rho=0.7), _rand(1) + 0.7 * _rand(2))


def test_mixing_of_logits_leaves_flat_logits_alone() -> None:
    flat = torch.full(SHAPE, 3.0)
    torch.testing.assert_close(high_pass_mixing(flat, _rand(2).float(), rho=0.7, form="logits"), flat)
    expected = _rand(1) + 0.7 * _rand(2) * (_rand(1) - gaussian_smooth(_rand(1), 1.5))
    torch.testing.assert_close(high_pass_mixing(_rand(1), _rand(2), rho=0.7, form="logits"), expected)


def test_no_rate_mixes_nothing() -> None:
    logits = _rand(1)
    assert high_pass_mixing(logits, _rand(2), rho=0.0) is logits


def test_mixing_schedules() -> None:
    rates = {
        mixing: [mixing_rate(2.0, i, iterations=5, mixing=mixing) for i in range(5)]
        for mixing in ("every", "annealed", "once", "off")
    }
    assert rates == {"every": [2.0] * 5, "annealed": [2.0, 1.5, 1.0, 0.5, 0.0], "once": [0.0] * 5, "off": [0.0] * 5}


# Settings.


def test_paper_preset_is_table_i_to_the_last_digit() -> None:
    settings = preset("paper")
    table = {
        "iterations": 50,
        "t_start": 0.09053149415704413,
        "t_end": 0.8052230726911125,
        "w_tversky": 128.15533098670937,
        "w_stabilisation": 57.88546958560159,
        "w_edge": 220.70931647468294,
        "beta": 2.6140537072408576,
        "eta": 0.4945043784053065,
        "rho": 2.8422788048947973,
    }
    assert {name: getattr(settings, name) for name in table} == table


def test_paper_preset_reads_the_open_points_as_documented() -> None:
    settings = preset("paper")
    assert (settings.k_max, settings.steps, settings.alpha, settings.epsilon) == (4, None, 1.0, 1.0)
    assert (settings.stabilisation_reduction, settings.edge_reduction) == ("sum", "mean")
    assert (settings.mixing, settings.mixing_form, settings.edge_kind) == ("every", "printed", "sobel")
    assert (settings.seed_mode, settings.seed_threshold, settings.seed_nms_px) == ("maxima", 0.5, 3)
    assert (settings.gate_threshold, settings.max_step, settings.logit_limit, settings.stop_change) == (0, None, 12, 0)


def test_default_preset_is_gated_and_cheap() -> None:
    settings = preset("default")
    assert settings.iterations <= 10
    assert settings.k_max <= 2
    assert settings.gate_threshold > 0


@pytest.mark.parametrize(("name", "calls"), [("paper", 186), ("default", 6)])
def test_calls_per_refined_window_are_those_of_the_documentation(name: str, calls: int) -> None:
    settings = preset(name)
    times = time_schedule(settings.iterations, t_start=settings.t_start, t_end=settings.t_end)
    assert sum(ode_steps(t, k_max=settings.k_max) + 1 for t in times) == calls


def test_overrides_change_what_they_name_alone() -> None:
    settings = preset("paper", iterations=3)
    assert dataclasses.replace(settings, iterations=50) == preset("paper")


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("paper").eta = 1.0  # type: ignore[misc]


def test_unknown_presets_and_misspelt_fields_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^Expected a refinement preset among .*'papers'; .*$"):
        preset("papers")
    with pytest.raises(ValueError, match=r"^Expected a field .* got 'iteration'; did you mean 'iterations'\?$"):
        preset("paper", iteration=3)
    with pytest.raises(ValueError, match=r"got 'xyzzy'; docs/refinement.md lists them$"):
        preset("paper", xyzzy=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", -1),
        ("t_start", -0.1),
        ("t_end", 1.1),
        ("k_max", 0),
        ("steps", 0),
        ("method", "rk4"),
        ("draws", 0),
        ("seed_mode", "maximum"),
        ("seed_threshold", 0.0),
        ("seed_second_threshold", 0.7),
        ("stabilisation_reduction", "off"),
        ("edge_reduction", "median"),
        ("edge_kind", "canny"),
        ("epsilon", 0.0),
        ("eta", math.nan),
        ("max_step", 0.0),
        ("mixing", "twice"),
        ("mixing_form", "prose"),
        ("logit_limit", 0.0),
        ("gate_threshold", 1.5),
    ],
)
def test_choices_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^Expected {name} .*see docs/refinement.md$"):
        preset("default", **{name: value})


def test_every_setting_and_its_default_are_documented() -> None:
    lines = (ROOT / "docs" / "refinement.md").read_text().splitlines()
    rows = {cells[1].strip().strip("`"): cells for cells in (line.split("|") for line in lines) if len(cells) > 4}
    for field in dataclasses.fields(RefinementSettings):
        assert field.name in rows, field.name
        assert rows[field.name][2].strip() == f"`{getattr(preset('default'), field.name)}`", field.name
        assert rows[field.name][3].strip() == f"`{getattr(preset('paper'), field.name)}`", field.name

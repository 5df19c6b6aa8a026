from collections.abc import Mapping

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.functional.evidence import Evidence, EvidenceSettings
from bundle.inferers import EvidenceInferer, WindowedInferer

from .toys import Generator, Segmentor, lay_windows_backwards, view

SIDE = 32
REAL, FALSE = (16, 10), (16, 24)


def _inferer(
    generator: object = None, *, settings: Mapping[str, object] | None = None, **options: object
) -> EvidenceInferer:
    choice = EvidenceSettings(**{"apart_px": 6, "max_groups": 9, **(settings or {})})  # type: ignore[arg-type]
    return EvidenceInferer(generator or Generator(), settings=choice, **({"window_px": 16, "trace": True} | options))  # type: ignore[arg-type]


def evidence_of(inferer: EvidenceInferer) -> Evidence:
    """What the last call gathered."""
    assert inferer.last_evidence is not None
    return inferer.last_evidence


def spots(window: Tensor) -> Tensor:
    """Logits -8, and -1 at two places, whatever is there."""
    logits = torch.full_like(window, -8.0)
    for row, column in (REAL, FALSE):
        logits[..., row, column] = -1.0
    return logits


def spot_image() -> Tensor:
    """Flat, with one pixel brighter by 1."""
    image = torch.full((1, 1, SIDE, SIDE), -0.5)
    image[..., REAL[0], REAL[1]] += 1.0
    return image


def believer(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    """Is sure that the image is flat, and brighter by 1 where a seed is: its error is (belief - x) / (1 - t)."""
    return (-0.5 + condition[:, :1] - state) / (1.0 - t.view(-1, 1, 1, 1))


def _judge(**settings: object) -> EvidenceInferer:
    return _inferer(believer, settings={"variance_px": 2, **settings}, window_px=SIDE)


# What evidence does.


def test_a_spot_explained_by_its_seed_rises_and_one_that_is_not_falls() -> None:
    inferer = _judge()
    change = inferer(spot_image(), spots) - spots(spot_image())
    assert change[0, 0, REAL[0], REAL[1]] == pytest.approx(6.25, abs=1e-2)
    assert change[0, 0, FALSE[0], FALSE[1]] == pytest.approx(-8.0, abs=1e-5)
    change[..., [REAL[0], FALSE[0]], [REAL[1], FALSE[1]]] = 0.0
    assert (change == 0).all()


def test_candidates_of_another_first_pass_are_judged_and_its_logits_move() -> None:
    def silent(windows: Tensor) -> Tensor:
        return torch.full_like(windows, -8.0)

    def first_pass(image: Tensor, network: object) -> Tensor:
        assert network is silent
        return spots(image)

    inferer = _inferer(believer, settings={"variance_px": 2}, window_px=SIDE, first_pass=first_pass)
    assert torch.equal(inferer(spot_image(), silent), _judge()(spot_image(), spots))


@pytest.mark.parametrize("t", [0.3, 0.7])
def test_the_score_is_the_error_saved_over_twice_the_local_variance(t: float) -> None:
    inferer = _judge(times=(t,))
    inferer(spot_image(), spots)
    assert inferer.last_candidates is not None
    assert inferer.last_candidates.places[:, 1:].tolist() == [list(REAL), list(FALSE)]
    # All error of the pass without seeds is 1 / (1 - t)^2 in one of the 25 pixels of the square.
    assert evidence_of(inferer).score[0] == pytest.approx(25 / 2, rel=1e-3)
    assert evidence_of(inferer).score[1] < -1e3


def test_a_seed_of_the_context_is_judged_by_taking_it_away() -> None:
    image = spot_image() + 0.05 * torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        seen.append(condition[:, 0].sum(dim=(1, 2)))
        return believer(state, t, condition)

    settings = {"context_threshold": 0.2, "variance_px": 2}
    inferer = _inferer(generator, settings=settings, window_px=SIDE)
    inferer(image, spots)
    assert torch.cat(seen).tolist() == [2.0, 0.0]
    assert evidence_of(inferer).score[0] > 5
    assert evidence_of(inferer).score[1] < -5


def test_a_generator_that_ignores_its_seed_changes_nothing() -> None:
    def blind(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return 0.3 - 0.5 * state

    image = view()
    inferer = _inferer(blind)
    assert torch.equal(inferer(image, Segmentor()), WindowedInferer(16)(image, Segmentor()))
    assert evidence_of(inferer).tested.any()


def test_seeds_are_declared_complete_and_apart() -> None:
    seen: list[Tensor] = []

    def generator(state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        seen.append(condition.clone())
        return torch.zeros_like(state)

    _inferer(generator, settings={"apart_px": 5})(view(), Segmentor())
    conditions = torch.cat(seen)
    assert (conditions[:, 1] == 1).all()
    assert conditions[:, 0].sum() > 0
    for seeds in conditions[:, 0]:
        places = seeds.nonzero()
        gaps = (places[:, None] - places[None]).abs().amax(dim=-1) + 99 * torch.eye(len(places))
        assert (gaps > 5).all()


def test_the_spread_is_over_draws() -> None:
    scores = {}
    for draws in (1, 2):
        inferer = _inferer(settings={"draws": draws})
        inferer(view(), Segmentor())
        scores[draws] = evidence_of(inferer)
    assert (scores[1].spread == 0).all()
    first, mean, spread = scores[1].score, scores[2].score, scores[2].spread
    # Of two values the standard deviation is the distance of either to their mean.
    np.testing.assert_allclose(np.abs(first - mean), spread, atol=1e-9)
    assert spread.max() > 0


# Cost.


def test_without_candidates_the_logits_are_the_segmentors_bit_by_bit() -> None:
    image, generator = view() * 0.5 - 0.4, Generator()
    inferer = _inferer(generator)
    logits = inferer(image, lambda x: x - 6.0)
    assert generator.windows == inferer.last_passes == inferer.last_windows == 0
    assert torch.equal(logits, WindowedInferer(16)(image, lambda x: x - 6.0))


def test_windows_without_candidates_cost_nothing() -> None:
    image = torch.full((1, 1, 16, 64), -0.8)
    image[..., 8, 4] = 0.8
    generator = Generator()
    inferer = _inferer(generator, settings={"times": (0.5, 0.7), "draws": 3}, overlap=0.0)
    inferer(image, lambda x: 8.0 * x - 2.0)
    assert inferer.last_windows == 1
    assert generator.windows == inferer.last_passes == 2 * 3 * 2


def test_without_weight_the_score_costs_nothing() -> None:
    generator = Generator()
    image = view()
    logits = _inferer(generator, settings={"weight_score": 0.0})(image, Segmentor())
    assert generator.windows == 0
    assert torch.equal(logits, WindowedInferer(16)(image, Segmentor()))


# Independence.


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
    together = _inferer()(image, Segmentor())
    alone = torch.cat([_inferer()(one[None], Segmentor()) for one in image])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert not torch.equal(together, WindowedInferer(16)(image, Segmentor()))


def test_the_noise_seed_alone_decides_the_noise() -> None:
    image = view()
    one, same, other = (_inferer(noise_seed=seed)(image, Segmentor()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_every_grad_mode_gives_the_same(context: type) -> None:
    expected = _inferer()(view(), Segmentor())
    with context():
        logits = _inferer()(view() + 0.0, Segmentor())
    assert torch.equal(logits, expected)
    assert not logits.requires_grad


def test_extra_arguments_reach_the_network_and_metadata_stay() -> None:
    def network(window: Tensor, offset: float, *, gain: float) -> Tensor:
        return gain * Segmentor()(window) + offset

    image = MetaTensor(view(), meta={"spacing_mm": [0.07, 0.07]})
    logits = _inferer()(image, network, 0.0, gain=1.0)
    assert isinstance(logits, MetaTensor)
    assert logits.meta["spacing_mm"] == [0.07, 0.07]
    assert torch.equal(logits.as_tensor(), _inferer()(view(), Segmentor()))


def test_small_images_are_served() -> None:
    image = view(9, 30)
    assert _inferer()(image, Segmentor()).shape == image.shape


@pytest.mark.usefixtures("bfloat16")
def test_a_module_generator_is_set_to_evaluation_and_reduced_precision_stays_close() -> None:
    class Conv(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = torch.nn.Conv2d(3, 1, 3, padding=1), torch.nn.Dropout(0.5)

        def forward(self, state: Tensor, t: Tensor, condition: Tensor) -> Tensor:
            return self.drop(self.conv(torch.cat([state, condition], dim=1)))

    torch.manual_seed(0)
    generator = Conv()
    full = _inferer(generator)(view(), Segmentor())
    reduced = _inferer(generator, dtype="bfloat16")(view(), Segmentor())
    assert not generator.training
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced, full, atol=0.2, rtol=0.1)


# The high-pass channel, a control.


def _high_pass(**settings: object) -> EvidenceInferer:
    chosen = {"weight_score": 0.0, "weight_high_pass": 0.5, "bias": -2.0, "spacing_mm": 0.5} | settings
    return EvidenceInferer(None, settings=EvidenceSettings(**chosen), window_px=SIDE, trace=True)  # type: ignore[arg-type]


def test_the_high_pass_raises_what_is_bright_and_lowers_what_is_not() -> None:
    image = spot_image() + 0.02 * torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    change = _high_pass()(image, spots) - spots(image)
    assert change[0, 0, REAL[0], REAL[1]] > 1
    assert change[0, 0, FALSE[0], FALSE[1]] < 0


def test_the_spacing_of_the_image_is_taken_where_it_is_known() -> None:
    image = spot_image()
    known = MetaTensor(image, meta={"spacing_mm": [0.25, 0.25]})
    values = []
    for inputs, spacing_mm in ((known, 0.5), (image, 0.25), (image, 0.5)):
        inferer = _high_pass(spacing_mm=spacing_mm)
        inferer(inputs, spots)
        values.append(evidence_of(inferer).high_pass[0])
    assert values[0] == values[1]
    assert values[0] != values[2]


# Neighbours.


def _company(**settings: object) -> EvidenceInferer:
    chosen = {"weight_score": 0.0, "weight_neighbours": 2.0, "bias": -1.0, "spacing_mm": 0.5} | settings
    return EvidenceInferer(None, settings=EvidenceSettings(**chosen), window_px=SIDE, trace=True)  # type: ignore[arg-type]


def dotted(*places: tuple[int, int]) -> torch.Tensor:
    logits = torch.full((1, 1, 64, 64), -9.0)
    for row, column in places:
        logits[0, 0, row, column] = 1.0
    return logits


def test_company_raises_and_solitude_lowers_each_in_its_own_image() -> None:
    group, alone = [(10, 10), (10, 14), (14, 10), (14, 14)], (50, 50)
    logits = torch.cat([dotted(*group, alone), dotted(alone)])
    image = torch.zeros_like(logits)
    inferer = _company()
    inferer.first_pass = lambda *_: logits
    change = inferer(image, spots) - logits
    assert (torch.stack([change[0, 0, row, column] for row, column in group]) > 0.5).all()
    assert change[0, 0, 50, 50] == change[1, 0, 50, 50] == -1.0
    assert int((change != 0).sum()) == 6


def test_distances_are_in_mm_by_the_spacing_of_the_image_where_it_is_known() -> None:
    logits = dotted((10, 10), (10, 20))
    values = []
    for meta, spacing_mm in (({"spacing_mm": [0.5, 0.1]}, 0.5), ({}, 0.1), ({}, 0.5)):
        inferer = _company(spacing_mm=spacing_mm)
        inputs = MetaTensor(torch.zeros_like(logits), meta=meta)
        _, known = inferer.gather_evidence(inputs, logits)
        values.append(known.neighbours.tolist())
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_a_score_with_weight_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="Expected a generator"):
        EvidenceInferer(None)


def test_nothing_is_kept_unasked() -> None:
    inferer = _inferer(trace=False)
    before = dict(vars(inferer))
    inferer(view(), Segmentor())
    assert vars(inferer) == before


def test_every_channel_is_gathered_for_fitting() -> None:
    inferer = _inferer(settings={"weight_score": 0.0, "spacing_mm": 0.5})
    image = view(40, 56)
    logits = WindowedInferer(16)(image, Segmentor())
    candidates, plain = inferer.gather_evidence(image, logits)
    assert not plain.score.any()
    assert not plain.high_pass.any()
    assert not plain.neighbours.any()
    _, full = inferer.gather_evidence(image, logits, every_channel=True)
    assert len(full.score) == len(candidates)
    assert full.score.any()
    assert full.high_pass.any()
    assert full.neighbours.any()

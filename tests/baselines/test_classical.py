import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from scipy import ndimage

from bundle.baselines import (
    DifferenceOfGaussiansInferer,
    HessianDifferenceOfGaussiansInferer,
    HighPassInferer,
    TopHatInferer,
    best_threshold,
    sweep_classical,
    tune_classical,
)
from bundle.functional.objects import count_objects

SPACING = (0.1, 0.1)
INFERERS = [TopHatInferer, DifferenceOfGaussiansInferer, HighPassInferer, HessianDifferenceOfGaussiansInferer]


def batch(seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).normal(-0.2, 0.1, (2, 1, 60, 80))
    noise[..., 70:] = -1
    return torch.tensor(noise, dtype=torch.float32)


def tuning_view(seed: int, *, dots: int = 12) -> dict:
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (120, 100)), 4) + rng.normal(0, 0.03, (120, 100)) - 0.3
    label = np.zeros(image.shape, np.uint8)
    label[rng.integers(30, 90, dots), rng.integers(30, 70, dots)] = 1
    label = ndimage.binary_dilation(label).astype(np.uint8)
    return {"image": (image + 0.4 * label).astype(np.float32), "label": label, "spacing_mm": SPACING}


@pytest.mark.parametrize("inferer_class", INFERERS)
def test_probability_reaches_one_half_exactly_where_the_score_reaches_the_threshold(inferer_class: type) -> None:
    views = batch()
    inferer = inferer_class(margin_mm=0.5)
    score = inferer.score(views[0, 0].numpy(), spacing_mm=SPACING, **inferer.parameters)
    threshold = float(np.quantile(score, 0.9))
    logits = inferer_class(threshold=threshold, margin_mm=0.5)(views, spacing_mm=SPACING)
    assert (logits.shape, logits.dtype) == (views.shape, torch.float32)
    decided = np.abs(score - threshold) > 1e-5 * threshold
    np.testing.assert_array_equal((torch.sigmoid(logits[0, 0]) >= 0.5).numpy()[decided], (score >= threshold)[decided])


@pytest.mark.parametrize("inferer_class", INFERERS)
def test_logits_keep_the_order_of_the_scores_and_their_limits(inferer_class: type) -> None:
    views = batch(1)
    inferer = inferer_class(margin_mm=0.5)
    score = inferer.score(views[0, 0].numpy(), spacing_mm=SPACING, **inferer.parameters).ravel()
    logits = inferer(views, spacing_mm=SPACING)[0].numpy().ravel()
    assert np.all(np.diff(logits[np.argsort(score)]) >= 0)
    assert logits[score == 0].tolist() == [-12.0] * int(np.sum(score == 0))
    assert logits.max() <= 12


def test_tenfold_score_is_one_in_a_hundred() -> None:
    inferer = TopHatInferer(threshold=0.05, diameter_mm=1.0, margin_mm=0.1)
    image = torch.full((1, 1, 40, 40), 0.0)
    image[0, 0, 20, 20] = 0.5
    assert torch.sigmoid(inferer(image, spacing_mm=SPACING))[0, 0, 20, 20].item() == pytest.approx(100 / 101, abs=1e-6)


@pytest.mark.parametrize("inferer_class", INFERERS)
def test_views_in_a_batch_do_not_influence_each_other(inferer_class: type) -> None:
    views, inferer = batch(2), inferer_class(spacing_mm=SPACING)
    together = inferer(views)
    assert torch.equal(together, torch.cat([inferer(view[None]) for view in views]))


def test_spacing_comes_from_the_call_then_the_constructor_then_the_image() -> None:
    image = MetaTensor(batch()[:1], meta={"spacing_mm": np.array([0.2, 0.2])})
    at = {s: TopHatInferer()(batch()[:1], spacing_mm=(s, s)) for s in (0.05, 0.1, 0.2)}
    assert torch.equal(TopHatInferer()(image), at[0.2])
    assert torch.equal(TopHatInferer(spacing_mm=(0.1, 0.1))(image), at[0.1])
    assert torch.equal(TopHatInferer(spacing_mm=(0.1, 0.1))(image, spacing_mm=(0.05, 0.05)), at[0.05])


def test_collated_meta_gives_each_view_its_own_spacing() -> None:
    views = batch()
    meta = {"spacing_mm": torch.tensor([[0.1, 0.1], [0.2, 0.2]], dtype=torch.float64)}
    together = TopHatInferer()(MetaTensor(views, meta=meta))
    assert torch.equal(together[1:], TopHatInferer()(views[1:], spacing_mm=(0.2, 0.2)))


def test_it_is_a_monai_inferer_and_ignores_the_network() -> None:
    inferer = HighPassInferer(spacing_mm=SPACING)
    assert isinstance(inferer, Inferer)
    views = batch()
    assert torch.equal(inferer(inputs=views, network=torch.nn.Identity()), inferer(views))


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="got none; pass spacing_mm"):
        TopHatInferer()(batch())
    with pytest.raises(ValueError, match=r"\(B, 1, rows, columns\)"):
        TopHatInferer()(batch()[0], spacing_mm=SPACING)
    with pytest.raises(ValueError, match="threshold > 0"):
        TopHatInferer(threshold=0)
    with pytest.raises(ValueError, match="one pair per view"):
        TopHatInferer()(batch(), spacing_mm=(0.1, 0.1, 0.1))


@pytest.mark.parametrize("inferer_class", INFERERS)
@pytest.mark.parametrize("objective", ["object", "pixel"])
def test_tuning_finds_bright_dots(inferer_class: type, objective: str) -> None:
    tuned = tune_classical(inferer_class, [tuning_view(0), tuning_view(1)], objective=objective)
    assert tuned.f2 == max(f2 for _, f2 in tuned.trials)
    assert tuned.f2 > (0.9 if objective == "object" else 0.6)
    unseen = tuning_view(2)
    probs = torch.sigmoid(tuned.inferer(torch.tensor(unseen["image"])[None, None], spacing_mm=SPACING))[0, 0].numpy()
    assert np.mean((probs >= 0.5)[unseen["label"] == 1]) > 0.6
    assert np.mean((probs >= 0.5)[unseen["label"] == 0]) < 0.02


def test_tuned_pixel_f2_is_that_of_the_tuned_inferer() -> None:
    from bundle.functional.confusion import confusion_counts, f2_score

    view = tuning_view(3)
    view["label"][40:60, 40:60][view["label"][40:60, 40:60] == 1] = 2
    tuned = tune_classical(TopHatInferer, [view], objective="pixel", grid={"diameter_mm": (0.8,), "margin_mm": (1.0,)})
    probs = torch.sigmoid(tuned.inferer(torch.tensor(view["image"])[None, None], spacing_mm=SPACING))[0, 0].numpy()
    tp, fp, fn, _ = confusion_counts(probs >= 0.5, view["label"], region=view["image"] > -1)
    assert tuned.f2 == pytest.approx(f2_score(tp, fp, fn))
    assert len(tuned.trials) == 1
    assert tuned.parameters["margin_mm"] == 1.0


def test_bright_dots_on_clean_views_count_as_false() -> None:
    clean = tuning_view(4, dots=0)
    clean["image"][::10, ::10] += 0.6
    grid = {"diameter_mm": (0.8,)}
    alone = tune_classical(TopHatInferer, [tuning_view(5)], grid=grid)
    with_clean = tune_classical(TopHatInferer, [tuning_view(5), clean, clean, clean], grid=grid)
    assert with_clean.f2 < 0.5 < alone.f2


def test_tuning_without_truth_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tuning view"):
        tune_classical(TopHatInferer, [tuning_view(0, dots=0)])


def test_best_threshold_is_that_of_the_slow_search() -> None:
    views = [tuning_view(6), tuning_view(7)]
    rng = np.random.default_rng(0)
    maps = [np.clip(0.6 * view["label"] + rng.uniform(0, 0.5, view["label"].shape), 0, 1) for view in views]
    thresholds = np.linspace(0.3, 0.9, 13)
    threshold, f2 = best_threshold(maps, views, thresholds)
    slow = []
    for level in thresholds:
        counts = [
            count_objects(m >= level, v["label"], spacing_mm=SPACING, region=v["image"] > -1)
            for m, v in zip(maps, views, strict=True)
        ]
        tp, fp, fn = (sum(count[n] for count in counts) for n in range(3))
        slow.append(5 * tp / (5 * tp + 4 * fn + fp))
    assert f2 == pytest.approx(max(slow))
    assert slow[int(np.flatnonzero(thresholds == threshold)[0])] == max(slow)


def test_equal_thresholds_are_settled_in_their_middle() -> None:
    view = tuning_view(8)
    threshold, f2 = best_threshold([view["label"].astype(float)], [view], np.linspace(0.1, 0.9, 9))
    assert (threshold, f2) == (pytest.approx(0.5), 1.0)


def test_leaving_a_view_out_is_tuning_on_the_others() -> None:
    views = [tuning_view(9), tuning_view(10), tuning_view(11)]
    views[2]["image"] = 0.4 * views[2]["image"]
    grid = {"diameter_mm": (0.5, 0.8)}
    sweep = sweep_classical(TopHatInferer, views, grid=grid)
    without = sweep.best(np.array([True, True, False]))
    scores = [without.inferer.score(v["image"], spacing_mm=SPACING, **without.inferer.parameters) for v in views[:2]]
    thresholds = sweep.thresholds[[s["diameter_mm"] for s in sweep.settings].index(without.parameters["diameter_mm"])]
    assert (without.parameters["threshold"], without.f2) == best_threshold(scores, views[:2], thresholds)
    assert without.parameters["threshold"] > sweep.best(np.array([False, False, True])).parameters["threshold"]

import warnings

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.metrics import ConfusionMatrixMetric, DiceMetric
from monai.transforms import Activationsd

from bundle.functional.confusion import all_ratios, confusion_counts
from bundle.metrics import MicrocalcificationHandler, MicrocalcificationMetric


def cases(seed: int, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand((n, 1, 20, 30), generator=generator) > 0.9).to(torch.uint8)
    probs = (0.5 * label + 0.6 * torch.rand(label.shape, generator=generator)).clamp(0, 1)
    return probs, label


def test_mean_over_cases_is_the_mean_of_the_pure_function() -> None:
    probs, label = cases(0)
    metric = MicrocalcificationMetric(metric="f2")
    metric(probs, label)
    f2 = [all_ratios(*confusion_counts(p.numpy() >= 0.5, y.numpy()))["f2"] for p, y in zip(probs, label, strict=True)]
    assert metric.aggregate().item() == pytest.approx(np.mean(f2))
    assert metric.summary()["f2"].sd == pytest.approx(np.std(f2, ddof=1))


def test_agrees_with_monai_where_truth_and_prediction_exist() -> None:
    probs, label = cases(1)
    ours = MicrocalcificationMetric(metric="dice")
    ours(probs, label)
    masks = (probs >= 0.5).float()
    dice = DiceMetric()
    dice(masks, label.float())
    assert ours.aggregate().item() == pytest.approx(dice.aggregate().item(), abs=1e-6)
    for name, theirs in {
        "recall": "sensitivity",
        "precision": "precision",
        "tnr": "specificity",
        "fnr": "miss rate",
    }.items():
        reference = ConfusionMatrixMetric(metric_name=theirs, compute_sample=True)
        reference(masks, label)
        assert ours.value(name) == pytest.approx(reference.aggregate()[0].item(), abs=1e-6), name


def test_batches_and_lists_and_single_cases_accumulate_alike() -> None:
    probs, label = cases(2)
    region = torch.rand(label.shape, generator=torch.Generator().manual_seed(3)) > 0.4
    whole, single = MicrocalcificationMetric(), MicrocalcificationMetric()
    whole.add(probs, label, region)
    single.add(list(probs), list(label), list(region))
    np.testing.assert_array_equal(whole.counts(), single.counts())
    assert whole.get_buffer().shape == (4, 4)


def test_ignored_and_outside_pixels_change_nothing() -> None:
    probs, label = cases(4)
    region = torch.zeros(label.shape, dtype=torch.bool)
    region[..., :15] = True
    label[..., 10:15] = 2
    reference = MicrocalcificationMetric()
    reference(probs[..., :10], label[..., :10])
    metric = MicrocalcificationMetric()
    metric(probs, label, region=region)
    np.testing.assert_array_equal(metric.counts(), reference.counts())


def test_cases_without_a_value_are_left_out_and_a_policy_brings_them_back() -> None:
    probs, label = cases(5, n=2)
    empty = torch.zeros_like(label[:1])
    for policy, expected in ((float("nan"), 1.0), (0.0, 2 / 3), (1.0, 1.0)):
        metric = MicrocalcificationMetric(metric="dice", zero_division=policy)
        metric(torch.cat([label, empty]).float(), torch.cat([label, empty]))
        assert metric.aggregate().item() == pytest.approx(expected)
    assert probs.shape == label.shape


def test_nothing_but_empty_cases_is_nan_without_a_warning() -> None:
    metric = MicrocalcificationMetric()
    metric(torch.zeros((2, 1, 5, 5)), torch.zeros((2, 1, 5, 5)))
    assert np.isnan(metric.aggregate().item())


def test_pooled_average_is_the_ratio_of_summed_counts() -> None:
    label = torch.zeros((2, 1, 4, 4))
    label[0, 0, 0, 0] = label[1, 0, :, 0] = 1
    pred = torch.zeros_like(label)
    pred[0, 0, 0, 0] = pred[1, 0, 0, 0] = 1
    values = {}
    for average in ("case", "pooled"):
        metric = MicrocalcificationMetric(metric="recall", average=average)  # type: ignore[arg-type]
        metric(pred, label)
        values[average] = metric.aggregate().item()
    assert values == {"case": pytest.approx((1 + 1 / 4) / 2), "pooled": pytest.approx(2 / 5)}


def test_logits_and_probabilities_score_the_same() -> None:
    probs, label = cases(6)
    on_probs, on_logits = MicrocalcificationMetric(threshold=0.7), MicrocalcificationMetric(threshold=0.7, sigmoid=True)
    on_probs(probs, label)
    on_logits(torch.logit(probs.double(), eps=1e-9), label)
    np.testing.assert_array_equal(on_probs.counts(), on_logits.counts())


def test_reset_forgets() -> None:
    probs, label = cases(7)
    metric = MicrocalcificationMetric()
    metric(probs, label)
    metric.reset()
    with pytest.raises(ValueError, match="predictions before an aggregate"):
        metric.aggregate()


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="got 'f1'"):
        MicrocalcificationMetric(metric="f1")
    with pytest.raises(ValueError, match="got 'macro'"):
        MicrocalcificationMetric(average="macro")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="breast"):
        MicrocalcificationMetric()(*cases(8), breast=None)


class Scale(torch.nn.Module):
    """Logits that are positive where the image is: a network good enough to be scored."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 8 * image


def evaluator(*, region_key: str | None = None, decollate: bool = True) -> tuple[SupervisedEvaluator, list[dict]]:
    generator = torch.Generator().manual_seed(9)
    data = []
    for _ in range(3):
        label = (torch.rand((1, 16, 16), generator=generator) > 0.9).to(torch.uint8)
        image = label.float() - 0.5 + 0.4 * torch.randn(label.shape, generator=generator)
        breast = torch.ones(label.shape, dtype=torch.bool)
        breast[..., 8:] = False
        data.append({"image": image, "label": label, "breast": breast})
    handler = MicrocalcificationHandler(region_key=region_key)
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=2),
        network=Scale(),
        inferer=SimpleInferer(),
        postprocessing=Activationsd(keys="pred", sigmoid=True),
        key_val_metric={"val_f2": handler},
        decollate=decollate,
    )
    return engine, data


@pytest.mark.parametrize("decollate", [False, True])
@pytest.mark.parametrize("with_region", [False, True])
def test_it_is_the_key_metric_of_a_real_evaluator(with_region: bool, decollate: bool) -> None:
    engine, data = evaluator(region_key="breast" if with_region else None, decollate=decollate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.run()
    counts = [
        confusion_counts(8 * d["image"].numpy() >= 0, d["label"], region=d["breast"] if with_region else None)
        for d in data
    ]
    expected = {name: np.mean(values) for name, values in all_ratios(*np.transpose(counts)).items()}
    assert 0 < expected["f2"] < 1
    assert engine.state.best_metric == pytest.approx(expected["f2"])
    for name in ("f2", "dice", "recall", "precision"):
        assert engine.state.metrics[f"val_{name}"] == pytest.approx(expected[name])
    np.testing.assert_array_equal(engine.state.metric_details["val_f2"].numpy(), counts)


def test_a_second_epoch_starts_from_nothing() -> None:
    engine, _ = evaluator()
    engine.run()
    first = engine.state.metrics["val_f2"]
    engine.run()
    assert engine.state.metrics["val_f2"] == first
    assert len(engine.state.metric_details["val_f2"]) == 3

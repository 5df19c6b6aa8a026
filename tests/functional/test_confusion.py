import itertools

import numpy as np
import pytest

from bundle.functional import confusion
from bundle.functional.confusion import all_ratios, confusion_counts, summarise_cases

# Worked by hand: 10 x 10 pixels, 6 true, 8 predicted, 4 shared.
TP, FP, FN, TN = 4, 4, 2, 90
BY_HAND = {
    "dice": 8 / 14,
    "recall": 4 / 6,
    "fnr": 2 / 6,
    "tnr": 90 / 94,
    "balanced_accuracy": (4 / 6 + 90 / 94) / 2,
    "g_mean": (4 / 6 * 90 / 94) ** 0.5,
    "precision": 4 / 8,
    "f2": 5 * 0.5 * (4 / 6) / (4 * 0.5 + 4 / 6),
    "iou": 4 / 10,
    "two_class_iou": (4 / 10 + 90 / 96) / 2,
}


def random_counts(seed: int, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 500, (4, n)).astype(float)


def test_ratios_worked_by_hand() -> None:
    ratios = all_ratios(TP, FP, FN, TN)
    assert set(ratios) == set(BY_HAND)
    for name, expected in BY_HAND.items():
        assert ratios[name] == pytest.approx(expected, abs=1e-15), name


def test_counts_worked_by_hand() -> None:
    label, pred = np.zeros((10, 10), int), np.zeros((10, 10), int)
    label[2, 0:6] = 1
    pred[2, 2:10] = 1
    assert confusion_counts(pred, label) == (TP, FP, FN, TN)


def test_printed_f2_equals_its_count_form_where_the_printed_one_exists() -> None:
    tp, fp, fn, _ = random_counts(0)
    p, r = confusion.precision(tp, fp), confusion.recall(tp, fn)
    np.testing.assert_allclose(confusion.f2_score(tp, fp, fn), 5 * p * r / (4 * p + r), rtol=1e-13)


def test_f2_is_the_harmonic_mean_with_recall_weighted_four_times() -> None:
    tp, fp, fn, _ = random_counts(1)
    p, r, f2 = confusion.precision(tp, fp), confusion.recall(tp, fn), confusion.f2_score(tp, fp, fn)
    np.testing.assert_allclose(1 / f2, (1 / p + 4 / r) / 5, rtol=1e-13)


def test_recall_and_fnr_add_to_one() -> None:
    tp, _, fn, _ = random_counts(2)
    np.testing.assert_allclose(confusion.recall(tp, fn) + confusion.false_negative_rate(tp, fn), 1)


def test_g_mean_never_exceeds_balanced_accuracy() -> None:
    counts = random_counts(3)
    assert np.all(confusion.g_mean(*counts) <= confusion.balanced_accuracy(*counts) + 1e-12)


def test_dice_follows_from_iou() -> None:
    tp, fp, fn, _ = random_counts(4)
    iou = confusion.foreground_iou(tp, fp, fn)
    np.testing.assert_allclose(confusion.dice(tp, fp, fn), 2 * iou / (1 + iou), rtol=1e-13)


def test_on_sparse_masks_two_class_iou_is_about_half_of_one_plus_foreground_iou() -> None:
    foreground = confusion.foreground_iou(34, 33, 33)
    assert confusion.two_class_iou(34, 33, 33, 4_000_000) == pytest.approx((1 + foreground) / 2, abs=1e-4)


def test_ratios_agree_with_scikit_learn_on_random_masks() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    for _ in range(10):
        label, pred = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
        ours = all_ratios(*confusion_counts(pred, label))
        assert ours["dice"] == pytest.approx(metrics.f1_score(label, pred))
        assert ours["recall"] == pytest.approx(metrics.recall_score(label, pred))
        assert ours["precision"] == pytest.approx(metrics.precision_score(label, pred))
        assert ours["f2"] == pytest.approx(metrics.fbeta_score(label, pred, beta=2))
        assert ours["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(label, pred))
        assert ours["iou"] == pytest.approx(metrics.jaccard_score(label, pred))
        assert ours["tnr"] == pytest.approx(metrics.recall_score(label, pred, pos_label=0))
        assert ours["two_class_iou"] == pytest.approx(metrics.jaccard_score(label, pred, average="macro"))


def test_counts_agree_with_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(6)
    pred, label, region = rng.integers(0, 2, (9, 7)), rng.integers(0, 3, (9, 7)), rng.random((9, 7)) > 0.3
    slow = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for row, column in itertools.product(range(9), range(7)):
        if region[row, column] and label[row, column] != 2:
            right = pred[row, column] == label[row, column]
            slow[("t" if right else "f") + ("p" if pred[row, column] else "n")] += 1
    assert confusion_counts(pred, label, region=region)._asdict() == slow


def test_ignored_and_outside_pixels_count_nowhere_whatever_is_predicted_there() -> None:
    rng = np.random.default_rng(7)
    label, region = rng.integers(0, 3, (20, 20)), rng.random((20, 20)) > 0.5
    pred = rng.integers(0, 2, (20, 20))
    free = (label == 2) | ~region
    flipped = np.where(free, 1 - pred, pred)
    assert confusion_counts(pred, label, region=region) == confusion_counts(flipped, label, region=region)
    assert sum(confusion_counts(pred, label, region=region)) == np.count_nonzero(~free)


# The corner cases of docs/metrics.md on 4 x 4 pixels: counts, then the ratios that are not nan.
CORNERS = {
    "both empty": ((0, 0, 0, 16), {"tnr": 1}),
    "empty truth": (
        (0, 3, 0, 13),
        {"dice": 0, "tnr": 13 / 16, "precision": 0, "f2": 0, "iou": 0, "two_class_iou": 13 / 32},
    ),
    "empty prediction": (
        (0, 0, 3, 13),
        {
            "dice": 0, "recall": 0, "fnr": 1, "tnr": 1, "balanced_accuracy": 0.5,
            "g_mean": 0, "f2": 0, "iou": 0, "two_class_iou": 13 / 32,
        },
    ),
    "all missed": (
        (0, 1, 3, 12),
        {
            "dice": 0, "recall": 0, "fnr": 1, "tnr": 12 / 13, "balanced_accuracy": 6 / 13, "g_mean": 0,
            "precision": 0, "f2": 0, "iou": 0, "two_class_iou": 12 / 32,
        },
    ),
    "one pixel, found": ((1, 0, 0, 15), {name: 1 for name in BY_HAND} | {"fnr": 0}),
    "whole image, found": (
        (16, 0, 0, 0),
        {"dice": 1, "recall": 1, "fnr": 0, "precision": 1, "f2": 1, "iou": 1},
    ),
    "nothing to count": ((0, 0, 0, 0), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CORNERS)
def test_corner_cases_are_as_documented(case: str) -> None:
    counts, expected = CORNERS[case]
    for name, value in all_ratios(*counts).items():
        assert value == pytest.approx(expected.get(name, np.nan), nan_ok=True), name


@pytest.mark.parametrize("policy", [0.0, 1.0])
def test_zero_division_replaces_exactly_the_missing_ratios(policy: float) -> None:
    undefined, replaced = all_ratios(0, 0, 0, 16), all_ratios(0, 0, 0, 16, zero_division=policy)
    for name in ("dice", "recall", "fnr", "precision", "f2", "iou"):
        assert np.isnan(undefined[name])
        assert replaced[name] == policy
    assert replaced["tnr"] == undefined["tnr"] == 1
    assert replaced["balanced_accuracy"] == (policy + 1) / 2


def test_arrays_of_counts_give_one_ratio_each() -> None:
    ratio = confusion.precision([1, 0, 3], [1, 0, 0])
    np.testing.assert_array_equal(ratio, [0.5, np.nan, 1.0])


def test_summary_leaves_out_cases_without_a_value() -> None:
    summary = summarise_cases([0.5, np.nan, 1.0, 0.0])
    assert summary == (0.5, pytest.approx(0.5), 3)


def test_summary_of_nothing_is_nan_and_of_one_case_has_no_deviation() -> None:
    assert np.isnan(summarise_cases([np.nan]).mean)
    assert summarise_cases([np.nan]).n_cases == 0
    assert summarise_cases([0.3]).mean == 0.3
    assert np.isnan(summarise_cases([0.3]).sd)


@pytest.mark.parametrize(
    ("pred", "label", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), "one shape"),
        (np.full((2, 2), 0.5), np.zeros((2, 2)), "threshold probabilities first"),
        (np.zeros((2, 2)), np.full((2, 2), 3), "got 3"),
    ],
)
def test_wrong_input_is_named(pred: np.ndarray, label: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_counts(pred, label)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=">= 0, got -1"):
        confusion.dice(-1, 0, 3)

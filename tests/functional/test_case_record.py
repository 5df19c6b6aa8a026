import json
from typing import Any

import numpy as np
import pytest

from bundle.functional.case_record import score_case
from bundle.functional.objects import count_objects
from bundle.functional.points import box_outline

SHAPE = (100, 200)
SPACING = (0.1, 0.1)
THRESHOLDS = [0.2, 0.5, 0.8]
# Six calcifications in a row, 2 mm apart: one cluster.
PLACES = [(50, 40 + 20 * index) for index in range(6)]


def drawn(values: dict[tuple[int, int], float], side: int = 3) -> np.ndarray:
    array = np.zeros(SHAPE, np.float32)
    for (row, column), value in values.items():
        array[row : row + side, column : column + side] = value
    return array


def record(probs: np.ndarray, label: np.ndarray | None = None, **options: Any) -> dict[str, Any]:
    return score_case(
        probs,
        np.zeros(SHAPE, np.uint8) if label is None else label.astype(np.uint8),
        **{
            "case": "a-L-CC",
            "patient": "a",
            "system": "segmentor",
            "dataset": "phantom",
            "spacing_mm": SPACING,
            "region_name": "image",
            "region": None,
            "threshold": 0.5,
            "froc_thresholds": THRESHOLDS,
            **options,
        },
    )


LABEL = drawn(dict.fromkeys(PLACES, 1.0))
# Five of the six found, the sixth and something else at lower probability.
PROBS = drawn({**dict.fromkeys(PLACES[:5], 0.9), PLACES[5]: 0.3, (10, 10): 0.6})


def test_whole_record_worked_by_hand() -> None:
    entry = {"pixels": 9, "cnr": None, "interior": None, "exterior": None, "cluster": 0}
    diameter = pytest.approx(2 * (9 * 0.01 / np.pi) ** 0.5)
    assert record(PROBS, LABEL) == {
        "case": "a-L-CC",
        "patient": "a",
        "system": "segmentor",
        "dataset": "phantom",
        "region": "image",
        "annotation": "mask",
        "spacing_mm": [0.1, 0.1],
        "area_cm2": 2.0,
        "threshold": 0.5,
        "activation_rate": 54 / 20000,
        "pixels": {"tp": 45, "fp": 9, "fn": 9, "tn": 20000 - 63},
        "objects": [
            {"row_px": r + 1.0, "column_px": c + 1.0, "diameter_mm": diameter, "hit": hit, "iou": float(hit), **entry}
            for (r, c), hit in zip(PLACES, [True] * 5 + [False], strict=True)
        ],
        "false_objects": 1,
        "clusters": {"true": 1, "hit": 1, "false": 0},
        "froc": {
            "thresholds": THRESHOLDS,
            "tp": [6, 5, 5],
            "fp": [1, 1, 0],
            "cluster_tp": [1, 1, 1],
            "cluster_fp": [0, 0, 0],
        },
    }


@pytest.mark.parametrize("options", [{}, {"image": PROBS}, {"annotation": "points", "points": PLACES}])
def test_record_survives_strict_json(options: dict[str, Any]) -> None:
    made = record(PROBS, LABEL, **options)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_contrast_and_density_come_from_the_image() -> None:
    image = np.random.default_rng(0).normal(0, 0.05, SHAPE) + 0.5 * LABEL
    for entry in record(PROBS, LABEL, image=image)["objects"]:
        assert 8 < entry["cnr"] < 16
        assert entry["interior"] == pytest.approx(0.5, abs=0.06)
        assert entry["exterior"] == pytest.approx(0, abs=0.02)


def test_pixels_agree_with_scikit_learn_outside_ignore_and_inside_the_region() -> None:
    confusion_matrix = pytest.importorskip("sklearn.metrics").confusion_matrix
    rng = np.random.default_rng(1)
    probs, label, region = rng.random(SHAPE), rng.integers(0, 3, SHAPE), rng.random(SHAPE) > 0.3
    made = record(probs, label, region_name="roi", region=region)
    counted = region & (label != 2)
    (tn, fp), (fn, tp) = confusion_matrix(label[counted], probs[counted] >= 0.5)
    assert made["pixels"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert made["activation_rate"] == np.mean(probs[counted] >= 0.5)
    assert (made["region"], made["area_cm2"]) == ("roi", pytest.approx(region.sum() * 1e-4))


def test_curve_at_the_operating_threshold_is_the_record() -> None:
    rng = np.random.default_rng(2)
    probs, label = rng.random(SHAPE) ** 20, rng.choice([0, 1, 2], SHAPE, p=[0.99, 0.008, 0.002])
    made = record(probs, label)
    counts = count_objects(probs >= 0.5, label, spacing_mm=SPACING)
    assert sum(entry["hit"] for entry in made["objects"]) == made["froc"]["tp"][1] == counts.tp > 0
    assert made["false_objects"] == made["froc"]["fp"][1] == counts.fp > 0
    assert len(made["objects"]) == counts.tp + counts.fn
    assert made["clusters"]["hit"] == made["froc"]["cluster_tp"][1]
    assert made["clusters"]["false"] == made["froc"]["cluster_fp"][1]


def test_clean_view_has_false_objects_and_nothing_to_find() -> None:
    made = record(PROBS)
    assert (made["objects"], made["false_objects"]) == ([], 6)
    assert made["clusters"] == {"true": 0, "hit": 0, "false": 1}
    assert made["pixels"]["tp"] == made["pixels"]["fn"] == 0


def test_nothing_predicted_is_all_zero() -> None:
    made = record(np.zeros(SHAPE), LABEL)
    assert (made["activation_rate"], made["false_objects"]) == (0, 0)
    assert not any(entry["hit"] or entry["iou"] for entry in made["objects"])
    assert made["froc"]["tp"] == made["froc"]["fp"] == made["froc"]["cluster_fp"] == [0, 0, 0]


def test_whole_image_predicted_is_active_everywhere() -> None:
    whole = np.ones(SHAPE)
    assert record(whole, whole)["activation_rate"] == 1
    assert record(whole, whole)["objects"][0]["iou"] == 1
    assert record(whole, LABEL)["objects"][0]["iou"] == 9 / 20000


def test_view_that_is_all_ignored_counts_nowhere() -> None:
    made = record(PROBS, np.full(SHAPE, 2))
    assert made["activation_rate"] is None
    assert made["pixels"] == {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    assert (made["objects"], made["false_objects"], made["froc"]["fp"]) == ([], 0, [0, 0, 0])


def test_what_lies_on_ignore_makes_no_false_cluster() -> None:
    assert record(PROBS, 2 * LABEL)["clusters"] == {"true": 0, "hit": 0, "false": 0}


def test_objects_outside_the_region_are_not_listed() -> None:
    region = np.zeros(SHAPE, bool)
    region[:, :90] = True
    made = record(PROBS, LABEL, region_name="breast", region=region)
    assert [entry["cluster"] for entry in made["objects"]] == [-1, -1, -1]
    assert (made["area_cm2"], made["false_objects"]) == (pytest.approx(0.9), 1)


def test_points_have_hits_and_clusters_but_no_pixels_and_no_overlap() -> None:
    points = np.array(PLACES) + 1
    made = record(PROBS, None, annotation="points", points=points)
    assert made["pixels"] is None
    assert [entry["hit"] for entry in made["objects"]] == [True] * 5 + [False]
    for entry, point in zip(made["objects"], points, strict=True):
        assert (entry["row_px"], entry["column_px"], entry["cluster"]) == (*point, 0)
        assert entry["iou"] is entry["diameter_mm"] is entry["cnr"] is None
    assert made["clusters"] == {"true": 1, "hit": 1, "false": 0}
    assert made["activation_rate"] == 54 / 20000
    assert made["froc"]["tp"] == [6, 5, 5]


def test_ignore_holds_for_points_and_outlines_too() -> None:
    ignore = 2 * drawn({(10, 10): 1.0}, side=4)
    assert record(PROBS, ignore, annotation="points", points=[(51, 41)])["false_objects"] == 4
    outline = box_outline(45, 35, 60, 160)
    assert record(PROBS, ignore, annotation="outlines", outlines=[outline])["false_objects"] == 0
    assert record(PROBS, ignore, annotation="outlines", outlines=[outline])["activation_rate"] == 45 / (20000 - 16)


def test_outlines_are_hit_by_an_object_inside_and_objects_outside_are_false() -> None:
    outlines = [box_outline(45, 35, 60, 90), box_outline(70, 150, 90, 190)]
    made = record(PROBS, LABEL, annotation="outlines", outlines=outlines)
    assert made["pixels"] is None
    assert made["objects"] == []
    assert made["clusters"] == {"true": 2, "hit": 1, "false": 3}
    assert made["false_objects"] == 3
    assert made["froc"]["tp"] == [0, 0, 0]
    assert made["froc"]["fp"] == made["froc"]["cluster_fp"] == [4, 3, 2]
    assert made["froc"]["cluster_tp"] == [1, 1, 1]


def test_a_curve_may_be_that_of_another_map() -> None:
    made, logits = record(PROBS, LABEL), np.log(np.maximum(PROBS, 1e-6) / (1 - PROBS))
    levels = np.log(np.array(THRESHOLDS) / (1 - np.array(THRESHOLDS)))
    other = record(PROBS, LABEL, froc_map=logits, froc_thresholds=levels - 1e-6)
    assert other["froc"]["thresholds"] == pytest.approx(levels, abs=1e-5)
    assert {**other["froc"], "thresholds": THRESHOLDS} == {**made["froc"], "thresholds": THRESHOLDS}
    assert {**other, "froc": None} == {**made, "froc": None}


def test_empty_annotations_are_clean_views() -> None:
    assert record(PROBS, None, annotation="points", points=[])["false_objects"] == 6
    assert record(PROBS, None, annotation="outlines", outlines=[])["clusters"] == {"true": 0, "hit": 0, "false": 6}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, r"threshold in \(0, 1\], got 0"),
        ({"froc_thresholds": [0.5, 0.5]}, "increase strictly"),
        ({"froc_thresholds": []}, "increase strictly"),
        ({"froc_thresholds": [0.0, 0.5]}, r"within \(0, 1\]"),
        ({"froc_thresholds": [0.5, 1.5]}, r"within \(0, 1\]"),
        ({"froc_map": np.zeros((2, 2))}, "FROC map in the shape"),
        ({"froc_map": np.full(SHAPE, np.nan)}, "no NaN"),
        ({"region_name": "lung"}, "region among breast, image, roi, got 'lung'"),
        ({"region_name": "breast"}, "region mask exactly when"),
        ({"region": np.ones(SHAPE, bool)}, "region mask exactly when"),
        ({"annotation": "boxes"}, "annotation among"),
        ({"annotation": "points"}, "points exactly with 'points'"),
        ({"points": [(1, 1)]}, "points exactly with 'points'"),
        ({"annotation": "outlines", "points": [(1, 1)]}, "points exactly with 'points'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record(PROBS, LABEL, **options)


@pytest.mark.parametrize("probs", [PROBS * 5, PROBS - 1, np.full(SHAPE, np.nan), np.zeros((0, 3))])
def test_maps_that_are_no_probabilities_are_refused(probs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="apply the sigmoid"):
        record(probs, LABEL)


def test_map_in_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape of the label"):
        record(PROBS[1:], LABEL)

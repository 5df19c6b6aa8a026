"""Figures as functions of sums over case records, each against a count made straight from the records."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.functional.case_statistics import (
    CASE_METRICS,
    METRICS,
    case_values,
    froc_curve,
    pooled_statistics,
    strata_edges,
)
from bundle.functional.confusion import dice, f2_score, precision, recall
from bundle.functional.froc import froc_pauc, tpr_at

from .case_records import made_up_records

RECORDS = made_up_records(systems=["segmentor"])
CALCIFIED = [record for record in RECORDS if record["objects"]]
CLEAN = [record for record in RECORDS if not record["objects"]]
OBJECTS = [item for record in RECORDS for item in record["objects"]]


def figures(records: list[dict[str, Any]] = RECORDS, *, clean_axis: bool = True) -> dict[str, float]:
    pooled = pooled_statistics(records, edges=strata_edges(records), clean_axis=clean_axis)
    return {name: float(statistic.function(statistic.columns.sum(axis=0))) for name, statistic in pooled.items()}


def test_every_metric_has_a_statistic_and_a_name() -> None:
    assert set(figures()) == set(METRICS)
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)


def test_means_of_cases_are_over_cases_with_true_pixels() -> None:
    values = [float(dice(*(record["pixels"][key] for key in ("tp", "fp", "fn")))) for record in CALCIFIED]
    assert figures()["dice"] == pytest.approx(np.mean(values))


def test_activation_is_over_all_cases() -> None:
    assert figures()["activation_rate"] == pytest.approx(np.mean([record["activation_rate"] for record in RECORDS]))


def test_object_figures_are_those_of_the_counts_beside_calcifications() -> None:
    tp = sum(item["hit"] for item in OBJECTS)
    fp, fn = sum(record["false_objects"] for record in CALCIFIED), len(OBJECTS) - tp
    found = figures()
    assert found["object_recall"] == pytest.approx(float(recall(tp, fn)))
    assert found["object_precision"] == pytest.approx(float(precision(tp, fp)))
    assert found["object_f2"] == pytest.approx(float(f2_score(tp, fp, fn)))
    assert found["object_iou"] == pytest.approx(np.mean([item["iou"] for item in OBJECTS]))


def test_false_positives_are_counted_on_clean_views() -> None:
    false = sum(record["false_objects"] for record in CLEAN)
    assert figures()["fp_per_cm2"] == pytest.approx(false / sum(record["area_cm2"] for record in CLEAN))
    assert figures()["fp_per_image"] == pytest.approx(false / len(CLEAN))


def test_false_positives_are_counted_everywhere_without_the_clean_axis() -> None:
    false = sum(record["false_objects"] for record in RECORDS)
    assert figures(clean_axis=False)["fp_per_image"] == pytest.approx(false / len(RECORDS))


def test_clusters_are_pooled() -> None:
    hit, true = (sum(record["clusters"][key] for record in RECORDS) for key in ("hit", "true"))
    assert figures()["cluster_recall"] == pytest.approx(hit / true)


@pytest.mark.parametrize(("name", "key"), [("cnr", "cnr"), ("size", "diameter_mm"), ("interior", "interior")])
def test_strata_part_the_objects(name: str, key: str) -> None:
    low, high = strata_edges(RECORDS)[name]
    values, hit = np.array([item[key] for item in OBJECTS]), np.array([item["hit"] for item in OBJECTS])
    found = figures()
    assert found[f"recall_{name}_low"] == pytest.approx(hit[values < low].mean())
    assert found[f"recall_{name}_middle"] == pytest.approx(hit[(values >= low) & (values <= high)].mean())
    assert found[f"recall_{name}_high"] == pytest.approx(hit[values > high].mean())


def test_strata_of_contrast_keep_their_edges_in_the_middle() -> None:
    record = {**CALCIFIED[0], "objects": [{**OBJECTS[0], "cnr": cnr, "hit": True} for cnr in (2.99, 3.0, 6.0, 6.01)]}
    pooled = pooled_statistics([record], edges=strata_edges([record]), clean_axis=False)
    assert [pooled[f"recall_cnr_{level}"].columns[0, 1] for level in ("low", "middle", "high")] == [1, 2, 1]


def test_density_strata_are_thirds() -> None:
    pooled = pooled_statistics(RECORDS, edges=strata_edges(RECORDS), clean_axis=True)
    counts = [pooled[f"recall_exterior_{level}"].columns[:, 1].sum() for level in ("low", "middle", "high")]
    assert sum(counts) == len(OBJECTS)
    assert max(counts) - min(counts) <= 1


def test_objects_without_a_value_are_in_no_stratum() -> None:
    bare = [{**item, "cnr": None, "interior": float("nan"), "exterior": None} for item in CALCIFIED[0]["objects"]]
    records = [{**CALCIFIED[0], "objects": bare}]
    assert np.isnan(strata_edges(records)["interior"]).all()
    found = figures(records, clean_axis=False)
    assert all(np.isnan(found[f"recall_{name}_{level}"]) for name in ("cnr", "interior") for level in ("low", "high"))
    assert found["object_recall"] == pytest.approx(np.mean([item["hit"] for item in bare]))


def test_points_have_no_pixel_figures() -> None:
    records = [{**record, "pixels": None, "annotation": "points"} for record in RECORDS]
    values = case_values(records)
    assert all(np.isnan(values[name]).all() for name in CASE_METRICS if name != "activation_rate")


def test_iou_of_points_is_left_out() -> None:
    records = [{**record, "objects": [{**item, "iou": None} for item in record["objects"]]} for record in RECORDS]
    assert np.isnan(figures(records)["object_iou"])


def pooled_curve() -> tuple[NDArray, NDArray]:
    """False positives per cm2 and sensitivities, added up threshold by threshold."""
    fp = np.sum([record["froc"]["fp"] for record in CLEAN], axis=0) / sum(record["area_cm2"] for record in CLEAN)
    return fp, np.sum([record["froc"]["tp"] for record in RECORDS], axis=0) / len(OBJECTS)


def test_curve_is_that_of_the_pooled_counts() -> None:
    rates = [0.001, 0.05, 0.1, 0.4, 1.0, 5.0]
    curve = froc_curve(RECORDS, rates, clean_axis=True)
    expected = [tpr_at(*pooled_curve(), rate) for rate in rates]
    np.testing.assert_allclose(curve.function(curve.columns.sum(axis=0)), expected)


def test_curves_of_many_resamples_are_those_of_each() -> None:
    curve = froc_curve(RECORDS, [0.05, 0.4], clean_axis=True, unit="cluster", per="image")
    sums = np.random.default_rng(0).integers(0, 3, (6, len(RECORDS))) @ curve.columns
    np.testing.assert_allclose(curve.function(sums), [curve.function(row) for row in sums])


def test_partial_area_is_the_mean_height_of_the_curve() -> None:
    rates = (np.arange(1000) + 0.5) / 1000
    for unit, per in (("object", "cm2"), ("object", "image"), ("cluster", "image"), ("cluster", "cm2")):
        curve = froc_curve(RECORDS, rates, clean_axis=True, unit=unit, per=per)
        height = curve.function(curve.columns.sum(axis=0)).mean()
        name = f"{'cluster_' if unit == 'cluster' else ''}pauc_fp_per_{per}"
        assert figures()[name] == pytest.approx(height, abs=1e-3)


def test_points_of_the_curve_are_in_the_table() -> None:
    found = figures()
    assert found["tpr_at_0.4_fp_per_cm2"] == pytest.approx(tpr_at(*pooled_curve(), 0.4))
    assert found["tpr_at_1_fp_per_cm2"] == pytest.approx(tpr_at(*pooled_curve(), 1.0))
    assert found["pauc_fp_per_cm2"] == pytest.approx(froc_pauc(*pooled_curve()))


def test_without_true_objects_there_is_no_curve() -> None:
    found = figures(CLEAN)
    assert np.isnan(found["pauc_fp_per_cm2"])
    assert np.isnan(found["tpr_at_0.4_fp_per_cm2"])
    assert found["fp_per_cm2"] > 0


def test_outlines_have_cluster_figures_and_no_object_figures() -> None:
    records = [{**record, "objects": [], "pixels": None, "annotation": "outlines"} for record in RECORDS]
    marked, clean = ([r for r in records if bool(r["clusters"]["true"]) == wanted] for wanted in (True, False))
    found = figures(records)
    names = ("object_recall", "object_precision", "object_f2", "object_iou", "dice", "pauc_fp_per_cm2")
    assert all(np.isnan(found[name]) for name in names)
    hit, true = (sum(record["clusters"][key] for record in marked) for key in ("hit", "true"))
    assert found["cluster_recall"] == pytest.approx(hit / true)
    assert found["fp_per_image"] == pytest.approx(sum(record["false_objects"] for record in clean) / len(clean))

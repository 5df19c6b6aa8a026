"""Every figure of a comparison table, as a function of sums over case records (see `bundle.functional.case_record`).

Which cases a figure counts:
- pixel ratios (eqs. 17-24, IoUs): cases with true pixels, one value each, averaged; 0/0 has no value;
- recall, precision, F2 and IoU of objects, clusters, strata: cases with true objects, pooled;
- false positives per cm2 and per image, those of FROC included: clean cases (without true objects or outlines) if the
  dataset has any, else all cases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .confusion import all_ratios
from .froc_curves import Curves, partial_areas, tpr_at_rates, usable_curves
from .object_strata import CNR_EDGES
from .statistics import FloatArray, Pooled, divide, mean_of_cases, ratio_of_sums

Record = Mapping[str, Any]

# Diameters in mm that part small, middle and large calcifications; the median of clinical ones is near 0.22 mm.
SIZE_EDGES_MM = (0.2, 0.4)
STRATA = {"cnr": "cnr", "size": "diameter_mm", "interior": "interior", "exterior": "exterior"}
LEVELS = ("low", "middle", "high")


@dataclass(frozen=True)
class Metric:
    """How a figure is called, and which direction is good (None: neither)."""

    label: str
    higher_is_better: bool | None = True


CASE_METRICS = {
    "dice": Metric("Dice"),
    "recall": Metric("Recall"),
    "fnr": Metric("FNR", False),
    "tnr": Metric("TNR"),
    "balanced_accuracy": Metric("Balanced accuracy"),
    "g_mean": Metric("G-mean"),
    "precision": Metric("Precision"),
    "f2": Metric("F2"),
    "iou": Metric("Foreground IoU"),
    "two_class_iou": Metric("Two-class mean IoU"),
    "activation_rate": Metric("Activation rate", None),
}
POOLED_METRICS = {
    "object_recall": Metric("Object recall"),
    "object_precision": Metric("Object precision"),
    "object_f2": Metric("Object F2"),
    "object_iou": Metric("Object IoU"),
    "fp_per_cm2": Metric("FP/cm2", False),
    "fp_per_image": Metric("FP/image", False),
    "cluster_recall": Metric("Cluster recall"),
    "cluster_fp_per_image": Metric("Cluster FP/image", False),
}
# False-positive rates at which the true-positive rate is read.
FROC_RATES = {("object", "cm2"): (0.4, 1.0), ("cluster", "image"): (1.0,)}
FROC_METRICS = {
    "tpr_at_0.4_fp_per_cm2": Metric("TPR at 0.4 FP/cm2"),
    "tpr_at_1_fp_per_cm2": Metric("TPR at 1 FP/cm2"),
    "pauc_fp_per_cm2": Metric("pAUC 0-1 FP/cm2"),
    "pauc_fp_per_image": Metric("pAUC 0-1 FP/image"),
    "cluster_tpr_at_1_fp_per_image": Metric("Cluster TPR at 1 FP/image"),
    "cluster_pauc_fp_per_image": Metric("Cluster pAUC 0-1 FP/image"),
    "cluster_pauc_fp_per_cm2": Metric("Cluster pAUC 0-1 FP/cm2"),
}
STRATA_METRICS = {
    f"recall_{name}_{level}": Metric(f"Object recall, {name} {level}") for name in STRATA for level in LEVELS
}
METRICS = {**CASE_METRICS, **POOLED_METRICS, **FROC_METRICS, **STRATA_METRICS}


def case_values(records: Sequence[Record]) -> dict[str, FloatArray]:
    """One value per case and metric of `CASE_METRICS`, each (cases,), nan where a case has none."""
    counts = np.full((len(records), 4), np.nan)
    for row, record in enumerate(records):
        pixels = record["pixels"]
        if pixels is not None and pixels["tp"] + pixels["fn"] > 0:
            counts[row] = [pixels[key] for key in ("tp", "fp", "fn", "tn")]
    values = all_ratios(*counts.T)
    return {**values, "activation_rate": _numbers(records, "activation_rate")}


def strata_edges(records: Sequence[Record]) -> dict[str, tuple[float, float]]:
    """The two edges of each stratum: fixed for contrast and size, thirds of the objects for densities.

    Args:
        records: one record per case of a dataset, of any system.

    Returns:
        Edges by name of the stratum; nan where no object has a value.
    """
    edges = {"cnr": CNR_EDGES, "size": SIZE_EDGES_MM}
    for name in ("interior", "exterior"):
        values = _numbers([item for record in records for item in record["objects"]], STRATA[name])
        known = values[~np.isnan(values)]
        low, high = np.quantile(known, [1 / 3, 2 / 3]) if known.size else (np.nan, np.nan)
        edges[name] = (float(low), float(high))
    return edges


def pooled_statistics(
    records: Sequence[Record], *, edges: Mapping[str, tuple[float, float]], clean_axis: bool
) -> dict[str, Pooled]:
    """Every figure of `METRICS` for the cases of one system.

    Args:
        records: (cases,), all with the same FROC thresholds.
        edges: from `strata_edges`, of the whole dataset.
        clean_axis: false positives are counted on clean cases alone.
    """
    means = {name: mean_of_cases(values) for name, values in case_values(records).items()}
    counted = np.array([is_clean(record) or not clean_axis for record in records])
    return {
        **means,
        **_object_statistics(records),
        **_false_positives(records, counted),
        **_froc_statistics(records, clean_axis=clean_axis),
        **_strata(records, edges),
    }


def froc_curve(
    records: Sequence[Record], rates: ArrayLike, *, clean_axis: bool, unit: str = "object", per: str = "cm2"
) -> Pooled:
    """True-positive rate at each of several false-positive rates, (points,).

    Args:
        records: (cases,), all with the same thresholds.
        rates: (points,), false positives per cm2 or per image, at least 0.
        clean_axis: as in `pooled_statistics`.
        unit: "object" or "cluster".
        per: "cm2" or "image".
    """
    wanted = np.asarray(rates, np.float64)
    return _froc(records, partial(tpr_at_rates, rates=wanted), clean_axis=clean_axis, unit=unit, per=per)


def is_clean(record: Record) -> bool:
    """Whether a case has no true object, nor an outline of some."""
    return not record["objects"] and not record["clusters"]["true"]


def _object_statistics(records: Sequence[Record]) -> dict[str, Pooled]:
    beside = np.array([record["false_objects"] if record["objects"] else 0 for record in records])
    hits, objects, overlap, measured = np.array([_objects(record) for record in records]).T
    clusters = np.array([[record["clusters"]["hit"], record["clusters"]["true"]] for record in records])
    return {
        "object_recall": ratio_of_sums(hits, objects),
        "object_precision": ratio_of_sums(hits, hits + beside),
        # Eq. 24 as 5 TP / (5 TP + 4 FN + FP), with FN = objects - TP.
        "object_f2": ratio_of_sums(5 * hits, hits + 4 * objects + beside),
        "object_iou": ratio_of_sums(overlap, measured),
        "cluster_recall": ratio_of_sums(*clusters.T),
    }


def _objects(record: Record) -> tuple[float, float, float, float]:
    """Hits, objects, the sum of their IoUs, and how many have one."""
    ious = _numbers(record["objects"], "iou")
    hits = sum(bool(item["hit"]) for item in record["objects"])
    return hits, len(ious), float(np.nansum(ious)), float(np.count_nonzero(~np.isnan(ious)))


def _false_positives(records: Sequence[Record], counted: NDArray[np.bool_]) -> dict[str, Pooled]:
    false = _numbers(records, "false_objects") * counted
    clusters = np.array([record["clusters"]["false"] for record in records]) * counted
    return {
        "fp_per_cm2": ratio_of_sums(false, _numbers(records, "area_cm2") * counted),
        "fp_per_image": ratio_of_sums(false, counted),
        "cluster_fp_per_image": ratio_of_sums(clusters, counted),
    }


def _froc_statistics(records: Sequence[Record], *, clean_axis: bool) -> dict[str, Pooled]:
    statistics = {}
    for unit, prefix in (("object", ""), ("cluster", "cluster_")):
        for per in ("cm2", "image"):
            curve = partial(_froc, records, clean_axis=clean_axis, unit=unit, per=per)
            statistics[f"{prefix}pauc_fp_per_{per}"] = curve(partial_areas)
            for rate in FROC_RATES.get((unit, per), ()):
                statistics[f"{prefix}tpr_at_{rate:g}_fp_per_{per}"] = curve(partial(tpr_at_rates, rates=rate))
    return statistics


def _froc(
    records: Sequence[Record],
    figure: Callable[[Curves], FloatArray],
    *,
    clean_axis: bool,
    unit: str,
    per: str,
) -> Pooled:
    """A figure of the FROC curve, from sums of tp and fp at each threshold, of what is true and of the extent."""
    prefix = "cluster_" if unit == "cluster" else ""
    froc = [record["froc"] for record in records]
    counted = np.array([is_clean(record) or not clean_axis for record in records])
    tp = np.array([curve[f"{prefix}tp"] for curve in froc], np.float64)
    fp = np.array([curve[f"{prefix}fp"] for curve in froc], np.float64) * counted[:, None]
    true = np.array([r["clusters"]["true"] if unit == "cluster" else len(r["objects"]) for r in records], np.float64)
    extent = (_numbers(records, "area_cm2") if per == "cm2" else np.ones(len(records))) * counted
    count = tp.shape[1]

    def function(sums: FloatArray) -> FloatArray:
        tpr = divide(sums[..., :count], sums[..., 2 * count, None])
        rate = divide(sums[..., count : 2 * count], sums[..., 2 * count + 1, None])
        return figure(usable_curves(rate, tpr))

    return Pooled(np.column_stack([tp, fp, true, extent]), function, needs=(2 * count, 2 * count + 1))


def _strata(records: Sequence[Record], edges: Mapping[str, tuple[float, float]]) -> dict[str, Pooled]:
    """Recall of the objects below, between (ends included) and above the two edges of each stratum."""
    objects = [item for record in records for item in record["objects"]]
    case = np.repeat(np.arange(len(records)), [len(record["objects"]) for record in records])
    hit = np.array([bool(item["hit"]) for item in objects], np.float64)
    statistics = {}
    for name, key in STRATA.items():
        values, (low, high) = _numbers(objects, key), edges[name]
        inside = (values < low, (values >= low) & (values <= high), values > high)
        for level, members in zip(LEVELS, inside, strict=True):
            totals = np.bincount(case, weights=members, minlength=len(records))
            hits = np.bincount(case, weights=members * hit, minlength=len(records))
            statistics[f"recall_{name}_{level}"] = ratio_of_sums(hits, totals)
    return statistics


def _numbers(items: Sequence[Record], key: str) -> FloatArray:
    """One field of each, None as nan."""
    return np.array([np.nan if item[key] is None else item[key] for item in items], np.float64)

"""The record of one case: everything that statistics and reports need of one prediction, as counts.

{
  "case", "patient", "system", "dataset": str,
  "region": "breast" | "image" | "roi",
  "annotation": "mask" | "points" | "outlines",
  "spacing_mm": [row, column],
  "area_cm2": float, of the region,
  "threshold": float, the operating threshold of all that follows but "froc",
  "activation_rate": float, predicted pixels over pixels of the region, both without "ignore" (None: no pixel counts),
  "pixels": {"tp", "fp", "fn", "tn": int}, None for points and outlines,
  "objects": one per true object, of masks and points: {"row_px", "column_px": float, "diameter_mm": float or None,
      "pixels": int, "cnr", "interior", "exterior": float or None, "hit": bool, "iou": float or None, "cluster": int},
  "false_objects": int, predictions that hit nothing,
  "clusters": {"true", "hit", "false": int},
  "froc": {"thresholds": [...], "tp": [...], "fp": [...], "cluster_tp": [...], "cluster_fp": [...]}
}

Thresholds of "froc" are probabilities, or what `froc_map` holds, such as logits. None is what does not exist: size,
density and IoU of a point, contrast without an image. With outlines there are no true objects; a "cluster" is an
outline and a false one is a predicted object outside, so both axes count one kind of mark.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cluster_scores import ClusterCounts, score_clusters
from .clusters import cluster_findings
from .confusion import ConfusionCounts, confusion_counts
from .froc import sweep
from .object_strata import diameter_mm, measure_visibility
from .objects import ObjectMatch, Reference, Spacing, best_iou, find_reference, match_objects
from .points import match_outlines, match_points, outlines_inside, points_inside

REGIONS = ("breast", "image", "roi")
ANNOTATIONS = ("mask", "points", "outlines")


class Scored(NamedTuple):
    """One prediction at one threshold."""

    hit: NDArray[np.bool_]
    iou: NDArray[np.float64] | None
    false_objects: int
    clusters: ClusterCounts


class _Truth(NamedTuple):
    """What is true in a view, and how a mask is scored against it."""

    objects: list[dict[str, Any]]
    score: Callable[[NDArray[np.bool_]], Scored]


def score_case(
    probs: ArrayLike,
    label: ArrayLike,
    *,
    case: str,
    patient: str,
    system: str,
    dataset: str,
    spacing_mm: Spacing,
    region_name: str,
    region: ArrayLike | None,
    threshold: float,
    froc_thresholds: ArrayLike,
    froc_map: ArrayLike | None = None,
    image: ArrayLike | None = None,
    annotation: str = "mask",
    points: ArrayLike | None = None,
    outlines: Sequence[ArrayLike] | None = None,
) -> dict[str, Any]:
    """Score one prediction of one view.

    Args:
        probs: (rows, columns), in [0, 1].
        label: (rows, columns), 0, 1 or 2 (ignore); of points and outlines only the 2 is read.
        case: name of the view, one of its kind in the data set.
        patient: all views of one patient share it.
        system: what made the prediction.
        dataset: where the view is from, e.g. "shift/dose".
        spacing_mm: row and column spacing.
        region_name: "breast", "image" or "roi".
        region: bool (rows, columns), where to count; None with "image".
        threshold: operating threshold, in (0, 1]; a pixel is positive at or above it.
        froc_thresholds: (n,), increasing, in (0, 1] without `froc_map`; the same for every case of a system.
        froc_map: (rows, columns), what `froc_thresholds` are thresholds of, `probs` when None: logits tell pixels apart
            whose probability is 1 to the last digit.
        image: (rows, columns), windowed to [-1, 1], for contrast and density.
        annotation: "mask", "points" or "outlines".
        points: (n, 2), row and column in pixels, with "points".
        outlines: polygons (vertices, 2), row and column in pixels, with "outlines"; `box_outline` makes one of a box.

    Returns:
        The record of this module's description, JSON-able.

    Raises:
        ValueError: on shapes, ranges, names or annotations that do not fit.
    """
    values, levels = np.asarray(probs), np.asarray(froc_thresholds, np.float64)
    swept = values if froc_map is None else np.asarray(froc_map)
    _require_ranges(values, threshold, levels, swept)
    _require_names(region_name, region, annotation, points, outlines)
    reference = find_reference(label, spacing_mm=spacing_mm, region=region)
    if values.shape != reference.inside.shape:
        raise ValueError(f"Expected a map in the shape of the label {reference.inside.shape}, got {values.shape}")
    if annotation == "mask":
        truth = _mask_truth(label, reference, image)
    elif annotation == "points":
        truth = _point_truth(np.asarray(points, np.float64), reference)
    else:
        truth = _outline_truth(outlines or (), reference)
    mask = values.astype(np.float64) >= threshold
    pixels = _pixel_counts(mask, label, reference, annotation)
    counted = sum(pixels)
    operating = truth.score(mask)
    return {
        "case": case,
        "patient": patient,
        "system": system,
        "dataset": dataset,
        "region": region_name,
        "annotation": annotation,
        "spacing_mm": [float(side) for side in spacing_mm],
        "area_cm2": reference.area_cm2,
        "threshold": float(threshold),
        "activation_rate": (pixels.tp + pixels.fp) / counted if counted else None,
        "pixels": {k: int(v) for k, v in pixels._asdict().items()} if annotation == "mask" else None,
        "objects": _object_entries(truth.objects, operating),
        "false_objects": operating.false_objects,
        "clusters": operating.clusters._asdict(),
        "froc": _froc(levels, sweep(levels, swept, truth.score)),
    }


def _require_ranges(probs: NDArray, threshold: float, levels: NDArray, swept: NDArray) -> None:
    if probs.ndim != 2 or not probs.size or not (probs.min() >= 0 and probs.max() <= 1):
        raise ValueError("Expected probabilities (rows, columns) in [0, 1], got others; apply the sigmoid to logits")
    if not 0 < threshold <= 1:
        raise ValueError(f"Expected a threshold in (0, 1], got {threshold:g}")
    if levels.ndim != 1 or not len(levels) or not np.all(np.diff(levels) > 0):
        raise ValueError("Expected FROC thresholds that increase strictly, got others; sort them")
    if swept is probs and not (levels[0] > 0 and levels[-1] <= 1):
        raise ValueError(
            "Expected FROC thresholds within (0, 1], got others; pass probabilities, or the map they are of"
        )
    if swept.shape != probs.shape or np.any(np.isnan(swept)):
        raise ValueError(f"Expected a FROC map in the shape {probs.shape} of the probabilities, no NaN, got another")


def _require_names(region_name: str, region: object, annotation: str, points: object, outlines: object) -> None:
    if region_name not in REGIONS:
        raise ValueError(f"Expected a region among {', '.join(REGIONS)}, got {region_name!r}")
    if (region is None) != (region_name == "image"):
        raise ValueError(f"Expected a region mask exactly when the region is not 'image', got {region_name!r}")
    if annotation not in ANNOTATIONS:
        raise ValueError(f"Expected an annotation among {', '.join(ANNOTATIONS)}, got {annotation!r}")
    if (points is not None, outlines is not None) != (annotation == "points", annotation == "outlines"):
        raise ValueError(f"Expected points exactly with 'points' and outlines with 'outlines', got {annotation!r}")


def _pixel_counts(mask: NDArray, label: ArrayLike, reference: Reference, annotation: str) -> ConfusionCounts:
    # Without pixel truth every prediction is counted as false: only their sum, the activation, is read.
    truth = label if annotation == "mask" else 2 * reference.ignored_mask.astype(np.uint8)
    return confusion_counts(mask, truth, region=reference.inside)


def _mask_truth(label: ArrayLike, reference: Reference, image: ArrayLike | None) -> _Truth:
    true = reference.true
    entries = _entries(true.centroid_px, reference.spacing_mm)
    diameters = diameter_mm(true.area_px, spacing_mm=reference.spacing_mm)
    for entry, pixels, diameter in zip(entries, true.area_px, diameters, strict=True):
        entry.update(pixels=int(pixels), diameter_mm=float(diameter))
    if image is not None:
        seen = measure_visibility(image, label, reference)
        for entry, cnr, interior, exterior in zip(entries, *seen, strict=True):
            entry.update(cnr=_number(cnr), interior=_number(interior), exterior=_number(exterior))

    def score(mask: NDArray[np.bool_]) -> Scored:
        match = match_objects(mask, reference)
        iou = best_iou(match.pred, reference)
        return _scored(match, reference, len(true), true.centroid_px, iou)

    return _Truth(entries, score)


def _point_truth(points: NDArray, reference: Reference) -> _Truth:
    inside = points_inside(points, reference.inside)

    def score(mask: NDArray[np.bool_]) -> Scored:
        return _scored(match_points(mask, inside, reference), reference, len(inside), inside, None)

    return _Truth(_entries(inside, reference.spacing_mm), score)


def _outline_truth(outlines: Sequence[ArrayLike], reference: Reference) -> _Truth:
    inside = outlines_inside(outlines, reference.inside)

    def score(mask: NDArray[np.bool_]) -> Scored:
        match = match_outlines(mask, inside, reference)
        clusters = ClusterCounts(len(inside), int(np.count_nonzero(match.hit)), match.false)
        return Scored(np.zeros(0, bool), None, match.false, clusters)

    return _Truth([], score)


def _entries(positions_px: NDArray, spacing_mm: Spacing) -> list[dict[str, Any]]:
    """Entries of true objects: their place and cluster, and what is not known yet."""
    cluster = cluster_findings(positions_px * np.asarray(spacing_mm, np.float64))
    unknown = {"diameter_mm": None, "pixels": 0, "cnr": None, "interior": None, "exterior": None}
    return [
        {"row_px": float(row), "column_px": float(column), **unknown, "hit": False, "iou": None, "cluster": int(number)}
        for (row, column), number in zip(positions_px, cluster, strict=True)
    ]


def _scored(
    match: ObjectMatch, reference: Reference, n_true: int, true_px: NDArray, iou: NDArray[np.float64] | None
) -> Scored:
    scale = np.asarray(reference.spacing_mm, np.float64)
    hit = np.zeros(n_true, bool)
    hit[match.pairs[:, 1]] = True
    clusters = score_clusters(match.pred.centroid_px[~match.excused] * scale, true_px * scale)
    return Scored(hit, iou, int(np.count_nonzero(match.false)), clusters)


def _object_entries(entries: list[dict[str, Any]], operating: Scored) -> list[dict[str, Any]]:
    for index, entry in enumerate(entries):
        entry["hit"] = bool(operating.hit[index])
        entry["iou"] = None if operating.iou is None else float(operating.iou[index])
    return entries


def _froc(levels: NDArray, scored: list[Scored]) -> dict[str, list[float]]:
    return {
        "thresholds": levels.tolist(),
        "tp": [int(np.count_nonzero(one.hit)) for one in scored],
        "fp": [one.false_objects for one in scored],
        "cluster_tp": [one.clusters.hit for one in scored],
        "cluster_fp": [one.clusters.false for one in scored],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

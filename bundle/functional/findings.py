"""From a probability map to findings and their clusters, in numbers a reader and a program can use.

Positions are (row, column). In mm they are measured from the centre of the top left pixel, down and to the right.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cluster_words import distribution_word
from .clusters import DISTANCE_MM, ISOLATED, MIN_COUNT, cluster_findings
from .objects import Spacing, find_components, region_area_cm2
from .uncertainty import FindingUncertainty, UncertaintyMaps, spread_of_findings

SCHEMA_VERSION = "1.1"
COORDINATES = "[row, column]; px are 0-based pixel centres, mm are from the centre of the top left pixel"
METHODS = ("segmentor", "augmentation", "company", "evidence", "ttgpr")
# Those that call the generator.
GENERATIVE_METHODS = ("evidence", "ttgpr")


@dataclass(frozen=True)
class Finding:
    """One object of a thresholded probability map.

    Attributes:
        centroid_px: row and column of the mean pixel position.
        position_mm: the same in mm.
        area_mm2: number of pixels times pixel area.
        diameter_mm: of the disc with that area.
        peak_probability: highest in the object, [0, 1].
        mean_probability: mean over the object, [0, 1].
        box_px: first row, first column, and one past the last row and column.
        cluster: number of its cluster from 1, or None if isolated.
        uncertainty: how much the members of an averaged prediction differ, or None where there are none.
    """

    centroid_px: tuple[float, float]
    position_mm: tuple[float, float]
    area_mm2: float
    diameter_mm: float
    peak_probability: float
    mean_probability: float
    box_px: tuple[int, int, int, int]
    cluster: int | None = None
    uncertainty: FindingUncertainty | None = None


def finding_mask(probs: ArrayLike, *, threshold: float, breast: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Pixels at or above the threshold inside the breast, bool of the shape of `probs`.

    Raises:
        ValueError: on a threshold outside (0, 1], probabilities outside [0, 1], or differing shapes.
    """
    values = np.asarray(probs, np.float64)
    if not 0 < threshold <= 1:
        raise ValueError(f"Expected a threshold in (0, 1], got {threshold:g}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"Expected probabilities in [0, 1], got {values.min():g} to {values.max():g}; apply the sigmoid to logits"
        )
    if breast is not None and np.shape(breast) != values.shape:
        raise ValueError(f"Expected the breast in the shape of the map {values.shape}, got {np.shape(breast)}")
    mask = values >= threshold
    return mask if breast is None else mask & np.asarray(breast, bool)


def find_objects(
    probs: ArrayLike,
    *,
    threshold: float,
    spacing_mm: Spacing,
    breast: ArrayLike | None = None,
    distance_mm: float = DISTANCE_MM,
    min_count: int = MIN_COUNT,
    uncertainty: UncertaintyMaps | None = None,
) -> list[Finding]:
    """List the 8-connected objects of a probability map, the most probable first, with their clusters.

    Args:
        probs: float (rows, columns) in [0, 1].
        threshold: a pixel counts at or above it, (0, 1].
        spacing_mm: row and column spacing.
        breast: bool (rows, columns); the whole map when None.
        distance_mm: neighbourhood of a cluster, see `cluster_findings`.
        min_count: findings that make a cluster.
        uncertainty: spread over the members of the prediction, (rows, columns); a single member has none.
    """
    components = find_components(finding_mask(probs, threshold=threshold, breast=breast), scores=probs)
    spacing = np.asarray(spacing_mm, np.float64)
    pixel_mm2 = 100.0 * region_area_cm2([1], spacing_mm=spacing_mm)
    positions = components.centroid_px * spacing
    numbers = cluster_findings(positions, distance_mm=distance_mm, min_count=min_count)
    order = np.lexsort((components.centroid_px[:, 1], components.centroid_px[:, 0], -components.peak))
    spread: list[FindingUncertainty | None] = [None] * len(components)
    if uncertainty is not None:
        spread = [one if one.members > 1 else None for one in spread_of_findings(components, probs, uncertainty)]
    return [
        Finding(
            centroid_px=_pair(components.centroid_px[i]),
            position_mm=_pair(positions[i]),
            area_mm2=float(components.area_px[i] * pixel_mm2),
            diameter_mm=float(2 * np.sqrt(components.area_px[i] * pixel_mm2 / np.pi)),
            peak_probability=float(components.peak[i]),
            mean_probability=float(components.mean[i]),
            box_px=tuple(components.box_px[i].tolist()),
            cluster=None if numbers[i] == ISOLATED else int(numbers[i]) + 1,
            uncertainty=spread[i],
        )
        for i in order
    ]


def _pair(values: Sequence[float] | NDArray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def describe_clusters(
    findings: Sequence[Finding], *, spacing_mm: Spacing, nipple_mm: tuple[float, float] | None = None
) -> list[dict[str, Any]]:
    """Number, count, centroid (mean position of its findings), box, extent and distribution, in order of number.

    Args:
        findings: of one view.
        spacing_mm: row and column spacing.
        nipple_mm: position of the nipple as findings have theirs; without it no cluster is called segmental.
    """
    clusters = []
    for number in sorted({finding.cluster for finding in findings if finding.cluster is not None}):
        members = [finding for finding in findings if finding.cluster == number]
        boxes = np.array([member.box_px for member in members])
        box = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
        positions = [member.position_mm for member in members]
        extent_px = np.subtract(box[2:], box[:2])
        clusters.append(
            {
                "id": number,
                "count": len(members),
                "centroid_mm": _rounded(np.mean(positions, axis=0)),
                "extent_mm": _rounded(extent_px * np.asarray(spacing_mm, np.float64)),
                "box_px": box,
                "distribution": distribution_word(positions, nipple_mm=nipple_mm),
            }
        )
    return clusters


def findings_report(
    findings: Sequence[Finding],
    *,
    image_name: str,
    shape: tuple[int, int],
    spacing_mm: Spacing,
    method: str,
    threshold: float,
    breast_area_cm2: float,
    created_by: str,
    view_position: str = "",
    laterality: str = "",
    nipple_mm: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Put findings into a JSON-ready dictionary; nothing about the patient is taken in.

    Args:
        findings: from `find_objects`, of one view.
        image_name: file name without folders.
        shape: rows and columns of the view.
        spacing_mm: row and column spacing.
        method: one of `METHODS`.
        threshold: the one the findings were made with.
        breast_area_cm2: area that was searched.
        created_by: program and version.
        view_position: "CC", "MLO", ... or "".
        laterality: "L", "R" or "".
        nipple_mm: its row and column where known, see `distribution_word`.
    """
    if method not in METHODS:
        raise ValueError(f"Expected a method among {', '.join(METHODS)}, got {method!r}")
    clusters = describe_clusters(findings, spacing_mm=spacing_mm, nipple_mm=nipple_mm)
    return {
        "schema_version": SCHEMA_VERSION,
        "created_by": created_by,
        "intended_use": "research only, not for diagnosis",
        "image": image_name,
        "rows": int(shape[0]),
        "columns": int(shape[1]),
        "spacing_mm": [float(side) for side in spacing_mm],
        "coordinates": COORDINATES,
        "view_position": view_position,
        "laterality": laterality,
        "method": method,
        "threshold": float(threshold),
        "breast_area_cm2": round(float(breast_area_cm2), 3),
        "finding_count": len(findings),
        "cluster_count": len(clusters),
        "findings": [_finding_entry(number, finding) for number, finding in enumerate(findings, start=1)],
        "clusters": clusters,
    }


def _finding_entry(number: int, finding: Finding) -> dict[str, Any]:
    entry = {
        "id": number,
        "centroid_px": _rounded(finding.centroid_px),
        "position_mm": _rounded(finding.position_mm),
        "area_mm2": round(finding.area_mm2, 5),
        "diameter_mm": round(finding.diameter_mm, 4),
        "peak_probability": round(finding.peak_probability, 4),
        "mean_probability": round(finding.mean_probability, 4),
        "box_px": list(finding.box_px),
        "cluster": finding.cluster,
    }
    if finding.uncertainty is not None:
        entry["uncertainty"] = {name: round(value, 4) for name, value in asdict(finding.uncertainty).items()}
    return entry


def _rounded(values: Sequence[float] | NDArray) -> list[float]:
    return [round(float(value), 3) for value in values]

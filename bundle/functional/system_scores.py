"""Scores of one system on calcified and clean views: what a comparison table shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .confusion import MICROCALCIFICATION, all_ratios, confusion_counts, f2_score, precision, recall
from .objects import add_counts, count_objects

PIXEL_RATIOS = ("dice", "recall", "precision", "f2")


def score_system(
    probs: Sequence[NDArray[np.floating]], views: Sequence[Mapping[str, Any]], *, threshold: float
) -> dict[str, float]:
    """Pixel ratios as means over calcified cases, object ratios pooled, false positives per cm2 on clean views.

    The region is the breast mask everywhere; label 2 (ignore) counts nowhere. A case without any prediction has
    Dice, recall and F2 of 0 and counts as precision 0.

    Args:
        probs: one (rows, columns) map in [0, 1] per view.
        views: per view `label` (rows, columns) 0/1/2, `breast` bool (rows, columns), `spacing_mm` (row, column).
        threshold: a pixel is positive at or above it.

    Returns:
        `pixel_dice`, `pixel_recall`, `pixel_precision`, `pixel_f2`; `object_recall`, `object_precision`, `object_f2`;
        `clean_fp_per_cm2` (nan without a clean view).
    """
    cases, objects, clean = [], [], []
    for map_, view in zip(probs, views, strict=True):
        mask, label, breast = map_ >= threshold, view["label"], view["breast"]
        counts = count_objects(mask, label, spacing_mm=view["spacing_mm"], region=breast)
        if np.any(label == MICROCALCIFICATION):
            cases.append(all_ratios(*confusion_counts(mask, label, region=breast), zero_division=0.0))
            objects.append(counts)
        else:
            clean.append(counts)
    total = add_counts(objects)
    return {
        **{f"pixel_{name}": float(np.mean([case[name] for case in cases])) for name in PIXEL_RATIOS},
        "object_recall": float(recall(total.tp, total.fn)),
        "object_precision": float(precision(total.tp, total.fp, zero_division=0.0)),
        "object_f2": float(f2_score(total.tp, total.fp, total.fn)),
        "clean_fp_per_cm2": add_counts(clean).fp_per_cm2,
    }

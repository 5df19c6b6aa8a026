"""Made-up case records that hang together: objects with a score, found where the score reaches the threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

THRESHOLDS = np.linspace(0.05, 0.95, 19).round(2).tolist()
OPERATING = 0.5


def made_up_records(
    *,
    systems: Sequence[str] = ("segmentor", "top-hat"),
    dataset: str = "shift/dose",
    n_patients: int = 12,
    views: int = 2,
    clean_every: int = 3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Records of every system on the same cases; later systems are weaker, and each `clean_every`-th patient is clean.

    Args:
        systems: names.
        dataset: name.
        n_patients: number of patients.
        views: cases per patient.
        clean_every: 0 for none without calcifications.
        seed: same seed, same truth and same records.
    """
    records = []
    for rank, system in enumerate(systems):
        for number in range(n_patients):
            clean = clean_every > 0 and number % clean_every == clean_every - 1
            for view in range(views):
                truth = _objects(np.random.default_rng([seed, number, view]), clean)
                found = np.random.default_rng([seed, number, view, rank + 1])
                case = {
                    "case": f"{number:03d}-{view}",
                    "patient": f"p{number:03d}",
                    "system": system,
                    "dataset": dataset,
                }
                records.append({**case, **_scored(truth, found, skill=1.5 - 0.25 * rank)})
    return records


def _objects(rng: np.random.Generator, clean: bool) -> list[dict[str, Any]]:
    count = 0 if clean else int(rng.integers(3, 16))
    return [
        {
            "row_px": float(rng.uniform(0, 900)),
            "column_px": float(rng.uniform(0, 700)),
            "diameter_mm": float(np.clip(rng.lognormal(np.log(0.25), 0.45), 0.1, 1.0)),
            "pixels": int(rng.integers(2, 40)),
            "cnr": float(rng.lognormal(np.log(4.5), 0.5)),
            "interior": float(rng.uniform(-0.5, 0.9)),
            "exterior": float(rng.uniform(-0.7, 0.6)),
            "cluster": int(rng.integers(-1, 2)),
        }
        for _ in range(count)
    ]


def _scored(truth: list[dict[str, Any]], rng: np.random.Generator, *, skill: float) -> dict[str, Any]:
    scores = np.array([_sigmoid(rng.normal(skill * (np.log(item["cnr"]) - 1.0), 1.0)) for item in truth])
    false = _sigmoid(rng.normal(-1.5 * skill, 1.0, rng.poisson(30)))
    hits = scores >= OPERATING
    iou = np.where(hits, rng.uniform(0.3, 0.9, len(truth)), 0.0)
    objects = [
        {**item, "hit": bool(hit), "iou": float(value)} for item, hit, value in zip(truth, hits, iou, strict=True)
    ]
    true_px = sum(item["pixels"] for item in truth)
    tp = int(sum(value * item["pixels"] for value, item in zip(iou, truth, strict=True)))
    fp = int(np.count_nonzero(false >= OPERATING) * 5 + tp // 4)
    clusters = sorted({item["cluster"] for item in truth} - {-1})
    best = [max(score for score, item in zip(scores, truth, strict=True) if item["cluster"] == c) for c in clusters]
    return {
        "region": "breast",
        "annotation": "mask",
        "spacing_mm": [0.07, 0.07],
        "area_cm2": 60.0,
        "threshold": OPERATING,
        "activation_rate": (tp + fp) / 1_200_000,
        "pixels": {"tp": tp, "fp": fp, "fn": true_px - tp, "tn": 1_200_000 - true_px - fp},
        "objects": objects,
        "false_objects": int(np.count_nonzero(false >= OPERATING)),
        "clusters": {
            "true": len(clusters),
            "hit": int(np.count_nonzero(np.array(best) >= OPERATING)),
            "false": int(np.count_nonzero(false >= OPERATING) // 5),
        },
        "froc": {
            "thresholds": THRESHOLDS,
            "tp": [int(np.count_nonzero(scores >= t)) for t in THRESHOLDS],
            "fp": [int(np.count_nonzero(false >= t)) for t in THRESHOLDS],
            "cluster_tp": [int(np.count_nonzero(np.array(best) >= t)) for t in THRESHOLDS],
            "cluster_fp": [int(np.count_nonzero(false >= t) // 5) for t in THRESHOLDS],
        },
    }


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))

"""Pixel counts per case as a MONAI metric, with label 2 ignored and an optional region."""

from typing import Any, Literal

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from ..functional.confusion import CaseSummary, ConfusionCounts, all_ratios, confusion_counts, summarise_cases

RATIOS = tuple(all_ratios(0, 0, 0, 0))
Average = Literal["case", "pooled"]


class MicrocalcificationMetric(CumulativeIterationMetric):
    """Accumulates TP, FP, FN, TN per case and reports eqs. 17-24 averaged over cases, or from the pooled counts.

    A case whose ratio is 0/0 takes `zero_division`; nan leaves it out of the mean, and if no case is left the result
    is nan.

    Args:
        metric: name of the ratio that `aggregate` returns: one of `RATIOS`, e.g. "f2".
        threshold: a pixel is positive at or above it; on probabilities, or on a 0/1 mask with the default.
        sigmoid: whether predictions are logits.
        average: "case" (mean over cases) or "pooled" (ratio of summed counts).
        zero_division: value of 0/0.
    """

    def __init__(
        self,
        *,
        metric: str = "f2",
        threshold: float = 0.5,
        sigmoid: bool = False,
        average: Average = "case",
        zero_division: float = float("nan"),
    ) -> None:
        super().__init__()
        if metric not in RATIOS:
            raise ValueError(f"Expected a metric among {', '.join(RATIOS)}, got {metric!r}")
        if average not in ("case", "pooled"):
            raise ValueError(f"Expected average 'case' or 'pooled', got {average!r}")
        self.metric = metric
        self.threshold = threshold
        self.sigmoid = sigmoid
        self.average = average
        self.zero_division = zero_division

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Counts (B, 4), float64, of predictions and labels (B, 1, rows, columns); keyword `region`, bool, likewise."""
        if y is None:
            raise ValueError("Expected a label beside each prediction, got none; pass (pred, label)")
        region = kwargs.pop("region", None)
        if kwargs:
            raise TypeError(f"Unexpected arguments {sorted(kwargs)}; only `region` is known")
        probs = torch.sigmoid(y_pred.float()) if self.sigmoid else y_pred
        masks, labels = _to_numpy(probs >= self.threshold), _to_numpy(y)
        regions = [None] * len(masks) if region is None else _to_numpy(region)
        counts = [confusion_counts(m, label, region=r) for m, label, r in zip(masks, labels, regions, strict=True)]
        return torch.tensor(counts, dtype=torch.float64)

    def add(self, pred: Any, label: Any, region: Any | None = None) -> None:
        """Accumulate a batch: tensors (B, 1, rows, columns), or lists of (1, rows, columns)."""
        if isinstance(pred, Tensor):
            self(pred, label, **({} if region is None else {"region": region}))
            return
        for index, (one_pred, one_label) in enumerate(zip(pred, label, strict=True)):
            self.add(one_pred[None], one_label[None], None if region is None else region[index][None])

    def counts(self) -> ConfusionCounts:
        """Counts of every case so far, over all ranks: four arrays of one length."""
        buffer = self.get_buffer()
        if not isinstance(buffer, Tensor):
            raise ValueError("Expected predictions before an aggregate, got none; call the metric on a batch first")
        return ConfusionCounts(*buffer.cpu().numpy().reshape(-1, 4).T)

    def per_case(self) -> dict[str, np.ndarray]:
        """Every ratio of every case, each (cases,)."""
        return all_ratios(*self.counts(), zero_division=self.zero_division)

    def summary(self) -> dict[str, CaseSummary]:
        """Mean, standard deviation and number of valued cases of every ratio."""
        return {name: summarise_cases(values) for name, values in self.per_case().items()}

    def value(self, name: str) -> float:
        """One ratio by name, averaged as this metric averages."""
        if self.average == "case":
            return self.summary()[name].mean
        totals = np.sum(self.counts(), axis=1)
        return float(all_ratios(*totals, zero_division=self.zero_division)[name])

    def aggregate(self) -> Tensor:
        """The chosen ratio, a float64 scalar."""
        return torch.tensor(self.value(self.metric), dtype=torch.float64)


def _to_numpy(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().numpy()

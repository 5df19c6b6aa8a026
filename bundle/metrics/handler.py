"""The metric as an Ignite handler for MONAI evaluators, e.g. as `key_val_metric`."""

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics.metric import reinit__is_reduced
from monai.handlers import IgniteMetricHandler, from_engine

from .microcalcification import Average, MicrocalcificationMetric


class MicrocalcificationHandler(IgniteMetricHandler):
    """Scores the predictions and labels of each iteration, inside a region of the batch such as the breast.

    The value appears under the handler's name, further ratios under `report_prefix` + their own. The region comes from
    the batch, because an evaluator's output holds nothing but image, label and prediction.

    Args:
        metric: ratio reported under the handler's name.
        threshold: as in `MicrocalcificationMetric`, as are
        sigmoid: this,
        average: this,
        zero_division: and this.
        pred_key: prediction in the engine's output.
        label_key: label in the engine's output.
        region_key: bool region in the engine's batch, e.g. "breast"; the whole image when None.
        report: further ratios put into `engine.state.metrics`.
        report_prefix: before their names.
        save_details: keep the counts of each case, (cases, 4), in `engine.state.metric_details`.
    """

    def __init__(
        self,
        *,
        metric: str = "f2",
        threshold: float = 0.5,
        sigmoid: bool = False,
        average: Average = "case",
        zero_division: float = float("nan"),
        pred_key: str = "pred",
        label_key: str = "label",
        region_key: str | None = None,
        report: Sequence[str] = ("dice", "recall", "precision"),
        report_prefix: str = "val_",
        save_details: bool = True,
    ) -> None:
        self.cases = MicrocalcificationMetric(
            metric=metric, threshold=threshold, sigmoid=sigmoid, average=average, zero_division=zero_division
        )
        self.region_key = region_key
        self.report = tuple(report)
        self.report_prefix = report_prefix
        output_transform = from_engine([pred_key, label_key])
        super().__init__(metric_fn=self.cases, output_transform=output_transform, save_details=save_details)

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        """Score one iteration of the engine."""
        pred, label = self._output_transform(engine.state.output)
        self.update((pred, label, self._region(engine.state.batch)))

    def _region(self, batch: Any) -> Any:
        if self.region_key is None:
            return None
        return [item[self.region_key] for item in batch] if isinstance(batch, list) else batch[self.region_key]

    @reinit__is_reduced
    def update(self, output: Sequence[Any]) -> None:
        """Accumulate (pred, label) or (pred, label, region)."""
        self.cases.add(*output)

    def completed(self, engine: Engine, name: str) -> None:
        """Write the metric and the further ratios into the engine's metrics."""
        super().completed(engine, name)
        for ratio in self.report:
            engine.state.metrics[self.report_prefix + ratio] = self.cases.value(ratio)

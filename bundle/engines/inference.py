"""Runs an evaluator over the views of a stream, or over one view after the other."""

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from monai.data import DataLoader, Dataset


def segment_views(evaluator: Engine, stream: Any) -> None:
    """Segment every view; afterwards say what was refused.

    Args:
        evaluator: MONAI evaluator over a loader of the stream.
        stream: `bundle.data.ViewStream`.

    Raises:
        SystemExit: status 1 if a view was refused, or with one line if there is nothing to read.
    """
    try:
        stream.files()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    evaluator.run()
    print(f"{stream.done + len(stream.refused)} views: {stream.done} segmented, {len(stream.refused)} refused")
    if stream.refused:
        raise SystemExit(1)


def segment_view(evaluator: Any, view: Mapping[str, Any]) -> None:
    """Segment one view that is in memory; the evaluator's handlers and post-processing write the results.

    Args:
        evaluator: MONAI evaluator; its own data loader is replaced.
        view: as the config's pre-processing returns it, without the axis of the batch.
    """
    evaluator.data_loader = DataLoader(Dataset([view]), batch_size=1)
    evaluator.state.epoch_length = 1
    evaluator.run()

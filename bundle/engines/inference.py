"""Runs an evaluator over the views of a stream and ends with the exit status that a shell expects."""

from typing import Any

from ignite.engine import Engine


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

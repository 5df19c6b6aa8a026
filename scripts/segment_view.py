"""The one function that segments a view, for `scripts.segment` and every worker of `scripts.cohort` alike."""

import gc
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from bundle.data import MammogramWarning
from bundle.data.view_stream import read_view
from bundle.engines import segment_view
from scripts.command import open_config


class ViewSegmenter:
    """The networks and transforms of configs/inference.yaml, built once, for one view after the other.

    What comes of a view does not depend on those before it.

    Args:
        options: ids of the config and their values; results of all views go to `output_dir`.

    Raises:
        ValueError: or another error that `scripts.command.refusal_line` has a line for, if an option or the weights are
            wrong.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        content = open_config("inference", dict(options)).parser.get_parsed_content
        self.evaluator, self.transform = content("evaluator"), content("preprocessing")

    def __call__(self, path: str | os.PathLike[str]) -> None:
        """Segment a view and write its results.

        Raises:
            MammogramError: if it cannot be read; nothing is written then.
        """
        try:
            segment_view(self.evaluator, read_view({"image": os.fspath(path)}, self.transform))
        finally:
            # Pictures and engines are cycles that hold whole views; Python would let hundreds of them gather.
            gc.collect()


def quiet(tell: Callable[..., None]) -> None:
    """Leave of all warnings and log lines those of ours about unusual views.

    Args:
        tell: takes the warning first, as `warnings.showwarning`.
    """
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", MammogramWarning)
    warnings.showwarning = tell
    logging.disable(logging.WARNING)

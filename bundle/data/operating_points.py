"""The file of measured operating points, models/operating_points.json."""

import json
from os import PathLike
from pathlib import Path

from ..functional.operating_point import operating_threshold
from .errors import refuse


def choose_threshold(
    table_path: str | PathLike[str], *, method: str, threshold: float | None = None, fp_per_cm2: float | None = None
) -> float:
    """Threshold of an inference run.

    Args:
        table_path: JSON table, see `bundle.functional.operating_point`.
        method: "segmentor" or "ttgpr".
        threshold: probability that counts as a finding, in (0, 1); 0.5 if neither is given.
        fp_per_cm2: wanted false positives per cm2 of clean tissue instead.

    Raises:
        MammogramError: if both are given, the threshold is out of range, the table is missing, or the rate was not
            measured.
    """
    if threshold is not None and fp_per_cm2 is not None:
        raise refuse("--threshold", "Expected a threshold or a rate, got both; leave out --threshold or --fp-per-cm2")
    if fp_per_cm2 is None:
        chosen = 0.5 if threshold is None else float(threshold)
        if not 0 < chosen < 1:
            raise refuse("--threshold", f"Expected a probability above 0 and below 1, got {chosen:g}")
        return chosen
    path = Path(table_path)
    if not path.is_file():
        raise refuse(path, "Expected the table of operating points, found none; give --threshold instead")
    try:
        return operating_threshold(json.loads(path.read_text()), method, fp_per_cm2=float(fp_per_cm2))
    except ValueError as error:
        raise refuse("--fp-per-cm2", str(error)) from error

"""The segmentation of fetched views: `python -m scripts.segment --dicom` in this process."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from bundle.data.errors import MammogramError
from scripts import segment

REFUSED = re.compile(r"^(?:refused|left out): .*view-([0-9a-f]{16})\.dcm: (.+)$", re.MULTILINE)


def segment_like_the_command(views_dir: Path, results_dir: Path, *, options: Sequence[str]) -> dict[str, str]:
    """Run `python -m scripts.segment --dicom` in this process.

    Args:
        views_dir: files view-HASH.dcm.
        results_dir: for the results and the DICOM objects.
        options: more of its options.

    Returns:
        Reason by HASH of each view that was refused.

    Raises:
        MammogramError: in one line, if it ended otherwise.
    """
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            segment.main([str(views_dir), "--output-dir", str(results_dir), "--dicom", *options])
    except SystemExit as stop:
        if stop.code != 1:  # 1 says that views were refused, and said which
            raise MammogramError(str(stop.code).removeprefix("error: ")) from None
    reasons: dict[str, str] = {}
    for view, reason in REFUSED.findall(said.getvalue()):
        reasons.setdefault(view, reason)
    return reasons

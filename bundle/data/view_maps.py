"""What `scripts.segment` left on disk of one view: findings, mask, and the maps of the method and of the one pass."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import refuse

FINDINGS = "_findings.json"


@dataclass(frozen=True)
class ViewMaps:
    """Results of a view, in its pixel grid.

    Attributes:
        report: what `findings_report` made, with `source_id` and `warnings`.
        mask: bool (rows, columns).
        probs: of the method, float32 (rows, columns) in [0, 1].
        first_pass: of the segmentor's one pass, like `probs`; None where the method is that, or nobody kept it.
    """

    report: dict[str, Any]
    mask: NDArray[np.bool_]
    probs: NDArray[np.float32]
    first_pass: NDArray[np.float32] | None


def read_view_maps(findings: Path) -> ViewMaps:
    """Read the results of a view.

    Args:
        findings: its JSON, from `bundle.data.dicom_results.find_findings`.

    Raises:
        MammogramError: if a file is missing or damaged, or the sizes differ.
    """
    beside = str(findings).removesuffix(FINDINGS)
    try:
        report = json.loads(findings.read_text(encoding="utf-8"))
        with Image.open(f"{beside}_mask.png") as picture:
            mask = np.asarray(picture) > 0
        probs = _map(Path(f"{beside}_probability.nii.gz"))
        kept = Path(f"{beside}_segmentor.nii.gz")
        first_pass = _map(kept) if report["method"] != "segmentor" and kept.is_file() else None
        sizes = {(report["rows"], report["columns"]), mask.shape, probs.shape}
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        raise refuse(findings, "Expected findings with mask and map beside them; segment the view again") from error
    if len(sizes | ({first_pass.shape} if first_pass is not None else set())) != 1:
        raise refuse(findings, f"Expected results of one size, got {sorted(sizes)}; segment the view again")
    return ViewMaps(report, mask, probs, first_pass)


def _map(path: Path) -> NDArray[np.float32]:
    volume: Any = nib.load(path)
    return np.ascontiguousarray(np.asarray(volume.dataobj, np.float32)[..., 0].T)

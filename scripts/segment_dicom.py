"""The DICOM objects that `scripts.segment` makes without being asked, where it can."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from bundle.data import MammogramError
from bundle.data.dicom_results import find_findings, read_results
from bundle.data.studies import Study, source_id
from scripts import dicom_results


def can_write() -> bool:
    """Whether highdicom is there."""
    return find_spec("highdicom") is not None


def write_where_possible(studies: Sequence[Study], results_dir: Path) -> list[str]:
    """Write SEG and SR of the DICOM views that were segmented; others are passed over, for inference has told of them.

    Args:
        studies: from `group_studies`.
        results_dir: where the findings are and the objects go.

    Returns:
        One line per segmented view that no object could be made of.
    """
    findings, left_out = find_findings(results_dir), []
    for study in tqdm([one for one in studies if one.is_dicom], desc="DICOM objects", unit="study"):
        views = []
        for path in study.files:
            if source_id(path) not in findings:
                continue
            try:
                views.append(read_results(path, findings=findings))
            except MammogramError as error:
                left_out.append(str(error))
        if views:
            left_out += dicom_results.write_study(views, results_dir, dicom_results.KINDS)
    return left_out

"""Result objects that are known again: their UIDs follow from the views that they are about, the method and the kind.

A second run, a run after a crash, and a run whose journal is lost make the same UIDs, so an archive never holds two.
"""

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from .dicom_file import quiet_pydicom
from .dicom_results import write_dicom

NAMESPACE = uuid.UUID("5b1a2f0e-6c0d-4bb7-9d1f-5a9a4f0c7e21")
"""Never to be changed: results in archives would not be known again."""


def own_series_uid(study_uid: str, *, method: str, kind: str) -> str:
    """Series Instance UID of the results of a kind in a study."""
    return _own_uid("series", study_uid, method, kind)


def own_sop_uid(sources: Iterable[str], *, method: str, kind: str) -> str:
    """SOP Instance UID of the result of a kind about some views.

    Args:
        sources: SOP Instance UIDs of the views, in any order.
        method: of segmentation.
        kind: seg, probability, cad or measurements.
    """
    return _own_uid("object", method, kind, *sorted(sources))


def _own_uid(*parts: str) -> str:
    return f"2.25.{uuid.uuid5(NAMESPACE, ' '.join(parts)).int}"  # PS3.5 B.2


def source_uids(dataset: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of the images that a segmentation or a structured report is about."""
    studies = dataset.get("CurrentRequestedProcedureEvidenceSequence") or []
    reported = [image for study in studies for series in study.ReferencedSeriesSequence
                for image in series.ReferencedSOPSequence]  # fmt: skip
    segmented = [image for series in dataset.get("ReferencedSeriesSequence") or []
                 for image in series.ReferencedInstanceSequence]  # fmt: skip
    return frozenset(str(image.ReferencedSOPInstanceUID) for image in (*reported, *segmented))


def give_own_uids(path: Path, *, method: str, kind: str, in_series: Mapping[str, int]) -> frozenset[str]:
    """Replace the random UIDs of a written object, and count it after what its series holds; in place and at once.

    Args:
        path: the object, as `scripts.dicom_results` wrote it.
        method: of segmentation.
        kind: seg, probability, cad or measurements.
        in_series: number of objects in the archive by Series Instance UID.

    Returns:
        SOP Instance UIDs of its source images.

    Raises:
        MammogramError: if it cannot be read or written.
    """
    with quiet_pydicom(path):
        dataset = pydicom.dcmread(path)
        sources = source_uids(dataset)
        dataset.SeriesInstanceUID = own_series_uid(str(dataset.StudyInstanceUID), method=method, kind=kind)
        dataset.InstanceNumber += in_series.get(dataset.SeriesInstanceUID, 0)
        dataset.SOPInstanceUID = own_sop_uid(sources, method=method, kind=kind)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        write_dicom(path, dataset)
    return sources


def object_uid(path: Path) -> str:
    """SOP Instance UID of a written object.

    Raises:
        MammogramError: if it cannot be read.
    """
    with quiet_pydicom(path):
        return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)

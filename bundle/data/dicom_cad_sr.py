"""Findings of a study as a Mammography CAD SR document: TID 4000 and the templates it includes (PS3.16, Annex A).

What is not claimed: no Certainty of Finding, no Probability of Cancer, no assessment category. The network's output is
no calibrated probability of either, so it stands among the algorithm's parameters. Rendering is optional, at the one
CAD operating point that the threshold makes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from ..functional.clusters import DISTANCE_MM, MIN_COUNT
from ..functional.outlines import enclosing_outline, object_outlines
from . import dicom_sr_codes as codes
from .dicom_header import laterality, values, view_position
from .dicom_results import EQUIPMENT, NOT_FOR_DIAGNOSIS, Placement, ViewResults, copy_patient_and_study, new_uid
from .dicom_sr_items import (
    MAX_GRAPHIC_POINTS,
    code_item,
    container_item,
    date_item,
    image_item,
    num_item,
    reference_item,
    scoord_item,
    sop_reference,
    text_item,
    time_item,
)

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.50"
SERIES_DESCRIPTION = "MC-GenRef CAD (research, not for diagnosis)"
CLUSTERING = "MC-GenRef clustering"
OPERATING_POINT = 1
IMAGE_LIBRARY_POSITION = (1, 2)
"""The library is the root's second child, after the language; findings point into it."""
ACQUISITION = "HAS ACQ CONTEXT"


def mammography_cad_sr(views: Sequence[ViewResults], placement: Placement) -> Dataset:
    """One document of all views of a study.

    Args:
        views: at least one, all of one study.
        placement: series and number.

    Returns:
        The document, ready to be written.

    Raises:
        ValueError: if there is no view, or if they are of different studies.
    """
    studies = {str(view.header.StudyInstanceUID) for view in views}
    if len(studies) != 1:
        raise ValueError(f"Expected views of one study, got {len(studies)} studies; make one document for each")
    found = any(view.report["findings"] for view in views)
    document = _document(views, placement)
    root = container_item(
        codes.REPORT,
        [
            code_item(codes.LANGUAGE, codes.ENGLISH, relation="HAS CONCEPT MOD"),
            container_item(codes.IMAGE_LIBRARY, [_library_entry(view.header) for view in views]),
            code_item(
                codes.SUMMARY,
                codes.WITH_FINDINGS if found else codes.WITHOUT_FINDINGS,
                relation="CONTAINS",
                children=[
                    text_item(codes.IMPRESSION_DESCRIPTION, NOT_FOR_DIAGNOSIS),
                    *_algorithm(views[0].algorithm, views[0]),
                    *(_impression(view, _library_position(n)) for n, view in enumerate(views) if _has_findings(view)),
                ],
            ),
            _summary_of_detections(views),
            code_item(codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED, relation="CONTAINS"),
        ],
        relation="",
        template="4000",
    )
    document.update(root)
    return document


def _has_findings(view: ViewResults) -> bool:
    return bool(view.report["findings"])


def _library_position(index: int) -> tuple[int, ...]:
    return (*IMAGE_LIBRARY_POSITION, index + 1)


def _document(views: Sequence[ViewResults], placement: Placement) -> FileDataset:
    """Patient, study, series, equipment and document modules (PS3.3 A.35.5)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(SOP_CLASS), UID(new_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True)
    copy_patient_and_study(views[0].header, document)
    document.SOPClassUID, document.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    document.Modality, document.SeriesDescription = "SR", SERIES_DESCRIPTION
    document.SeriesInstanceUID, document.SeriesNumber = placement.series_uid, placement.series_number
    document.InstanceNumber = placement.instance_number
    for keyword, value in EQUIPMENT.items():
        setattr(document, keyword, value)
    now = datetime.now()
    document.ContentDate, document.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.CompletionFlag, document.VerificationFlag = "COMPLETE", "UNVERIFIED"
    document.CompletionFlagDescription = NOT_FOR_DIAGNOSIS
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence([view.header for view in views])]
    return document


def _evidence(headers: Sequence[Dataset]) -> Dataset:
    """The study, its series and images that the document refers to."""
    by_series: dict[str, list[Dataset]] = {}
    for header in headers:
        by_series.setdefault(str(header.SeriesInstanceUID), []).append(sop_reference(header))
    study = Dataset()
    study.StudyInstanceUID = headers[0].StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for series_uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = series_uid, references
        study.ReferencedSeriesSequence.append(series)
    return study


def _library_entry(header: Dataset) -> Dataset:
    """TID 4020: the image and how it was taken, as far as its header says."""
    children: list[Dataset] = []
    if (side := laterality(header)) in codes.SIDES:
        children.append(code_item(codes.IMAGE_LATERALITY, codes.SIDES[side], relation=ACQUISITION))
    if (position := view_position(header)) in codes.VIEWS:
        children.append(code_item(codes.IMAGE_VIEW, codes.VIEWS[position], relation=ACQUISITION))
    orientation = values(header, "PatientOrientation")
    for concept, text in zip((codes.ORIENTATION_ROW, codes.ORIENTATION_COLUMN), orientation, strict=False):
        children.append(text_item(concept, str(text), relation=ACQUISITION))
    for concept, keyword, make in (
        (codes.STUDY_DATE, "StudyDate", date_item), (codes.STUDY_TIME, "StudyTime", time_item),
        (codes.CONTENT_DATE, "ContentDate", date_item), (codes.CONTENT_TIME, "ContentTime", time_item),
    ):  # fmt: skip
        if value := header.get(keyword):
            children.append(make(concept, str(value), relation=ACQUISITION))
    # As in the image's header, at the detector: readers compare them with it (PS3.17 E.5).
    spacing = values(header, "ImagerPixelSpacing") or values(header, "PixelSpacing")
    for concept, millimetres in zip((codes.VERTICAL_SPACING, codes.HORIZONTAL_SPACING), spacing, strict=False):
        children.append(num_item(concept, float(millimetres), codes.MM, relation=ACQUISITION))
    children.append(num_item(codes.PIXEL_ROWS, int(header.Rows), codes.PIXELS, relation=ACQUISITION))
    children.append(num_item(codes.PIXEL_COLUMNS, int(header.Columns), codes.PIXELS, relation=ACQUISITION))
    return image_item(header, relation="CONTAINS", children=children)


def _algorithm(name: str, view: ViewResults, *parameters: str) -> list[Dataset]:
    """TID 4019: name, version and parameters."""
    given = parameters or tuple(f"{key} = {value}" for key, value in view.parameters.items())
    return [
        text_item(codes.ALGORITHM_NAME, name),
        text_item(codes.ALGORITHM_VERSION, view.report["created_by"]),
        *(text_item(codes.ALGORITHM_PARAMETERS, text) for text in given),
    ]


def _impression(view: ViewResults, image: Sequence[int]) -> Dataset:
    """TID 4003: one container per view, its clusters with their members first, then what is isolated."""
    findings = view.report["findings"]
    outlines = object_outlines(view.mask, [tuple(finding["box_px"]) for finding in findings])
    pairs = list(zip(findings, outlines, strict=True))
    children = [_intent()]
    for cluster in view.report["clusters"]:
        members = [pair for pair in pairs if pair[0]["cluster"] == cluster["id"]]
        children.append(_cluster(view, cluster, members, image))
    isolated = [pair for pair in pairs if pair[0]["cluster"] is None]
    children += [_calcification(view, *pair, image, relation="CONTAINS") for pair in isolated]
    return container_item(codes.IMPRESSION, children, relation="INFERRED FROM")


def _intent(*, with_operating_point: bool = False) -> Dataset:
    """Rendering Intent; of a finding, with the operating point from which on it may be shown."""
    point = num_item(codes.CAD_OPERATING_POINT, OPERATING_POINT, codes.OPERATING_POINT_UNIT)
    children = [point] if with_operating_point else []
    return code_item(codes.RENDERING_INTENT, codes.OPTIONAL, relation="HAS CONCEPT MOD", children=children)


def _calcification(
    view: ViewResults, finding: dict[str, Any], outline: np.ndarray, image: Sequence[int], *, relation: str
) -> Dataset:
    """TID 4006 and 4009: one object of the mask."""
    score = (
        f"network output, not calibrated: peak {finding['peak_probability']:g}, mean {finding['mean_probability']:g}"
    )
    children = [
        _intent(with_operating_point=True),
        *_algorithm(view.algorithm, view, f"threshold = {view.report['threshold']:g}", score),
        *_geometry(finding["centroid_px"], outline, image),
        num_item(codes.AREA, finding["area_mm2"], codes.MM2),
    ]
    return code_item(codes.SINGLE_IMAGE_FINDING, codes.INDIVIDUAL, relation=relation, children=children)


def _cluster(
    view: ViewResults,
    cluster: dict[str, Any],
    members: Sequence[tuple[dict[str, Any], np.ndarray]],
    image: Sequence[int],
) -> Dataset:
    """TID 4006 and 4010: a group of calcifications, inferred from its members."""
    centre = np.asarray(cluster["centroid_mm"]) / np.asarray(view.report["spacing_mm"])
    children = [
        _intent(with_operating_point=True),
        *_clustering(view),
        *_geometry(centre, enclosing_outline([outline for _, outline in members]), image),
        num_item(codes.NUMBER_OF_CALCIFICATIONS, cluster["count"], codes.NO_UNITS),
        num_item(codes.HEIGHT, cluster["extent_mm"][0], codes.MM),
        num_item(codes.WIDTH, cluster["extent_mm"][1], codes.MM),
        *(_calcification(view, *member, image, relation="INFERRED FROM") for member in members),
    ]
    return code_item(codes.SINGLE_IMAGE_FINDING, codes.CLUSTER, relation="CONTAINS", children=children)


def _clustering(view: ViewResults) -> list[Dataset]:
    return _algorithm(CLUSTERING, view, f"at least {MIN_COUNT} calcifications within {DISTANCE_MM:g} mm")


def _geometry(centre_px: Any, outline: np.ndarray, image: Sequence[int]) -> list[Dataset]:
    """TID 4021: centre and outline."""
    if len(outline) > MAX_GRAPHIC_POINTS:
        outline = enclosing_outline([outline])
    return [scoord_item(codes.CENTER, centre_px, image=image), scoord_item(codes.OUTLINE, outline, image=image)]


def _summary_of_detections(views: Sequence[ViewResults]) -> Dataset:
    """TID 4015 and 4017: what was looked for, by which algorithm, in which images, at which operating points."""
    images = [reference_item(_library_position(n), relation="HAS PROPERTIES") for n in range(len(views))]
    # TID 4023. One threshold makes one operating point.
    points = [
        num_item(codes.MAXIMUM_OPERATING_POINT, OPERATING_POINT, codes.MAXIMUM_OPERATING_POINT_UNIT),
        num_item(codes.RECOMMENDED_OPERATING_POINT, OPERATING_POINT, codes.RECOMMENDED_UNIT),
    ]
    performed = [
        code_item(codes.DETECTION_PERFORMED, target, relation="CONTAINS", children=[*algorithm, *images, *points])
        for target, algorithm in (
            (codes.INDIVIDUAL, _algorithm(views[0].algorithm, views[0])),
            (codes.CLUSTER, _clustering(views[0])),
        )
    ]
    successful = container_item(codes.SUCCESSFUL_DETECTIONS, performed, relation="INFERRED FROM")
    return code_item(codes.SUMMARY_OF_DETECTIONS, codes.SUCCEEDED, relation="CONTAINS", children=[successful])

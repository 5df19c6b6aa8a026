"""Measurements of findings as a Comprehensive SR document after TID 1500; needs highdicom.

Per view the number of calcifications; per cluster its number, extent and area; per calcification its area. Regions are
polygons in the source image. Millimetres are in the breast: the spacing that inference measured with.
"""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ..functional.outlines import enclosing_outline, object_outlines, polygon_area
from . import dicom_sr_codes
from .dicom_header import laterality
from .dicom_results import (
    EQUIPMENT,
    MANUFACTURER,
    NOT_FOR_DIAGNOSIS,
    Placement,
    ViewResults,
    copy_patient_and_study,
    new_uid,
)
from .dicom_seg import anonymous_source

SERIES_DESCRIPTION = "MC-GenRef measurements (not for diagnosis)"
OBSERVER = "MC-GenRef"
Group = hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations


def measurement_report(views: Sequence[ViewResults], placement: Placement) -> Dataset:
    """One document of all views of a study.

    Args:
        views: at least one, all of one study.
        placement: series and number.

    Returns:
        The document, ready to be written.
    """
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                    uid=new_uid(),
                    name=OBSERVER,
                    manufacturer_name=MANUFACTURER,
                    model_name="research only, not for diagnosis",
                ),
            )
        ),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=[group for view in views for group in _groups(view)],
    )
    document = hd.sr.ComprehensiveSR(
        evidence=[anonymous_source(view.header) for view in views],
        content=report,
        series_instance_uid=placement.series_uid,
        series_number=placement.series_number,
        sop_instance_uid=new_uid(),
        instance_number=placement.instance_number,
        manufacturer=MANUFACTURER,
        series_description=SERIES_DESCRIPTION,
        is_complete=True,
    )
    for keyword, value in EQUIPMENT.items():
        setattr(document, keyword, value)
    document.CompletionFlagDescription = NOT_FOR_DIAGNOSIS
    copy_patient_and_study(views[0].header, document)
    return document


def _groups(view: ViewResults) -> list[Group]:
    """Measurement groups of a view: the whole image, its clusters, its calcifications."""
    findings = view.report["findings"]
    outlines = object_outlines(view.mask, [tuple(finding["box_px"]) for finding in findings])
    groups: list[Group] = [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking("image"),
            source_images=[hd.sr.SourceImageForMeasurementGroup(*_reference(view))],
            algorithm_id=_algorithm(view),
            measurements=[_count(len(findings))],
        )
    ]
    for cluster in view.report["clusters"]:
        members = [
            outline for finding, outline in zip(findings, outlines, strict=True) if finding["cluster"] == cluster["id"]
        ]
        hull = enclosing_outline(members)
        measurements = [
            _count(cluster["count"]),
            _millimetres(codes.DCM.Height, cluster["extent_mm"][0]),
            _millimetres(codes.SCT.Width, cluster["extent_mm"][1]),
            _area(polygon_area(hull) * float(np.prod(view.report["spacing_mm"]))),
        ]
        groups.append(_region(view, hull, f"cluster {cluster['id']}", codes.SCT.CalcificationCluster, measurements))
    for finding, outline in zip(findings, outlines, strict=True):
        name = f"calcification {finding['id']}"
        groups.append(_region(view, outline, name, codes.SCT.IndividualCalcification, [_area(finding["area_mm2"])]))
    return groups


def _region(
    view: ViewResults, outline: np.ndarray, name: str, kind: hd.sr.CodedConcept, measurements: list[hd.sr.Measurement]
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410 of a polygon of (row, column), whole numbers at pixel centres."""
    side = dicom_sr_codes.SIDES.get(laterality(view.header))
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(name),
        referenced_region=hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=outline[:, ::-1] + 0.5,  # from the corner of the image, column first (PS3.3 C.18.6.1.1)
            source_image=hd.sr.SourceImageForRegion(*_reference(view)),
        ),
        finding_type=kind,
        finding_sites=[hd.sr.FindingSite(side or codes.SCT.Breast)],
        algorithm_id=_algorithm(view),
        measurements=measurements,
    )


def _reference(view: ViewResults) -> tuple[str, str]:
    return view.header.SOPClassUID, view.header.SOPInstanceUID


def _tracking(name: str) -> hd.sr.TrackingIdentifier:
    return hd.sr.TrackingIdentifier(uid=new_uid(), identifier=name)


def _algorithm(view: ViewResults) -> hd.sr.AlgorithmIdentification:
    return hd.sr.AlgorithmIdentification(
        name=view.algorithm,
        version=view.report["created_by"],
        parameters=[f"{key} = {value}" for key, value in view.parameters.items()],
    )


def _count(number: int) -> hd.sr.Measurement:
    return hd.sr.Measurement(name=dicom_sr_codes.NUMBER_OF_CALCIFICATIONS, value=number, unit=codes.UCUM.NoUnits)


def _millimetres(name: hd.sr.CodedConcept, value: float) -> hd.sr.Measurement:
    return hd.sr.Measurement(name=name, value=float(value), unit=codes.UCUM.Millimeter)


def _area(value_mm2: float) -> hd.sr.Measurement:
    return hd.sr.Measurement(name=codes.SCT.Area, value=round(value_mm2, 6), unit=codes.UCUM.SquareMillimeter)

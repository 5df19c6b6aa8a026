"""Findings of a view as DICOM Segmentation objects, in the pixel grid of the source; needs highdicom.

Mammograms have no frame of reference, so neither has the segmentation: its one frame is tied to the source image by
Derivation Image / Source Image (PS3.3 A.51, C.7.6.16.2.6), and viewers find the series by Referenced Series.
"""

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from .dicom_results import (
    EQUIPMENT,
    MANUFACTURER,
    NOT_FOR_DIAGNOSIS,
    PATIENT_AND_STUDY,
    Placement,
    ViewResults,
    copy_patient_and_study,
    new_uid,
)

MAX_FRACTION = 255
SERIES_DESCRIPTION = "Microcalcifications (research, not for diagnosis)"


PATIENT_GROUPS = (0x0010, 0x0012)
"""Of the elements on a patient, and on a clinical trial."""


def binary_segmentation(view: ViewResults, placement: Placement) -> Dataset:
    """The mask as a BINARY segmentation of one segment.

    Args:
        view: the view and its findings.
        placement: series and number.
    """
    return _segmentation(view, placement, pixels=view.mask, kind=hd.seg.SegmentationTypeValues.BINARY)


def fractional_segmentation(view: ViewResults, placement: Placement) -> Dataset:
    """The probability map as a FRACTIONAL segmentation of type PROBABILITY, in steps of 1/255.

    Args:
        view: the view and its findings.
        placement: series and number.
    """
    return _segmentation(view, placement, pixels=view.probs, kind=hd.seg.SegmentationTypeValues.FRACTIONAL)


def _segmentation(
    view: ViewResults, placement: Placement, *, pixels: np.ndarray, kind: hd.seg.SegmentationTypeValues
) -> Dataset:
    binary = kind == hd.seg.SegmentationTypeValues.BINARY
    segmentation = hd.seg.Segmentation(
        source_images=[anonymous_source(view.header)],
        pixel_array=pixels[None],
        segmentation_type=kind,
        segment_descriptions=[_segment(view)],
        series_instance_uid=placement.series_uid,
        series_number=placement.series_number,
        sop_instance_uid=new_uid(),
        instance_number=placement.instance_number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=EQUIPMENT["ManufacturerModelName"],
        software_versions=EQUIPMENT["SoftwareVersions"],
        device_serial_number=EQUIPMENT["DeviceSerialNumber"],
        max_fractional_value=MAX_FRACTION,
        content_label="FINDINGS" if binary else "PROBABILITY",
        content_description=NOT_FOR_DIAGNOSIS,
        pixel_measures=_pixel_measures(view.header),
        omit_empty_frames=False,
        series_description=SERIES_DESCRIPTION,
    )
    copy_patient_and_study(view.header, segmentation)
    # Required of a segmentation without Plane Orientation (PS3.3 C.7.6.1), empty where the source does not say.
    segmentation.PatientOrientation = view.header.get("PatientOrientation") or ""
    return segmentation


def anonymous_source(header: Dataset) -> Dataset:
    """The header with patient and study empty, for a library that copies more of the patient and may repeat it."""
    source = Dataset()
    source.file_meta = header.file_meta
    for element in header:
        if element.keyword not in PATIENT_AND_STUDY and element.tag.group not in PATIENT_GROUPS:
            source.add(element)
    for keyword in PATIENT_AND_STUDY:
        setattr(source, keyword, "")
    return source


def _segment(view: ViewResults) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Microcalcifications",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.MicrocalcificationsOfTheBreast,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=view.algorithm,
            family=codes.DCM.ArtificialIntelligence,
            version=view.report["created_by"],
            source=MANUFACTURER,
            parameters=view.parameters,
        ),
        anatomic_regions=[codes.SCT.Breast],
    )


def _pixel_measures(header: Dataset) -> hd.PixelMeasuresSequence | None:
    """The source's calibrated Pixel Spacing; Imager Pixel Spacing is that of the detector and is not copied."""
    spacing = header.get("PixelSpacing")
    return hd.PixelMeasuresSequence(pixel_spacing=list(spacing), slice_thickness=None) if spacing else None

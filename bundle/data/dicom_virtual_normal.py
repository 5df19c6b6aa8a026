"""A virtual normal as a derived Digital Mammography X-Ray Image - For Presentation, beside its source's exam.

Nobody may take it for an image: Image Type, descriptions and the pixels themselves say what it is.
"""

from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from .dicom_results import EQUIPMENT, NOT_FOR_DIAGNOSIS, Placement, copy_patient_and_study, new_uid
from .phantom import IMPLEMENTATION_UID, MG_FOR_PRESENTATION

BURNED_IN = "VIRTUAL NORMAL - NOT A REAL IMAGE"
SERIES_DESCRIPTION = "Synthetic: VIRTUAL NORMAL, not a real image"
DERIVATION = "Calcifications replaced by the prediction of a neural network: a virtual normal, not a real image"
GREYS = 4095
"""12 bits; the top one is kept for what is burned in."""
TEXT_SHARE = 0.5
"""Of the view's width that the words take, as far as whole multiples of the font reach it."""
ACQUISITION = (
    "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "AcquisitionContextSequence",
    "AnatomicRegionSequence", "BodyPartExamined", "BodyPartThickness", "BreastImplantPresent", "CompressionForce",
    "DetectorType", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "EstimatedRadiographicMagnificationFactor", "ExposureInuAs", "FieldOfViewHorizontalFlip", "FieldOfViewOrigin",
    "FieldOfViewRotation", "ImageLaterality", "ImagerPixelSpacing", "KVP", "OrganExposed", "PartialView",
    "PatientOrientation", "PixelSpacing", "PositionerType", "PositionerPrimaryAngle", "ViewCodeSequence",
    "ViewPosition",
)  # fmt: skip
"""What is true of the derived image too, because it shows the same breast in the same pixels."""


def virtual_normal_image(header: Dataset, normal: NDArray[np.floating], placement: Placement) -> Dataset:
    """A derived image object.

    Args:
        header: of the source, without pixels, from `read_header`.
        normal: (rows, columns) in [-1, 1], -1 outside the breast, in the source's pixel grid.
        placement: series and number.

    Raises:
        ValueError: if the sizes differ.
    """
    if (int(header.Rows), int(header.Columns)) != normal.shape:
        raise ValueError(f"Expected a virtual normal of {header.Rows} x {header.Columns} px, got {normal.shape}")
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.SOPClassUID, image.SOPInstanceUID = MG_FOR_PRESENTATION, UID(new_uid())
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    _describe_origin(image, header, placement)
    _describe_pixels(image, burned_in(stored_greys(normal)))
    copy_patient_and_study(header, image)
    return image


def stored_greys(normal: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Values in [-1, 1] as grey levels from 0 to GREYS - 1."""
    return np.round((np.clip(normal, -1, 1) + 1) / 2 * (GREYS - 1)).astype(np.uint16)


def burned_in(stored: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Write `BURNED_IN` at the top, on the side where the image is darker; on black, in the brightest value.

    Args:
        stored: (rows, columns), at most GREYS - 1.

    Returns:
        A copy with the words, on as many lines as the width needs.
    """
    marked = stored.copy()
    rows, columns = stored.shape
    words = np.pad(_words(columns), 2)[:rows, :columns]
    height, width = words.shape
    left, right = stored[:height, :width], stored[:height, columns - width :]
    first = 0 if left.mean() <= right.mean() else columns - width
    marked[:height, first : first + width] = np.where(words, GREYS, 0)
    return marked


def _words(columns: int) -> NDArray[np.bool_]:
    """The words as pixels, on one line, two or one for each word, whichever fits into the width first."""
    parts = BURNED_IN.split(" - ")
    for lines in ([BURNED_IN], [f"{parts[0]} -", parts[1]], BURNED_IN.split()):
        drawn = _drawn("\n".join(lines))
        if drawn.shape[1] + 4 <= columns:
            break
    return np.kron(drawn, np.ones((max(1, int(TEXT_SHARE * columns / drawn.shape[1])),) * 2, bool))


def _drawn(text: str) -> NDArray[np.bool_]:
    """Text in Pillow's own font, cut to what is drawn."""
    font = ImageFont.load_default()
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    canvas = Image.new("L", (int(box[2]) + 2, int(box[3]) + 2))
    ImageDraw.Draw(canvas).multiline_text((0, 0), text, fill=255, font=font)
    drawn = np.asarray(canvas) > 96
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _describe_origin(image: Dataset, header: Dataset, placement: Placement) -> None:
    """Series, equipment, source and acquisition."""
    image.Modality, image.PresentationIntentType = "MG", "FOR PRESENTATION"
    image.SeriesInstanceUID, image.SeriesNumber = placement.series_uid, placement.series_number
    image.InstanceNumber = placement.instance_number
    image.SeriesDescription, image.DerivationDescription = SERIES_DESCRIPTION, DERIVATION
    image.ImageComments = f"{BURNED_IN}. {NOT_FOR_DIAGNOSIS}"
    image.ImageType = ["DERIVED", "SECONDARY"]
    for keyword, value in EQUIPMENT.items():
        setattr(image, keyword, value)
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    source.SpatialLocationsPreserved = "YES"
    source.PurposeOfReferenceCodeSequence = [_code("121322", "DCM", "Source image for image processing operation")]
    image.SourceImageSequence = [source]
    for keyword in ACQUISITION:
        if keyword in header:
            image[keyword] = deepcopy(header[keyword])
    _complete(image)


def _complete(image: Dataset) -> None:
    """What every mammogram must say (PS3.3 A.26), where the source does not; empty where only the source could."""
    image.OrganExposed = "BREAST"
    image.PositionerType = image.get("PositionerType") or "NONE"
    image.DetectorType = image.get("DetectorType") or ""
    image.AcquisitionContextSequence = image.get("AcquisitionContextSequence") or []
    image.PatientOrientation = image.get("PatientOrientation") or ""
    if not image.get("AnatomicRegionSequence"):
        image.AnatomicRegionSequence = [_code("76752008", "SCT", "Breast")]
    for view in image.get("ViewCodeSequence") or []:
        view.ViewModifierCodeSequence = view.get("ViewModifierCodeSequence") or []


def _describe_pixels(image: Dataset, stored: NDArray[np.uint16]) -> None:
    """12 bits in 16, MONOCHROME2, a window over the whole range; the values are those of the project's own window."""
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelIntensityRelationship, image.PixelIntensityRelationshipSign = "LOG", -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = str((GREYS + 1) // 2), str(GREYS + 1)
    image.BurnedInAnnotation, image.LossyImageCompression = "YES", "00"
    image.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()
    image["PixelData"].VR = "OW"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item

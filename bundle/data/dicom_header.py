"""What the header of a mammographic DICOM file says, and which files are refused for it."""

import re
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from .errors import refuse
from .view import SPACING_REMEDY, check_size, checked_spacing

Path = str | PathLike[str]

FOR_PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS_CLASSES = {"1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.840.10008.5.1.4.1.1.13.1.4"}
DICOMDIR_CLASS = "1.2.840.10008.1.3.10"

VIEW_CODES = {
    **dict.fromkeys(("399162004", "R-10242"), "CC"),
    **dict.fromkeys(("399368009", "R-10226"), "MLO"),
    **dict.fromkeys(("399260004", "R-10224"), "ML"),
    **dict.fromkeys(("399352003", "R-10228"), "LM"),
    **dict.fromkeys(("399099002", "R-10230"), "LMO"),
    **dict.fromkeys(("399196006", "R-10244"), "FB"),
    **dict.fromkeys(("399192008", "R-1024A"), "XCCL"),
    **dict.fromkeys(("399101009", "R-1024B"), "XCCM"),
    **dict.fromkeys(("399188001", "R-102D0"), "SIO"),
    **dict.fromkeys(("441555000", "R-40AAA"), "ISO"),
}
"""CID 4014, View for Mammography: SNOMED CT and the older SRT codes."""
MAGNIFICATION_CODES = {"399163009", "R-102D6"}
SPOT_CODES = {"399055006", "R-102D7"}
CONTACT_MAGNIFICATION = 1.3
"""Contact views are magnified by the thickness of the breast alone, below 1.2; magnification views by 1.5 to 2."""
SYNTHETIC_TYPES = {"GENERATED_2D", "TOMOSYNTHESIS"}
SYNTHETIC_NAMES = re.compile(r"c-?view|s-?view|v-?preview|insight 2d|synthe(sized|tic)", re.IGNORECASE)
CONTRAST_TYPES = {"LOW_ENERGY", "HIGH_ENERGY", "SUBTRACTION", "RECOMBINED"}
LOSSY_SYNTAXES = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81)}
"""Syntaxes that are lossy whatever the header says: JPEG Baseline and Extended, near-lossless JPEG-LS."""
MAX_LO_CHARS = 64
"""Longest value of a long string (PS3.5 6.2)."""
DECLARED = {
    "burned-in annotation": ("BurnedInAnnotation", "YES"),
    "breast implant": ("BreastImplantPresent", "YES"),
    "partial view": ("PartialView", "YES"),
}
"""What a header declares: remark, element, value."""


def check_header(header: Dataset, *, path: Path, convert_raw: bool) -> None:
    """Refuse what is no single 2-D mammographic view for presentation, before any pixel is decoded.

    Args:
        header: the data set without pixels.
        path: the file, for the message.
        convert_raw: let For Processing images through.

    Raises:
        MammogramError: for another modality, tomosynthesis, several frames, colour, raw data, a wrong size or depth.
    """
    modality = text(header, "Modality")
    sop_class = text(header, "SOPClassUID")
    media_class = str(header.file_meta.get("MediaStorageSOPClassUID", "")) if hasattr(header, "file_meta") else ""
    if media_class == DICOMDIR_CLASS or "DirectoryRecordSequence" in header:
        raise refuse(path, "Expected an image, got a DICOMDIR; pass the folder or one of its images")
    if modality not in ("", "MG"):
        raise refuse(path, f"Expected modality MG, got {quoted(modality)}; pass a mammographic view")
    if sop_class in TOMOSYNTHESIS_CLASSES:
        raise refuse(path, "Expected a 2-D view, got tomosynthesis; pass its 2-D (or synthetic 2-D) view")
    _check_pixel_module(header, path)
    if is_raw(header) and not convert_raw:
        raise refuse(
            path, "Expected a For Presentation image, got For Processing (raw); pass the other one or --convert-raw"
        )


def _check_pixel_module(header: Dataset, path: Path) -> None:
    if header.get("Rows") is None or header.get("Columns") is None:
        raise refuse(path, "Expected an image, found no Rows and Columns; it is truncated or holds no image")
    if (frames := int(header.get("NumberOfFrames") or 1)) != 1:
        raise refuse(path, f"Expected a single-frame view, got {frames} frames; pass one 2-D view")
    if (samples := int(header.get("SamplesPerPixel") or 1)) != 1:
        raise refuse(path, f"Expected one sample per pixel, got {samples} (colour); pass the greyscale view")
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise refuse(path, f"Expected MONOCHROME1 or MONOCHROME2, got {quoted(photometric)}; pass the greyscale view")
    check_size(int(header.Rows), int(header.Columns), path=path)
    allocated = int(header.get("BitsAllocated") or 0)
    stored = int(header.get("BitsStored") or allocated)
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise refuse(path, f"Expected 8 or 16 bits per pixel, got {stored} of {allocated}; convert it to 16 bits")


def is_raw(header: Dataset) -> bool:
    """Whether the pixels are detector signal (For Processing)."""
    intent = text(header, "PresentationIntentType")
    return intent == "FOR PROCESSING" or text(header, "SOPClassUID") == FOR_PROCESSING_CLASS


def pixel_spacing(header: Dataset, *, path: Path, default_mm: tuple[float, float] | None = None) -> tuple[float, float]:
    """Pixel size in the breast: ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor, or PixelSpacing.

    Args:
        header: the data set.
        path: the file, for the message.
        default_mm: (row, column) in mm where the header states none.

    Returns:
        (row, column) in mm.

    Raises:
        MammogramError: if none is there and no default, or a value is zero, negative or implausible.
    """
    at_detector = values(header, "ImagerPixelSpacing")
    if not at_detector:
        return checked_spacing(values(header, "PixelSpacing") or default_mm, path=path)
    magnification = magnification_factor(header)
    if not magnification > 0:
        raise refuse(path, f"Expected a magnification factor > 0, got {magnification:g}; {SPACING_REMEDY}")
    return checked_spacing([float(value) / magnification for value in at_detector], path=path)


def magnification_factor(header: Dataset) -> float:
    """EstimatedRadiographicMagnificationFactor, 1 if absent."""
    value = header.get("EstimatedRadiographicMagnificationFactor")
    return 1.0 if value in (None, "") else float(value)


def viewer_affine(header: Dataset) -> NDArray[np.float64]:
    """Array indices (column, row, slice) to world mm (RAS) as viewers built on ITK show the file, 3D Slicer among them.

    They take ImagerPixelSpacing at the detector, whatever the magnification, and 1 mm where it is missing.

    Returns:
        Matrix of shape (4, 4).
    """
    spacing = [float(value) for value in values(header, "ImagerPixelSpacing")] or [1.0, 1.0]
    directions = [float(value) for value in values(header, "ImageOrientationPatient")]
    origin = [float(value) for value in values(header, "ImagePositionPatient")]
    along_row, along_column = np.array(directions if len(directions) == 6 else [1, 0, 0, 0, 1, 0]).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along_row * spacing[-1], along_column * spacing[0]
    affine[:3, 2] = np.cross(along_row, along_column)
    affine[:3, 3] = origin if len(origin) == 3 else 0
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def view_position(header: Dataset) -> str:
    """Projection as in ViewPosition, else from ViewCodeSequence; "" if unknown."""
    named = text(header, "ViewPosition")
    if re.fullmatch(r"[A-Z0-9]{1,8}", named):
        return named
    return next((VIEW_CODES[code] for code in _codes(header.get("ViewCodeSequence")) if code in VIEW_CODES), "")


def laterality(header: Dataset) -> str:
    """Side from ImageLaterality or Laterality: "L", "R", "B", or "" if unknown."""
    sides = (text(header, keyword) for keyword in ("ImageLaterality", "Laterality"))
    return next((side for side in sides if side in ("L", "R", "B")), "")


def manufacturer(header: Dataset) -> str:
    """Maker of the equipment in ASCII; "" where the value is longer than one may be or not printable."""
    return re.sub(r"[^\x20-\x7e]", "", whole(header.get("Manufacturer")))


def remarks(header: Dataset) -> str:
    """What makes the view unusual for a method meant for contact screening views; "" for a usual one.

    Synthetic 2-D, contrast-enhanced, magnified, spot-compressed or partial views, implants, burned-in annotation,
    lossy compression, and files that do not name their modality.
    """
    image_type = {str(value).upper() for value in values(header, "ImageType")}
    modifiers = {
        code for view in header.get("ViewCodeSequence") or [] for code in _codes(view.get("ViewModifierCodeSequence"))
    }
    position = text(header, "ViewPosition")
    found = {
        "no Modality in the header": not text(header, "Modality"),
        "synthetic 2-D view": bool(image_type & SYNTHETIC_TYPES)
        or bool(SYNTHETIC_NAMES.search(str(header.get("SeriesDescription") or ""))),
        "contrast-enhanced view": bool(image_type & CONTRAST_TYPES)
        or bool(header.get("ContrastBolusAgent") or header.get("ContrastBolusAgentSequence")),
        "magnification view": bool(modifiers & MAGNIFICATION_CODES)
        or magnification_factor(header) > CONTACT_MAGNIFICATION
        or position in ("MAG", "MCC", "MMLO", "MML"),
        "spot compression view": bool(modifiers & SPOT_CODES) or position == "SPOT",
        **{remark: text(header, keyword) == value for remark, (keyword, value) in DECLARED.items()},
        "lossy compression": is_lossy(header),
    }
    return ", ".join(name for name, holds in found.items() if holds)


def is_lossy(header: Dataset) -> bool:
    """Whether the pixels ever went through lossy compression: what the header declares, or the file's syntax."""
    syntax = str(header.file_meta.get("TransferSyntaxUID", "")) if hasattr(header, "file_meta") else ""
    return text(header, "LossyImageCompression") == "01" or syntax in LOSSY_SYNTAXES


def text(header: Dataset, keyword: str) -> str:
    """A single-valued string element in upper case, stripped; "" if absent, empty or multi-valued."""
    value = header.get(keyword)
    return str(value).strip().upper() if isinstance(value, str) else ""


def quoted(code: str) -> str:
    """A code string of a header for an error's line: in quotes, or words in its place if it is none (PS3.5 6.2).

    A forged length may have put other elements into it, such as the patient's name.
    """
    return repr(code) if re.fullmatch("[A-Z0-9_ ]{1,16}", code) else "a damaged value"


def whole(value: Any, *, most: int = MAX_LO_CHARS) -> str:
    """A text of a header that no other element is in; "" for what is longer than it may be, not printable or no text.

    An element that a forged length put into a text begins with bytes that no text has.
    """
    text = value.strip("\0 ") if isinstance(value, str) else ""
    return text if len(text) <= most and text.isprintable() else ""


def values(header: Dataset, keyword: str) -> list[Any]:
    """An element's values as a list, however many there are."""
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]


def _codes(sequence: Iterable[Dataset] | None) -> set[str]:
    return {str(item.get("CodeValue") or "") for item in sequence or []}

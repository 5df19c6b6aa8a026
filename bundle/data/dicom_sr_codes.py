"""Coded concepts of Mammography CAD SR (PS3.16, Annexes B and D; DCM, SNOMED CT and UCUM)."""

from pydicom.sr.coding import Code


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
ENGLISH = Code("en", "RFC5646", "English")
REPORT = _dcm("111036", "Mammography CAD Report")

IMAGE_LIBRARY = _dcm("111028", "Image Library")
IMAGE_LATERALITY = _dcm("111027", "Image Laterality")
IMAGE_VIEW = _dcm("111031", "Image View")
ORIENTATION_ROW = _dcm("111044", "Patient Orientation Row")
ORIENTATION_COLUMN = _dcm("111043", "Patient Orientation Column")
STUDY_DATE = _dcm("111060", "Study Date")
STUDY_TIME = _dcm("111061", "Study Time")
CONTENT_DATE = _dcm("111018", "Content Date")
CONTENT_TIME = _dcm("111019", "Content Time")
HORIZONTAL_SPACING = _dcm("111026", "Horizontal Pixel Spacing")
VERTICAL_SPACING = _dcm("111066", "Vertical Pixel Spacing")
PIXEL_ROWS = _dcm("110910", "Pixel Data Rows")
PIXEL_COLUMNS = _dcm("110911", "Pixel Data Columns")
SIDES = {
    "L": _sct("80248007", "Left breast"),
    "R": _sct("73056007", "Right breast"),
    "B": _sct("63762007", "Both breasts"),
}
"""CID 6022, by Image Laterality."""
VIEWS = {
    "CC": _sct("399162004", "cranio-caudal"),
    "MLO": _sct("399368009", "medio-lateral oblique"),
    "ML": _sct("399260004", "medial-lateral"),
    "LM": _sct("399352003", "latero-medial"),
    "LMO": _sct("399099002", "latero-medial oblique"),
    "FB": _sct("399196006", "caudo-cranial"),
    "XCCL": _sct("399192008", "cranio-caudal exaggerated laterally"),
    "XCCM": _sct("399101009", "cranio-caudal exaggerated medially"),
    "SIO": _sct("399188001", "superolateral to inferomedial oblique"),
    "ISO": _sct("441555000", "inferomedial to superolateral oblique"),
}
"""CID 4014, by View Position."""

SUMMARY = _dcm("111017", "CAD Processing and Findings Summary")
WITH_FINDINGS = _dcm("111242", "All algorithms succeeded; with findings")
WITHOUT_FINDINGS = _dcm("111241", "All algorithms succeeded; without findings")
IMPRESSION_DESCRIPTION = _dcm("111033", "Impression Description")
IMPRESSION = _dcm("111034", "Individual Impression/Recommendation")
RENDERING_INTENT = _dcm("111056", "Rendering Intent")
OPTIONAL = _dcm("111151", "Presentation Optional: Rendering device may present")

SINGLE_IMAGE_FINDING = _dcm("111059", "Single Image Finding")
INDIVIDUAL = _sct("129770007", "Individual Calcification")
CLUSTER = _sct("129769006", "Calcification Cluster")
CENTER = _dcm("111010", "Center")
OUTLINE = _dcm("111041", "Outline")
AREA = _sct("42798000", "Area")
HEIGHT = _dcm("121207", "Height")
WIDTH = _sct("103355008", "Width")
NUMBER_OF_CALCIFICATIONS = _dcm("111038", "Number of calcifications")
ALGORITHM_NAME = _dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = _dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS = _dcm("111002", "Algorithm Parameters")

SUMMARY_OF_DETECTIONS = _dcm("111064", "Summary of Detections")
SUMMARY_OF_ANALYSES = _dcm("111065", "Summary of Analyses")
SUCCEEDED = _dcm("111222", "Succeeded")
NOT_ATTEMPTED = _dcm("111225", "Not Attempted")
SUCCESSFUL_DETECTIONS = _dcm("111063", "Successful Detections")
DETECTION_PERFORMED = _dcm("111022", "Detection Performed")
CAD_OPERATING_POINT = _dcm("111071", "CAD Operating Point")
MAXIMUM_OPERATING_POINT = _dcm("111072", "Maximum CAD Operating Point")
RECOMMENDED_OPERATING_POINT = _dcm("111092", "Recommended CAD Operating Point")

MM = Code("mm", "UCUM", "mm")
MM2 = Code("mm2", "UCUM", "square millimeter")
NO_UNITS = Code("1", "UCUM", "no units")
PIXELS = Code("{pixels}", "UCUM", "pixels")
MAXIMUM_OPERATING_POINT_UNIT = Code("[arb'U]", "UCUM", "arbitrary unit")
OPERATING_POINT_UNIT = Code("{1:n}", "UCUM", "range: 1:n")
RECOMMENDED_UNIT = Code("{0:n}", "UCUM", "range: 0:n")

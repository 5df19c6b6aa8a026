"""Content items of DICOM structured reports (PS3.3 C.17.3) as data sets, by value type."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

MAX_GRAPHIC_POINTS = 8000
"""Explicit VR leaves 65534 bytes for Graphic Data, 8191 pairs of four-byte numbers."""


def coded(code: Code) -> Dataset:
    """A code as an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _item(value_type: str, relation: str, concept: Code | None, children: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    if relation:
        item.RelationshipType = relation
    item.ValueType = value_type
    if concept is not None:
        item.ConceptNameCodeSequence = [coded(concept)]
    if children:
        item.ContentSequence = list(children)
    return item


def container_item(
    concept: Code, children: Sequence[Dataset], *, relation: str = "CONTAINS", template: str = ""
) -> Dataset:
    """CONTAINER of separate children; `template` identifies the one it follows."""
    item = _item("CONTAINER", relation, concept, children)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        identification = Dataset()
        identification.MappingResource, identification.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [identification]
    return item


def code_item(concept: Code, value: Code, *, relation: str, children: Sequence[Dataset] = ()) -> Dataset:
    """CODE."""
    item = _item("CODE", relation, concept, children)
    item.ConceptCodeSequence = [coded(value)]
    return item


def text_item(concept: Code, value: str, *, relation: str = "HAS PROPERTIES") -> Dataset:
    """TEXT."""
    item = _item("TEXT", relation, concept, ())
    item.TextValue = value
    return item


def date_item(concept: Code, value: str, *, relation: str) -> Dataset:
    """DATE, in DICOM's form."""
    item = _item("DATE", relation, concept, ())
    item.Date = value
    return item


def time_item(concept: Code, value: str, *, relation: str) -> Dataset:
    """TIME, in DICOM's form."""
    item = _item("TIME", relation, concept, ())
    item.Time = value
    return item


def num_item(concept: Code, value: float, unit: Code, *, relation: str = "HAS PROPERTIES") -> Dataset:
    """NUM, to six digits."""
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = [coded(unit)]
    measured.NumericValue = f"{value:.6g}"
    item = _item("NUM", relation, concept, ())
    item.MeasuredValueSequence = [measured]
    return item


def image_item(header: Dataset, *, relation: str, children: Sequence[Dataset] = ()) -> Dataset:
    """IMAGE: a reference to an image object."""
    item = _item("IMAGE", relation, None, children)
    item.ReferencedSOPSequence = [sop_reference(header)]
    return item


def sop_reference(header: Dataset) -> Dataset:
    """SOP class and instance of an object."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return reference


def reference_item(identifier: Sequence[int], *, relation: str) -> Dataset:
    """By-reference relationship to another content item, by its position from the root, which is 1."""
    item = Dataset()
    item.RelationshipType = relation
    item.ReferencedContentItemIdentifier = list(identifier)
    return item


def scoord_item(
    concept: Code, positions_px: ArrayLike, *, image: Sequence[int], relation: str = "HAS PROPERTIES"
) -> Dataset:
    """SCOORD: a point, or a polyline of several, in an image of the document.

    Args:
        concept: what the positions are.
        positions_px: (n, 2), row and column; whole numbers are pixel centres.
        image: identifier of the image's content item.
        relation: to the parent.

    Returns:
        The item; Graphic Data are pairs of column and row, measured from the top left corner of the top left pixel
        (PS3.3 C.18.6.1.1), which lies half a pixel above and left of its centre.
    """
    positions = np.atleast_2d(np.asarray(positions_px, np.float64))
    item = _item("SCOORD", relation, concept, [reference_item(image, relation="SELECTED FROM")])
    item.GraphicType = "POINT" if len(positions) == 1 else "POLYLINE"
    item.GraphicData = (positions[:, ::-1] + 0.5).ravel().tolist()
    return item

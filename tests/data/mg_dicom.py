"""Small mammographic DICOM files for tests, and a JPEG Lossless encoder that shares no code with any decoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
PATIENT_NAME, PATIENT_ID = "Secret^Patient", "SECRET-4711"


def stored_view(rows: int = 96, columns: int = 80, bits: int = 12) -> np.ndarray:
    """Stored values that use the whole range: a ramp along the rows with a little texture, unequal in both axes."""
    ramp = np.linspace(0, 2**bits - 1, rows)[:, None] * np.linspace(0.5, 1.0, columns)[None]
    texture = np.random.default_rng(0).integers(0, 7, (rows, columns))
    return np.clip(ramp + texture, 0, 2**bits - 1).astype(np.uint16)


def write_mg(path: Path, stored: np.ndarray, *, frame: bytes | None = None, syntax: str = "", **changes: Any) -> Path:
    """Write stored values as an MG file; changes set elements by keyword, None deletes them."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax or EXPLICIT_LITTLE)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(changes.get("SOPClassUID") or FOR_PRESENTATION)
    options = {} if pydicom.__version__ >= "3" else {"is_implicit_VR": False, "is_little_endian": True}
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **options)
    rows, columns = stored.shape[-2:] if stored.ndim == 2 or stored.shape[-1] != 3 else stored.shape[:2]
    elements: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "MG", "PresentationIntentType": "FOR PRESENTATION", "Manufacturer": "Test Maker",
        "PatientName": PATIENT_NAME, "PatientID": PATIENT_ID, "ImageLaterality": "L", "ViewPosition": "CC",
        "Rows": rows, "Columns": columns, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 * stored.itemsize, "BitsStored": 12 if stored.itemsize == 2 else 8,
        "PixelRepresentation": 0, "ImagerPixelSpacing": [0.1, 0.08],
    }  # fmt: skip
    elements |= changes
    elements.setdefault("HighBit", elements["BitsStored"] - 1)
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes() if frame is None else encapsulate([frame])
    dataset["PixelData"].VR = "OB" if frame is not None or stored.itemsize == 1 else "OW"
    dataset["PixelData"].is_undefined_length = frame is not None
    if pydicom.__version__ >= "3":
        dataset.save_as(path, enforce_file_format=True)
    else:
        dataset.save_as(path, write_like_original=False)
    return path


def lut(descriptor: list[int], entries: np.ndarray, explanation: str = "") -> Sequence:
    """A VOI or modality LUT sequence of one item."""
    return Sequence([lut_item(descriptor, entries, explanation)])


def lut_item(descriptor: list[int], entries: np.ndarray, explanation: str = "") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", np.asarray(entries, dtype="<u2").tobytes())
    item.LUTExplanation = explanation
    return item


def code(value: str, scheme: str = "SCT") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "test"
    return item


def jpeg_lossless(image: np.ndarray, bits: int) -> bytes:
    """Encode by ITU-T T.81 process 14, selection value 1, with one fixed-length Huffman table."""
    rows, columns = image.shape
    prediction = np.empty(image.shape, dtype=np.int64)
    prediction[:, 1:] = image[:, :-1]
    prediction[1:, 0] = image[:-1, 0]
    prediction[0, 0] = 2 ** (bits - 1)
    pieces = []
    for difference in (image.astype(np.int64) - prediction).ravel().tolist():
        size = abs(difference).bit_length()
        pieces.append(f"{size:05b}")
        if size:
            pieces.append(format(difference if difference > 0 else difference + 2**size - 1, f"0{size}b"))
    stream = "".join(pieces)
    stream += "1" * (-len(stream) % 8)
    scan = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = (
        bytes([0xFF, 0xC3, 0, 11, bits]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    )
    lengths = bytes([0, 0, 0, 0, 17] + [0] * 11)
    table = b"\xff\xc4" + (2 + 1 + 16 + 17).to_bytes(2, "big") + b"\x00" + lengths + bytes(range(17))
    return b"\xff\xd8" + frame + table + b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00" + scan + b"\xff\xd9"

"""From the pixel data of a mammographic DICOM file to presentation values."""

from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ..functional.presentation import (
    log_exposure,
    lookup,
    stored_values,
    window_linear,
    window_linear_exact,
    window_sigmoid,
)
from .codec import DecodingError, MissingDecoderError, decode_frame
from .codestream import first_frame, frame_size, is_complete, jpeg_scans
from .dicom_header import is_raw, quoted, text, values, whole
from .errors import MammogramError, raise_alone, refuse
from .limits import MAX_JPEG_SCANS

Path = str | PathLike[str]
WINDOWS = {"LINEAR": window_linear, "LINEAR_EXACT": window_linear_exact, "SIGMOID": window_sigmoid}
DECODER_REMEDY = "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg, or convert it to uncompressed"
MARKED_SYNTAXES = {f"1.2.840.10008.1.2.4.{suffix}" for suffix in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)}
"""JPEG, JPEG-LS, JPEG 2000 and High-Throughput JPEG 2000: frames with a size in front and a marker at the end."""
ITK_SYNTAXES = {f"1.2.840.10008.1.2.4.{suffix}" for suffix in (57, 70, 80, 81, 90, 91)}
"""What itk decodes exactly; of 12-bit JPEG Extended (51) it returns an array of garbage."""
PIXEL_KEYWORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation",
)  # fmt: skip


def presentation_pixels(
    dataset: Dataset, *, path: Path, voi: int | str | None = 0, convert_raw: bool = False
) -> npt.NDArray[np.float32]:
    """Decode a view and apply the modality, VOI and polarity transforms; padded pixels become the darkest.

    Args:
        dataset: a data set that passed `check_header`, with pixels.
        path: the file, for messages.
        voi: which VOI LUT (or window, if there is no LUT) to apply, by position or by its explanation; None for none.
        convert_raw: turn For Processing pixels into negative log exposure.

    Returns:
        float32, shape (rows, columns), bright is dense.

    Raises:
        MammogramError: if the pixels are missing, truncated, or in an encoding that cannot be decoded, or the VOI
            transform does not exist.
    """
    patterns = _patterns(decode(dataset, path=path))
    numbers = stored_values(8 * patterns.itemsize, _bits_stored(dataset), bool(dataset.get("PixelRepresentation")))
    transformed = _modality(dataset, numbers.astype(np.float64))
    if is_raw(dataset) and convert_raw:
        transformed = _raw_to_dense(dataset, transformed)
    else:
        transformed = _invert_monochrome1(dataset, *_voi(dataset, transformed, voi, path))
    pixels = transformed.astype(np.float32)[patterns]
    padded = _is_padding(dataset, numbers)[patterns]
    if padded.any() and not padded.all():
        pixels[padded] = np.min(pixels, where=~padded, initial=np.inf)
    return pixels


def decode(dataset: Dataset, *, path: Path) -> npt.NDArray[np.integer]:
    """Stored pixel values, by pydicom's decoders, or by itk where pydicom lacks a plugin for a syntax itk is exact on.

    Args:
        dataset: data set with pixels.
        path: the file, for messages.

    Returns:
        Integers, shape (rows, columns).

    Raises:
        MammogramError: if the pixels are missing, truncated or cannot be decoded.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    frame = _checked_frame(dataset, path)
    try:
        pixels = dataset.pixel_array if frame is None else _apart(dataset, frame, "pydicom", path)
    except MissingDecoderError as error:
        if syntax not in ITK_SYNTAXES:
            raise refuse(path, f"Expected a decoder for {syntax.name}, found none; {DECODER_REMEDY}") from error
        pixels = decode_with_itk(dataset, path=path)
    except (MammogramError, MemoryError):
        raise
    except Exception:
        raise_alone(refuse(path, "Expected decodable pixel data, it is damaged; copy or export the file again"))
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise refuse(
            path, f"Expected {dataset.Rows} x {dataset.Columns} pixels, decoded {pixels.shape}; export it again"
        )
    return pixels


def decode_with_itk(dataset: Dataset, *, path: Path) -> npt.NDArray[np.integer]:
    """Decode by itk, which gets nothing but the pixels, so that it applies no transform of its own.

    Args:
        dataset: data set with compressed pixels.
        path: the file, for messages.

    Returns:
        Integers, shape (rows, columns).

    Raises:
        MammogramError: if itk is missing, not trusted with the syntax, or returned what cannot be stored pixels.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in ITK_SYNTAXES:
        raise refuse(path, f"Expected a syntax that itk decodes exactly, got {syntax.name}; {DECODER_REMEDY}")
    try:
        pixels = _apart(dataset, first_frame(dataset.PixelData), "itk", path)
    except MissingDecoderError as error:
        raise refuse(path, f"Expected a decoder for {syntax.name}, found none; {DECODER_REMEDY}") from error
    low, high = int(pixels.min()), int(pixels.max())
    half = 2 ** (_bits_stored(dataset) - 1)
    floor, ceiling = (-half, half - 1) if dataset.get("PixelRepresentation") else (0, 2 * half - 1)
    if not (floor <= low < high <= ceiling):
        raise refuse(path, f"Expected values {floor} to {ceiling}, itk gave {low} to {high}; {DECODER_REMEDY}")
    return pixels


def _apart(dataset: Dataset, frame: bytes, decoder: str, path: Path) -> npt.NDArray[np.integer]:
    """Decode a frame outside this process, see `codec`."""
    module = {keyword: dataset.get(keyword) for keyword in PIXEL_KEYWORDS if dataset.get(keyword) is not None}
    try:
        return decode_frame(frame, syntax=str(dataset.file_meta.TransferSyntaxUID), module=module, decoder=decoder)
    except DecodingError as error:
        raise refuse(path, f"Expected decodable pixel data, {error}; copy or export the file again") from error


def _checked_frame(dataset: Dataset, path: Path) -> bytes | None:
    """The compressed frame, None for pixels as they are; missing, truncated and contradictory ones are refused."""
    data, syntax = dataset.get("PixelData"), dataset.file_meta.TransferSyntaxUID
    if not data:
        raise refuse(path, "Expected pixel data, found none; the file is truncated or holds no image, copy it again")
    size = (int(dataset.Rows), int(dataset.Columns))
    expected = size[0] * size[1] * (int(dataset.BitsAllocated) // 8)
    if not syntax.is_compressed:
        if len(data) < expected:
            reason = f"Expected {expected} bytes of pixels, got {len(data)}"
            raise refuse(path, f"{reason}; the file is truncated, copy it again")
        return None
    frame = first_frame(data)
    if syntax in MARKED_SYNTAXES:
        _check_marked(frame, size, path)
    return frame


def _check_marked(frame: bytes, size: tuple[int, int], path: Path) -> None:
    """Refuse a frame of another size than the header's, one that stops short, and one of endless passes."""
    if (declared := frame_size(frame)) != size:
        said = "no size" if declared is None else declared
        raise refuse(path, f"Expected a frame of {size[0]} x {size[1]} pixels, it declares {said}; export it again")
    if not is_complete(frame):
        raise refuse(
            path, "Expected an end marker in the compressed pixels, found none; it is truncated, copy it again"
        )
    if (scans := jpeg_scans(frame)) > MAX_JPEG_SCANS:
        raise refuse(path, f"Expected at most {MAX_JPEG_SCANS} scans in a JPEG, got {scans}; export it again")


def _patterns(stored: npt.NDArray[np.integer]) -> npt.NDArray[np.unsignedinteger]:
    """The pixels as unsigned bit patterns in the machine's byte order, to index tables with."""
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    return native.view(np.uint8 if native.itemsize == 1 else np.uint16)


def _bits_stored(dataset: Dataset) -> int:
    return int(dataset.get("BitsStored") or dataset.BitsAllocated)


def _modality(dataset: Dataset, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if sequence := dataset.get("ModalityLUTSequence"):
        return lookup(numbers, *_lut(sequence[0], dataset)[:2])
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return numbers * float(1 if slope is None else slope) + float(intercept or 0)


def _lut(item: Dataset, dataset: Dataset) -> tuple[int, npt.NDArray, int]:
    """First mapped value, entries and bits of a LUT item; 8-bit entries may come packed in 16-bit words."""
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = (count & 0xFFFF) or 65536
    data = item.LUTData
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    if not isinstance(data, bytes):
        data, little = np.atleast_1d(np.asarray(data, dtype=np.int64)).astype("<u2").tobytes(), True
    dtype = np.dtype(np.uint8) if len(data) < 2 * count else np.dtype("<u2" if little else ">u2")
    return first, np.frombuffer(data, dtype=dtype)[:count], bits & 0xFF


def _voi(
    dataset: Dataset, numbers: npt.NDArray[np.float64], voi: int | str | None, path: Path
) -> tuple[npt.NDArray[np.float64], float, float]:
    """Values after the VOI transform and the range they can take, for inversion."""
    luts = list(dataset.get("VOILUTSequence") or [])
    windows = list(zip(values(dataset, "WindowCenter"), values(dataset, "WindowWidth"), strict=False))
    if voi is None or (voi == 0 and not luts and not windows):
        return numbers, float(numbers.min()), float(numbers.max())
    kind, index = _choose(voi, _names(luts), _window_names(dataset, len(windows)), path)
    if kind == "lut":
        first, table, bits = _lut(luts[index], dataset)
        return lookup(numbers, first, table), 0.0, float(max(2**bits - 1, int(table.max())))
    center, width = (float(value) for value in windows[index])
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if function not in WINDOWS:
        raise refuse(path, f"Expected VOI LUT function {', '.join(WINDOWS)}, got {quoted(function)}; pass --voi none")
    try:
        return WINDOWS[function](numbers, center, width), 0.0, 1.0
    except ValueError as error:
        raise refuse(path, f"{error}; pass another --voi, or --voi none") from error


def _names(luts: list[Dataset]) -> list[str]:
    return [whole(item.get("LUTExplanation")) for item in luts]


def _window_names(dataset: Dataset, count: int) -> list[str]:
    named = values(dataset, "WindowCenterWidthExplanation")
    names = [whole(value) for value in named]
    if any(value and not name for value, name in zip(named, names, strict=True)):
        names = []  # What follows a damaged one may be of another element.
    return (names + [""] * count)[:count]


def _choose(voi: int | str, luts: list[str], windows: list[str], path: Path) -> tuple[str, int]:
    """("lut" or "window", position) of the transform asked for; LUTs go before windows."""
    kind, names = ("lut", luts) if luts else ("window", windows)
    if isinstance(voi, int):
        if 0 <= voi < len(names):
            return kind, voi
    else:
        for option, candidates in (("lut", luts), ("window", windows)):
            for index, name in enumerate(candidates):
                if name.strip().upper() == voi.strip().upper():
                    return option, index
    raise refuse(
        path, f"Expected one of the VOI transforms 0 to {len(names) - 1} {names}, got {voi!r}; pass another --voi"
    )


def _invert_monochrome1(
    dataset: Dataset, transformed: npt.NDArray[np.float64], low: float, high: float
) -> npt.NDArray[np.float64]:
    return low + high - transformed if text(dataset, "PhotometricInterpretation") == "MONOCHROME1" else transformed


def _raw_to_dense(dataset: Dataset, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Detector signal to density, by its declared relationship to exposure and not by how it would be displayed.

    Sign -1 means that dense tissue already has the higher value; LOG means that the logarithm has been taken.
    """
    relation: Any = dataset.get("PixelIntensityRelationshipSign")
    if text(dataset, "PixelIntensityRelationship") == "LOG":
        return numbers if relation == -1 else -numbers
    return log_exposure(numbers.max() - numbers if relation == -1 else numbers)


def _is_padding(dataset: Dataset, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which stored values are padding: PixelPaddingValue, or the range from it to PixelPaddingRangeLimit."""
    value = dataset.get("PixelPaddingValue")
    if value is None or value == "":
        return np.zeros(numbers.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(value), int(value if limit is None or limit == "" else limit)))
    return (numbers >= ends[0]) & (numbers <= ends[1])

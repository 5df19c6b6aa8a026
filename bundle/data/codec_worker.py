"""The program that decodes compressed frames: started as a file by `codec`, never imported with the package.

It reads requests from its standard input and writes answers to its standard output: two lengths (big endian, 4 bytes
each), a JSON text and bytes. What a codec prints goes nowhere.
"""

import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct(">II")
ITK_OPTIONS = {"Modality": "MG", "PhotometricInterpretation": "MONOCHROME2"}
MG_CLASS = "1.2.840.10008.5.1.4.1.1.1.2"


def decode(frame: bytes, *, syntax: str, module: dict[str, Any], decoder: str) -> Any:
    """Decode a frame.

    Args:
        frame: one frame, complete.
        syntax: Transfer Syntax UID.
        module: what the header says of the pixels, by keyword.
        decoder: "pydicom" or "itk".

    Returns:
        Integers, (rows, columns).

    Raises:
        ImportError: if there is no decoder for the syntax.
        Exception: whatever the decoder raises.
    """
    dataset = _data_set(frame, syntax, module)
    if decoder == "itk":
        return _by_itk(dataset)
    try:
        return dataset.pixel_array
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, NotImplementedError) or "dependencies" in str(error):
            raise ImportError("no decoder") from error
        raise


def _data_set(frame: bytes, syntax: str, module: dict[str, Any]) -> Any:
    """A data set with nothing but the pixels, so that no decoder applies a transform of its own."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = UID(syntax), UID(MG_CLASS)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for keyword, value in module.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _by_itk(dataset: Any) -> Any:
    import itk
    import numpy as np
    import pydicom

    for keyword, value in ITK_OPTIONS.items():
        setattr(dataset, keyword, value)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "pixels.dcm"
        try:
            pydicom.dcmwrite(copy, dataset, enforce_file_format=True)
        except TypeError:  # pydicom 2
            pydicom.dcmwrite(copy, dataset, write_like_original=False)
        return np.asarray(itk.array_from_image(itk.imread(str(copy)))).squeeze()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None at the end of the stream."""
    lengths = stream.read(HEADER.size)
    if len(lengths) < HEADER.size:
        return None
    text_length, data_length = HEADER.unpack(lengths)
    text, data = stream.read(text_length), stream.read(data_length)
    return (json.loads(text), data) if len(text) + len(data) == text_length + data_length else None


def write_message(stream: BinaryIO, content: dict[str, Any], data: bytes) -> None:
    """Write a message and see it off."""
    text = json.dumps(content).encode()
    stream.write(HEADER.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def _answer(request: dict[str, Any], frame: bytes) -> tuple[dict[str, Any], bytes]:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = decode(frame, **request)
        return {"shape": pixels.shape, "dtype": pixels.dtype.str}, pixels.tobytes()
    except ImportError:
        return {"error": "missing"}, b""
    except MemoryError:
        return {"error": "memory"}, b""
    except Exception:  # a decoder's, of any kind: the frame is the cause
        return {"error": "damaged"}, b""


def _limit_memory(max_bytes: int) -> None:
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + max_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError, ValueError):  # not on this system: time is still limited
        return


def main() -> None:
    """Answer requests until there are no more."""
    import numpy  # noqa: F401 (before the limit: libraries reserve memory that they never use)
    import pydicom  # noqa: F401

    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    _limit_memory(int(sys.argv[1]))
    while (message := read_message(sys.stdin.buffer)) is not None:
        write_message(answers, *_answer(*message))


if __name__ == "__main__":
    # Modules beside this file have names of other packages' (dicom, find, records).
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]
    main()

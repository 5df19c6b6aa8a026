"""From stored pixel values to presentation values: modality and VOI transforms (DICOM PS3.3 C.11), exact and tiny.

Stored values of a mammogram have at most 16 bits, so every step works on the 65536 possible values, not on the image.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def window_linear(values: Values, center: float, width: float) -> Values:
    """VOI LUT Function LINEAR (C.11.2.1.2.1).

    Args:
        values: any shape.
        center: window center.
        width: window width, at least 1.

    Returns:
        Values in [0, 1], same shape.

    Raises:
        ValueError: if width < 1.
    """
    if not width >= 1:
        raise ValueError(f"Expected a LINEAR window of width >= 1, got {width:g}")
    if width == 1:
        return np.where(values <= center - 0.5, 0.0, 1.0)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def window_linear_exact(values: Values, center: float, width: float) -> Values:
    """VOI LUT Function LINEAR_EXACT (C.11.2.1.3.2).

    Args:
        values: any shape.
        center: window center.
        width: window width, above 0.

    Returns:
        Values in [0, 1], same shape.

    Raises:
        ValueError: if width <= 0.
    """
    if not width > 0:
        raise ValueError(f"Expected a LINEAR_EXACT window of width > 0, got {width:g}")
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def window_sigmoid(values: Values, center: float, width: float) -> Values:
    """VOI LUT Function SIGMOID (C.11.2.1.3.1).

    Args:
        values: any shape.
        center: window center.
        width: window width, above 0.

    Returns:
        Values in (0, 1), same shape.

    Raises:
        ValueError: if width <= 0.
    """
    if not width > 0:
        raise ValueError(f"Expected a SIGMOID window of width > 0, got {width:g}")
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -500.0, 500.0)))


def lookup(values: Values, first_value: int, table: npt.NDArray) -> npt.NDArray[np.float64]:
    """A DICOM lookup table (C.11.1.1): the first entry below its range, the last one above.

    Args:
        values: rounded to integers, any shape.
        first_value: value that the table's first entry stands for.
        table: entries, shape (n,), n >= 1.

    Returns:
        Entries, float64, shape of the values.
    """
    index = np.clip(np.rint(values).astype(np.int64) - first_value, 0, len(table) - 1)
    return np.asarray(table, dtype=np.float64)[index]


def log_exposure(values: Values) -> npt.NDArray[np.float64]:
    """Detector counts to negative log exposure, so that dense tissue is bright: -log(max(counts, 1)).

    Args:
        values: linear detector counts, any shape.

    Returns:
        float64, at most 0, same shape.
    """
    return -np.log(np.maximum(np.asarray(values, dtype=np.float64), 1.0))


def stored_values(bits_allocated: int, bits_stored: int, signed: bool) -> npt.NDArray[np.int64]:
    """The number that every bit pattern of a pixel stands for; bits above bits_stored (old overlays) are ignored.

    Args:
        bits_allocated: 8 or 16.
        bits_stored: 1 to bits_allocated.
        signed: two's complement within bits_stored.

    Returns:
        int64, shape (2**bits_allocated,).
    """
    values = np.arange(2**bits_allocated, dtype=np.int64) & (2**bits_stored - 1)
    if signed:
        values = np.where(values >= 2 ** (bits_stored - 1), values - 2**bits_stored, values)
    return values

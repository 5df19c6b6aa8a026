"""The training renderer of puncta against a finer one that shares nothing with it."""

from collections.abc import Sequence

import numpy as np

from ..functional.fidelity import reference_sphere
from ..functional.puncta import Punctum, render_punctum
from .tables import Cell, Table

PASS, DIFFERS = "pass", "differs"
RENDER_LIMIT = 0.05
RENDER_DIAMETERS_MM = (0.1, 0.2, 0.3, 0.5)
RENDER_SPACINGS_MM = (0.05, 0.07, 0.1)
RENDER_BLURS_MM = (0.025, 0.045, 0.065)
RENDER_OFFSETS_PX = (-0.4, -0.1, 0.25)


def sphere(diameter_mm: float) -> Punctum:
    """A punctum at the patch's corner."""
    return Punctum(0.0, 0.0, np.array([[0.0, 0.0, diameter_mm / 2, diameter_mm / 2, 0.0]]), 1.0)


def renderer_rows() -> list[dict[str, float]]:
    """Peak of `render_punctum` over that of the reference: mean, least and largest over places in the pixel."""
    rows = []
    for diameter in RENDER_DIAMETERS_MM:
        for spacing in RENDER_SPACINGS_MM:
            for blur in RENDER_BLURS_MM:
                ratios = [
                    _peak_ratio(diameter, spacing, blur, (row, column))
                    for row in RENDER_OFFSETS_PX
                    for column in RENDER_OFFSETS_PX
                ]
                rows.append(
                    {
                        "diameter_mm": diameter,
                        "spacing_mm": spacing,
                        "blur_sigma_mm": blur,
                        "mean": float(np.mean(ratios)),
                        "least": min(ratios),
                        "largest": max(ratios),
                    }
                )
    return rows


def _peak_ratio(diameter: float, spacing: float, blur: float, offset: tuple[float, float]) -> float:
    row_mm, column_mm = ((0.5 + shift) * spacing for shift in offset)
    punctum = Punctum(row_mm, column_mm, sphere(diameter).parts, 1.0)
    own = render_punctum(punctum, spacing_mm=spacing, blur_sigma_mm=blur).peak_mm
    return own / float(reference_sphere(diameter, spacing_mm=spacing, blur_sigma_mm=blur, offset_px=offset).max())


def renderer_table(rows: Sequence[dict[str, float]]) -> Table:
    """The ratios as a table to print."""
    columns = ("Diameter (um)", "Pixel (mm)", "Blur (um)", "Mean ratio", "Least", "Largest", "Verdict")
    cells = []
    for row in rows:
        fits = max(abs(row["least"] - 1), abs(row["largest"] - 1)) <= RENDER_LIMIT
        ratios = [Cell(f"{row[key]:.3f}", row[key]) for key in ("mean", "least", "largest")]
        verdict = PASS if fits else DIFFERS
        cells.append(
            (
                Cell(f"{1000 * row['diameter_mm']:g}", row["diameter_mm"]),
                Cell(f"{row['spacing_mm']:g}", row["spacing_mm"]),
                Cell(f"{1000 * row['blur_sigma_mm']:g}", row["blur_sigma_mm"]),
                *ratios,
                Cell(verdict, verdict),
            )
        )
    return Table("Peak after blur and pixel integration, over the reference renderer", columns, tuple(cells))

"""Contact sheets of the synthesis: shapes, distributions, hard negatives, detectors, patches, screened spots."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from ..functional.detector import Detector, apply_detector, sample_detector
from ..functional.distributions import DISTRIBUTIONS
from ..functional.fidelity_pairs import Pair
from ..functional.hard_negatives import HARD_NEGATIVES, add_hard_negatives
from ..functional.injection import SHAPES, Injection, InjectionRanges, inject, sample_injection
from ..functional.puncta import Array, Punctum, sample_parts
from .figures import new_figure
from .panels import densest_crop

TILE_INCHES = 1.7
# Wide enough that no pixel of a patch of 256 px is dropped.
PATCH_INCHES = 2.5
DIAMETERS_MM = (0.12, 0.18, 0.25, 0.4, 0.7)
BLUR_MM = 0.045
SHAPE_CNR = 12.0
SHAPE_CROP_MM = 3.0
DRAWS = 5
SPOT_MM = 4.0
CROP_PX = 128
# Single pixels are seen in a small crop only.
CROPS_PX = {"dust": 32}
SHOWN = 20
COLUMNS = 5
DETECTORS = {
    "as injected": Detector(),
    "blur 0.8 px": Detector(blur_sigma_px=0.8),
    "sharpening 1.2, 0.8 px": Detector(sharpening=1.2, sharpening_sigma_px=0.8),
    "sharpening 1.2, 4 px": Detector(sharpening=1.2, sharpening_sigma_px=4.0),
    "grain 0.02": Detector(grain=0.02),
    "gamma 0.67": Detector(gamma=0.67),
    "gamma 1.5": Detector(gamma=1.5),
    "gain 1.25, offset 0.15": Detector(gain=1.25, offset=0.15),
    "8 bits": Detector(bits=8),
    "JPEG quality 60": Detector(jpeg_quality=60),
}
LABEL_COLOURS = {1: "#F0E442", 2: "#56B4E9"}


def shape_sheet(background: Array, *, spacing_mm: float, rng: np.random.Generator) -> Figure:
    """Puncta by shape (rows) and drawn diameter (columns), each in a crop of 3 mm."""
    side = round(SHAPE_CROP_MM / spacing_mm)
    figure, grid = _grid(len(SHAPES), len(DIAMETERS_MM))
    for line, shape in zip(grid, SHAPES, strict=True):
        for axes, diameter in zip(line, DIAMETERS_MM, strict=True):
            top, left = (int(rng.integers(0, size - side + 1)) for size in background.shape)
            centre = (np.array([top, left]) + side / 2) * spacing_mm
            parts = sample_parts(rng, diameter, shape=shape)
            punctum = Punctum(float(centre[0]), float(centre[1]), parts, SHAPE_CNR)
            image, _ = inject(background, Injection((punctum,), BLUR_MM), spacing_mm=spacing_mm)
            _show(axes, image[top : top + side, left : left + side], f"{shape}, {diameter:g} mm")
    return figure


def distribution_sheet(background: Array, *, spacing_mm: float, rng: np.random.Generator) -> Figure:
    """Draws of each BI-RADS distribution, one cluster in the whole patch."""
    figure, grid = _grid(len(DISTRIBUTIONS), DRAWS, inches=PATCH_INCHES)
    extent = background.shape[0] * spacing_mm, background.shape[1] * spacing_mm
    for line, name in zip(grid, DISTRIBUTIONS, strict=True):
        ranges = InjectionRanges(
            empty_share=0.0,
            clusters=(1, 1),
            puncta=(8, 40),
            isolated=(0, 0),
            cnr=(6.0, 15.0),
            distributions={name: 1.0},
        )
        for axes in line:
            injection = sample_injection(rng, extent_mm=extent, ranges=ranges)
            image, _ = inject(background, replace(injection, by_thickness=False), spacing_mm=spacing_mm)
            _show(axes, image, name)
    return figure


def hard_negative_sheet(background: Array, *, spacing_mm: float, rng: np.random.Generator) -> Figure:
    """Draws of each kind of hard negative, cropped to where they change most."""
    figure, grid = _grid(len(HARD_NEGATIVES), DRAWS, inches=PATCH_INCHES)
    for line, kind in zip(grid, HARD_NEGATIVES, strict=True):
        for axes in line:
            image = add_hard_negatives(background, rng, spacing_mm=spacing_mm, shares={kind: 1.0})
            changed = np.abs(image - background)
            much = changed > 0.5 * changed.max()
            _show(axes, image[densest_crop(much, much, crop_px=CROPS_PX.get(kind, CROP_PX))], kind)
    return figure


def detector_sheet(background: Array, *, spacing_mm: float, rng: np.random.Generator) -> Figure:
    """One injected patch under single settings of the detector, then under drawn ones; crops of 64 px."""
    extent = background.shape[0] * spacing_mm, background.shape[1] * spacing_mm
    ranges = InjectionRanges(empty_share=0.0, puncta=(30, 40), cnr=(8.0, 15.0), distributions={"grouped": 1.0})
    injection = replace(sample_injection(rng, extent_mm=extent, ranges=ranges), by_thickness=False)
    image, label = inject(background, injection, spacing_mm=spacing_mm)
    crop = densest_crop(label > 0, label > 0, crop_px=CROP_PX // 2)
    settings = {**DETECTORS, **{f"drawn {n + 1}": sample_detector(rng) for n in range(DRAWS)}}
    figure, grid = _grid(len(settings) // COLUMNS, COLUMNS)
    for axes, (name, detector) in zip(grid.flat, settings.items(), strict=True):
        _show(axes, apply_detector(image, detector, rng)[crop], name, limits=(float(image.min()), float(image.max())))
    return figure


def patch_sheet(pairs: Sequence[Pair]) -> Figure:
    """Training patches as the network gets them, each beside its label: yellow calcification, blue ignore."""
    shown = pairs[: SHOWN // 2]
    figure, grid = _grid(max(1, -(-len(shown) // 2)), 4, inches=PATCH_INCHES)
    for axes in grid.flat:
        axes.set_axis_off()
    for pair, first, second in zip(shown, grid.flat[::2], grid.flat[1::2], strict=False):
        count = f"{len(pair.injection.puncta)} puncta" if pair.injection.puncta else "none"
        _show(first, pair.image, f"{pair.spacing_mm:.3f} mm, {count}")
        _show(second, pair.image, "label")
        for value, colour in LABEL_COLOURS.items():
            if (pair.label == value).any():
                second.contour(pair.label == value, levels=[0.5], colors=colour, linewidths=0.6)
    return figure


def screened_spots(image: Array, ignore: NDArray[np.bool_], *, spacing_mm: float) -> list[Array]:
    """Crops of 4 mm around the spots that screening found in a view."""
    half = round(SPOT_MM / 2 / spacing_mm)
    padded = np.pad(image, half, constant_values=-1)
    found, count = ndimage.label(ignore)
    places = [tuple(round(c) for c in centre) for centre in ndimage.center_of_mass(ignore, found, range(1, count + 1))]
    return [padded[row : row + 2 * half + 1, column : column + 2 * half + 1] for row, column in places]


def spot_sheet(spots: Sequence[Array]) -> Figure:
    """Spots of the views that are left out of training, as they are."""
    shown = spots[:: max(1, len(spots) // (2 * SHOWN))][: 2 * SHOWN]
    figure, grid = _grid(-(-len(shown) // 8), 8)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, spot in zip(grid.flat, shown, strict=False):
        _show(axes, spot, "")
    return figure


def _grid(rows: int, columns: int, *, inches: float = TILE_INCHES) -> tuple[Figure, NDArray]:
    figure = new_figure(columns * inches, rows * (inches + 0.2))
    # Tiles of known size need no solver, which takes seconds for some dozens of them.
    figure.set_layout_engine("none")
    space = {"left": 0.005, "right": 0.995, "bottom": 0.005, "top": 1 - 0.2 / (rows * (inches + 0.2))}
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw={**space, "wspace": 0.03, "hspace": 0.1})


def _show(axes: Axes, image: Array, title: str, *, limits: tuple[float, float] | None = None) -> None:
    """A crop on the grey scale of its own tissue, unless limits are given."""
    tissue = image[image > -1]
    low, high = limits or (np.percentile(tissue, [1, 99.8]) if tissue.size else (-1.0, 1.0))
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 0.02), interpolation="nearest")
    axes.set_title(title, fontsize=7, pad=2)
    axes.set_axis_off()

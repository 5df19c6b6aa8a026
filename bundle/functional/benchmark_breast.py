"""The breast of the shift benchmark: a piece of 60 x 45 mm with skin and air, as attenuation along the beam."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

from .benchmark_curves import curves_mm
from .benchmark_texture import Compartments, Lumps, adipose_compartments, lumpy_texture

Array = NDArray[np.float32]

SALT = 0x5348494654
"""In front of every seed ("SHIFT"): no stream of training begins with it."""
FIELD_MM = (60.0, 45.0)
TEXTURE_GRID_MM = 0.1
"""Textures are made on this grid whatever the pixels, so that one breast can be taken with several detectors."""
MU_FAT_PER_MM, MU_GLAND_PER_MM = 0.0456, 0.0802
"""Adipose and fibroglandular tissue at 20 keV (Johns and Yaffe, Phys. Med. Biol. 32, 675-695, 1987)."""
LOBES = 5


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of one case; the parts do not disturb each other.

    Args:
        seed: of the case.
        name: of the part.
    """
    return np.random.default_rng([SALT, seed, *name.encode()])


@dataclass(frozen=True)
class Outline:
    """The edge of the breast: its column as a function of the row.

    Attributes:
        apex_row_mm: row of the foremost point.
        depth_mm: its column.
        bow_mm: how far the edge comes back 30 mm above or below it.
        wave_mm: amplitude of a slow wave.
        wave_phase: its phase, radians.
        thickness_mm: compressed thickness.
        edge_mm: width of the rounded border.
        skin_mm: thickness of the skin.
    """

    apex_row_mm: float
    depth_mm: float
    bow_mm: float
    wave_mm: float
    wave_phase: float
    thickness_mm: float
    edge_mm: float
    skin_mm: float

    def distance_mm(self, row_mm: ArrayLike, column_mm: ArrayLike) -> NDArray[np.floating]:
        """Distance to the skin, to first order, > 0 inside; rows and columns are broadcast."""
        away = (np.asarray(row_mm) - self.apex_row_mm) / 30.0
        turn = 3.0 * away + self.wave_phase
        edge = self.depth_mm - self.bow_mm * np.abs(away) ** 2.2 + self.wave_mm * np.sin(turn)
        slope = (-2.2 * self.bow_mm * np.sign(away) * np.abs(away) ** 1.2 + 3.0 * self.wave_mm * np.cos(turn)) / 30.0
        return (edge - np.asarray(column_mm)) / np.hypot(1.0, slope)

    def path_mm(self, distance_mm: Array) -> Array:
        """Thickness at a distance from the skin: a slab with a rounded edge."""
        inward = np.clip(distance_mm / self.edge_mm, 0.0, 1.0)
        return (self.thickness_mm * np.sqrt(inward * (2.0 - inward))).astype(np.float32)

    def map_mm(self, shape: tuple[int, int], spacing_mm: float) -> Array:
        """Distance to the skin at every pixel, (rows, columns)."""
        row, column = ((np.arange(side, dtype=np.float32) + 0.5) * np.float32(spacing_mm) for side in shape)
        return self.distance_mm(row[:, None], column[None, :]).astype(np.float32)


@dataclass(frozen=True)
class Breast:
    """What lies in the beam.

    Attributes:
        seed: seed of the random fields.
        outline: geometry.
        texture: "lumps" or "compartments".
        lumps: parameters of the one family.
        compartments: parameters of the other.
        density: share of glandular tissue in the middle of the gland, 0..1.
        contrast: standard deviation of the logarithm of the glandular share about its slow trend.
        fibres_per_cm2: density of fibres.
        vessels: number of vessels.
    """

    seed: int
    outline: Outline
    texture: str
    lumps: Lumps
    compartments: Compartments
    density: float
    contrast: float
    fibres_per_cm2: float
    vessels: int


def texture_field(breast: Breast, shape: tuple[int, int]) -> Array:
    """The texture on the grid of a view, mean 0, standard deviation 1, by a spline from TEXTURE_GRID_MM.

    Raises:
        ValueError: if the family is unknown.
    """
    grid = (round(FIELD_MM[0] / TEXTURE_GRID_MM), round(FIELD_MM[1] / TEXTURE_GRID_MM))
    rng = stream(breast.seed, breast.texture)
    if breast.texture == "lumps":
        field = lumpy_texture(rng, grid, spacing_mm=TEXTURE_GRID_MM, lumps=breast.lumps)
    elif breast.texture == "compartments":
        depth_mm, compartments = breast.outline.thickness_mm, breast.compartments
        field = adipose_compartments(
            rng, grid, spacing_mm=TEXTURE_GRID_MM, depth_mm=depth_mm, compartments=compartments
        )
    else:
        raise ValueError(f"Expected texture lumps or compartments, got {breast.texture!r}; pass one of these")
    (rows, columns), target = _centres_mm(grid), _centres_mm(shape)
    return RectBivariateSpline(rows, columns, field)(*target).astype(np.float32)


def gland_share(breast: Breast, shape: tuple[int, int]) -> Array:
    """Where the gland is, 0.4 to about 1: wide lobes on a plateau, (rows, columns)."""
    rng = stream(breast.seed, "gland")
    row_mm, column_mm = _centres_mm(shape)
    share = np.full(shape, 0.4, np.float32)
    for _ in range(LOBES):
        centre = rng.uniform((5.0, 0.0), (FIELD_MM[0] - 5.0, 0.75 * breast.outline.depth_mm))
        width = rng.uniform(5.0, 12.0, 2)
        down = np.exp(-0.5 * ((row_mm - centre[0]) / width[0]) ** 2)
        across = np.exp(-0.5 * ((column_mm - centre[1]) / width[1]) ** 2)
        share += np.float32(rng.uniform(0.1, 0.35)) * np.outer(down, across).astype(np.float32)
    return share


def attenuation(breast: Breast, distance_mm: Array, *, spacing_mm: float) -> Array:
    """Attenuation along the beam, mu t, of fat, gland with its texture, fibres, vessels and skin, (rows, columns).

    Args:
        breast: what lies in the beam.
        distance_mm: to the skin, (rows, columns).
        spacing_mm: pixel size.
    """
    shape = (distance_mm.shape[0], distance_mm.shape[1])
    path = breast.outline.path_mm(distance_mm)
    inner = breast.outline.path_mm(distance_mm - breast.outline.skin_mm)
    # Fat lies under the skin: the gland begins softly, about a centimetre inside.
    share = breast.density * gland_share(breast, shape) * -np.expm1(-((np.maximum(distance_mm, 0.0) / 10.0) ** 2))
    # Lognormal: bright strands on a dark ground, and no negative tissue.
    share = np.minimum(share * np.exp(breast.contrast * texture_field(breast, shape)), 1.0)
    curves = curves_mm(
        stream(breast.seed, "curves"),
        shape,
        size_mm=FIELD_MM,
        spacing_mm=spacing_mm,
        fibres_per_cm2=breast.fibres_per_cm2,
        vessels=breast.vessels,
    )
    # The slab's upper and lower skin is flat and left out; where the breast is thin, so are its fibres.
    skin = np.minimum(path - inner, 6.0 * breast.outline.skin_mm)
    dense = share * inner + curves * np.minimum(inner / 20.0, 1.0) + skin
    return (MU_FAT_PER_MM * path + (MU_GLAND_PER_MM - MU_FAT_PER_MM) * dense).astype(np.float32)


def _centres_mm(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel centres along both axes of a raster of the field."""
    row, column = ((np.arange(count) + 0.5) * side / count for count, side in zip(shape, FIELD_MM, strict=True))
    return row, column

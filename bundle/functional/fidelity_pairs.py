"""Measures of training pairs beside their twins without puncta, pair by pair and together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from .breast import INSIDE_FLOOR
from .clusters import ISOLATED, cluster_findings
from .confusion import MICROCALCIFICATION
from .fidelity import (
    Blobs,
    DrawnPuncta,
    drawn_puncta,
    measure_blobs,
    nearest_neighbour_mm,
    radial_samples,
    reference_sphere,
)
from .fingerprint import puncta_cover, texture_features
from .injection import Injection
from .object_strata import diameter_mm, measure_visibility
from .objects import find_reference
from .puncta import Array

Values = NDArray[np.float64]

# Of the covered part of the fingerprint test: blur, sharpening and the 8 pixels of a JPEG block end within it.
MARGIN_MM = 0.8
# The deliberate trace that shows what the fingerprint test is able to see.
CONTROL_NOISE = 1.1
# Round puncta this far from others show their own edge alone.
ALONE_MM = 1.5
ROUND = 1.5
# Limits of the detector blur in the literature.
REFERENCE_BLUR_MM = (0.025, 0.065)


@dataclass(frozen=True)
class Pair:
    """A training sample, and its twin and its control, which were drawn with the same numbers.

    Attributes:
        view: name of the source.
        spacing_mm: pixel size.
        plain: (rows, columns), the crop of the view as it is; all images are in [-1, 1], -1 outside the breast.
        before: with noise and hard negatives, without puncta.
        injected: with puncta, before the detector.
        image: as the network gets it.
        clean: the twin, which has no puncta, as the network would get it.
        control: the sample with its fine noise 10 % stronger before the detector: a trace on purpose.
        label: 0, 1, or 2 (ignore).
        screened: bool, what screening found in the view.
        injection: the puncta.
    """

    view: str
    spacing_mm: float
    plain: Array
    before: Array
    injected: Array
    image: Array
    clean: Array
    control: Array
    label: NDArray[np.uint8]
    screened: NDArray[np.bool_]
    injection: Injection


@dataclass(frozen=True)
class PairMeasures:
    """What was measured of one pair; empty or None where there are no puncta.

    Attributes:
        view: name of the source.
        puncta: as drawn.
        distance_mm: of each punctum in a cluster (five within 1 cm) to its nearest neighbour.
        in_cluster: share of the puncta in such a cluster; nan without puncta.
        objects: labelled objects, ignored ones included.
        cnr: of the objects labelled 1, measured in the final image.
        object_mm: their diameters.
        positive_share: share of the tissue labelled 1.
        plain_blobs: of the crop as it is, but for screened spots.
        screened_blobs: on screened spots of the crop as it is.
        clean_blobs: of the twin.
        at_puncta: blobs of the final image on labelled objects.
        beside: its other blobs.
        edges: distance and value, (n, 2) each: as drawn, in the final image, and of spheres with the least and the
            largest published blur.
        features: of texture, puncta covered: injected, twin and control.
    """

    view: str
    puncta: DrawnPuncta
    distance_mm: Values
    in_cluster: float
    objects: int
    cnr: Values
    object_mm: Values
    positive_share: float
    plain_blobs: Blobs
    screened_blobs: Blobs
    clean_blobs: Blobs
    at_puncta: Blobs
    beside: Blobs
    edges: tuple[Values, Values, Values, Values]
    features: tuple[dict[str, float], dict[str, float], dict[str, float]] | None


def measure_pair(pair: Pair) -> PairMeasures:
    """Measure one pair."""
    puncta = drawn_puncta(pair.before, pair.injection, spacing_mm=pair.spacing_mm)
    cluster = cluster_findings(puncta.position_mm)
    nearest = nearest_neighbour_mm(puncta.position_mm)
    label = np.where(pair.screened & (pair.label != MICROCALCIFICATION), 0, pair.label)
    spacing = (pair.spacing_mm, pair.spacing_mm)
    reference = find_reference(label, spacing_mm=spacing, region=pair.image > -1)
    blobs = measure_blobs(pair.image, spacing_mm=pair.spacing_mm)
    plain = measure_blobs(pair.plain, spacing_mm=pair.spacing_mm)
    on_screened = pair.screened[tuple(plain.position_px.T)]
    on_label = binary_dilation(label > 0)[tuple(blobs.position_px.T)]
    return PairMeasures(
        view=pair.view,
        puncta=puncta,
        distance_mm=nearest[cluster != ISOLATED],
        in_cluster=float(np.mean(cluster != ISOLATED)) if len(cluster) else math.nan,
        objects=len(reference.true) + len(reference.ignored),
        cnr=measure_visibility(pair.image, pair.label, reference).cnr,
        object_mm=diameter_mm(reference.true.area_px, spacing_mm=spacing),
        positive_share=float((pair.label == MICROCALCIFICATION).sum() / max((pair.image > -1).sum(), 1)),
        plain_blobs=_chosen(plain, ~on_screened),
        screened_blobs=_chosen(plain, on_screened),
        clean_blobs=measure_blobs(pair.clean, spacing_mm=pair.spacing_mm),
        at_puncta=_chosen(blobs, on_label),
        beside=_chosen(blobs, ~on_label),
        edges=_edges(pair, puncta, nearest),
        features=_features(pair, label) if (label > 0).any() else None,
    )


def joined(blobs: Sequence[Blobs]) -> Blobs:
    """Blobs of several images together."""
    position, scale, contrast, roundness = (np.concatenate(values) for values in zip(*blobs, strict=True))
    return Blobs(position, scale, contrast, roundness)


def _chosen(blobs: Blobs, chosen: NDArray[np.bool_]) -> Blobs:
    return Blobs(*(values[chosen] for values in blobs))  # type: ignore[arg-type]


def _edges(pair: Pair, puncta: DrawnPuncta, nearest_mm: Values) -> tuple[Values, Values, Values, Values]:
    """Radial samples of round visible puncta that stand alone, and of spheres of the same diameters."""
    alone = np.flatnonzero((nearest_mm > ALONE_MM) & (puncta.elongation < ROUND) & puncta.visible)
    drawn, shown = pair.injected - pair.before, pair.image - pair.clean
    samples: list[list[tuple[Values, Values]]] = [[], [], [], []]
    for index in alone:
        centre = puncta.position_mm[index] / pair.spacing_mm
        samples[0].append(radial_samples(drawn, centre, spacing_mm=pair.spacing_mm))
        samples[1].append(radial_samples(shown, centre, spacing_mm=pair.spacing_mm))
        for place, blur in zip((2, 3), REFERENCE_BLUR_MM, strict=True):
            offset = (float(centre[0]) % 1 - 0.5, float(centre[1]) % 1 - 0.5)
            sphere = reference_sphere(
                float(puncta.diameter_mm[index]), spacing_mm=pair.spacing_mm, blur_sigma_mm=blur, offset_px=offset
            )
            middle = [sphere.shape[0] // 2 + 0.5 + shift for shift in offset]
            padded = np.pad(sphere, 30)
            samples[place].append(radial_samples(padded, [m + 30 for m in middle], spacing_mm=pair.spacing_mm))
    first, second, third, fourth = (_stacked(rows) for rows in samples)
    return first, second, third, fourth


def _stacked(samples: Sequence[tuple[Values, Values]]) -> Values:
    if not samples:
        return np.zeros((0, 2))
    return np.concatenate([np.column_stack(sample) for sample in samples])


def _features(
    pair: Pair, label: NDArray[np.integer]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]] | None:
    mask = puncta_cover(label, spacing_mm=pair.spacing_mm, margin_mm=MARGIN_MM)
    # A patch that is covered but for a corner has no texture left to describe.
    if np.mean(mask | (pair.image <= -1)) > 0.9:
        return None
    first, second, third = (texture_features(image, mask) for image in (pair.image, pair.clean, pair.control))
    return first, second, third


def stronger_noise(image: Array, *, factor: float = CONTROL_NOISE) -> Array:
    """The image with what is finer than one pixel's Gaussian multiplied by a factor; only -1 is -1."""
    fine = image - gaussian_filter(image, 1.0)
    louder = np.clip(image + np.float32(factor - 1) * fine, INSIDE_FLOOR, 1)
    return np.where(image > -1, louder, image).astype(np.float32)

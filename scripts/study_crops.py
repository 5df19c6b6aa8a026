"""Crops of the refinement study: one per breast, from the tuning split of the shift benchmark, none in a benchmark.

Benchmarks tune on the first views of that split; the study takes later ones, and others again to fit weights on.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy import ndimage

from bundle.data import LoadLabeld, LoadMammogramd
from bundle.data.shift_benchmark import CONDITIONS, SPACING_MM, ShiftCase, sample_parameters, write_cases
from bundle.engines.benchmark import Case, View
from bundle.engines.evaluation import fingerprint
from bundle.functional.confusion import IGNORE, MICROCALCIFICATION
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark import as_view

STUDY_VERSION = 1
"""Raise when the same view gives another crop."""
DATASET = "refinement study"
SPLIT = "tuning"
FIRST_VIEW = {"study": 2000, "fit": 1000}
"""Numbers of the views in the tuning split; benchmarks use those from 0 on."""
CLEAN_EVERY = 3
CROPS_PX = (256, 512)
# Of the crop's side, this much at least lies between a calcification in its middle part and the border.
MARGIN = 0.25
# Corners of crops of clean views are this far apart.
STEP_PX = 16
LEAST_BREAST = 0.5
_SALT = 5


def study_views(part: str, count: int) -> list[ShiftCase]:
    """Views, each a breast of its own; every third is clean.

    Args:
        part: "study", or "fit" for the views that weights are fitted on.
        count: how many; fewer are the first of more.
    """
    views = []
    for number in range(count):
        calcified = number % CLEAN_EVERY != CLEAN_EVERY - 1
        parameters = sample_parameters(SPLIT, FIRST_VIEW[part] + number, calcified=calcified)
        name = f"{part}-{number:03d}"
        views.append(ShiftCase(name, name, SPLIT, CONDITIONS[0], f"{SPACING_MM:g} mm", calcified, parameters))
    return views


def study_cases(part: str, count: int, *, crop_px: int, directory: Path) -> list[Case]:
    """The crops; a view is rendered when its crop is first read.

    Args:
        part: as in `study_views`.
        count: as in `study_views`.
        crop_px: side.
        directory: where rendered views are kept.

    Raises:
        ValueError: on a side that is smaller than a window or larger than the views.
    """
    if not CROPS_PX[0] <= crop_px <= CROPS_PX[1]:
        raise ValueError(f"Expected crops of {CROPS_PX[0]} to {CROPS_PX[1]} px, got {crop_px}; 256 is one window")
    return [
        Case(
            view.name,
            view.patient,
            DATASET,
            fingerprint(STUDY_VERSION, view.digest, crop_px),
            partial(load_crop, view, crop_px, directory),
        )
        for view in study_views(part, count)
    ]


def load_whole(view: ShiftCase, directory: Path) -> View:
    """Read a view, rendered if it is not there."""
    (item,) = write_cases(directory, [view], progress=False)
    load = Compose([LoadMammogramd(), BreastMaskd(), MammogramWindowd(), LoadLabeld("label")])
    return as_view(load({"image": item["image"], "label": item["label"]}))


def load_crop(view: ShiftCase, crop_px: int, directory: Path) -> View:
    """The crop of a view; the intensity window is that of the whole view."""
    whole = load_whole(view, directory)
    rng = np.random.default_rng([view.parameters.seed, _SALT])
    return cut(whole, crop_place(whole["label"], whole["breast"], crop_px=crop_px, rng=rng))


def crop_place(
    label: NDArray[np.uint8], breast: NDArray[np.bool_], *, crop_px: int, rng: np.random.Generator
) -> tuple[slice, slice]:
    """A square about one calcification drawn at random, or anywhere with enough breast where there is none.

    Args:
        label: (rows, columns), 0, 1 or 2 (ignore).
        breast: bool (rows, columns).
        crop_px: side; a smaller view is taken whole.
        rng: the only source of randomness.
    """
    objects, count = ndimage.label(label == MICROCALCIFICATION, np.ones((3, 3)))
    last = np.maximum(np.array(label.shape) - crop_px, 0)
    if count:
        # One object, however large: large ones are not to be met more often.
        chosen = np.argwhere(objects == 1 + rng.integers(count)).mean(axis=0)
        corner = np.clip((chosen - rng.uniform(MARGIN, 1 - MARGIN, 2) * crop_px).round(), 0, last).astype(int)
    else:
        corner = _breast_corner(breast, last, crop_px, rng)
    return _square(corner, crop_px)


def _breast_corner(breast: NDArray[np.bool_], last: NDArray, crop_px: int, rng: np.random.Generator) -> NDArray:
    """First row and column of a square with enough breast; of the one with most, if none has enough."""
    corners = [
        np.array([row, column])
        for row in range(0, int(last[0]) + 1, STEP_PX)
        for column in range(0, int(last[1]) + 1, STEP_PX)
    ]
    shares = np.array([breast[_square(corner, crop_px)].mean() for corner in corners])
    enough = np.flatnonzero(shares >= min(LEAST_BREAST, shares.max()))
    return corners[int(rng.choice(enough))]


def _square(corner: Sequence[int] | NDArray, crop_px: int) -> tuple[slice, slice]:
    return slice(int(corner[0]), int(corner[0]) + crop_px), slice(int(corner[1]), int(corner[1]) + crop_px)


def cut(view: View, place: tuple[slice, slice]) -> dict[str, Any]:
    """The square of a view; calcifications that its border cuts are to be ignored."""
    arrays = {key: np.ascontiguousarray(view[key][place]) for key in ("image", "label", "breast")}
    label = arrays["label"].copy()
    objects, _ = ndimage.label(label == MICROCALCIFICATION, np.ones((3, 3)))
    border = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    label[np.isin(objects, border[border > 0])] = IGNORE
    return {**arrays, "label": label, "spacing_mm": view["spacing_mm"]}

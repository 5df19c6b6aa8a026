"""Real normals as a benchmark: which views make an exam, and crops of them, clean and with injected calcifications."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..functional.benchmark_clusters import DISTRIBUTIONS
from ..functional.confusion import IGNORE, MICROCALCIFICATION
from ..functional.detector import Detector, apply_detector
from ..functional.real_injection import (
    BLUR_SIGMA_MM,
    MEDIAN_CNR,
    gain_for_cnr,
    inject_thickness,
    local_noise,
    place,
    sample_calcifications,
)
from ..functional.screening import screen_background
from .errors import refuse
from .files import read_csv, rows_by_column
from .find import find_mammograms

# Raise when the same crop would be made differently: records of the old kind are then made anew.
REAL_VERSION = 1
# In front of every seed ("REAL"): no stream of training or of the shift benchmark begins with it.
SALT = 0x5245414C
# A crop holds at least this share of breast.
LEAST_BREAST = 0.5
# Rows and columns of a view may differ in pixel size by this much, relatively.
SQUARE_TOLERANCE = 0.01
PIXEL_DEPTH = 8


@dataclass(frozen=True)
class Crop:
    """One crop of one view, clean or with calcifications.

    Attributes:
        exam: exam of the view.
        path: file of the view.
        number: of the crop within the view.
        injection: number of the injection, or None for the clean crop.
    """

    exam: str
    path: str
    number: int
    injection: int | None

    @property
    def name(self) -> str:
        """Readable, one of its kind."""
        what = "clean" if self.injection is None else f"injection {self.injection}"
        return f"{Path(self.path).name} crop {self.number} {what}"


def exams_of(folder: str | PathLike[str], exams_csv: str | PathLike[str] | None = None) -> dict[str, list[str]]:
    """Group the views of a folder into exams.

    Without a table the exam is what stands before the first "_" of the file's name, or the whole stem: L_CC and R_CC of
    a patient must share that beginning, or a table must say what belongs together.

    Args:
        folder: normals.
        exams_csv: table with the columns `image` (file name) and `exam`.

    Returns:
        Paths by exam, both sorted.

    Raises:
        MammogramError: if the folder is empty, has two files of one name or fewer than two exams, or the table does not
            fit it.
    """
    paths = [view["image"] for view in find_mammograms(folder)]
    # Crops, injections and cases go by the file's name.
    twice = [name for name, count in Counter(Path(path).name for path in paths).items() if count > 1]
    if twice:
        raise refuse(folder, f"Expected files of different names, got several called {twice[0]}; rename them")
    if exams_csv is None:
        exam_of = {path: Path(path).stem.split("_")[0] for path in paths}
    else:
        table = _read_table(exams_csv)
        missing = [Path(path).name for path in paths if Path(path).name not in table]
        if missing:
            raise refuse(exams_csv, f"Expected an exam for every image, found none for {missing[0]}; add a line")
        exam_of = {path: table[Path(path).name] for path in paths}
    exams: dict[str, list[str]] = {}
    for path in sorted(paths, key=lambda path: (exam_of[path], path)):
        exams.setdefault(exam_of[path], []).append(path)
    if len(exams) < 2:
        raise refuse(
            folder, f"Expected at least two exams, to tune on others than tested on, got {len(exams)}; add some"
        )
    return exams


def crops_of(exams: Mapping[str, Sequence[str]], *, crops_per_view: int, injections: int) -> list[Crop]:
    """The cases of all exams: per view `crops_per_view` crops, each clean and with `injections` injections."""
    kinds: list[int | None] = [None, *range(injections)]
    return [
        Crop(exam, path, number, kind)
        for exam, paths in exams.items()
        for path in paths
        for number in range(crops_per_view)
        for kind in kinds
    ]


class RealBackgrounds:
    """Makes the cases from the views; the last view that was read is kept.

    Args:
        load: reading, breast mask and window of {"image": path}: `image` and `breast`, (1, rows, columns), with
            `spacing_mm` in the image's metadata.
        crop_mm: side of a crop; one of fewer pixels where the view ends.
        jpeg_quality: quality of a JPEG round trip of every case, clean ones included, or None.
        screen: spots of the view that may be uncalled calcifications are "ignore" (`screen_background`).
    """

    def __init__(
        self,
        load: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        *,
        crop_mm: float = 60.0,
        jpeg_quality: int | None = None,
        screen: bool = False,
    ) -> None:
        if not crop_mm > 0:
            raise ValueError(f"Expected crops of a side > 0 mm, got {crop_mm:g}")
        self.read, self.crop_mm, self.jpeg_quality, self.screen = load, crop_mm, jpeg_quality, screen
        self._path, self._view = "", {}  # type: tuple[str, Mapping[str, Any]]

    def load(self, crop: Crop) -> dict[str, Any]:
        """One case: `image` in [-1, 1], `label`, `breast`, all (rows, columns), and `spacing_mm`.

        Raises:
            MammogramError: if the view cannot be read, its pixels are not square or it holds too little breast.
        """
        image, breast, box, spacing = self._cut(crop)
        label = np.zeros(image.shape, np.uint8)
        if crop.injection is not None:
            image, label = self._injected(image, breast, crop, spacing[0])
        if self.screen:
            label[self._of(crop.path)["uncalled"][box] & (label != MICROCALCIFICATION)] = IGNORE
        shown = apply_detector(image, Detector(bits=PIXEL_DEPTH, jpeg_quality=self.jpeg_quality))
        return {"image": shown, "label": label, "breast": breast, "spacing_mm": spacing}

    def added(self, crop: Crop) -> NDArray[np.float32]:
        """What the injection of a crop adds to its image, before rounding and compression: (rows, columns).

        Raises:
            MammogramError: as `load`.
        """
        image, breast, _, spacing = self._cut(crop)
        return self._injected(image, breast, crop, spacing[0])[0] - image

    def load_whole(self, exam: str, path: str, injection: int) -> dict[str, Any]:
        """A whole view with an injection in every crop that holds enough breast, and nothing between them.

        Args:
            exam: exam of the view.
            path: file of the view.
            injection: number of the injection.

        Returns:
            `image` in [-1, 1] and `label`, both (rows, columns), and `spacing_mm`.

        Raises:
            MammogramError: as `load`.
        """
        view = self._of(path)
        image, breast = (np.asarray(view[key])[0] for key in ("image", "breast"))
        image, breast = image.astype(np.float32), breast.astype(bool)
        label = np.zeros(image.shape, np.uint8)
        first = self.load(Crop(exam, path, 0, injection))
        side_px = round(self.crop_mm / first["spacing_mm"][0])
        for number, box in enumerate(crop_boxes(breast, side_px=side_px, path=path)):
            case = self.load(Crop(exam, path, number, injection)) if number else first
            image[box], label[box] = case["image"], case["label"]
        return {"image": image, "label": label, "spacing_mm": first["spacing_mm"]}

    def _cut(self, crop: Crop) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[slice, slice], tuple[float, ...]]:
        """A crop of its view as it is: image, breast, where it lies, and pixel size in mm."""
        view = self._of(crop.path)
        image, breast = (np.asarray(view[key])[0] for key in ("image", "breast"))
        spacing = tuple(float(side) for side in view["image"].meta["spacing_mm"])
        if abs(spacing[0] / spacing[1] - 1) > SQUARE_TOLERANCE:
            raise refuse(
                crop.path, f"Expected square pixels, got {spacing[0]:g} x {spacing[1]:g} mm; leave the view out"
            )
        box = crop_box(
            breast.astype(bool), number=crop.number, side_px=round(self.crop_mm / spacing[0]), path=crop.path
        )
        image, breast = image[box].astype(np.float32), breast[box].astype(bool)
        return image, breast, box, spacing

    def _of(self, path: str) -> Mapping[str, Any]:
        if path != self._path:
            view = dict(self.read({"image": path}))
            if self.screen:
                image = view["image"]
                found = screen_background(np.asarray(image)[0], spacing_mm=image.meta["spacing_mm"])
                view["uncalled"] = found.ignore
            self._path, self._view = path, view
        return self._view

    def _injected(
        self, image: NDArray[np.float32], breast: NDArray[np.bool_], crop: Crop, spacing_mm: float
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        rng = _stream(crop)
        number = crop.number + (crop.injection or 0)
        distribution = DISTRIBUTIONS[number % len(DISTRIBUTIONS)]
        calcifications = sample_calcifications(rng, breast, distribution=distribution, spacing_mm=spacing_mm)
        shape = (image.shape[0], image.shape[1])
        placed = place(calcifications, shape, spacing_mm=spacing_mm, blur_sigma_mm=rng.uniform(*BLUR_SIGMA_MM))
        noise = local_noise(image, spacing_mm=spacing_mm)
        median_cnr = float(np.exp(rng.uniform(*np.log(MEDIAN_CNR))))
        return inject_thickness(image, placed, noise, gain=gain_for_cnr(placed, noise, median_cnr=median_cnr))


def crop_boxes(breast: NDArray[np.bool_], *, side_px: int, path: str) -> list[tuple[slice, slice]]:
    """The disjoint squares with enough breast that tile its box, in an order drawn from the file's name.

    Args:
        breast: (rows, columns).
        side_px: side of a square.
        path: file of the view; only its name counts.

    Returns:
        Slices of rows and columns, one pair a square; none if no square holds enough breast.
    """
    rows, columns = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
    tiles = [
        (slice(int(row), int(row) + side_px), slice(int(column), int(column) + side_px))
        for row in range(rows[0], rows[-1] + 1, side_px)
        for column in range(columns[0], columns[-1] + 1, side_px)
    ]
    tiles = [tile for tile in tiles if breast[tile].sum() >= LEAST_BREAST * side_px**2]
    order = np.random.default_rng([SALT, _number(Path(path).name)]).permutation(len(tiles))
    return [tiles[place] for place in order]


def crop_box(breast: NDArray[np.bool_], *, number: int, side_px: int, path: str) -> tuple[slice, slice]:
    """One of the squares of `crop_boxes`.

    Args:
        breast: (rows, columns).
        number: which of them.
        side_px: side of a square.
        path: file of the view; only its name counts.

    Raises:
        MammogramError: if there are not so many squares with enough breast.
    """
    boxes = crop_boxes(breast, side_px=side_px, path=path)
    if number >= len(boxes):
        raise refuse(
            path, f"Expected at least {number + 1} crops with breast, found {len(boxes)}; make crops smaller or fewer"
        )
    return boxes[number]


def _stream(crop: Crop) -> np.random.Generator:
    """Random numbers of one injection; they depend on the file's name, not on its folder."""
    return np.random.default_rng([SALT, _number(Path(crop.path).name), crop.number, (crop.injection or 0) + 1])


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")


def _read_table(path: str | PathLike[str]) -> dict[str, str]:
    rows: list[dict[str, str]] = [row for _, row in rows_by_column(read_csv(path))]
    if not rows or any("image" not in row or "exam" not in row for row in rows):
        raise refuse(path, "Expected a table with the columns image and exam, found none; correct it")
    return {row["image"]: row["exam"] for row in rows}

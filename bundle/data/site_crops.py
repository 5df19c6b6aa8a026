"""A site's own negatives as cases for its calibration: crops, each clean and with calcifications of training's kind."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..functional.calibration import injected_view, with_ignored
from ..functional.screening import screen_background
from .errors import MammogramError, refuse, root_mammogram_error
from .real_backgrounds import SQUARE_TOLERANCE, crop_box

# Raise when the same crop would be made differently: what was kept of the old kind is then made anew.
SITE_VERSION = 1
# In front of every seed ("SITE"): no stream of training or of a benchmark begins with it.
SALT = 0x53495445
Box = tuple[slice, slice]


@dataclass(frozen=True)
class SiteCrop:
    """One crop of one negative view, clean or with calcifications.

    Attributes:
        path: file of the view.
        number: of the crop within the view.
        injection: number of the injection, or None for the clean crop.
    """

    path: str
    number: int
    injection: int | None

    @property
    def name(self) -> str:
        """Readable, one of its kind among views of different names."""
        what = "clean" if self.injection is None else f"injection {self.injection}"
        return f"{Path(self.path).name} crop {self.number} {what}"


class SiteCrops:
    """Makes the cases from the views; the last view that was read is kept.

    Spots that may be uncalled calcifications (`screen_background`) are "ignore".

    Args:
        read: reading, breast mask and window of {"image": path}: `image` and `breast`, (1, rows, columns), with
            `spacing_mm` in the image's metadata.
        crop_mm: side of a crop; None takes whole views.
        seed: of the injections.

    Raises:
        ValueError: if the side is not positive.
    """

    def __init__(
        self, read: Callable[[Mapping[str, Any]], Mapping[str, Any]], *, crop_mm: float | None = 60.0, seed: int = 0
    ) -> None:
        if crop_mm is not None and not crop_mm > 0:
            raise ValueError(f"Expected crops of a side > 0 mm, got {crop_mm:g}")
        self.read, self.crop_mm, self.seed = read, crop_mm, seed
        self._path, self._view = "", {}  # type: tuple[str, dict[str, Any]]

    def crops(self, paths: Sequence[str], *, crops_per_view: int, injections: int) -> list[SiteCrop]:
        """Read every view once and list its cases: as many crops as it has, at most `crops_per_view`.

        Raises:
            MammogramError: in one line, if a view cannot be used.
        """
        kinds: list[int | None] = [None, *range(injections)]
        return [
            SiteCrop(path, number, kind)
            for path in tqdm(paths, desc="Reading negatives", unit="view")
            for number in range(min(crops_per_view, len(self._boxes(path, crops_per_view))))
            for kind in kinds
        ]

    def load(self, crop: SiteCrop) -> dict[str, Any]:
        """One case: `image` in [-1, 1], `label`, `breast`, all (rows, columns), and `spacing_mm`.

        Raises:
            MammogramError: if the view cannot be used.
        """
        view = self._of(crop.path)
        box = self._boxes(crop.path, crop.number + 1)[crop.number]
        image, breast = view["image"][box], view["breast"][box]
        label = np.zeros(image.shape, np.uint8)
        if crop.injection is not None:
            name = int.from_bytes(hashlib.sha256(os.fsencode(Path(crop.path).name)).digest()[:8], "big")
            rng = np.random.default_rng([SALT, self.seed, name, crop.number, crop.injection])
            try:
                image, label = injected_view(image, rng, spacing_mm=view["spacing_mm"][0], breast=breast)
            except ValueError as error:
                raise refuse(crop.path, str(error)) from error
        label = with_ignored(label, view["uncalled"][box])
        return {"image": image, "label": label, "breast": breast, "spacing_mm": view["spacing_mm"]}

    def _boxes(self, path: str, count: int) -> list[Box]:
        """The first crops of a view, at least one."""
        view = self._of(path)
        if self.crop_mm is None:
            return [(slice(None), slice(None))]
        boxes: list[Box] = []
        for number in range(count):
            try:
                side_px = round(self.crop_mm / view["spacing_mm"][0])
                boxes.append(crop_box(view["breast"], number=number, side_px=side_px, path=path))
            except MammogramError:
                if not boxes:
                    raise
                break
        return boxes

    def _of(self, path: str) -> dict[str, Any]:
        if path != self._path:
            self._path, self._view = path, _usable(path, self.read)
        return self._view


def _usable(path: str, read: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
    try:
        data = read({"image": path})
    except (RuntimeError, ValueError) as error:
        raise root_mammogram_error(error) or error from error
    row_mm, column_mm = (float(side) for side in data["image"].meta["spacing_mm"])
    spacing = (row_mm, column_mm)
    if abs(spacing[0] / spacing[1] - 1) > SQUARE_TOLERANCE:
        raise refuse(path, f"Expected square pixels, got {spacing[0]:g} x {spacing[1]:g} mm; leave the view out")
    image: NDArray[np.float32] = np.asarray(data["image"])[0].astype(np.float32)
    breast = np.asarray(data["breast"])[0].astype(bool)
    if not breast.any():
        raise refuse(path, "Expected a view with a breast, found none; leave it out")
    return {
        "image": image,
        "breast": breast,
        "spacing_mm": spacing,
        "uncalled": screen_background(image, spacing_mm=spacing).ignore,
    }

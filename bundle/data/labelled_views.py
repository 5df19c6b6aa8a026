"""Views with masks to train a supervised network on: one's own, or rendered ones of the shift benchmark's kind."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from .annotations import read_annotation
from .errors import MammogramError, refuse
from .pairing import pair_cases
from .shift_benchmark import ShiftCase, sample_parameters, write_cases

CEILING_FIRST = 1000
"""Far behind the views that the benchmark tests on: the same ranges, other seeds."""
CEILING_COUNT = 192
CLEAN_EVERY = 3


def labelled_views(
    dataset_dir: str,
    masks_dir: str,
    *,
    ceiling_dir: str,
    ceiling_count: int = CEILING_COUNT,
    missing_is_clean: bool = False,
) -> list[dict[str, Any]]:
    """Views and the files of their truth.

    Args:
        dataset_dir: folder of one's own views; "" for rendered ones, on which a network becomes the benchmark's
            in-domain ceiling and proves nothing else.
        masks_dir: folder of their masks or point annotations (see `pair_cases`); may be the same folder.
        ceiling_dir: where rendered views are written, once.
        ceiling_count: number of rendered views; every third is clean.
        missing_is_clean: one's own views without a mask are clean.

    Returns:
        One dict per view: `image`, its path; `label`, the path of its truth, "" for a clean view.

    Raises:
        MammogramError: if a folder is missing, or if a view and the masks do not come out even.
        ValueError: if there is no view to render.
    """
    if not dataset_dir:
        items = write_cases(ceiling_dir, ceiling_cases(ceiling_count), progress=True)
        return [{"image": item["image"], "label": item["label"]} for item in items]
    if not masks_dir:
        raise refuse(dataset_dir, "Expected masks of these views, got none; pass --masks_dir, which may be this folder")
    cases, problems = pair_cases(dataset_dir, masks_dir, missing_is_clean=missing_is_clean)
    if problems:
        raise MammogramError(problems[0] if len(problems) == 1 else f"{problems[0]} ({len(problems) - 1} more)")
    return [{"image": case.image, "label": case.mask or ""} for case in cases]


def ceiling_cases(count: int) -> list[ShiftCase]:
    """Views like those that the benchmark tests on under its reference condition, with seeds that it never uses.

    Args:
        count: number of views; every third is clean.

    Raises:
        ValueError: if it is below 1.
    """
    if count < 1:
        raise ValueError(f"Expected at least 1 rendered view to train on, got {count}; raise ceiling_count")
    cases = []
    for number in range(count):
        calcified = number % CLEAN_EVERY != CLEAN_EVERY - 1
        parameters = sample_parameters("test", CEILING_FIRST + number, calcified=calcified)
        name = f"ceiling-{number:03d}"
        cases.append(ShiftCase(name, name, "ceiling", "reference", "0.07 mm", calcified, parameters))
    return cases


def come_with_labels(views: Sequence[Mapping[str, Any]]) -> bool:
    """Whether views to train on bring their labels with them, as those of an annotation server do.

    Args:
        views: one dict per view.
    """
    return any("label" in view for view in views)


class LoadAnnotationd(Transform):
    """Replace the path of a truth by the label of the view beside it, a tensor (1, rows, columns), uint8.

    PNG and NIfTI masks, and INbreast XML; single positions become single pixels, "" an empty label. A NIfTI mask may
    have the view's pixel size or that of its file's grid, which differ by the magnification. Views without a path
    pass unchanged.

    Args:
        image_key: the view, loaded; its meta holds `spacing_mm`.
        label_key: the path.
    """

    def __init__(self, image_key: str = "image", label_key: str = "label") -> None:
        self.image_key, self.label_key = image_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the truth.

        Args:
            data: holds the view and the path.

        Returns:
            A copy with the label in the path's place.

        Raises:
            MammogramError: if the file is damaged or does not fit, or if nothing but outlines of clusters is in it.
        """
        result = dict(data)
        if self.label_key not in result:
            return result
        path, image = result[self.label_key], result[self.image_key]
        rows, columns = image.shape[-2:]
        spacing_mm = np.asarray(image.meta["spacing_mm"], np.float64).tolist()
        truth = read_annotation(
            path or None,
            shape=(rows, columns),
            spacing_mm=spacing_mm,
            grid_spacing_mm=_grid_spacing_mm(image.meta),
            points_as_pixels=True,
        )
        if truth.kind == "outlines":
            raise refuse(path, "Expected calcifications one by one, got outlines of clusters; leave this view out")
        result[self.label_key] = torch.from_numpy(truth.label)[None]
        return result


def _grid_spacing_mm(meta: Mapping[str, Any]) -> list[float] | None:
    """Pixel size (row, column) in the grid of the view's file, if it is known."""
    if "grid_affine" not in meta:
        return None
    steps = np.linalg.norm(np.asarray(meta["grid_affine"])[:3, :3], axis=0)
    return steps[np.asarray(meta["grid_axes"])].tolist()

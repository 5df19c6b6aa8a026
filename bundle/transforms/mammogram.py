"""The breast mask and the intensity window of a view as MONAI dictionary transforms."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils import convert_to_numpy

from ..functional.breast import breast_mask, windowed_view
from ..functional.errors import refuse


class BreastMaskd(MapTransform):
    """Add the mask of the breast to a view, (1, rows, columns) bool, with the view's metadata."""

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: str = "breast",
        *,
        spacing_mm: tuple[float, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        """Set the keys.

        Args:
            keys: the one key of the view, presentation values, (1, rows, columns).
            mask_key: key of the mask.
            spacing_mm: pixel size (row, column) for tensors whose metadata do not say, mm.
            allow_missing_keys: do nothing if the view is missing.
        """
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.spacing_mm = spacing_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the mask.

        Args:
            data: holds the view.

        Returns:
            A copy with the mask added.

        Raises:
            MammogramError: if no breast is found; the line names the file if the metadata do.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            with _naming(result[key]):
                spacing = _spacing_mm(result[key], self.spacing_mm)
                mask = breast_mask(_plane(result[key]), spacing_mm=spacing)
            result[self.mask_key] = _like(result[key], mask[None])
        return result


class MammogramWindowd(MapTransform):
    """Window a view by its breast to [-1, 1]: one window per view, exactly -1 outside the breast and a small margin."""

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: str = "breast",
        *,
        margin_mm: float = 1.5,
        low_percentile: float = 0.1,
        high_percentile: float = 99.9,
        high_value: float = 0.8,
        spacing_mm: tuple[float, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        """Set the keys and the window; see `bundle.functional.breast.windowed_view`.

        Args:
            keys: the one key of the view, presentation values, (1, rows, columns).
            mask_key: key of the breast mask, from `BreastMaskd`.
            margin_mm: distance outside the mask that keeps its values, about, mm.
            low_percentile: percentile inside the breast that becomes -1.
            high_percentile: percentile inside the breast that becomes high_value.
            high_value: leaves room below +1 for the brightest calcifications.
            spacing_mm: pixel size (row, column) for tensors whose metadata do not say, mm.
            allow_missing_keys: do nothing if the view is missing.
        """
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.spacing_mm = spacing_mm
        self.options = {
            "margin_mm": margin_mm,
            "low_percentile": low_percentile,
            "high_percentile": high_percentile,
            "high_value": high_value,
        }

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Window the view.

        Args:
            data: holds the view and its mask.

        Returns:
            A copy with the view windowed, float32 in [-1, 1].

        Raises:
            MammogramError: if the mask is empty or the breast constant; the line names the file if the metadata do.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            with _naming(result[key]):
                mask = _plane(result[self.mask_key]).astype(bool)
                spacing = _spacing_mm(result[key], self.spacing_mm)
                windowed = windowed_view(_plane(result[key]), mask, spacing_mm=spacing, **self.options)
            result[key] = _like(result[key], windowed[None])
        return result


@contextmanager
def _naming(image: Any) -> Iterator[None]:
    """Put the view's file, if it is known, in front of a ValueError's line."""
    try:
        yield
    except ValueError as error:
        name = str(image.meta.get("filename_or_obj", "view")) if isinstance(image, MetaTensor) else "view"
        raise refuse(name, str(error)) from error


def _spacing_mm(image: Any, given: tuple[float, float] | None) -> tuple[float, float]:
    if given is not None:
        return given
    if not isinstance(image, MetaTensor) or "spacing_mm" not in image.meta:
        raise ValueError("Expected spacing_mm in the view's metadata, found none; read it with MammogramReader")
    row_mm, column_mm = (float(value) for value in image.meta["spacing_mm"])
    return row_mm, column_mm


def _plane(image: Any) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] != 1:
        raise ValueError(
            f"Expected a view of shape (1, rows, columns), got {tuple(image.shape)}; channel first, one view"
        )
    return convert_to_numpy(image)[0]


def _like(image: Any, array: np.ndarray) -> torch.Tensor:
    """A tensor of the array on the view's device, with a copy of the view's metadata if it has any."""
    tensor = torch.as_tensor(array, device=image.device if isinstance(image, torch.Tensor) else None)
    return MetaTensor(tensor).copy_meta_from(image, copy_attr=True) if isinstance(image, MetaTensor) else tensor

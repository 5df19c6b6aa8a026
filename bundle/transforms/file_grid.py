"""The answer of a host that serves this bundle: a mask over the file that was sent."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..functional.findings import finding_mask

EXTENSION_KEY = "result_extension"
"""What MONAI Label names its answer's file by; without it the suffix of the image's file."""
LOSSLESS = (".png", ".nii", ".nii.gz", ".nrrd")
"""Suffixes of images whose answers may have the same: the others lose values or the grid."""
FLAT_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff")


class MaskInFileGridd(MapTransform):
    """Replace a prediction by its mask, and the image by itself, in the array of the image's file.

    The mask is that of `SaveFindingsd`. Both leave as (1, size along x, size along y, size along z), columns first as
    in NIfTI and ITK, with `spatial_shape`, `affine` and `original_affine` of the file, so that a host writes a mask
    that lies over the image in a viewer. Where the host has not said how its answer is to be written, it is PNG for
    JPEG and TIFF, and NIfTI for DICOM.

    Args:
        keys: prediction, float (1, rows, columns): logits, or probabilities with `sigmoid=False`.
        image_key: (1, rows, columns); its meta holds `grid_affine` and `grid_axes` of `MammogramReader`.
        threshold: probability at which a pixel belongs to the mask, (0, 1].
        sigmoid: whether predictions are logits.
        breast_key: bool (1, rows, columns); where the image is above -1 if the data has no such key.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        image_key: str = "image",
        threshold: float = 0.5,
        sigmoid: bool = True,
        breast_key: str = "breast",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.breast_key = image_key, breast_key
        self.threshold, self.sigmoid = threshold, sigmoid

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace both.

        Args:
            data: holds prediction and image.

        Returns:
            A copy with the mask, uint8 of 0 and 1, and the image in the file's grid.

        Raises:
            ValueError: if the image's meta has no grid, or prediction and image differ in shape.
        """
        result = dict(data)
        image = result[self.image_key]
        if "grid_affine" not in getattr(image, "meta", {}):
            raise ValueError("Expected grid_affine in the image's meta, got none; read the view with LoadMammogramd")
        breast = _plane(result[self.breast_key]).astype(bool) if self.breast_key in result else _plane(image) > -1
        for key in self.key_iterator(result):
            probs = torch.sigmoid(torch.as_tensor(result[key]).float()) if self.sigmoid else result[key]
            mask = finding_mask(_plane(probs), threshold=self.threshold, breast=breast)
            result[key] = in_file_grid(mask.astype(np.uint8), image.meta)
        result[self.image_key] = in_file_grid(_plane(image), image.meta)
        suffix = suffix_of_answer(str(image.meta.get("filename_or_obj", "")))
        if suffix and not result.get(EXTENSION_KEY):
            result[EXTENSION_KEY] = suffix
        return result


def in_file_grid(plane: np.ndarray, meta: Mapping[str, Any]) -> MetaTensor:
    """An array (rows, columns) as the array of its file (1, x, y, z), with the file's affine.

    Args:
        plane: (rows, columns).
        meta: of the view; holds `grid_affine` and `grid_axes`.
    """
    row, column = (int(axis) for axis in np.asarray(meta["grid_axes"]).ravel())
    affine = torch.as_tensor(np.asarray(meta["grid_affine"], np.float64).reshape(4, 4))
    volume = np.expand_dims(plane if row < column else plane.T, 3 - row - column)
    grid = {"affine": affine, "original_affine": affine.clone(), "spatial_shape": np.asarray(volume.shape)}
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(volume))[None], meta={**meta, **grid})


def suffix_of_answer(name: str) -> str:
    """Suffix that a mask must have instead of its image's; "" if the image's own will do."""
    name = name.lower()
    if name.endswith(LOSSLESS):
        return ""
    return ".png" if name.endswith(FLAT_SUFFIXES) else ".nii.gz"


def _plane(array: Any) -> np.ndarray:
    """(1, rows, columns) of any kind as a numpy array (rows, columns)."""
    plane = torch.as_tensor(array).detach().cpu().numpy()
    if plane.ndim != 3 or plane.shape[0] != 1:
        raise ValueError(f"Expected one channel of shape (1, rows, columns), got {plane.shape}")
    return plane[0]

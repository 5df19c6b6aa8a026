"""Loading a mammogram as a MONAI dictionary transform, with nothing but our own reader behind it."""

from collections.abc import Hashable, Mapping, Sequence
from os import fspath
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.enums import MetaKeys
from numpy.typing import NDArray
from PIL import Image

from .errors import MammogramError, refuse
from .flat_checks import check_flat
from .flat_files import FORMATS
from .mammogram_reader import MammogramReader
from .view import MAX_PIXELS


class LoadMammogramd(MapTransform):
    """Replace a path by its view, a MetaTensor (1, rows, columns), float32, presentation values.

    `LoadImaged(reader=MammogramReader())` with `EnsureChannelFirstd` gives the same view. This one never constructs
    MONAI's other readers, which warn about decoders that nobody asked for.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        spacing_mm: float | Sequence[float] | None = None,
        default_spacing_mm: float | Sequence[float] | None = None,
        voi: int | str | None = 0,
        convert_raw: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        """Set the keys and the reader's options.

        Args:
            keys: keys whose values are paths.
            spacing_mm: see `MammogramReader`, mm.
            default_spacing_mm: see `MammogramReader`, mm.
            voi: see `MammogramReader`.
            convert_raw: see `MammogramReader`.
            allow_missing_keys: do nothing for keys that are missing.

        Raises:
            MammogramError: if the spacing is not plausible.
        """
        super().__init__(keys, allow_missing_keys)
        self.reader = MammogramReader(
            spacing_mm=spacing_mm, default_spacing_mm=default_spacing_mm, voi=voi, convert_raw=convert_raw
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the views.

        Args:
            data: holds the paths.

        Returns:
            A copy with the views in their places.

        Raises:
            MammogramError: if a file is not a readable 2-D mammographic view.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            path = fspath(result[key])
            pixels, meta = self.reader.get_data(self.reader.read(path))
            meta = {**meta, str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0, "filename_or_obj": path}
            result[key] = MetaTensor.ensure_torch_and_prune_meta(pixels[None], meta)
        return result


class LoadLabeld(MapTransform):
    """Replace the path of an 8-bit grey PNG by its label, a tensor (1, rows, columns), uint8.

    Values are 0 background, 1 microcalcification, 2 ignore. MONAI's own readers take rows for columns.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the labels.

        Args:
            data: holds the paths.

        Returns:
            A copy with the labels in their places.

        Raises:
            MammogramError: if a file is missing, no image, or holds other values.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            label = _label(result[key])
            if label.ndim != 2 or not np.isin(label, (0, 1, 2)).all():
                raise refuse(result[key], "Expected one channel of 0, 1 and 2, got others; convert the label")
            result[key] = torch.from_numpy(label.astype(np.uint8))[None]
        return result


def _label(path: str) -> NDArray:
    check_flat(path)
    try:
        with Image.open(path, formats=FORMATS["view"]) as image:
            if image.height * image.width > MAX_PIXELS:
                raise refuse(path, f"Expected at most {MAX_PIXELS} pixels, got {image.height} x {image.width}")
            return np.array(image)
    except MammogramError:
        raise
    except Exception as error:
        raise refuse(path, "Expected a label as 8-bit PNG, found none that opens; check it") from error

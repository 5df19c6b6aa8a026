"""Loading a mammogram as a MONAI dictionary transform, with nothing but our own reader behind it."""

from collections.abc import Hashable, Mapping, Sequence
from os import fspath
from typing import Any

from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.enums import MetaKeys

from .mammogram_reader import MammogramReader


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
        voi: int | str | None = 0,
        convert_raw: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        """Set the keys and the reader's options.

        Args:
            keys: keys whose values are paths.
            spacing_mm: see `MammogramReader`, mm.
            voi: see `MammogramReader`.
            convert_raw: see `MammogramReader`.
            allow_missing_keys: do nothing for keys that are missing.

        Raises:
            MammogramError: if the spacing is not plausible.
        """
        super().__init__(keys, allow_missing_keys)
        self.reader = MammogramReader(spacing_mm=spacing_mm, voi=voi, convert_raw=convert_raw)

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

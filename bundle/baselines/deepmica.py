"""DeepMiCa's segmentation behind the inferers' interface: equalise the histogram, then a U-Net."""

import numpy as np
import torch
from monai.utils import convert_to_dst_type
from torch import Tensor

from ..functional.clahe import CLIP_LIMIT, TILE_PX, clahe
from ..inferers import WindowedInferer
from ..inferers.windowed import plain_image
from .network import Network, NetworkInferer


class DeepMicaInferer(NetworkInferer):
    """A `NetworkInferer` that sees views after CLAHE and gamma.

    Args:
        network: as in `NetworkInferer`, as are
        windowed: the windows
        threshold: and the threshold.
        clip_limit: of the contrast, as in training, as is
        tile_px: the side of the tiles
        gamma: and the curve that follows.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        windowed: WindowedInferer | None = None,
        threshold: float = 0.5,
        clip_limit: float = CLIP_LIMIT,
        tile_px: int = TILE_PX,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(network, windowed=windowed, threshold=threshold)
        self.clip_limit, self.tile_px, self.gamma = clip_limit, tile_px, gamma

    def prepare(self, inputs: Tensor) -> Tensor:
        """The views after CLAHE and gamma, with their metadata."""
        images = plain_image(inputs).cpu().numpy()[:, 0]
        equal = [clahe(i, clip_limit=self.clip_limit, tile_px=self.tile_px, gamma=self.gamma) for i in images]
        return convert_to_dst_type(torch.from_numpy(np.stack(equal)[:, None]), inputs, dtype=torch.float32)[0]

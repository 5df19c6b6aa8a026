"""Feature pyramid network that regresses a map at full resolution, for HDoGReg (Fig. 2)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from monai.networks.blocks import FeaturePyramidNetwork
from monai.networks.nets import ResNetFeatures
from torch import Tensor, nn
from torch.nn import functional as F

INCEPTION_V4 = "inception_v4"


class FeaturePyramidRegressor(nn.Module):
    """Features at a 4th to a 32nd of the size, each brought to a 4th by convolutions, added, and brought to full size.

    Args:
        encoder: "resnet10", "resnet18", ... of MONAI, or "inception_v4" through timm, which is published; an optional
            extra. Weights are random: ImageNet's have to be loaded by hand.
        pyramid_channels: of the pyramid.
        head_channels: of each level before they are added.
        dropout: share of whole channels left out in training, after the addition.

    Raises:
        ModuleNotFoundError: for "inception_v4" without timm.
        ValueError: for an encoder that MONAI does not know.
    """

    def __init__(
        self,
        encoder: str = "resnet10",
        *,
        pyramid_channels: int = 256,
        head_channels: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.encoder, channels = inception_v4() if encoder == INCEPTION_V4 else monai_resnet(encoder)
        self.pyramid = FeaturePyramidNetwork(2, list(channels), pyramid_channels)
        self.heads = nn.ModuleList(_head(pyramid_channels, head_channels) for _ in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(head_channels, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, rows, columns) of images of that shape, sides of 32 px or more."""
        features = self.encoder(image)[-4:]
        levels = list(self.pyramid(OrderedDict((str(n), f) for n, f in enumerate(features))).values())
        size = levels[0].shape[-2:]
        heads = [_enlarged(head(level), size) for head, level in zip(self.heads, levels, strict=True)]
        return _enlarged(self.output(self.dropout(torch.stack(heads).sum(dim=0))), image.shape[-2:])


def monai_resnet(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """MONAI's residual encoder for one channel, and the channels of its last four feature maps."""
    encoder = ResNetFeatures(name, pretrained=False, spatial_dims=2, in_channels=1)
    deep = name not in ("resnet10", "resnet18", "resnet34")
    return encoder, (256, 512, 1024, 2048) if deep else (64, 128, 256, 512)


def inception_v4() -> tuple[nn.Module, tuple[int, ...]]:
    """Timm's Inception-v4 for one channel, and the channels of its last four feature maps.

    Raises:
        ModuleNotFoundError: without timm.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Expected the package timm for the encoder inception_v4, found none; install timm with the torchvision "
            "that fits your torch, or take encoder: resnet18"
        ) from error
    encoder = timm.create_model(INCEPTION_V4, features_only=True, in_chans=1, out_indices=(1, 2, 3, 4))
    # Without padding each map would lose its rim, and levels would not lie on each other.
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and module.kernel_size in (3, (3, 3)):
            module.padding = (1, 1)
    return encoder, tuple(encoder.feature_info.channels())


def _head(channels: int, head_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, head_channels, 3, padding=1, bias=False), nn.BatchNorm2d(head_channels), nn.ReLU()
    )


def _enlarged(values: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)

"""Restormer (Zamir et al., CVPR 2022): scriptable, channels-last, with an optional time embedding and condition.

Inside, features are (B, rows, columns, channels): LayerNorm runs over the last axis and a 1x1 convolution is a matrix
product.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TIME_FREQUENCIES = 32
# Time lies in [0, 1]; sinusoids need a range of about a thousand steps to tell neighbouring times apart.
TIME_SCALE = 1000.0


class Conv2dLast(nn.Conv2d):
    """nn.Conv2d on channels-last features, (B, rows, columns, channels), without moving memory."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input.permute(0, 3, 1, 2), self.weight, self.bias).permute(0, 2, 3, 1)


def parallel(x: Tensor, linear: Tensor, depthwise: Tensor, count: int) -> list[Tensor]:
    """Linear layer and depthwise 3x3 convolution in equal parts of their output channels.

    The same numbers as both at full width and then a split, whose parts would be strided: on contiguous ones, what
    follows runs up to twice as fast on a CPU.

    Args:
        x: (B, rows, columns, channels).
        linear: weight of the linear layer, (count * width, channels).
        depthwise: weight of the convolution, (count * width, 1, 3, 3).
        count: number of parts.

    Returns:
        `count` tensors (B, rows, columns, width).
    """
    parts: list[Tensor] = []
    for rows, kernel in zip(linear.chunk(count), depthwise.chunk(count)):  # noqa: B905, TorchScript knows no strict
        wide = F.linear(x, rows).permute(0, 3, 1, 2)
        parts.append(F.conv2d(wide, kernel, padding=1, groups=kernel.shape[0]).permute(0, 2, 3, 1))
    return parts


class TransposedAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA): attention between channels, global over the window.

    Maps (B, rows, columns, dim) to the same shape.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.depthwise = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.project_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, rows, columns, dim = x.shape
        parts = parallel(x, self.qkv.weight, self.depthwise.weight, 3)
        q, k, v = [part.reshape(batch, rows * columns, self.heads, dim // self.heads) for part in parts]
        # Cosine similarity: dividing the small Gram matrix by the norms saves two passes over the pixels.
        # A sum of squares runs over contiguous channels, five times as fast as torch's norm over an outer axis.
        q_norm = q.float().square().sum(dim=1).clamp_min(1e-12).sqrt()
        k_norm = k.float().square().sum(dim=1).clamp_min(1e-12).sqrt()
        gram = q.permute(0, 2, 3, 1) @ k.permute(0, 2, 1, 3)
        attention = gram / (q_norm[:, :, :, None] * k_norm[:, :, None, :]) * self.temperature
        out = v.permute(0, 2, 1, 3) @ attention.softmax(dim=-1).to(v.dtype).mT
        return self.project_out(out.permute(0, 2, 1, 3).reshape(batch, rows, columns, dim))


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward network (GDFN): maps (B, rows, columns, dim) to the same shape.

    The published expansion of 2.66 makes odd hidden widths (127, 255, 510), on which a CPU takes two to three times as
    long for a matrix product as on multiples of 8: where they are no more than a thirty-second of the width, channels
    of zeros are added as it runs.
    """

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.padding = -hidden % 8 if 32 * (-hidden % 8) <= hidden else 0
        self.project_in = nn.Linear(dim, 2 * hidden, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, kernels = self.project_in.weight, self.depthwise.weight
        if self.padding > 0:
            rows = torch.cat([F.pad(part, (0, 0, 0, self.padding)) for part in rows.chunk(2)])
            kernels = torch.cat([F.pad(part, (0, 0, 0, 0, 0, 0, 0, self.padding)) for part in kernels.chunk(2)])
        gate, value = parallel(x, rows, kernels, 2)
        return F.linear(F.gelu(gate) * value, F.pad(self.project_out.weight, (0, self.padding)))


class RestormerBlock(nn.Module):
    """Pre-norm MDTA and GDFN with residuals; a time embedding scales and shifts each norm (FiLM, zero at the start)."""

    def __init__(self, dim: int, heads: int, expansion: float, time_dim: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = TransposedAttention(dim, heads)
        self.norm_feed_forward = nn.LayerNorm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion)
        self.film = nn.Linear(time_dim, 4 * dim) if time_dim else nn.Identity()
        if isinstance(self.film, nn.Linear):
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        attended = self.norm_attention(x)
        if embedding is None:
            x = x + self.attention(attended)
            return x + self.feed_forward(self.norm_feed_forward(x))
        scale1, shift1, scale2, shift2 = self.film(embedding)[:, None, None, :].chunk(4, dim=-1)
        x = x + self.attention(attended * (1 + scale1) + shift1)
        return x + self.feed_forward(self.norm_feed_forward(x) * (1 + scale2) + shift2)


class Stage(nn.Module):
    """Blocks of one resolution in a row."""

    def __init__(self, count: int, dim: int, heads: int, expansion: float, time_dim: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([RestormerBlock(dim, heads, expansion, time_dim) for _ in range(count)])

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding)
        return x


class Downsample(nn.Module):
    """3x3 convolution to half the channels, then pixel-unshuffle: (B, H, W, C) to (B, H/2, W/2, 2C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(self.convolution(x.permute(0, 3, 1, 2)), 2).permute(0, 2, 3, 1)


class Upsample(nn.Module):
    """3x3 convolution to twice the channels, then pixel-shuffle: (B, H, W, C) to (B, 2H, 2W, C/2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.convolution(x.permute(0, 3, 1, 2)), 2).permute(0, 2, 3, 1)


class Restormer(nn.Module):
    """The backbone of segmentor (eq. 1) and generator (eq. 5).

    Args:
        in_channels: channels of `image`.
        out_channels: channels of the output.
        condition_channels: channels of `condition`, concatenated to `image`; 0 for the segmentor.
        dim: channels at full resolution; doubled at each of three levels below.
        num_blocks: blocks per level, from full resolution down. The published size is dim 48, (4, 6, 6, 8).
        num_decoder_blocks: blocks per decoder level, from full resolution down; None takes `num_blocks`.
        heads: attention heads per level.
        num_refinement_blocks: blocks at full resolution and 2 x dim after the decoder.
        expansion: hidden width of GDFN over its input.
        stem_stride: 1 as published; 2 folds each 2x2 pixels into channels before the first level and unfolds the output
            (pixel-unshuffle and -shuffle: nothing is lost), so that every level costs a quarter.
        high_pass_gain: above 0, gain x (image - its mean over 13 x 13 pixels) is a further input channel:
            calcifications are a few per cent of the brightness they lie on, which a network must else learn to see.
        time_dim: width of the time embedding; 0 for the segmentor.
        flow_sigma: above 0, the network's output is what `velocity_from` turns into a velocity; it needs `time_dim`.
        output_bias: initial bias of the output. About -4 suits a segmentor of rare pixels.

    Raises:
        ValueError: if a level's channels are not a multiple of its heads, or `flow_sigma` is given without `time_dim`.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        condition_channels: int = 0,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_decoder_blocks: Sequence[int] | None = None,
        heads: Sequence[int] = (1, 2, 4, 8),
        num_refinement_blocks: int = 4,
        expansion: float = 2.66,
        stem_stride: int = 1,
        high_pass_gain: float = 0.0,
        time_dim: int = 0,
        flow_sigma: float = 0.0,
        output_bias: float = 0.0,
    ) -> None:
        super().__init__()
        dims = [dim * 2**level for level in range(4)]
        for level_dim, level_heads in zip([*dims, 2 * dim], [*heads, heads[0]], strict=True):
            if level_dim % level_heads:
                raise ValueError(
                    f"Expected channels that are a multiple of the heads, got {level_dim} and {level_heads}"
                )
        if flow_sigma > 0 and not time_dim:
            raise ValueError(f"Expected flow_sigma 0 without a time embedding, got {flow_sigma}; pass time_dim too")
        decoder = list(num_blocks[:3] if num_decoder_blocks is None else num_decoder_blocks)
        self.time_dim = time_dim
        self.condition_channels = condition_channels
        self.stem_stride = stem_stride
        self.high_pass_gain = high_pass_gain
        self.flow_sigma = flow_sigma
        channels = in_channels * (2 if high_pass_gain > 0 else 1) + condition_channels
        self.embed = Conv2dLast(channels * stem_stride**2, dim, 3, padding=1, bias=False)
        self.time_mlp = (
            nn.Sequential(
                nn.Linear(2 * TIME_FREQUENCIES, max(time_dim, 1)),
                nn.SiLU(),
                nn.Linear(max(time_dim, 1), max(time_dim, 1)),
                nn.SiLU(),
            )
            if time_dim
            else nn.Identity()
        )
        self.encoder1 = Stage(num_blocks[0], dims[0], heads[0], expansion, time_dim)
        self.encoder2 = Stage(num_blocks[1], dims[1], heads[1], expansion, time_dim)
        self.encoder3 = Stage(num_blocks[2], dims[2], heads[2], expansion, time_dim)
        self.latent = Stage(num_blocks[3], dims[3], heads[3], expansion, time_dim)
        self.down1, self.down2, self.down3 = Downsample(dims[0]), Downsample(dims[1]), Downsample(dims[2])
        self.up3, self.up2, self.up1 = Upsample(dims[3]), Upsample(dims[2]), Upsample(dims[1])
        self.reduce3 = nn.Linear(2 * dims[2], dims[2], bias=False)
        self.reduce2 = nn.Linear(2 * dims[1], dims[1], bias=False)
        self.decoder3 = Stage(decoder[2], dims[2], heads[2], expansion, time_dim)
        self.decoder2 = Stage(decoder[1], dims[1], heads[1], expansion, time_dim)
        self.decoder1 = Stage(decoder[0], dims[1], heads[0], expansion, time_dim)
        self.refinement = Stage(num_refinement_blocks, dims[1], heads[0], expansion, time_dim)
        self.output = nn.Conv2d(dims[1], out_channels * stem_stride**2, 3, padding=1)
        nn.init.constant_(self.output.bias, output_bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor, t: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Map a window to logits or to a velocity.

        Args:
            image: (B, in_channels, rows, columns); rows and columns are multiples of 8 x stem_stride.
            t: (B,) in [0, 1], 0 noise and 1 data; exactly when the network has a time embedding.
            condition: (B, condition_channels, rows, columns); exactly when the network has condition channels.

        Returns:
            (B, out_channels, rows, columns).

        Raises:
            ValueError: if `t` or `condition` is missing or not wanted, or the window is not a multiple of
                8 x stem_stride.
        """
        if (t is None) == (self.time_dim > 0) or (condition is None) == (self.condition_channels > 0):
            raise ValueError(
                "Expected `t` and `condition` exactly when the network was built with time_dim and condition_channels"
            )
        multiple = 8 * self.stem_stride
        if image.shape[2] % multiple != 0 or image.shape[3] % multiple != 0:
            raise ValueError(
                f"Expected rows and columns that are multiples of {multiple}, got {image.shape[2]} and {image.shape[3]}"
            )
        state = image
        if self.high_pass_gain > 0:
            image = torch.cat([image, self.high_pass_gain * high_pass(image)], dim=1)
        if condition is not None:
            image = torch.cat([image, condition], dim=1)
        embedding: Tensor | None = None
        if t is not None:
            embedding = self.time_mlp(time_features(t))
        image = F.pixel_unshuffle(image, self.stem_stride)
        level1 = self.encoder1(self.embed(image.permute(0, 2, 3, 1).contiguous()), embedding)
        level2 = self.encoder2(self.down1(level1), embedding)
        level3 = self.encoder3(self.down2(level2), embedding)
        latent = self.latent(self.down3(level3), embedding)
        x = self.decoder3(self.reduce3(torch.cat([self.up3(latent), level3], dim=-1)), embedding)
        x = self.decoder2(self.reduce2(torch.cat([self.up2(x), level2], dim=-1)), embedding)
        x = self.decoder1(torch.cat([self.up1(x), level1], dim=-1), embedding)
        out = self.output(self.refinement(x, embedding).permute(0, 3, 1, 2)).contiguous()
        out = F.pixel_shuffle(out, self.stem_stride)
        if t is not None and self.flow_sigma > 0:
            return velocity_from(out, state, t, self.flow_sigma)
        return out


def velocity_from(out: Tensor, state: Tensor, t: Tensor, sigma: float) -> Tensor:
    """Velocity of the flow, c_skip(t) m_t + c_out(t) out, with the coefficients that Karras et al. 2022 derive.

    c_skip is the best linear guess of x - z from m_t = t x + (1 - t) z for an x of standard deviation sigma; with a
    sigma of the texture that no network can guess it stands for the noise, pixel by pixel, which a network would have
    to carry through all its layers else. What is left is a picture: as sigma -> 0, v = (out - m_t) / (1 - t) with
    out the estimate of x. c_out keeps that finite as t -> 1.

    Args:
        out: the network's output, (B, 1, rows, columns).
        state: m_t, like `out`.
        t: (B,) in [0, 1].
        sigma: above 0, in the units of x.

    Returns:
        Like `out`, float32.
    """
    t = t.float().view(-1, 1, 1, 1)
    variance = (t * sigma).square() + (1 - t).square()
    skip = (t * sigma * sigma - (1 - t)) / variance
    scale = ((1 - t).square() + (t * sigma * sigma).square()).sqrt() / variance
    return skip * state.float() + scale * out.float()


def high_pass(image: Tensor, width_px: int = 13) -> Tensor:
    """Image less its mean over a square, mirrored at the border: (B, C, rows, columns) to the same shape."""
    pad = width_px // 2
    padded = F.pad(image, (pad, pad, pad, pad), mode="reflect")
    # Columns, then rows: a sixth of the additions of the square.
    columns = F.avg_pool2d(padded, (width_px, 1), stride=1)
    return image - F.avg_pool2d(columns, (1, width_px), stride=1)


def time_features(t: Tensor, count: int = TIME_FREQUENCIES, scale: float = TIME_SCALE) -> Tensor:
    """Sinusoidal features of time: (B,) in [0, 1] to (B, 2 * count)."""
    steps = torch.arange(count, device=t.device, dtype=torch.float32)
    angles = scale * t.float()[:, None] * torch.exp(-math.log(10000.0) * steps / count)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)

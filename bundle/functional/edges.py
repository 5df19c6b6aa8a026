"""The normalised edge map e(x) of eqs. 13 and 15."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from .windows import BACKGROUND

KINDS = ("sobel", "high_pass")


def gaussian_smooth(image: Tensor, sigma_px: float) -> Tensor:
    """Separable Gaussian filter, edges replicated.

    Args:
        image: (B, 1, rows, columns), float.
        sigma_px: standard deviation in pixels; 0 returns the image.
    """
    if sigma_px <= 0:
        return image
    radius = math.ceil(3.0 * sigma_px)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def sobel_magnitude(image: Tensor) -> Tensor:
    """Length of the Sobel gradient per pixel, edges replicated; a ramp of slope 1 gives 1.

    Args:
        image: (B, 1, rows, columns), float.
    """
    smooth = torch.tensor([1.0, 2.0, 1.0], dtype=image.dtype, device=image.device) / 4.0
    slope = torch.tensor([-1.0, 0.0, 1.0], dtype=image.dtype, device=image.device) / 2.0
    kernels = torch.stack([torch.outer(slope, smooth), torch.outer(smooth, slope)])[:, None]
    gradient = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernels)
    return gradient.square().sum(dim=1, keepdim=True).sqrt()


def eroded_breast(image: Tensor, *, erode_px: int) -> Tensor:
    """The breast without its rim: pixels above -1, holes filled, eroded.

    The border of the image does not erode: it cuts the chest wall, it is no edge. A breast that erosion would wipe out
    keeps its rim.

    Args:
        image: (B, 1, rows, columns), exactly -1 outside the breast.
        erode_px: rows and columns to take off.

    Returns:
        Boolean, like image.
    """
    planes = []
    for plane in (image[:, 0] > BACKGROUND).cpu().numpy():
        breast = ndimage.binary_fill_holes(plane)
        inner = ndimage.minimum_filter(breast, size=2 * erode_px + 1, mode="constant", cval=True)
        planes.append(inner if inner.any() else breast)
    return torch.from_numpy(np.stack(planes))[:, None].to(image.device)


@torch.no_grad()
def edge_map(image: Tensor, *, kind: str = "sobel", erode_px: int = 16, sigma_px: float = 1.5) -> Tensor:
    """Normalised edge map e(x).

    Both kinds are divided by their largest absolute value inside the eroded breast of the whole image, and are 0
    outside it. A maximum over the whole frame would be a marker or the skin line; one per window would make
    overlapping windows disagree.

    Args:
        image: (B, 1, rows, columns) in [-1, 1], exactly -1 outside the breast, burned-in marks removed.
        kind: "sobel", the gradient's length, in [0, 1]; or "high_pass", x - G*x with its sign, in [-1, 1].
        erode_px: rim taken off the breast; 16 px is 1.1 mm at 0.07 mm.
        sigma_px: standard deviation of G for "high_pass".

    Returns:
        (B, 1, rows, columns) float32.

    Raises:
        ValueError: unknown kind, or a negative erosion.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected an edge map among {KINDS}, got {kind!r}; choose one of them")
    if erode_px < 0:
        raise ValueError(f"Expected an erosion of 0 px or more, got {erode_px}; 16 is usual")
    image = image.float()
    edges = sobel_magnitude(image) if kind == "sobel" else image - gaussian_smooth(image, sigma_px)
    edges = edges * eroded_breast(image, erode_px=erode_px)
    peak = edges.abs().amax(dim=(1, 2, 3), keepdim=True)
    return edges / torch.where(peak > 0, peak, 1.0)

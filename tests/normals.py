"""Small views that pass for normal mammograms."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def real_like_normals(folder: Path) -> Path:
    """Three exams of breast-like ellipses with texture, 8 bit, 0.1 mm."""
    folder.mkdir()
    rows, columns = np.mgrid[:640, :520]
    inside = ((rows - 320) / 300) ** 2 + (columns / 460) ** 2 < 1
    for seed, name in enumerate(("a_1", "b_1", "c_1")):
        rng = np.random.default_rng(seed)
        texture = 25 * ndimage.gaussian_filter(rng.normal(0, 30, inside.shape), 6) + rng.normal(120, 4, inside.shape)
        Image.fromarray(np.where(inside, np.clip(texture, 40, 220), 0).astype(np.uint8)).save(folder / f"{name}.png")
    return folder

"""Views for a long run: rendered once from a few phantoms, then varied by noise."""

from pathlib import Path

import numpy as np
import pydicom
from tqdm import tqdm

from bundle.data import phantom_datalist, phantom_seed
from bundle.data.whole_files import write_whole

SMALL_SHAPE, SMALL_SPACING_MM = (1024, 832), 0.1
LARGE_SHAPE, LARGE_SPACING_MM = (3328, 2560), 0.07
BASES = {"small": 4, "large": 1}
FIRST_SEED = phantom_seed("test", 7000)
VIEWS_PER_STUDY = 4
NOISE = 6
"""Grey levels of 4096, uniform, plus or minus."""


def write_views(folder: Path, *, small: int, large: int) -> Path:
    """Write the views that are missing: `small` of 1024 x 832 and `large` of 3328 x 2560 pixels, evenly mixed.

    Args:
        folder: for the phantoms, and below it `views`.
        small: number of small views.
        large: number of large ones.

    Returns:
        The folder of the views.
    """
    views = folder / "views"
    sizes = mixed(small, large)
    for number, size in enumerate(tqdm(sizes, desc="Views to segment", unit="view")):
        path = views / f"{number:04d}_{size}.dcm"
        if not path.exists():
            _write_varied(_base(folder, size, number), path, number)
    return views


def mixed(small: int, large: int) -> list[str]:
    """Sizes in the order of the run: the large ones evenly among the small ones.

    Args:
        small: number of small views.
        large: number of large ones.
    """
    total = small + large
    places = {round((place + 0.5) * total / large - 0.5) for place in range(large)}
    return ["large" if number in places else "small" for number in range(total)]


def _base(folder: Path, size: str, number: int) -> Path:
    """A phantom to vary; rendered at the first call."""
    (rows, columns), spacing_mm = (
        (SMALL_SHAPE, SMALL_SPACING_MM) if size == "small" else (LARGE_SHAPE, LARGE_SPACING_MM)
    )
    (item,) = phantom_datalist(
        folder / "phantoms", count=1, first_seed=FIRST_SEED + number % BASES[size], spacing_mm=spacing_mm,
        height_mm=rows * spacing_mm, width_mm=columns * spacing_mm,
    )  # fmt: skip
    return Path(item["image"])


def _write_varied(base: Path, path: Path, number: int) -> None:
    """A copy with noise of its own, in a study with its neighbours."""
    dataset = pydicom.dcmread(base)
    rng = np.random.default_rng([FIRST_SEED, number])
    stored = dataset.pixel_array.astype(np.int32)
    noise = rng.integers(-NOISE, NOISE + 1, stored.shape)
    # Outside of the breast there is none.
    dataset.PixelData = np.where(stored > 0, np.clip(stored + noise, 1, 4095), 0).astype("<u2").tobytes()
    names = [str(FIRST_SEED), str(number)]
    dataset.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["soak image", *names])
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    study = ["soak study", str(FIRST_SEED), str(number // VIEWS_PER_STUDY)]
    dataset.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=study)
    write_whole(path, dataset.save_as)

"""Which views a training draws its backgrounds from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .datalist import negatives_of
from .errors import refuse
from .find import find_mammograms
from .phantom import phantom_datalist, phantom_seed


def training_views(
    dataset_dir: str,
    *,
    phantom_dir: str,
    phantom_count: int,
    phantom_spacing_mm: float = 0.07,
    real_share: float = 0.7,
    exclude: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Negative views: clean phantoms, and the real normals of a folder if one is given.

    Args:
        dataset_dir: folder of negative mammograms, or a datalist (.json) with a list `negatives`, as
            `python -m scripts.prepare` writes it; "" for phantoms alone.
        phantom_dir: where phantoms are written, once.
        phantom_count: number of phantoms; 0 for none.
        phantom_spacing_mm: their pixel size.
        real_share: share of the samples that is drawn from the real views, if there are any.
        exclude: beginnings of the names of real files to leave out, e.g. an exam that is held out for testing.

    Returns:
        One dict per view: `image`, its path; `weight`, its relative frequency; for phantoms `known_clean`, True.

    Raises:
        MammogramError: if the folder or list is missing or empty, or if a name in `exclude` fits no file of it.
        ValueError: if there are neither real views nor phantoms.
    """
    real = _without(_real(dataset_dir), exclude, dataset_dir) if dataset_dir else []
    phantoms = []
    if phantom_count:
        phantoms = phantom_datalist(
            Path(phantom_dir),
            count=phantom_count,
            first_seed=phantom_seed("train", 0),
            spacing_mm=phantom_spacing_mm,
            calcified=False,
        )
    if not real and not phantoms:
        raise ValueError(
            "Expected real views or phantoms to train on, got neither; pass --dataset_dir or a phantom_count above 0"
        )
    share = real_share if real and phantoms else 1.0
    return [{"image": str(item["image"]), "weight": share / len(real)} for item in real] + [
        {"image": str(item["image"]), "weight": (1 - share if real else 1.0) / len(phantoms), "known_clean": True}
        for item in phantoms
    ]


def _real(dataset_dir: str) -> list[dict[str, Any]]:
    return negatives_of(dataset_dir) if Path(dataset_dir).suffix == ".json" else find_mammograms(dataset_dir)


def _without(views: list[dict[str, Any]], exclude: Sequence[str], folder: str) -> list[dict[str, Any]]:
    """The views whose file names begin with none of the excluded names."""
    names = [Path(view["image"]).name for view in views]
    for prefix in exclude:
        # A misspelt name would train on the very views that a test holds out.
        if not prefix or not any(name.startswith(prefix) for name in names):
            raise refuse(folder, f"Expected files whose names begin with {prefix!r}, found none; correct `exclude`")
    return [view for view, name in zip(views, names, strict=True) if not name.startswith(tuple(exclude))]

"""Views and labels in the folders that nnU-Net v2 reads, and what it predicted; nnU-Net itself is not needed."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..data.errors import refuse
from ..data.whole_files import write_whole
from ..functional.objects import Spacing

ENDING = ".nii.gz"
CHANNEL = "_0000"
LABELS = {"background": 0, "microcalcification": 1, "ignore": 2}
"""nnU-Net leaves pixels of the label `ignore` out of the loss, as this project does."""
POSITIVE = LABELS["microcalcification"]
CHANNEL_NAMES = {"0": "noNorm"}
"""Views are windowed once per view; nnU-Net's z-score of a patch would move with what is in it."""
WHOLE, NARROW = "2d", "2d_narrow"
"""Configurations of nnU-Net's plans: as it plans it, and at CPU width."""
NARROW_STAGES = (8, 16, 32, 64, 128, 128, 128)


def dataset_folder(raw: Path, number: int) -> Path:
    """Folder of a data set below nnUNet_raw.

    Raises:
        ValueError: on a number outside 1 to 999.
    """
    if not 1 <= number <= 999:
        raise ValueError(f"Expected a data set number from 1 to 999, got {number}; 501 and above are free for own ones")
    return raw / f"Dataset{number:03d}_Microcalcifications"


def case_name(view: NDArray[np.floating]) -> str:
    """Name of a view (rows, columns), from its pixels: a prediction cannot be taken for that of another view."""
    plane = np.ascontiguousarray(view, dtype="<f4")
    return f"view_{hashlib.sha256(repr(plane.shape).encode() + plane.tobytes()).hexdigest()[:16]}"


def write_image(folder: Path, name: str, view: NDArray[np.floating], *, spacing_mm: Spacing) -> Path:
    """Write a view (rows, columns) in [-1, 1] as the one channel of a case."""
    return _write(folder / f"{name}{CHANNEL}{ENDING}", np.asarray(view, np.float32), spacing_mm)


def write_label(folder: Path, name: str, label: NDArray[np.integer], *, spacing_mm: Spacing) -> Path:
    """Write a label (rows, columns), 0 background, 1 microcalcification, 2 ignore.

    Raises:
        ValueError: on other values.
    """
    if not np.isin(label, list(LABELS.values())).all():
        raise ValueError(f"Expected labels 0, 1 and 2, got {np.unique(label).tolist()}; convert the masks")
    return _write(folder / f"{name}{ENDING}", np.asarray(label, np.uint8), spacing_mm)


def write_dataset_json(folder: Path) -> int:
    """Write dataset.json for the cases of a folder that have image and label.

    Args:
        folder: of the data set.

    Returns:
        Number of cases.

    Raises:
        MammogramError: if there is none.
    """
    names = sorted(path.name.removesuffix(ENDING) for path in (folder / "labelsTr").glob(f"*{ENDING}"))
    names = [name for name in names if (folder / "imagesTr" / f"{name}{CHANNEL}{ENDING}").exists()]
    if not names:
        raise refuse(folder, "Expected cases in imagesTr and labelsTr, found none; export some first")
    content = {
        "channel_names": CHANNEL_NAMES,
        "labels": LABELS,
        "numTraining": len(names),
        "file_ending": ENDING,
    }
    text = json.dumps(content, indent=1) + "\n"
    write_whole(folder / "dataset.json", lambda temporary: temporary.write_text(text))
    return len(names)


def read_probability(folder: Path, name: str, *, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Probability (rows, columns) of a microcalcification that nnU-Net wrote of a case, or None.

    With `--save_probabilities` it is in NAME.npz, else 0 and 1 from the segmentation NAME.nii.gz.

    Raises:
        MammogramError: if the file is damaged or of another shape.
    """
    soft, hard = folder / f"{name}.npz", folder / f"{name}{ENDING}"
    path = soft if soft.exists() else hard
    if not path.exists():
        return None
    try:
        if path == soft:
            with np.load(soft) as content:
                probs = content["probabilities"][POSITIVE, 0]
        else:
            stored = np.asarray(nib.load(hard).dataobj)  # type: ignore[attr-defined]
            probs = stored.reshape(stored.shape[:2]).T == POSITIVE
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise refuse(path, "Expected a prediction of nnU-Net for one view, got another file; predict again") from error
    if probs.shape != shape:
        raise refuse(path, f"Expected a prediction of {shape} px, got {probs.shape}; predict this view again")
    return np.asarray(probs, np.float32)


def commands(raw: Path, number: int, *, inputs: Path, predictions: Path, folds: Iterable[int] = range(5)) -> list[str]:
    """What to type, in order, with nnU-Net v2 installed: check, plan, train, predict.

    Args:
        raw: nnUNet_raw; preprocessed data and results go beside it.
        number: of the data set.
        inputs: folder of views to predict.
        predictions: where predictions go.
        folds: of the cross-validation that are trained and predicted with.
    """
    numbers = list(folds)
    chosen = " ".join(str(fold) for fold in numbers)
    beside = raw.parent
    return [
        f"export nnUNet_raw={raw} nnUNet_preprocessed={beside / 'nnUNet_preprocessed'} "
        f"nnUNet_results={beside / 'nnUNet_results'}",
        f"nnUNetv2_plan_and_preprocess -d {number} -c 2d --verify_dataset_integrity",
        *(f"nnUNetv2_train {number} 2d {fold} --npz" for fold in numbers),
        f"nnUNetv2_predict -i {inputs} -o {predictions} -d {number} -c 2d -f {chosen} --save_probabilities",
    ]


def narrow_plans(plans: dict[str, Any]) -> dict[str, Any]:
    """nnU-Net's plans with one configuration more, `2d_narrow`: the planned one at CPU width.

    Normalisation, resampling, loss, augmentation and kind of network remain as nnU-Net plans them; patches have 256 px,
    batches 4 of them, and the network has 7 stages of 8 to 128 features. Training data are those of `2d`.

    Args:
        plans: content of nnUNetPlans.json.

    Raises:
        ValueError: without a configuration `2d` that has an architecture.
    """
    try:
        planned = plans["configurations"][WHOLE]["architecture"]
        arguments = dict(planned["arch_kwargs"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"Expected plans of nnU-Net v2 with a configuration {WHOLE}, got others; plan first"
        ) from error
    count = len(NARROW_STAGES)
    arguments |= {
        "n_stages": count,
        "features_per_stage": list(NARROW_STAGES),
        "kernel_sizes": [[3, 3]] * count,
        "strides": [[1, 1]] + [[2, 2]] * (count - 1),
        "n_conv_per_stage": [2] * count,
        "n_conv_per_stage_decoder": [2] * (count - 1),
    }
    narrow = {
        "inherits_from": WHOLE,
        "batch_size": 4,
        "patch_size": [256, 256],
        "architecture": {**planned, "arch_kwargs": arguments},
    }
    return {**plans, "configurations": {**plans["configurations"], NARROW: narrow}}


def losses_of_logs(paths: Iterable[Path]) -> list[float]:
    """Mean training loss of each epoch from nnU-Net's training logs, the last one of an epoch that was run twice.

    Args:
        paths: training_log_YEAR_MONTH_DAY_HOUR_MINUTE_SECOND.txt, in any order.

    Raises:
        MammogramError: if there are none in them.
    """
    found: dict[int, float] = {}
    # nnU-Net writes months and days without a leading zero.
    epoch, files = -1, sorted(paths, key=lambda path: [int(number) for number in re.findall(r"\d+", path.stem)])
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.search(r": Epoch (\d+)\s*$", line):
                epoch = int(match[1])
            elif match := re.search(r": train_loss (\S+)", line):
                found[epoch] = float(match[1])
    if not found:
        where = files[0].parent if files else Path("training_log_*.txt")
        raise refuse(where, "Expected training logs of nnU-Net with epochs and losses, found none; train first")
    return [found[number] for number in sorted(found)]


def _write(path: Path, plane: NDArray, spacing_mm: Spacing) -> Path:
    """A plane (rows, columns) as NIfTI volume of one slice, first axis columns, as ITK has it."""
    row_mm, column_mm = (float(side) for side in spacing_mm)
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = nib.Nifti1Image(plane.T[..., None], np.diag([column_mm, row_mm, 1.0, 1.0]))
    write_whole(path, lambda temporary: temporary.write_bytes(_compressed(volume)))
    return path


def _compressed(volume: nib.Nifti1Image) -> bytes:
    # The temporary name has no ending that nibabel knows.
    return gzip.compress(volume.to_bytes(), compresslevel=1, mtime=0)

"""What a data set lists before any image is opened, patients dealt out into splits, and the list that comes of it."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.decathlon_datalist import load_decathlon_datalist
from numpy.typing import NDArray

from .errors import printable, refuse
from .files import read_json
from .inbreast import Rois

SPLITS = ("training", "validation", "test")
NEGATIVES = "negatives"
SHARES = (70, 10, 20)
"""Patients of each split, in percent, where the data set has no split of its own."""
UNKNOWN = "unknown"
"""Stands for what the data set does not say: MONAI takes an empty text in a datalist for the list's own folder."""

Truth = Rois | NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ListedView:
    """One view as the data set's tables and file names describe it.

    Attributes:
        name: of the files that are written, without suffix; one of its kind.
        image: the file.
        patient: views of one patient stay in one split.
        view: "CC", "MLO", ... or "" for what the file says.
        laterality: "L", "R" or "" for what the file says.
        vendor: maker of the detector, or "" for what the file says.
        density: breast density in the data set's scale, BI-RADS A to D where it has that; "" if it is not given.
        machine: the data set's code of the detector, or "".
        split: "training" or "test" where the data set has a split of its own, else "".
        truth: gives regions or a label of the view's shape (rows, columns); None for a negative.
        spacing_mm: pixel size that the data set documents for files that state none.
        shape: rows and columns that the data set states, or None.
    """

    name: str
    image: Path
    patient: str
    view: str = ""
    laterality: str = ""
    vendor: str = ""
    density: str = ""
    machine: str = ""
    split: str = ""
    truth: Callable[[tuple[int, int]], Truth] | None = None
    spacing_mm: float | None = None
    shape: tuple[int, int] | None = None


@dataclass(frozen=True)
class Skipped:
    """Something of the data set that is not used.

    Attributes:
        what: file or row, as the data set names it.
        reason: the rule, in words that many may share.
        detail: the whole line, if it says more.
        refused: it is a view that was to be read and cannot be.
    """

    what: str
    reason: str
    detail: str = ""
    refused: bool = False


@dataclass(kw_only=True)
class Listing:
    """All that an adapter found.

    Attributes:
        dataset: its name.
        views: those that can be used if their files can be read.
        skipped: what cannot.
        notes: sentences for the report, about the data set as a whole.
        shares: patients of training, validation and test, as parts of their sum.
        split_name: under which the drawn split is cited; the seed is added.
    """

    dataset: str
    views: list[ListedView] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shares: tuple[int, int, int] = SHARES
    split_name: str = ""

    def skip(self, what: object, reason: str, detail: str = "", *, refused: bool = False) -> None:
        """Note something that is not used."""
        self.skipped.append(Skipped(printable(str(what)), printable(reason), detail, refused))


def rule_of(line: str) -> str:
    """What an error's line asks for, without the file and the value: many files may break one rule."""
    # A folder may be called Expected_this: the reason alone stands behind a colon.
    _, _, reason = line.partition(": Expected ")
    return (f"Expected {reason}" if reason else line).split(",")[0]


def split_counts(n: int, shares: Sequence[int]) -> list[int]:
    """Deal n out by whole-numbered shares: the largest remainders take what is left over.

    Args:
        n: number of patients.
        shares: of the splits, as parts of their sum.

    Returns:
        Counts that sum to n.
    """
    total = sum(shares)
    counts = [n * share // total for share in shares]
    order = sorted(range(len(shares)), key=lambda split: -(n * shares[split] % total))
    for split in order[: n - sum(counts)]:
        counts[split] += 1
    return counts


def assign_splits(
    views: Iterable[ListedView], *, seed: int, shares: tuple[int, int, int] = SHARES
) -> tuple[dict[str, str], list[str]]:
    """Deal patients out; those with calcifications and those without by themselves, so that every split has both.

    A patient that the data set puts into its test set stays there; of its training set a validation set is drawn.

    Args:
        views: with all their patients.
        seed: of the draw.
        shares: see `Listing`.

    Returns:
        Split by patient, and the patients that the data set itself has in training and test; they go to test.
    """
    calcified: dict[str, bool] = {}
    own: dict[str, set[str]] = {}
    for view in views:
        calcified[view.patient] = calcified.get(view.patient, False) or view.truth is not None
        own.setdefault(view.patient, set()).add(view.split)
    splits = {patient: "test" for patient, said in own.items() if "test" in said}
    for stratum, wanted in enumerate((True, False)):
        for official in ("training", ""):
            group = sorted(p for p in own if p not in splits and calcified[p] is wanted and (official in own[p]))
            dealt = _dealt(group, np.random.default_rng([seed, stratum]), (*shares[:2], 0) if official else shares)
            splits |= dealt
    return splits, sorted(patient for patient, said in own.items() if {"training", "test"} <= said)


def _dealt(patients: Sequence[str], rng: np.random.Generator, shares: Sequence[int]) -> dict[str, str]:
    names = np.repeat(SPLITS, split_counts(len(patients), shares))
    return {patients[index]: str(name) for index, name in zip(rng.permutation(len(patients)), names, strict=True)}


def draw_patients(views: Sequence[ListedView], *, count: int, seed: int) -> list[ListedView]:
    """All views of `count` patients; a larger count takes those of a smaller one too."""
    patients = sorted({view.patient for view in views})
    drawn = {patients[index] for index in np.random.default_rng(seed).permutation(len(patients))[:count]}
    return [view for view in views if view.patient in drawn]


def negatives_of(datalist: str | PathLike[str]) -> list[dict[str, Any]]:
    """The views of a prepared data set to train on: negatives of its training patients.

    Args:
        datalist: datalist.json of `python -m scripts.prepare`, or another MONAI datalist with a list `negatives`.

    Returns:
        [{"image": path, ...}, ...].

    Raises:
        MammogramError: if it cannot be read or lists no negatives.
    """
    read_json(datalist, what="a datalist (JSON)")  # says in a line what MONAI's loader would stumble over
    try:
        found = load_decathlon_datalist(datalist, data_list_key=NEGATIVES)
        images = [fspath(item["image"]) for item in found]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = "no such list" if isinstance(error, ValueError) and NEGATIVES in str(error) else type(error).__name__
        raise refuse(
            datalist, f"Expected a datalist with a list {NEGATIVES!r} of views, got {reason}; prepare one"
        ) from error
    if not images:
        raise refuse(datalist, f"Expected at least one view in the list {NEGATIVES!r}, got none; prepare more patients")
    return found


def views_of(datalist: str | PathLike[str], names: Sequence[str] = (*SPLITS, NEGATIVES)) -> list[str]:
    """The images of a datalist, each once, in the order of the lists.

    Args:
        datalist: datalist.json of `python -m scripts.prepare`, or another MONAI datalist.
        names: of the lists to take; those that are not there are passed over.

    Raises:
        MammogramError: if it cannot be read, or lists no view under these names.
    """
    try:
        there = json.loads(Path(datalist).read_text(encoding="utf-8"))
        found = [
            str(item["image"])
            for name in names
            if name in there
            for item in load_decathlon_datalist(datalist, data_list_key=name)
        ]
    except (OSError, ValueError, TypeError, LookupError) as error:
        reason = f"Expected a datalist, got {type(error).__name__}; prepare one (docs/datasets.md)"
        raise refuse(datalist, reason) from error
    if not found:
        raise refuse(datalist, f"Expected a view in one of the lists {', '.join(names)}, found none; name another")
    return list(dict.fromkeys(found))


def write_datalist(path: Path, items: Iterable[dict[str, Any]], header: dict[str, Any]) -> None:
    """Write a MONAI datalist with the lists training, validation, test and negatives; empty ones are left out.

    Args:
        path: the file.
        items: with `split` and `negative`; `image` and the like relative to the file.
        header: goes in front.
    """
    listed = list(items)
    lists = {split: [item for item in listed if item["split"] == split] for split in SPLITS}
    lists[NEGATIVES] = [item for item in lists["training"] if item["negative"]]
    content = header | {key: value for key, value in lists.items() if value}
    path.write_text(json.dumps(content, indent=1) + "\n")

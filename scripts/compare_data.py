"""The data sets of a comparison, and what each case shows: its file, its patient, its generator's seed."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from monai.transforms import Compose

from bundle.data import LoadLabeld, LoadMammogramd, MammogramError
from bundle.data.errors import refuse
from bundle.data.evaluation_cases import EvaluationCases
from bundle.data.pairing import assign_patients, pair_cases
from bundle.data.real_backgrounds import RealBackgrounds, crops_of, exams_of
from bundle.data.shift_benchmark import shift_cases, write_cases
from bundle.engines.benchmark import Case, View
from bundle.engines.evaluation import fingerprint
from bundle.transforms import BreastMaskd, MammogramWindowd
from scripts.benchmark_real import TUNING, real_cases

BENCHMARKS = ("shift", "real")
PATIENTS_FILE = "patients.csv"


@dataclass(frozen=True)
class Seen:
    """What a set of views shows, so that two sets can be told to overlap.

    Attributes:
        images: SHA-256 of image files.
        patients: SHA-256 of the names of patients or exams, from `digests_of`.
        seeds: (generator, first, stop) of rendered views.
    """

    images: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    seeds: tuple[tuple[str, int, int], ...] = ()

    def overlap(self, other: "Seen") -> str:
        """What both show, in words; "" if nothing."""
        if self.images & other.images:
            return f"the image with SHA-256 {min(self.images & other.images)[:12]}"
        if self.patients & other.patients:
            return f"patient or exam with SHA-256 {min(self.patients & other.patients)[:8]}"
        for name, first, stop in self.seeds:
            for theirs, start, end in other.seeds:
                if name == theirs and first < end and start < stop:
                    return f"seeds {max(first, start)} to {min(stop, end) - 1} of the generator {name!r}"
        return ""


class Item(NamedTuple):
    """A case, whether it is known to be clean, its file, and what it shows."""

    case: Case
    clean: bool
    file: str
    seen: Seen


@dataclass(frozen=True)
class Part:
    """Cases that are tested with one choice of weights and settings.

    Attributes:
        name: the held-out exam; "" where there is one part.
        items: to test on.
    """

    name: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes:
        name: in tables.
        parts: one, or one per held-out exam.
        tuning: per part name, what classical systems are tuned on; empty: the common tuning views.
    """

    name: str
    parts: tuple[Part, ...]
    tuning: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """All test cases."""
        return [item for part in self.parts for item in part.items]


def all_seen(items: Iterable[Item]) -> Seen:
    """What a set of cases shows."""
    listed = [item.seen for item in items]
    return Seen(
        frozenset().union(*(seen.images for seen in listed)),
        frozenset().union(*(seen.patients for seen in listed)),
        tuple(sorted({seeds for seen in listed for seeds in seen.seeds})),
    )


def digests_of(names: Iterable[str]) -> frozenset[str]:
    """SHA-256 of names of patients or exams, as records keep them: a file's name may begin with a person's."""
    return frozenset(hashlib.sha256(os.fsencode(name)).hexdigest() for name in names)


@cache
def content_of(path: str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def reading(**options: Any) -> Compose:
    """Reading, breast mask and window of {"image": path}."""
    return Compose([LoadMammogramd(**options), BreastMaskd(), MammogramWindowd()])


def shift_items(folder: Path, split: str, condition: str) -> tuple[Item, ...]:
    """Rendered views of a split under a condition; what is missing is rendered."""
    cases = shift_cases(split, condition)
    items = []
    for case, paths in zip(cases, write_cases(folder, cases, progress=False), strict=True):
        seed = case.parameters.seed
        load = partial(_rendered, paths["image"], paths["label"])
        one = Case(f"{case.patient} {condition}", case.patient, f"shift/{condition}", Path(paths["image"]).stem, load)
        seen = Seen(patients=digests_of([case.patient]), seeds=(("shift", seed, seed + 1),))
        items.append(Item(one, not case.calcified, paths["image"], seen))
    return tuple(items)


def _rendered(image: str, label: str) -> View:
    data = Compose([reading(), LoadLabeld("label")])({"image": image, "label": label})
    arrays = {key: np.asarray(data[key])[0] for key in ("image", "label", "breast")}
    return {**arrays, "spacing_mm": tuple(float(side) for side in data["image"].meta["spacing_mm"])}


def real_dataset(
    normals: Path,
    *,
    exams_csv: str | None = None,
    spacing_mm: float | None = None,
    crop_mm: float = 60.0,
    crops: int = 2,
    injections: int = 3,
) -> Dataset:
    """Rendered calcifications in one's own normals; each exam is a part, tuned on the others.

    Raises:
        MammogramError: if the folder is not as `exams_of` wants it, or one file is in two exams.
    """
    exams = exams_of(normals, exams_csv)
    backgrounds = RealBackgrounds(reading(spacing_mm=spacing_mm), crop_mm=crop_mm)

    def items(crops_per_view: int, count: int) -> dict[str, tuple[Item, ...]]:
        options = {"crops_per_view": crops_per_view, "injections": count}
        cases = real_cases(exams, backgrounds, **options, spacing_mm=spacing_mm)
        made: dict[str, list[Item]] = {exam: [] for exam in exams}
        flat = [case for exam in exams for case in cases[exam]]
        for case, crop in zip(flat, crops_of(exams, **options), strict=True):
            seen = Seen(images=frozenset({content_of(crop.path)}), patients=digests_of([crop.exam]))
            made[crop.exam].append(Item(case, crop.injection is None, crop.path, seen))
        return {exam: tuple(members) for exam, members in made.items()}

    tests = items(crops, injections)
    _apart_by_exam(tests)
    parts = tuple(Part(exam, members) for exam, members in tests.items())
    return Dataset("real", parts, items(TUNING["crops_per_view"], TUNING["injections"]))


def _apart_by_exam(tests: Mapping[str, tuple[Item, ...]]) -> None:
    """Refuse one file under two exams: it would be tuned on and tested on."""
    where: dict[str, str] = {}
    for exam, members in tests.items():
        for item in members:
            content = next(iter(item.seen.images))
            if where.setdefault(content, exam) != exam:
                raise refuse(
                    item.file,
                    f"Expected tuning data apart from the test data, got the same image in exams {where[content]!r} "
                    f"and {exam!r}; remove one of them",
                )


def labelled_items(
    folder: Path, name: str, *, missing_is_clean: bool = False, spacing_mm: float | None = None
) -> tuple[Item, ...]:
    """Views with masks: FOLDER/images and FOLDER/masks, or both in FOLDER with masks named *_mask; patients.csv if any.

    Args:
        folder: of the views.
        name: of the data set.
        missing_is_clean: a view without a mask is clean.
        spacing_mm: pixel size of files that do not state it.

    Raises:
        MammogramError: at whatever is wrong with it.
    """
    pair = (folder / "images", folder / "masks")
    images, masks = pair if all(path.is_dir() for path in pair) else (folder, folder)
    table = folder / PATIENTS_FILE
    load = reading(spacing_mm=spacing_mm)
    source = EvaluationCases(images, masks, folder, load, spacing_mm=spacing_mm, name=name)
    cases, problems = pair_cases(images, masks, missing_is_clean=missing_is_clean)
    cases, _, more = assign_patients(cases, table if table.exists() else None)
    if problems + more:
        lines = problems + more
        raise MammogramError(lines[0] if len(lines) == 1 else f"{lines[0]} ({len(lines) - 1} more)")
    items = []
    for case in cases:
        truth = source.load(case)["annotation"]
        if truth.kind != "mask":
            raise refuse(
                case.mask or case.image,
                f"Expected masks of calcifications, got {truth.kind}; python -m scripts.evaluate scores those",
            )
        files = [content_of(path) for path in (case.image, case.mask) if path is not None]
        one = Case(case.case, case.patient, name, fingerprint(files, spacing_mm), partial(_labelled, source, case))
        seen = Seen(frozenset(files[:1]), digests_of([case.patient]))
        items.append(Item(one, truth.clean, case.image, seen))
    return tuple(items)


def _labelled(source: EvaluationCases, case: Any) -> View:
    data = source.load(case)
    image = np.asarray(data["image"])[0]
    return {
        "image": image,
        "label": data["annotation"].label,
        "breast": data["region"],
        "spacing_mm": data["spacing_mm"],
    }


def some(items: Sequence[Item], count: int | None) -> tuple[Item, ...]:
    """A few cases for a trial, calcified and clean in turn; all of them for None.

    Args:
        items: cases.
        count: at most so many, at least 2.
    """
    if count is None:
        return tuple(items)
    calcified, clean = ([item for item in items if item.clean is kind] for kind in (False, True))
    wanted = {id(item) for item in (*calcified[: max(count - count // 2, count - len(clean))], *clean[: count // 2])}
    return tuple(item for item in items if id(item) in wanted)


def trial(dataset: Dataset, count: int | None) -> Dataset:
    """A data set of a few cases, its parts in turn."""
    if count is None:
        return dataset
    in_turn = zip_longest(*(part.items for part in dataset.parts))
    kept = some([item for items in in_turn for item in items if item is not None], count)
    parts = [Part(part.name, tuple(item for item in part.items if item in kept)) for part in dataset.parts]
    return Dataset(
        f"{dataset.name} (trial of {len(kept)} cases)",
        tuple(part for part in parts if part.items),
        {name: some(items, 2) for name, items in dataset.tuning.items()},
    )


def by_file(items: Sequence[Item]) -> list[list[Item]]:
    """Cases of one file together, so that one process reads it once."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.file, []).append(item)
    return list(groups.values())

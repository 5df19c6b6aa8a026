"""What a training has seen, written as training.json beside its weights, where comparisons look for it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.baselines.registry import Entry
from bundle.data.labelled_views import CEILING_COUNT, ceiling_cases
from bundle.data.phantom import phantom_seed
from bundle.data.training_views import training_views
from bundle.data.whole_files import write_whole
from scripts.compare_data import Seen, content_of, digests_of
from scripts.compare_systems import LOSSES, RECORD, digest_of

PHANTOMS = 24
# The one learns from rendered views with masks, the other from phantoms alone, whatever normals there are.
WITHOUT_NORMALS = ("supervised", "segmentor-phantoms")


def seen_in_training(
    entry: Entry, normals: str, *, exclude: Sequence[str] = (), phantoms: int = PHANTOMS, rendered: int = CEILING_COUNT
) -> Seen:
    """What a system sees when it is trained.

    Args:
        entry: the system; the supervised reference sees rendered views, `segmentor-phantoms` phantoms, all others
            phantoms and normals.
        normals: folder of negative mammograms, "" for none.
        exclude: beginnings of the names of files in it that are left out.
        phantoms: number of phantoms.
        rendered: number of rendered views.

    Raises:
        MammogramError: if the folder is not as the training wants it.
    """
    if entry.name == "supervised":
        seeds = [case.parameters.seed for case in ceiling_cases(rendered)]
        return Seen(seeds=(("shift", min(seeds), max(seeds) + 1),))
    if not normals or entry.name in WITHOUT_NORMALS:
        return seen_views({}, phantoms=phantoms)
    views = training_views(normals, phantom_dir="", phantom_count=0, exclude=exclude)
    exams: dict[str, list[str]] = {}
    for view in views:
        path = Path(str(view["image"]))
        # As `exams_of` names exams of a folder.
        exams.setdefault(path.stem.split("_")[0], []).append(str(path))
    return seen_views(exams, phantoms=phantoms)


def seen_views(exams: Mapping[str, Iterable[str]], *, phantoms: int = PHANTOMS) -> Seen:
    """What a training on phantoms and on these files of these exams sees."""
    first = phantom_seed("train", 0)
    seeds = (("phantom", first, first + phantoms),) if phantoms else ()
    paths = [path for members in exams.values() for path in members]
    return Seen(frozenset(map(content_of, paths)), digests_of(exams), seeds)


def write_record(weights: Path, seen: Seen, *, losses: str = LOSSES, options: dict[str, Any] | None = None) -> Path:
    """Add a training to the training.json beside its weights, under their SHA-256.

    Args:
        weights: the file.
        seen: what it was trained on.
        losses: its losses.csv, relative to the folder of the weights.
        options: of the training, to be read.

    Returns:
        The record's path.
    """
    path = weights.with_name(RECORD)
    known = json.loads(path.read_text(encoding="utf-8"))["trainings"] if path.exists() else {}
    known[digest_of(weights)] = record_of(weights, seen, losses=losses, options=options or {})
    write_json(path, {"trainings": known})
    return path


def record_of(weights: Path, seen: Seen, *, losses: str, options: dict[str, Any]) -> dict[str, Any]:
    """What is written of a training."""
    return {
        "file": weights.name,
        "losses": losses,
        "images": sorted(seen.images),
        "patients": sorted(seen.patients),
        "seeds": [list(seeds) for seeds in seen.seeds],
        "options": options,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole."""
    text = json.dumps(content, indent=1) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

"""The refusal: nothing that a system was trained or tuned on may be tested on."""

from collections.abc import Iterable, Sequence

from bundle.baselines.registry import Entry
from bundle.data import MammogramError
from scripts.compare_data import Dataset, Item, all_seen
from scripts.compare_systems import Folders, training_of


def refuse_tuning_overlap(datasets: Iterable[Dataset], tuning: Sequence[Item]) -> None:
    """Refuse test views that are tuning views too.

    Args:
        datasets: to test on; those that tune on their own other exams are checked against those.
        tuning: the common tuning views.

    Raises:
        MammogramError: naming what is in both.
    """
    common = all_seen(tuning)
    for dataset in datasets:
        for part in dataset.parts:
            tested = all_seen(part.items)
            others = [items for name, items in dataset.tuning.items() if name != part.name]
            own = all_seen(item for items in others for item in items)
            for seen in (common, own):
                _refuse(seen.overlap(tested), "Expected tuning data", dataset, part.name)


def refuse_training_overlap(entries: Iterable[Entry], folders: Folders, datasets: Sequence[Dataset]) -> None:
    """Refuse systems whose weights have seen what they would be tested on, as far as their trainings are recorded.

    Args:
        entries: those that run.
        folders: where weights lie.
        datasets: to test on.

    Raises:
        MammogramError: naming the system and what is in both.
    """
    for entry in entries:
        for dataset in datasets:
            for part in dataset.parts:
                tested = all_seen(part.items)
                for path in folders.of(entry, part.name):
                    training = training_of(path)
                    if training is None:
                        _refuse_unknown(entry, folders, dataset)
                    else:
                        _refuse(
                            training.seen.overlap(tested), f"{entry.name}: Expected training data", dataset, part.name
                        )


def _refuse(shared: str, expected: str, dataset: Dataset, part: str) -> None:
    if shared:
        where = f"{dataset.name}, exam {part}" if part else dataset.name
        apart = " or tell them apart in patients.csv" if shared.startswith("patient") else ""
        raise MammogramError(
            f"{expected} apart from the test data ({where}), got {shared} in both; leave it out of one of them{apart}"
        )


def _refuse_unknown(entry: Entry, folders: Folders, dataset: Dataset) -> None:
    """Our own shipped weights have learned from real normals: on real normals their record has to say which."""
    if entry.kind == "shipped" and dataset.name.startswith("real") and folders.folds is None:
        raise MammogramError(
            f"{entry.name}: Expected training data apart from the test data (real), got shipped weights whose training "
            "is not recorded beside them; pass --folds DIR with weights trained without each exam"
        )

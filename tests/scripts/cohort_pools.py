"""Workers in memory that fail, die and get killed as told: what the run of `scripts.cohort` is tried against."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.data.cohort import CohortStudy, CohortView
from bundle.data.manifest import DONE, NAME, Manifest
from scripts.cohort_worker import Outcome
from tests.scripts.watch_archive import Fuse, KilledError


def views(count: int) -> list[CohortView]:
    """Views without files."""
    return [CohortView(f"{number:016x}", f"folder/{number}.dcm") for number in range(count)]


@dataclass
class MemoryPool:
    """Does one thing at a time, the one that waits longest.

    Attributes:
        workers: their number.
        answer: what comes of a key at its n-th trial, n from 1; text if the worker dies.
        trials: of every key.
        most: how many things were on their way at once.
    """

    workers: int
    answer: Callable[[str, int], Outcome | str] = lambda key, trial: Outcome(DONE)
    trials: Counter[str] = field(default_factory=Counter)
    most: int = 0
    _given: dict[int, str] = field(default_factory=dict)

    def idle(self) -> list[int]:
        return [number for number in range(self.workers) if number not in self._given]

    def submit(self, number: int, task: str, *arguments: Any) -> None:
        assert number not in self._given
        (first, *_) = arguments
        assert isinstance(first, {"view": CohortView, "study": CohortStudy}[task])
        self._given[number] = first.key
        self.most = max(self.most, len(self._given))

    def answers(self) -> Iterator[tuple[int, Outcome | str]]:
        number = next(iter(self._given))
        key = self._given.pop(number)
        self.trials[key] += 1
        yield number, self.answer(key, self.trials[key])


class FusedManifest(Manifest):
    """A manifest whose run may be killed before or after a line is on the disk, or in the middle of it."""

    fuse = Fuse()

    def _write(self, line: dict[str, Any]) -> None:
        self.fuse.step()
        super()._write(line)
        self.fuse.step()


def half_a_line(folder: Path) -> None:
    """What a kill in the middle of a line leaves."""
    with (folder / NAME).open("ab") as file:
        file.write(b'{"at": "2026-')


__all__ = ["FusedManifest", "KilledError", "MemoryPool", "half_a_line", "views"]

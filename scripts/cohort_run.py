"""The run of `scripts.cohort`: what is still to do goes to idle workers, what comes back goes to the manifest."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bundle.data.cohort import CohortStudy, CohortView
from bundle.data.manifest import DONE, ENDS, FAILED, Manifest
from scripts.cohort_worker import STOP, Outcome

STOP_AFTER = 20
"""So many failed attempts one after the other, with no success between them, are hardly the views' fault."""


class Pool(Protocol):
    """Workers; `scripts.cohort_pool.RayPool` is one."""

    def idle(self) -> list[int]:
        """Numbers of those that have nothing to do."""

    def submit(self, number: int, task: str, *arguments: Any) -> None:
        """Give one something to do."""

    def answers(self) -> Iterator[tuple[int, Outcome | str]]:
        """Numbers of those that are ready and what came of it, or why nothing came."""


@dataclass(frozen=True)
class Job:
    """Something for a worker.

    Attributes:
        key: in the manifest.
        task: name of the method of `Worker`.
        arguments: of the method.
    """

    key: str
    task: str
    arguments: tuple[Any, ...]


@dataclass
class CohortRun:
    """One run over a cohort.

    Attributes:
        views: all of them.
        studies: to be made when their views have ended; none where neither page nor objects are wanted.
        manifest: what has been done.
        attempts: how often a view or study is tried, >= 1.
        tell: takes the key of what ended, the outcome, and whether it will be tried again.
        left: what to do when a study, or a view that belongs to none, will not be looked at again.
    """

    views: Sequence[CohortView]
    studies: Sequence[CohortStudy]
    manifest: Manifest
    attempts: int = 3
    tell: Callable[[str, Outcome, bool], None] = lambda key, outcome, again: None
    left: Callable[[Iterable[CohortView]], None] = lambda views: None
    _queue: deque[Job] = field(default_factory=deque)
    _running: dict[int, Job] = field(default_factory=dict)
    _failures: int = 0

    def __post_init__(self) -> None:
        self._by_key = {view.key: view for view in self.views}
        self._studies = {study.key: study for study in self.studies}
        self._studies_of: dict[str, list[CohortStudy]] = {}
        for study in self.studies:
            for key in study.views:
                self._studies_of.setdefault(key, []).append(study)
        self._queue.extend(Job(view.key, "view", (view,)) for view in self.views if not self._ended(view.key))
        for study in self.studies:
            self._make_if_ready(study)

    @property
    def todo(self) -> int:
        """Number of views that have not ended."""
        return sum(not self._ended(view.key) for view in self.views)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._queue or self._running)

    def go(self, pool: Pool) -> None:
        """Do all there is; as many things are on their way as there are workers.

        Raises:
            ValueError: in one line, if the run has to stop, and can go on later.
            OSError: if the manifest cannot be written.
        """
        while self.waiting:
            for number in pool.idle():
                if self._queue:
                    job = self._running[number] = self._queue.popleft()
                    pool.submit(number, job.task, *job.arguments)
            for number, answer in pool.answers():
                outcome = Outcome(FAILED, answer) if isinstance(answer, str) else answer
                self._note(self._running.pop(number), outcome)

    def _note(self, job: Job, outcome: Outcome) -> None:
        if outcome.end == STOP:
            raise ValueError(outcome.reason)
        if outcome.end == FAILED:
            self._failures += 1
            if self.manifest.entry(job.key).attempts + 1 < self.attempts:
                self.manifest.tried(job.key, outcome.reason)
                self._queue.append(job)
                self.tell(job.key, outcome, True)
                self._stop_if_all_fail(outcome.reason)
                return
        else:
            self._failures = 0
        self.manifest.end(job.key, outcome.end, outcome.reason, **outcome.details)
        self.tell(job.key, outcome, False)
        self._after(job.key)
        self._stop_if_all_fail(outcome.reason)

    def _after(self, key: str) -> None:
        """What the end of a view or study makes possible."""
        if key in self._studies:
            self.left(self._by_key[view] for view in self._studies[key].views)
        elif key not in self._studies_of:
            self.left([self._by_key[key]])
        for study in self._studies_of.get(key, []):
            self._make_if_ready(study)

    def _make_if_ready(self, study: CohortStudy) -> None:
        """Put a study first, so that its files are looked at while they are at hand."""
        if not self._ended(study.key) and all(self._ended(key) for key in study.views):
            views = {key: self._by_key[key] for key in study.views}
            done = frozenset(key for key in study.views if self.manifest.entry(key).end == DONE)
            self._queue.appendleft(Job(study.key, "study", (study, views, done)))

    def _ended(self, key: str) -> bool:
        return self.manifest.entry(key).end in ENDS

    def _stop_if_all_fail(self, reason: str) -> None:
        if self._failures >= STOP_AFTER:
            raise ValueError(
                f"Expected views to succeed, {self._failures} attempts failed one after the other, the last with: "
                f"{reason}; mend that, then give the same command with --retry"
            )

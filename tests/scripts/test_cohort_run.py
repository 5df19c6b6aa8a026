"""Every view ends once, whatever fails, dies or is killed; no more is on its way than there are workers."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bundle.data.cohort import CohortStudy, CohortView
from bundle.data.manifest import DONE, ENDS, FAILED, NAME, REFUSED, Manifest, decoded, read_history
from bundle.data.studies import Study
from scripts.cohort_run import STOP_AFTER, CohortRun
from scripts.cohort_worker import STOP, Outcome
from tests.scripts.cohort_pools import FusedManifest, KilledError, MemoryPool, half_a_line, views
from tests.scripts.watch_archive import Fuse

SETTINGS = {"method": "segmentor"}
ATTEMPTS = 3


def _studies(members: list[CohortView], size: int = 2) -> list[CohortStudy]:
    pieces = [members[start : start + size] for start in range(0, len(members), size)]
    return [
        CohortStudy(
            f"study-{number}", Study(str(number), tuple(v.path for v in piece), True), tuple(v.key for v in piece)
        )
        for number, piece in enumerate(pieces)
    ]


def _go(folder: Path, pool: MemoryPool, members: list[CohortView], studies: list[CohortStudy] | None = None) -> None:
    manifest = Manifest(folder, SETTINGS)
    try:
        CohortRun(members, studies or [], manifest, ATTEMPTS).go(pool)
    finally:
        manifest.close()


def _ends(folder: Path) -> dict[str, str | None]:
    return {key: entry.end for key, entry in read_history(folder).entries.items()}


def _ends_in_the_file(folder: Path) -> Counter[str]:
    lines = [decoded(text) for text in (folder / NAME).read_bytes().splitlines()]
    return Counter(line["key"] for line in lines if line is not None and line["event"] in ENDS)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_view_is_done_once_and_no_more_is_on_its_way_than_workers(tmp_path: Path, workers: int) -> None:
    pool, members = MemoryPool(workers), views(5)
    _go(tmp_path, pool, members)
    assert pool.trials == Counter(view.key for view in members)
    assert set(_ends(tmp_path).values()) == {DONE}
    assert pool.most == min(workers, 5)


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    _go(tmp_path, MemoryPool(2), views(3), _studies(views(3)))
    before = (tmp_path / NAME).read_bytes()
    pool = MemoryPool(2)
    _go(tmp_path, pool, views(3), _studies(views(3)))
    assert not pool.trials
    assert (tmp_path / NAME).read_bytes() == before


def test_a_view_is_tried_so_often_and_the_others_go_on(tmp_path: Path) -> None:
    bad = views(4)[1].key
    pool = MemoryPool(2, lambda key, trial: "the worker's process died" if key == bad else Outcome(DONE))
    _go(tmp_path, pool, views(4))
    assert pool.trials[bad] == ATTEMPTS
    assert Counter(_ends(tmp_path).values()) == {DONE: 3, FAILED: 1}
    assert read_history(tmp_path).entries[bad].reason == "the worker's process died"


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    pool = MemoryPool(1, lambda key, trial: Outcome(REFUSED, "Expected a breast"))
    _go(tmp_path, pool, views(2))
    assert set(pool.trials.values()) == {1}
    assert set(_ends(tmp_path).values()) == {REFUSED}


def test_a_death_that_does_not_repeat_costs_nothing(tmp_path: Path) -> None:
    pool = MemoryPool(2, lambda key, trial: Outcome(DONE) if trial == 2 else "the worker's process died")
    _go(tmp_path, pool, views(5))
    assert set(_ends(tmp_path).values()) == {DONE}


def test_attempts_are_counted_over_runs(tmp_path: Path) -> None:
    def stop_later(key: str, trial: int) -> Outcome | str:
        return "died" if trial == 1 else Outcome(STOP, "no room")

    with pytest.raises(ValueError, match="no room"):
        _go(tmp_path, MemoryPool(1, stop_later), views(1))
    pool = MemoryPool(1, lambda key, trial: "died")
    _go(tmp_path, pool, views(1))
    assert sum(pool.trials.values()) == ATTEMPTS - 1


def test_a_full_disk_stops_the_run_and_is_no_view_s_fault(tmp_path: Path) -> None:
    def full_at_third(key: str, trial: int) -> Outcome:
        return Outcome(STOP, "Expected room") if key == views(5)[2].key else Outcome(DONE)

    with pytest.raises(ValueError, match="Expected room"):
        _go(tmp_path, MemoryPool(1, full_at_third), views(5))
    assert list(_ends(tmp_path).values()) == [DONE, DONE]
    _go(tmp_path, MemoryPool(1), views(5))
    assert list(_ends(tmp_path).values()) == [DONE] * 5


def test_when_everything_fails_the_run_stops_before_all_views_are_given_up(tmp_path: Path) -> None:
    pool = MemoryPool(2, lambda key, trial: Outcome(FAILED, "RuntimeError at x.py:1"))
    with pytest.raises(ValueError, match=r"failed one after the other.*RuntimeError at x\.py:1"):
        _go(tmp_path, pool, views(10 * STOP_AFTER))
    assert sum(pool.trials.values()) == STOP_AFTER
    assert FAILED not in _ends(tmp_path).values()


def test_a_study_is_made_when_its_views_have_ended_and_knows_who_was_done(tmp_path: Path) -> None:
    members = views(4)
    order: list[str] = []

    def answer(key: str, trial: int) -> Outcome:
        order.append(key)
        return Outcome(REFUSED, "x") if key == members[1].key else Outcome(DONE)

    _go(tmp_path, MemoryPool(1, answer), members, _studies(members))
    first, second, third, fourth = (view.key for view in members)
    assert order == [first, second, "study-0", third, fourth, "study-1"]


def test_what_was_fetched_is_left_when_its_study_has_ended(tmp_path: Path) -> None:
    members, left = views(3), []
    manifest = Manifest(tmp_path, SETTINGS)
    run = CohortRun(members, _studies(members[:2]), manifest, ATTEMPTS, left=lambda done: left.append(list(done)))
    run.go(MemoryPool(1))
    manifest.close()
    assert left == [members[:2], members[2:]]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_and_whenever_it_is_killed_the_end_is_the_same(tmp_path: Path, seed: int) -> None:
    """Outcomes are drawn by key and trial; the run is killed at drawn places and begun again until it ends."""
    members = views(8)
    studies = _studies(members, 3)
    final = {view.key: (DONE, REFUSED)[int(view.key, 16) % 5 == 4] for view in members}
    rng = np.random.default_rng(seed)

    def answer(key: str, trial: int) -> Outcome | str:
        return "died" if trial < ATTEMPTS and rng.random() < 0.2 else Outcome(final.get(key, DONE))

    trials: Counter[str] = Counter()
    for _ in range(200):
        FusedManifest.fuse = Fuse(int(rng.integers(1, 20)))
        pool = MemoryPool(int(rng.integers(1, 4)), answer, trials)
        try:
            manifest = FusedManifest(tmp_path, SETTINGS)
        except KilledError:
            continue
        try:
            CohortRun(members, studies, manifest, attempts=100).go(pool)
            break
        except KilledError:
            half_a_line(tmp_path)
        finally:
            manifest.close()
    else:
        pytest.fail("the run does not come to an end")
    ends = _ends(tmp_path)
    assert {key: ends[key] for key in final} == final
    assert all(ends[study.key] == DONE for study in studies)
    assert set(_ends_in_the_file(tmp_path).values()) == {1}

"""Malformed files by the hundred: each is read, or refused in one line; none crashes, hangs or fills memory."""

import hashlib
import sys

import pytest

from . import seeds_dicom, seeds_text
from .probe import Outcome, outcomes
from .seeds import Seed, all_seeds, flipped

MOST_MB = 1200
"""The largest view, 8192 x 8192, takes 256 MB as float32 and some copies on the way."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and peaks of memory as Linux has them"),
]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Seed, Outcome]]:
    folder, seeds = tmp_path_factory.mktemp("hostile"), all_seeds()
    for seed in seeds:
        (folder / seed.name).write_bytes(seed.content)
    jobs = [(seed.reader, folder / seed.name) for seed in seeds]
    return list(zip(seeds, outcomes(jobs), strict=True))


def _names(wrong: list[tuple[Seed, Outcome]]) -> list[str]:
    return [f"{seed.name}: {outcome.trouble or outcome.line or outcome.peak_mb}" for seed, outcome in wrong]


def test_there_are_hundreds_of_them_for_every_reader(tried: list[tuple[Seed, Outcome]]) -> None:
    bad = [seed for seed, _ in tried if not seed.good]
    assert len(bad) >= 300
    assert {seed.reader for seed in bad if seed.name.count("_")} == {seed.reader for seed, _ in tried}


def test_no_file_crashes_hangs_or_raises_anything_but_its_line(tried: list[tuple[Seed, Outcome]]) -> None:
    assert _names([pair for pair in tried if pair[1].trouble]) == []


def test_no_file_takes_more_memory_than_the_largest_view(tried: list[tuple[Seed, Outcome]]) -> None:
    assert _names([pair for pair in tried if pair[1].peak_mb > MOST_MB]) == []


def test_well_formed_files_among_them_are_read(tried: list[tuple[Seed, Outcome]]) -> None:
    good = [pair for pair in tried if pair[0].good]
    assert len(good) >= 15
    assert _names([pair for pair in good if pair[1].line or pair[1].trouble]) == []


def test_most_are_refused(tried: list[tuple[Seed, Outcome]]) -> None:
    """A flipped bit in a grey value makes another view; most of what is here is no view at all."""
    assert sum(bool(outcome.line) for _, outcome in tried) > len(tried) / 2


def test_the_same_files_every_time() -> None:
    assert list(seeds_text.seeds()) == list(seeds_text.seeds())
    assert list(flipped("a.dcm", "dicom", bytes(99), count=5)) == list(flipped("a.dcm", "dicom", bytes(99), count=5))
    digest = hashlib.sha256(b"".join(seed.content for seed in seeds_dicom.seeds())).hexdigest()
    assert digest == hashlib.sha256(b"".join(seed.content for seed in seeds_dicom.seeds())).hexdigest()

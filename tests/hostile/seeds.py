"""Malformed files, made by code and always the same: see the modules beside this one for what is wrong with each."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Seed:
    """One file.

    Attributes:
        name: its file name; one of its kind.
        reader: key of `readers.READERS`.
        content: its bytes.
        good: it must be read; the others may be refused, in one line.
    """

    name: str
    reader: str
    content: bytes
    good: bool = False


def truncated(name: str, reader: str, content: bytes, *, count: int) -> Iterator[Seed]:
    """The file cut at offsets that are spread over it, denser at its beginning."""
    stem, _, suffix = name.partition(".")
    for number in range(count):
        cut = int(len(content) * ((number + 1) / (count + 1)) ** 2)
        yield Seed(f"{stem}_cut_{cut}.{suffix}", reader, content[:cut])


def flipped(name: str, reader: str, content: bytes, *, count: int, within: int | None = None) -> Iterator[Seed]:
    """The file with one to eight bits flipped, within the first bytes if so many are given."""
    stem, _, suffix = name.partition(".")
    for number in range(count):
        rng = random.Random(f"{name} {number}")
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            changed[rng.randrange(min(within or len(content), len(content)))] ^= 1 << rng.randrange(8)
        yield Seed(f"{stem}_flip_{number}.{suffix}", reader, bytes(changed))


@cache
def all_seeds() -> tuple[Seed, ...]:
    """Every file, the names unlike each other."""
    from . import seeds_dicom, seeds_flat, seeds_nifti, seeds_pixels, seeds_text, seeds_xml

    modules = (seeds_dicom, seeds_pixels, seeds_flat, seeds_nifti, seeds_xml, seeds_text)
    found = tuple(seed for module in modules for seed in module.seeds())
    assert len({seed.name for seed in found}) == len(found)
    return found

"""Readers on files that hypothesis makes up: from nothing, and by mutating files that are read."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.data import MammogramError
from bundle.data.errors import printable, refuse
from bundle.data.files import parse_json, read_csv
from bundle.data.prepare import is_plain_name

from .readers import READERS, attempt
from .seeds import all_seeds

QUICK = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")), deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LARGEST = 50_000


def _start(reader: str) -> tuple[str, bytes]:
    """A file to mutate: a good one, else the first."""
    found = [seed for seed in all_seeds() if seed.reader == reader and len(seed.content) < LARGEST]
    seed = next((seed for seed in found if seed.good), found[0])
    return seed.name.partition(".")[2], seed.content


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some bytes changed, cut, doubled or put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        piece = draw(st.binary(max_size=8))
        kind = draw(st.sampled_from(("put", "over", "cut", "double")))
        if kind == "put":
            changed[place:place] = piece
        elif kind == "over":
            changed[place : place + len(piece)] = piece
        elif kind == "cut":
            del changed[place : place + draw(st.integers(1, 64))]
        else:
            changed[place:place] = changed[place : place + draw(st.integers(1, 64))]
    return bytes(changed)


@pytest.mark.parametrize("reader", sorted(READERS))
def test_a_mutated_file_is_read_or_refused_in_a_line(reader: str) -> None:
    suffix, content = _start(reader)

    @QUICK
    @given(mutations(content))
    def check(mutated: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file.{suffix}"
            path.write_bytes(mutated)
            attempt(reader, path)

    check()


@pytest.mark.parametrize("reader", sorted(READERS))
def test_any_bytes_are_read_or_refused_in_a_line(reader: str) -> None:
    suffix, content = _start(reader)

    @QUICK
    @given(st.binary(max_size=300), st.integers(0, 200))
    def check(noise: bytes, kept: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file.{suffix}"
            path.write_bytes(content[:kept] + noise)
            attempt(reader, path)

    check()


@QUICK
@given(st.text(max_size=60), st.text(max_size=60))
def test_a_refusal_is_one_printable_line_that_begins_with_its_file(path: str, reason: str) -> None:
    line = str(refuse(path, reason))
    assert line.isprintable()
    assert line.startswith(printable(path))
    assert printable(line) == line


@QUICK
@given(st.text(max_size=80))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if is_plain_name(name):
        assert os.path.dirname(os.path.normpath(os.path.join("folder", name))) == "folder"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@QUICK
@given(JSON_VALUES)
def test_json_that_python_writes_is_read_as_it_was(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@QUICK
@given(JSON_VALUES, st.sampled_from(("datalist", "operating", "settings", "record", "findings", "journal")))
def test_json_of_any_layout_is_read_or_refused_in_a_line(value: object, reader: str) -> None:
    keys = {"datalist": "negatives", "operating": "segmentor", "record": "record"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_text(json.dumps({keys[reader]: value} if reader in keys else value))
        attempt(reader, path)


@QUICK
@given(st.text(alphabet='a,"\n\r\0 ü;', max_size=200))
def test_csv_is_rows_of_texts_or_a_refusal(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(text.encode())
        with contextlib.suppress(MammogramError):
            assert all(isinstance(cell, str) for row in read_csv(path) for cell in row)

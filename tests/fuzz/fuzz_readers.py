"""Fuzzing of the readers, guided by coverage where atheris is there: `make fuzz`, or

    python -m tests.fuzz.fuzz_readers READER --seconds 300 --corpus build/fuzz

READER is a key of tests/hostile/readers.py, or all. The corpus starts from the seeds of tests/hostile. A file that ends
the process, takes long or raises anything but its line is kept beside the corpus; the status is then not 0.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType

LARGEST = 20_000
SECONDS_PER_FILE = 60
BATCH = 200
MODULES = (
    "bundle.data", "pydicom.filereader", "pydicom.filebase", "pydicom.fileutil", "pydicom.values", "pydicom.dataelem",
    "pydicom.charset", "nibabel.nifti1", "nibabel.nifti2", "nibabel.analyze", "nibabel.volumeutils",
    "PIL.PngImagePlugin", "PIL.TiffImagePlugin", "PIL.JpegImagePlugin", "PIL.ImageFile", "plistlib", "json",
)  # fmt: skip
"""Whose code is watched: what parses. Tables of names and torch are not worth the minutes that it takes."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz_readers", description=__doc__)
    parser.add_argument("reader", help="key of tests/hostile/readers.py, or all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"), help="folder (default: %(default)s)")
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    parser.add_argument("--random-state", type=int, default=0, help="of the mutations (default: %(default)s)")
    return parser.parse_args(argv)


def write_corpus(folder: Path, reader: str) -> str:
    """The seeds of a reader as files, and the suffix that its files have."""
    from tests.hostile.seeds import all_seeds

    folder.mkdir(parents=True, exist_ok=True)
    found = [seed for seed in all_seeds() if seed.reader == reader and len(seed.content) <= LARGEST]
    for seed in found:
        (folder / hashlib.sha256(seed.content).hexdigest()[:16]).write_bytes(seed.content)
    best = next((seed for seed in found if seed.good), found[0])
    return best.name.partition(".")[2]


def mutated(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A file with one to eight changes: bits, bytes, numbers at their limits, pieces cut, doubled or from others."""
    changed = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(len(changed)) if changed else 0
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place : place + 1] = rng.randbytes(1)
        elif kind == 2:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1))
            changed[place : place + size] = number.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 3:
            del changed[place : place + rng.randrange(1, 1 + max(len(changed) // 4, 1))]
        elif kind == 4:
            changed[place:place] = changed[place : place + rng.randrange(1, 200)]
        elif kind == 5:
            other = rng.choice(others)
            start = rng.randrange(max(len(other), 1))
            changed[place:place] = other[start : start + rng.randrange(1, 400)]
        else:
            changed[place:place] = rng.randbytes(rng.randrange(1, 16))
    return bytes(changed[:LARGEST])


def try_one(reader: str, path: Path, content: bytes) -> None:
    """Read one file; what is no read file and no refusal raises."""
    from tests.hostile.readers import attempt

    path.write_bytes(content)
    attempt(reader, path)


@contextlib.contextmanager
def scratch_file(suffix: str) -> Iterator[Path]:
    """A path that is written anew for every file, in memory where there is such a folder."""
    root = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    path = root / f"fuzz_{os.getpid()}.{suffix}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def by_mutation(reader: str, corpus: Path, suffix: str, *, seconds: float, random_state: int) -> tuple[int, int]:
    """Mutate the corpus in batches, each in a process of its own.

    Returns:
        Files tried, and files kept because they did harm.
    """
    contents = [path.read_bytes() for path in sorted(corpus.iterdir()) if path.is_file()]
    end, number, harmful = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        with scratch_file(suffix) as path:
            ended, done = _batch(reader, contents, path, first=number, end=end, random_state=random_state)
            if ended:
                found = corpus / "found"
                found.mkdir(exist_ok=True)
                (found / f"{random_state}_{number + done}.{suffix}").write_bytes(path.read_bytes())
                harmful += 1
        number += done + ended
    return number, harmful


def _batch(
    reader: str, contents: Sequence[bytes], path: Path, *, first: int, end: float, random_state: int
) -> tuple[bool, int]:
    """Whether a child ended before its time, and how many files it was done with."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(first, first + BATCH):
                signal.alarm(SECONDS_PER_FILE)
                rng = random.Random(f"{random_state} {number}")
                try_one(reader, path, mutated(rng.choice(contents), contents, rng))
                os.write(there, b".")
                if time.monotonic() > end:
                    break
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    os.close(there)
    with os.fdopen(here, "rb") as dots:
        done = len(dots.read())
    return os.waitpid(child, 0)[1] != 0, done


def by_atheris(reader: str, corpus: Path, suffix: str, *, seconds: float, random_state: int) -> None:
    """Hand the readers to atheris, which does not return; what does harm is kept by libFuzzer."""
    import atheris

    import tests.hostile.readers  # noqa: F401

    # Function by function: instrumented imports spend half an hour on tables that these modules bring along.
    for module in [module for name, module in sys.modules.items() if name.startswith(MODULES)]:
        for function in _functions(module):
            atheris.instrument_func(function)
    found = corpus.with_name(f"{reader}_found")
    found.mkdir(parents=True, exist_ok=True)
    path = stack.enter_context(scratch_file(suffix))
    options = [
        f"-max_total_time={seconds:.0f}", f"-artifact_prefix={found}/", f"-timeout={SECONDS_PER_FILE}",
        f"-seed={random_state + 1}", f"-max_len={LARGEST}", "-rss_limit_mb=6000", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda content: try_one(reader, path, content))
    atheris.Fuzz()


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that a module defines."""
    for value in list(vars(module).values()):
        for found in [value, *(vars(value).values() if isinstance(value, type) else ())]:
            if isinstance(found, FunctionType) and found.__module__ == module.__name__:
                yield found


stack = contextlib.ExitStack()


def main(argv: Sequence[str] | None = None) -> None:
    """Fuzz one reader or all, one after the other."""
    arguments = parse(argv)
    warnings.simplefilter("ignore")
    has_atheris = False
    if arguments.engine != "mutation":
        with contextlib.suppress(ImportError):
            import atheris  # noqa: F401

            has_atheris = True
    if arguments.engine == "atheris" and not has_atheris:
        raise SystemExit("error: Expected atheris, found none; make fuzz installs it, or say --engine mutation")
    with contextlib.ExitStack() as closing:
        closing.push(stack)
        raise SystemExit(1 if _fuzz(arguments, has_atheris) else 0)


def _fuzz(arguments: argparse.Namespace, has_atheris: bool) -> int:
    if arguments.reader != "all" and has_atheris:
        corpus = arguments.corpus / arguments.reader
        suffix = write_corpus(corpus, arguments.reader)
        by_atheris(arguments.reader, corpus, suffix, seconds=arguments.seconds, random_state=arguments.random_state)
    from tests.hostile.readers import READERS

    harmful = 0
    for reader in READERS if arguments.reader == "all" else [arguments.reader]:
        if has_atheris:
            harmful += _in_a_process(reader, arguments)
            continue
        corpus = arguments.corpus / reader
        suffix = write_corpus(corpus, reader)
        options = {"seconds": arguments.seconds, "random_state": arguments.random_state}
        tried, kept = by_mutation(reader, corpus, suffix, **options)
        print(f"{reader}: {tried} files by mutation, {kept} harmful", flush=True)
        harmful += kept
    return harmful


def _in_a_process(reader: str, arguments: argparse.Namespace) -> int:
    """One reader by atheris, which ends its process."""
    import subprocess

    command = [sys.executable, "-m", "tests.fuzz.fuzz_readers", reader, "--engine", "atheris"]
    options = ["--seconds", str(arguments.seconds), "--corpus", str(arguments.corpus)]
    ended = subprocess.run([*command, *options, "--random-state", str(arguments.random_state)]).returncode
    print(f"{reader}: by atheris, {'nothing harmful' if not ended else f'ended with {ended}'}", flush=True)
    return int(ended != 0)


if __name__ == "__main__":
    main()

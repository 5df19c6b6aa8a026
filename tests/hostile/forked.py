"""A command run as a shell runs it, in a process of its own that starts at once."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import torch


@dataclass(frozen=True)
class Ended:
    """What a command left.

    Attributes:
        status: exit status.
        said: standard output and error.
    """

    status: int
    said: str

    def lines_about(self, path: Path | str) -> list[str]:
        """Lines that name a path."""
        return [line for line in self.said.replace("\r", "\n").splitlines() if f"{path}: " in line]


def run(main: Callable[[list[str]], None], arguments: Sequence[str], folder: Path) -> Ended:
    """Run a command with output to files, in UTF-8 and strict, as most terminals have it.

    Args:
        main: of the command.
        arguments: its command line.
        folder: for its output.
    """
    files = [folder / "out.txt", folder / "err.txt"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        streams = [_opened(files[0], "strict"), _opened(files[1], "backslashreplace")]
        sys.stdout, sys.stderr = streams
        status = 0
        try:
            main(list(arguments))
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
            print(stop.code, file=sys.stderr)
        except BaseException:
            status = 99
            traceback.print_exc()
        for stream in streams:
            stream.flush()
        os._exit(status)
    _, ended = os.waitpid(child, 0)
    said = "".join(file.read_text(encoding="utf-8") for file in files)
    return Ended(os.waitstatus_to_exitcode(ended), said)


def _opened(file: Path, errors: str) -> TextIOWrapper:
    return TextIOWrapper(file.open("wb"), encoding="utf-8", errors=errors)

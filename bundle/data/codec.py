"""Compressed frames decoded in a process of their own: one that dies, hangs or swallows memory ends no run.

The process is started with the first compressed frame and kept; what it cost is gone with it. Native codecs are
not safe on every input: a JPEG-LS frame of 0 rows keeps CharLS busy for ever.
"""

import atexit
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from . import codec_worker
from .limits import MAX_DECODE_BYTES, MAX_DECODE_SECONDS

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class MissingDecoderError(Exception):
    """There is no decoder for the syntax."""


class DecodingError(Exception):
    """A frame that cannot be decoded; its text is what happened, in words that a sentence goes on with."""


def decode_frame(
    frame: bytes, *, syntax: str, module: dict[str, Any], decoder: str = "pydicom"
) -> npt.NDArray[np.integer]:
    """Decode one compressed frame.

    Args:
        frame: the frame, its fragments joined.
        syntax: Transfer Syntax UID.
        module: what the header says of the pixels, by keyword; plain numbers and texts.
        decoder: "pydicom" for its plugins, or "itk".

    Returns:
        Integers, (rows, columns).

    Raises:
        MissingDecoderError: if there is no decoder for the syntax.
        DecodingError: if the frame is damaged, takes too long or too much memory, or ends the decoder's process.
    """
    request = {"syntax": syntax, "module": module, "decoder": decoder}
    with _State.lock:
        if _State.worker is None:
            _State.worker = _started()
        answer = _State.worker.ask(request, frame)
        if answer is None:
            late = _State.worker.late
            _forget()
            raise DecodingError(
                f"decoding took more than {MAX_DECODE_SECONDS:g} s" if late else "it ended the decoder's process"
            )
    content, data = answer
    if (error := content.get("error")) == "missing":
        raise MissingDecoderError(syntax)
    if error is not None:
        raise DecodingError("decoding ran out of memory" if error == "memory" else "it is damaged")
    return np.frombuffer(data, content["dtype"]).reshape(content["shape"])


class _Worker:
    """The process, and one question at a time."""

    def __init__(self) -> None:
        command = [sys.executable, codec_worker.__file__, str(MAX_DECODE_BYTES)]
        self.late = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
        )

    def ask(self, request: dict[str, Any], frame: bytes) -> tuple[dict[str, Any], bytes] | None:
        """The answer; None if the process ended or was ended for taking too long."""
        timer = threading.Timer(MAX_DECODE_SECONDS, self._end)
        timer.daemon = True
        timer.start()
        try:
            codec_worker.write_message(self.process.stdin, request, frame)  # type: ignore[arg-type]
            return codec_worker.read_message(self.process.stdout)  # type: ignore[arg-type]
        except (OSError, ValueError):
            return None
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.late = True
        self.process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was not written when it ended
                    continue


class _State:
    lock = threading.Lock()
    worker: _Worker | None = None
    inherited: list[_Worker] = []  # noqa: RUF012 (a module's variables under one name)


def _started() -> _Worker:
    try:
        return _Worker()
    except OSError as error:
        raise DecodingError(f"Python cannot be started to decode it ({type(error).__name__})") from error


def _forget() -> None:
    if _State.worker is not None:
        _State.worker.close()
        _State.worker = None


def _after_fork() -> None:
    """A child has its parent's pipes but must not talk on them."""
    _State.lock = threading.Lock()
    if _State.worker is not None:
        _State.inherited.append(_State.worker)  # kept: to drop it would be to end it
    _State.worker = None


atexit.register(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

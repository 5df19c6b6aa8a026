"""MONAI Label's server of this bundle as a user starts it, in the environment of `make label`."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-label"
PYTHON = ENVIRONMENT / "bin" / "python"
# Makes torchvision importable beside a CPU-only torch; real users take the torchvision that fits their torch.
TORCHVISION_OPS = Path(__file__).with_name("torchvision_ops")
# A loaded machine is waited for.
START_S = 1200.0
ANSWER_S = 1200.0
NAME = "mcgenref"


def missing() -> str:
    """What a test would miss, in words; "" if nothing."""
    return "" if (ENVIRONMENT / ".installed").exists() else "needs MONAI Label's environment: make label"


class LabelServer:
    """A server on loopback and a free port, with app and weights of its own.

    Args:
        studies: folder that it serves.
        app_dir: where its app goes.
    """

    def __init__(self, studies: Path, app_dir: Path) -> None:
        self.bundle = app_dir / "monaibundle" / "model" / NAME
        self.log = app_dir.with_suffix(".log")
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(PYTHON), "-m", "scripts.label_server", "--studies", str(studies), "--app-dir", str(app_dir)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(port)],
                cwd=ROOT,
                env=_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}: {self.tail()}")
            try:
                self.get("/info/")
            except OSError:
                time.sleep(0.5)
            else:
                return
        self.stop()
        raise RuntimeError(f"the server did not answer within {START_S:g} s: {self.tail()}")

    def stop(self) -> None:
        """End it and what it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait()

    def tail(self) -> str:
        """End of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def get(self, path: str) -> Any:
        """Parsed JSON of a page."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def infer(self, image: str = "", *, file: Path | None = None, **params: Any) -> tuple[int, bytes]:
        """POST /infer: status, and the mask's file or the error."""
        files = {"file": file} if file else {}
        return self._send("POST", f"/infer/{NAME}?image={image}&output=image", {"params": json.dumps(params)}, files)

    def save_label(self, image: str, label: Path) -> tuple[int, bytes]:
        """PUT /datastore/label, as the viewers do when a label is submitted."""
        return self._send("PUT", f"/datastore/label?image={image}&tag=final", {"params": "{}"}, {"label": label})

    def train(self, **params: Any) -> tuple[int, bytes]:
        """POST /train, which answers when it is over."""
        body = json.dumps(params).encode()
        return self._open("POST", f"/train/{NAME}?run_sync=true", body, "application/json")

    def _send(self, method: str, path: str, fields: dict[str, str], files: dict[str, Path]) -> tuple[int, bytes]:
        boundary, parts = uuid4().hex, []
        for name, text in fields.items():
            parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode())
        for name, file in files.items():
            head = f'Content-Disposition: form-data; name="{name}"; filename="{file.name}"\r\n\r\n'
            parts.append(head.encode() + file.read_bytes())
        body = (
            b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
        )
        return self._open(method, path, body, f"multipart/form-data; boundary={boundary}")

    def _open(self, method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def _environment() -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    imported = subprocess.run([PYTHON, "-c", "import torchvision"], capture_output=True, env=environment)
    return environment if imported.returncode == 0 else environment | {"PYTHONPATH": str(TORCHVISION_OPS)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

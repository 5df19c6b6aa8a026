"""An Orthanc of a test's own: on loopback, on free ports, with a storage that dies with the test."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

PLUGINS = (
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
    "/usr/lib/orthanc/libOrthancDicomWeb.so",
    "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so",
)
USER, PASSWORD = "watcher", "a password"
START_S = 180.0


def binary() -> str | None:
    """Orthanc; Debian puts it where only root looks."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


def plugin() -> str | None:
    """Its DICOMweb plugin."""
    return next((path for path in PLUGINS if Path(path).exists()), None)


def missing() -> str:
    """What a test would miss, in words; "" if nothing."""
    tools = {"Orthanc": binary(), "Orthanc's DICOMweb plugin": plugin(), "dcmsend": shutil.which("dcmsend")}
    names = [name for name, path in tools.items() if path is None]
    return f"{', '.join(names)} not installed (apt-get install orthanc orthanc-dicomweb dcmtk)" if names else ""


class Orthanc:
    """A server that can be killed and started again on its storage.

    Args:
        folder: for its storage, configuration and log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http_port, self.dicom_port = _free_ports(2)
        self.url = f"http://127.0.0.1:{self.http_port}/dicom-web"
        folder.mkdir()
        (folder / "orthanc.json").write_text(json.dumps(self._configuration()))
        self._process: subprocess.Popen[bytes] | None = None

    def _configuration(self) -> dict[str, object]:
        storage = str(self.folder / "storage")
        return {
            "Name": "test",
            "StorageDirectory": storage,
            "IndexDirectory": storage,
            "Plugins": [plugin()],
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomWeb": {"Enable": True},
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen([str(binary()), "orthanc.json"], cwd=self.folder, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while not _listens(self.http_port) or not _listens(self.dicom_port):
            assert self._process.poll() is None, (self.folder / "log.txt").read_text()
            assert time.monotonic() < end, "Orthanc did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def receive(self, *paths: Path) -> None:
        """Let files be pushed by C-STORE."""
        subprocess.run(
            ["dcmsend", "-aec", "ORTHANC", "127.0.0.1", str(self.dicom_port), *map(str, paths)],
            check=True, capture_output=True, timeout=START_S,
        )  # fmt: skip


def _free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago; all are held until the last is known, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0

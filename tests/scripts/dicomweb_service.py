"""A little DICOMweb service over an archive in memory: search, and whole files."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.scripts.watch_archive import MemoryArchive


class DicomwebService:
    """Answers QIDO-RS for studies and instances, and WADO-RS for instances.

    Attributes:
        url: its root.
        fetched: SOP Instance UIDs, in the order in which they were asked for.
    """

    def __init__(self, archive: MemoryArchive) -> None:
        self.archive = archive
        self.fetched: list[str] = []
        self.server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/dicom-web"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[str, bytes]:
        """Type and body."""
        parts = path.removeprefix("/dicom-web/studies").strip("/").split("/")
        if parts == [""]:
            found = [{"0020000D": {"Value": [uid]}} for uid in self.archive.studies()]
        elif len(parts) == 2:
            found = [
                {"00080018": {"Value": [one.sop_uid]}, "0020000E": {"Value": [one.series_uid]},
                 "00080016": {"Value": [one.sop_class]}}
                for one in self.archive.instances(parts[0])
            ]  # fmt: skip
        else:
            self.fetched.append(parts[-1])
            return "application/dicom", self.archive.files[parts[0]][parts[-1]]
        first = int(query["offset"][0])
        return "application/dicom+json", json.dumps(found[first : first + int(query["limit"][0])]).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                kind, body = service.answer(asked.path, parse_qs(asked.query))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

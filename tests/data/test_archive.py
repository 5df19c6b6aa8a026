"""The DICOMweb client against a little service: pages, faults and bytes."""

import base64
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from traceback import format_exception
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bundle.data.archive_answers import ArchiveAwayError, ArchiveRefusedError, Instance, data_sets, only_part

pytest.importorskip("requests")
from bundle.data.archive import Archive

INSTANCE = Instance("1.2.9", "1.2.8", "1.2.7")
CONTENT = bytes(range(256)) + b"\r\n--other\r\n\r\n--" + b"\r\n"


class Service:
    """Answers as it is told, and remembers what it was asked.

    Attributes:
        studies: UIDs that it lists, at most `cap` at a time.
        answer: status, type and body of all but /studies; None for those of a good service.
        asked: (method, path, headers, body) of each request.
    """

    def __init__(self) -> None:
        self.studies: list[str] = []
        self.cap, self.heeds_offset = 2, True
        self.answer: tuple[int, str, bytes] | None = None
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/web"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def listed(self, query: dict[str, list[str]]) -> bytes:
        first = int(query["offset"][0]) if self.heeds_offset else 0
        page = self.studies[first : first + self.cap]
        return json.dumps([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in page]).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                service.asked.append((self.command, self.path, dict(self.headers), body))
                parts = urlsplit(self.path)
                listing = (200, "application/dicom+json", b"")
                status, kind, answer = service.answer or listing
                if service.answer is None and parts.path == "/web/studies":
                    answer = service.listed(parse_qs(parts.query))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Service()
    yield running
    running.stop()


@pytest.mark.parametrize("cap", [1, 2, 5, 1000])
def test_all_studies_are_found_whatever_the_page(service: Service, cap: int) -> None:
    service.studies, service.cap = [f"1.{n}" for n in range(7)], cap
    assert list(Archive(service.url).studies()) == service.studies


def test_a_service_that_heeds_no_offset_ends_too(service: Service) -> None:
    service.studies, service.heeds_offset, service.cap = ["1.1", "1.2"], False, 1000
    assert list(Archive(service.url + "/").studies()) == service.studies


def test_only_mammograms_since_the_date_are_asked_for(service: Service) -> None:
    Archive(service.url, since="20260102").studies()
    query = parse_qs(urlsplit(service.asked[0][1]).query)
    assert (query["ModalitiesInStudy"], query["StudyDate"]) == (["MG"], ["20260102-"])


def test_no_content_is_nothing(service: Service) -> None:
    service.answer = (204, "text/plain", b"")
    assert Archive(service.url).studies() == {}
    assert Archive(service.url).instances("1.2") == []


def test_objects_of_a_study_are_listed(service: Service) -> None:
    item = {"00080018": ["1.2.9"], "0020000E": ["1.2.8"], "00080016": ["1.2.7"]}
    content = json.dumps([{tag: {"vr": "UI", "Value": value} for tag, value in item.items()}])
    service.answer = (200, "application/dicom+json", content.encode())
    assert Archive(service.url).instances("1.2") == [INSTANCE]


def test_images_of_a_report_are_found(service: Service) -> None:
    def sequence(tag: str, *items: Any) -> dict[str, Any]:
        return {tag: {"vr": "SQ", "Value": list(items)}}

    images = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in ("1.1", "1.2")]
    report = sequence("0040A375", sequence("00081115", sequence("00081199", *images)))
    service.answer = (200, "application/dicom+json", json.dumps([report]).encode())
    assert Archive(service.url).evidence("1.2", INSTANCE) == {"1.1", "1.2"}


@pytest.mark.parametrize("preamble", [b"", b"\r\n"])
def test_a_fetched_file_is_the_stored_one_bit_for_bit(service: Service, preamble: bytes) -> None:
    body = preamble + b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + CONTENT + b"\r\n--edge--\r\n"
    service.answer = (200, 'multipart/related; type="application/dicom"; boundary=edge', body)
    assert Archive(service.url).fetch("1.2", INSTANCE) == CONTENT
    assert service.asked[0][1] == "/web/studies/1.2/series/1.2.8/instances/1.2.9"
    # Otherwise archives decompress.
    assert "transfer-syntax=*" in service.asked[0][2]["Accept"]


def test_a_service_may_answer_without_parts(service: Service) -> None:
    service.answer = (200, "application/dicom", CONTENT)
    assert Archive(service.url).fetch("1.2", INSTANCE) == CONTENT


def test_storing_and_fetching_are_inverse(service: Service) -> None:
    Archive(service.url).store("1.2", CONTENT)
    method, path, headers, body = service.asked[0]
    assert (method, path) == ("POST", "/web/studies/1.2")
    assert body.startswith(b"--" + headers["Content-Type"].partition("boundary=")[2].encode())
    assert only_part(body) == CONTENT


def test_an_object_that_is_not_taken_is_an_error(service: Service) -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}]}}
    service.answer = (202, "application/dicom+json", json.dumps(failed).encode())
    with pytest.raises(ArchiveRefusedError, match="failure reason 272"):
        Archive(service.url).store("1.2", CONTENT)


@pytest.mark.parametrize("reason", ["SECRET\x1b[31m\nforged: done", 65536, -1, True, 1.5, [272], {"a": 1}, None])
def test_a_reason_that_is_no_code_is_not_repeated(service: Service, reason: Any) -> None:
    failed = {"00081198": {"Value": [{"00081197": {"Value": [reason]}}]}}
    service.answer = (202, "application/dicom+json", json.dumps(failed).encode())
    with pytest.raises(ArchiveRefusedError) as caught:
        Archive(service.url).store("1.2", CONTENT)
    assert str(caught.value) == "got failure reason (no code) on storing"


@pytest.mark.parametrize("failed", [["SECRET"], [{"00081197": "SECRET"}], [{"00081197": {"Value": "SECRET"}}]])
def test_an_odd_failure_is_one_too(service: Service, failed: list[Any]) -> None:
    service.answer = (202, "application/dicom+json", json.dumps({"00081198": {"Value": failed}}).encode())
    with pytest.raises(ArchiveRefusedError, match=r"^got failure reason \(no code\) on storing$"):
        Archive(service.url).store("1.2", CONTENT)


NO_UIDS = ["../../tools/shutdown?x=", "..", ".", "1.2/../3", "\ud800", "1.2\n", "1.²", "1." * 32 + "1", " 1.2", "1.2#"]


@pytest.mark.parametrize("cap", [1, 2, 1000])
def test_studies_whose_uid_is_none_are_left_out_and_hide_no_others(service: Service, cap: int) -> None:
    service.studies, service.cap = ["1.1", *NO_UIDS, "1." * 31 + "10"], cap
    assert list(Archive(service.url).studies()) == ["1.1", "1." * 31 + "10"]


@pytest.mark.parametrize("uid", NO_UIDS)
def test_what_is_no_uid_is_not_asked_for(service: Service, uid: str) -> None:
    archive = Archive(service.url)
    odd = (Instance(uid, "1.2.8"), Instance("1.2.9", uid))
    calls = [lambda: archive.instances(uid), lambda: archive.store(uid, CONTENT), lambda: archive.fetch(uid, INSTANCE)]
    calls += [partial(call, "1.2", instance) for call in (archive.fetch, archive.evidence) for instance in odd]
    for call in calls:
        with pytest.raises(ArchiveRefusedError, match=r"^got no UID of digits and points in a listing$"):
            call()
    assert service.asked == []


def test_objects_whose_uid_is_none_are_left_out(service: Service) -> None:
    listed = [{"00080018": {"Value": [uid]}, "0020000E": {"Value": ["1.2.8"]}} for uid in ("1.2.9", *NO_UIDS)]
    service.answer = (200, "application/dicom+json", json.dumps(listed).encode())
    assert Archive(service.url).instances("1.2") == [Instance("1.2.9", "1.2.8")]


@pytest.mark.parametrize(
    ("count", "read"),
    [
        (4, 4),
        ("4", 4),
        ("²", None),
        ("٣", None),
        (-1, None),
        (1.5, None),
        ("9" * 5000, None),
        ([1], None),
        (None, None),
    ],
)
def test_a_count_that_is_none_is_unknown(service: Service, count: Any, read: int | None) -> None:
    listed = [{"0020000D": {"Value": ["1.2"]}, "00201208": {"Value": [count]}}]
    service.answer = (200, "application/dicom+json", json.dumps(listed).encode())
    assert Archive(service.url).studies() == {"1.2": read}


@pytest.mark.parametrize(
    "element", ["text", 7, None, ["1.2.7"], {}, {"Value": "text"}, {"Value": {"a": 1}}, {"Value": []}]
)
def test_an_element_that_is_none_is_as_if_it_were_missing(service: Service, element: Any) -> None:
    good = {"00080018": {"Value": ["1.2.9"]}, "0020000E": {"Value": ["1.2.8"]}}
    service.answer = (200, "application/dicom+json", json.dumps([good | {"00080016": element}]).encode())
    assert Archive(service.url).instances("1.2") == [Instance("1.2.9", "1.2.8", "")]
    service.answer = (200, "application/dicom+json", json.dumps([{"0020000D": element, "00201208": element}]).encode())
    assert Archive(service.url).studies() == {}
    sequences = [{"Value": [{"00081115": {"Value": [{"00081199": {"Value": [element]}}]}}]}, {"Value": [element]}]
    for evidence in (*sequences, element):
        service.answer = (200, "application/dicom+json", json.dumps([{"0040A375": evidence}]).encode())
        assert Archive(service.url).evidence("1.2", INSTANCE) == frozenset()


@pytest.mark.parametrize("content", [b"[" * 100000, b'[{"0040A375":{"Value":' * 20000, b'[{"a":' + b"9" * 5000 + b"}]"])
def test_an_answer_without_end_is_no_dicom_json(service: Service, content: bytes) -> None:
    service.answer = (200, "application/dicom+json", content)
    with pytest.raises(ArchiveRefusedError, match="got no DICOM JSON"):
        Archive(service.url).studies()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ArchiveAwayError), (403, ArchiveAwayError), (503, ArchiveAwayError), (404, ArchiveRefusedError),
     (409, ArchiveRefusedError), (500, ArchiveRefusedError)],
)  # fmt: skip
def test_statuses_are_told_apart(service: Service, status: int, error: type[Exception]) -> None:
    service.answer = (status, "text/plain", b"Secret^Patient")
    with pytest.raises(error, match=str(status)) as caught:
        Archive(service.url, user="u", password="SECRET").store("1.2", CONTENT)
    assert "ecret" not in str(caught.value).lower()


def test_nobody_there_is_away() -> None:
    study_uid = ".".join("123456")  # not as it stands in this file, which a traceback quotes
    with pytest.raises(ArchiveAwayError, match="got ConnectionError") as caught:
        Archive("http://127.0.0.1:1/dicom-web").instances(study_uid)
    assert study_uid not in "".join(format_exception(caught.value))


@pytest.mark.parametrize("content", [b"<html>", b'["a", "b"]', b"7"])
def test_what_is_no_dicom_json_is_no_service(service: Service, content: bytes) -> None:
    service.answer = (200, "text/html", content)
    with pytest.raises(ArchiveRefusedError, match="Expected the root of a DICOMweb service"):
        Archive(service.url).studies()


@pytest.mark.parametrize("body", [b"", b"--edge\r\nno end", b"no boundary\r\n\r\nx", b"--edge\r\n\r\n--edge"])
def test_what_has_no_part_is_refused(body: bytes) -> None:
    with pytest.raises(ArchiveRefusedError):
        only_part(body)


def test_an_empty_answer_is_no_data_set() -> None:
    assert data_sets(b"") == data_sets(b" \n") == data_sets(b"[]") == []


def test_login_is_utf_8(service: Service) -> None:
    Archive(service.url, user="zoë", password="пароль").studies()
    told = service.asked[0][2]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(told).decode() == "zoë:пароль"


@pytest.mark.parametrize("url", ["archive", "ftp://host/x", "http://", "http://u:p@host/dicom-web"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Expected --archive") as caught:
        Archive(url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("since", ["yesterday", "2026-01-02", ""])
def test_a_wrong_date_is_refused(since: str) -> None:
    with pytest.raises(ValueError, match="Expected --since"):
        Archive("http://host/x", since=since)

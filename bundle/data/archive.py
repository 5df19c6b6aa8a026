"""A DICOM archive over DICOMweb (PS3.18): search (QIDO-RS), fetch (WADO-RS) and store (STOW-RS); needs requests.

Answers hold names and dates of patients; nothing of an answer but UIDs and status codes leaves this module's functions.
What stands in their place may be anything: what is no UID is never asked for, and what is no code is not repeated.
"""

import re
import uuid
from typing import Any
from urllib.parse import urlsplit

import requests

from .archive_answers import (
    FAILED_SOP_SEQUENCE,
    ArchiveAwayError,
    ArchiveRefusedError,
    Instance,
    data_sets,
    evidence_uids,
    first_value,
    only_part,
)

TIMEOUT_S = (10, 300)
"""To connect, and between two pieces of an answer."""
PAGE = 500
PASSWORD_VARIABLE = "MCGENREF_ARCHIVE_PASSWORD"
LOGIN_REFUSED = (401, 403)
BUSY = (429, 502, 503, 504)
DICOM_JSON = "application/dicom+json"
DICOM = "application/dicom"
STUDY_UID, SERIES_UID, SOP_UID, SOP_CLASS = "0020000D", "0020000E", "00080018", "00080016"
STUDY_INSTANCES = "00201208"
FAILURE_REASON = "00081197"
UID = re.compile(r"[0-9][0-9.]{0,63}")
"""PS3.5 9.1, less strictly: no part of a URL that leads elsewhere, as .. does."""
COUNT = re.compile(r"[0-9]{1,9}")
MAX_CODE = 65535
"""Of the value representation US."""


class Archive:
    """A DICOMweb service.

    Args:
        url: root of the service, to which /studies is appended.
        user: for HTTP basic authentication; None for none.
        password: of the user.
        since: Study Date (YYYYMMDD) from which on studies count; None for all.

    Raises:
        ValueError: if the URL is none, or holds a password, or the date is none.
    """

    def __init__(self, url: str, *, user: str | None = None, password: str = "", since: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.password or parts.username:
            raise ValueError(
                f"Expected --archive without user and password; pass --user, and the password in ${PASSWORD_VARIABLE}"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Expected --archive http://HOST:PORT/PATH or https://..., got {url!r}; correct it")
        self.url, self.since = url.rstrip("/"), since
        self._session = requests.Session()
        if since is not None and not (len(since) == 8 and since.isdigit()):
            raise ValueError(f"Expected --since YYYYMMDD, got {since!r}; correct it")
        if user is not None:
            self._session.auth = requests.auth.HTTPBasicAuth(user.encode(), password.encode())

    def studies(self) -> dict[str, int | None]:
        """Study Instance UIDs of the studies with mammograms, and how many objects each has, None if unknown.

        Raises:
            ArchiveAwayError: if the archive does not answer.
            ArchiveRefusedError: if what answers is no DICOMweb service.
        """
        query = {"ModalitiesInStudy": "MG", "includefield": STUDY_INSTANCES}
        if self.since:
            query["StudyDate"] = f"{self.since}-"
        try:
            found = self._search("studies", query, key=STUDY_UID)
        except ArchiveRefusedError as error:
            raise ArchiveRefusedError(
                f"Expected the root of a DICOMweb service at {self.url}, {error}; correct --archive (Orthanc's ends in "
                "/dicom-web)"
            ) from None
        return {uid: _count(first_value(item, STUDY_INSTANCES)) for uid, item in found.items()}

    def instances(self, study_uid: str) -> list[Instance]:
        """All objects of a study.

        Raises:
            ArchiveAwayError, ArchiveRefusedError: as `studies`.
        """
        found = self._search(f"{_path(study_uid)}/instances", {}, key=SOP_UID)
        return [
            Instance(uid, str(first_value(item, SERIES_UID)), str(first_value(item, SOP_CLASS) or ""))
            for uid, item in found.items()
        ]

    def fetch(self, study_uid: str, instance: Instance) -> bytes:
        """The whole file of an object, in the transfer syntax that it is stored in.

        Raises:
            ArchiveAwayError, ArchiveRefusedError: as `studies`.
        """
        accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
        response = self._ask("GET", _path(study_uid, instance), headers={"Accept": accept})
        kind = response.headers.get("Content-Type", "")
        return response.content if kind.startswith(DICOM) else only_part(response.content)

    def evidence(self, study_uid: str, instance: Instance) -> frozenset[str]:
        """SOP Instance UIDs of the images that a structured report is about.

        Raises:
            ArchiveAwayError, ArchiveRefusedError: as `studies`.
        """
        path = f"{_path(study_uid, instance)}/metadata"
        items = data_sets(self._ask("GET", path, headers={"Accept": DICOM_JSON}).content)
        return frozenset(uid for item in items for uid in evidence_uids(item) if _is_uid(uid))

    def store(self, study_uid: str, content: bytes) -> None:
        """Store a whole file in its study.

        Raises:
            ArchiveAwayError: if the archive does not answer.
            ArchiveRefusedError: if it does not take the file.
        """
        boundary = uuid.uuid4().hex
        body = b"\r\n".join(
            [f"--{boundary}\r\nContent-Type: {DICOM}\r\n".encode(), content, f"--{boundary}--\r\n".encode()]
        )
        headers = {"Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}', "Accept": DICOM_JSON}
        for item in data_sets(self._ask("POST", _path(study_uid), headers=headers, data=body).content):
            if (failure := first_value(item, FAILED_SOP_SEQUENCE)) is not None:
                raise ArchiveRefusedError(
                    f"got failure reason {_code(first_value(failure, FAILURE_REASON))} on storing"
                )

    def _search(self, path: str, query: dict[str, str], *, key: str) -> dict[str, dict[str, Any]]:
        """All pages of a search, by a UID; the last brings nothing new, since some archives cap their pages.

        Entries whose UID is none count for the pages, and are left out.
        """
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = {"limit": str(PAGE), "offset": str(len(found))}
            items = data_sets(self._ask("GET", path, headers={"Accept": DICOM_JSON}, params=query | page).content)
            new = {str(uid): item for item in items if (uid := first_value(item, key)) and str(uid) not in found}
            if not new:
                return {uid: item for uid, item in found.items() if _is_uid(uid)}
            found |= new

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self._session.request(method, f"{self.url}/{path}", timeout=TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise ArchiveAwayError(
                f"Expected an archive at {self.url}, got {type(error).__name__}; start it, or correct --archive"
            ) from None
        if response.status_code in LOGIN_REFUSED:
            raise ArchiveAwayError(
                f"Expected a login that {self.url} accepts, got HTTP {response.status_code}; pass --user, and the "
                f"password in ${PASSWORD_VARIABLE}"
            )
        if response.status_code in BUSY:
            raise ArchiveAwayError(f"Expected an answer of {self.url}, got HTTP {response.status_code}; wait")
        if not response.ok:
            raise ArchiveRefusedError(f"got HTTP {response.status_code} on {method}")
        return response


def _path(study_uid: str, instance: Instance | None = None) -> str:
    """Of a study or an object of it, below the root of the service; refused if a UID is none."""
    if not all(map(_is_uid, (study_uid, *((instance.series_uid, instance.sop_uid) if instance else ())))):
        raise ArchiveRefusedError("got no UID of digits and points in a listing")
    study = f"studies/{study_uid}"
    return f"{study}/series/{instance.series_uid}/instances/{instance.sop_uid}" if instance else study


def _is_uid(text: str) -> bool:
    return UID.fullmatch(text) is not None


def _count(value: Any) -> int | None:
    return int(value) if COUNT.fullmatch(str(value)) else None


def _code(value: Any) -> str:
    return str(value) if type(value) is int and 0 <= value <= MAX_CODE else "(no code)"

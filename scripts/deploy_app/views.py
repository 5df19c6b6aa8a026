"""Which files of a folder the application takes, and why not the others; nothing here needs the SDK."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tqdm import tqdm

from bundle.data import MammogramError, find_mammograms
from bundle.data.dicom_file import parse_dicom, quiet_pydicom
from bundle.data.dicom_header import check_header
from bundle.data.dicom_results import read_header
from bundle.data.errors import printable, reason_of
from bundle.data.phantom import MG_FOR_PRESENTATION

RULES = json.dumps(
    {
        "selections": [
            {
                "name": "mammograms",
                "conditions": {"Modality": "^MG$", "SOPClassUID": f"^{re.escape(MG_FOR_PRESENTATION)}$"},
            }
        ]
    }
)
"""For the SDK's selector, which asks them of the first instance of each series."""
RULE_REASON = (
    "Expected modality MG and the class Digital Mammography X-Ray Image - For Presentation, got another; "
    "try python -m scripts.segment"
)
LOADER_REASON = (
    "Expected a view that the SDK's loader keeps, got one that it drops, for the Image Position (Patient) of another "
    "view or a malformed value in its series; try python -m scripts.segment"
)


@dataclass
class Intake:
    """What became of each file.

    Attributes:
        loaded: paths of the views that the SDK holds.
        segmented: paths of the views with results.
        refused: why, by path, of each file that was left out.
        without_objects: one line per view with results that no DICOM object could be made of.
    """

    loaded: list[str] = field(default_factory=list)
    segmented: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    without_objects: list[str] = field(default_factory=list)

    def refuse(self, path: str, reason: MammogramError | str) -> None:
        """Tell of a file that is left out."""
        self.refused[path] = reason_of(reason, path) if isinstance(reason, MammogramError) else reason
        name = path if path.isprintable() else printable(path)
        tqdm.write(f"refused: {name}: {self.refused[path]}")

    def refuse_missing(self, given: Iterable[str], taken: Iterable[str], reason: str) -> None:
        """Tell of the files that a step was given and did not take."""
        for path in sorted(set(given) - set(taken)):
            self.refuse(path, reason)


@dataclass(frozen=True)
class Wanted:
    """Which results are written beside maps and findings.

    Attributes:
        dicom: SEG and structured reports.
        pages: a page per study for people.
        show_patient: with names and file names on it.
    """

    dicom: bool = True
    pages: bool = True
    show_patient: bool = False


def readable_views(folder: str, intake: Intake) -> list[str]:
    """Paths of the DICOM views below a folder that can be parsed and are not refused for their header.

    The SDK's loader keeps every file with its pixels in memory and ends at the first one that it cannot parse, so
    neither damaged files nor other modalities may reach it.

    Args:
        folder: the input.
        intake: gets a line for every other file.

    Raises:
        MammogramError: if there is no such folder, or nothing in it to read.
    """
    readable = []
    for path in [item["image"] for item in find_mammograms(folder)]:
        try:
            check_header(read_header(path), path=path, convert_raw=False)
            with quiet_pydicom(path):
                parse_dicom(path, pixels=True)
        except MammogramError as error:
            intake.refuse(path, error)
        else:
            readable.append(path)
    return readable

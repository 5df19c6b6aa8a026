"""Which files of a folder are mammograms to read."""

import os
from os import PathLike, fspath
from pathlib import Path as FilePath

from .errors import refuse
from .view import SUFFIXES

RESULTS = "_findings.json"


def find_mammograms(input_path: str | PathLike[str]) -> list[dict[str, str]]:
    """List the views to read.

    A file is taken as it is, whatever its name: the reader says what is wrong with it. In a folder and those below it,
    files count by their suffix (pipes and broken links too), or by the DICOM marker if they have none that is known;
    hidden files and folders, DICOMDIR, labels (name_label.* beside name.*), and folders below that hold findings, with
    their pictures and DICOM objects, are left out.

    Args:
        input_path: file or folder.

    Returns:
        [{"image": path}, ...], sorted by path; the data list of a MONAI dataset.

    Raises:
        MammogramError: if the path does not exist or the folder holds nothing to read.
    """
    root = FilePath(input_path)
    if not root.exists():
        raise refuse(input_path, "Expected an existing file or folder, found none; check the path")
    if not root.is_dir():
        return [{"image": fspath(input_path)}]
    paths = []
    for folder, subfolders, names in os.walk(root):
        if FilePath(folder) != root and any(name.endswith(RESULTS) for name in names):
            subfolders.clear()
            continue
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]  # prunes the walk
        stems = {FilePath(name).stem for name in names}
        paths += [
            path for name in names if _is_candidate(path := FilePath(folder, name)) and not _is_label(name, stems)
        ]
    if not paths:
        raise refuse(
            input_path, "Expected a folder with DICOM, PNG, TIFF, JPEG or NIfTI files, found none; check the path"
        )
    return [{"image": fspath(path)} for path in sorted(paths)]


def _is_candidate(path: FilePath) -> bool:
    if path.name.startswith(".") or path.stem.upper() == "DICOMDIR":
        return False
    return path.name.lower().endswith(SUFFIXES) or (path.is_file() and _has_dicom_marker(path))


def _is_label(name: str, stems: set[str]) -> bool:
    """Whether the file is the label of a view beside it, as the phantom writes them."""
    stem = name.split(".")[0]
    return stem.endswith("_label") and stem.removesuffix("_label") in stems


def _has_dicom_marker(path: FilePath) -> bool:
    """Whether the file says that it is DICOM; one that cannot be opened is kept for the reader to report."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return True

"""Every reader of a file that somebody else made, as one call each: what is tried on hostile files."""

import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bundle.data import LoadLabeld, MammogramError, MammogramReader, choose_threshold
from bundle.data.annotations import read_annotation
from bundle.data.datalist import negatives_of
from bundle.data.dicom_results import find_findings, read_header
from bundle.data.errors import line_start
from bundle.data.manifest import NAME as MANIFEST
from bundle.data.manifest import read_history
from bundle.data.mini_mias import list_mini_mias
from bundle.data.pairing import Case, assign_patients
from bundle.data.prepare_views import Journal
from bundle.data.real_backgrounds import _read_table
from bundle.data.records import load_records
from bundle.data.rsna import list_rsna
from bundle.data.studies import patient_facts, study_uid
from bundle.data.view import MAX_PIXELS, MAX_SPACING_MM, MIN_SPACING_MM
from bundle.data.view_maps import read_view_maps
from bundle.data.vindr import list_vindr
from scripts.segment import tuned_settings

SHAPE, SPACING_MM = (96, 80), 0.07
OPTIONS = ("--fp-per-cm2", "--threshold")
"""Lines about these name the option instead of the file."""


def read_view(path: Path) -> None:
    """Read a view, and check what every view satisfies."""
    view = MammogramReader(default_spacing_mm=SPACING_MM).view(path)
    rows, columns = view.pixels.shape
    assert rows * columns <= MAX_PIXELS
    assert np.isfinite(view.pixels).all()
    assert all(MIN_SPACING_MM <= side <= MAX_SPACING_MM for side in view.spacing_mm)
    assert np.isfinite(view.meta()["affine"]).all()


def _check_about(error: MammogramError, *starts: str) -> None:
    assert str(error).startswith(starts), str(error)[:200]


def _dicom(path: Path) -> None:
    """Everything that is asked of a DICOM file; what reading it says comes last."""
    study_uid(str(path))
    for also in (patient_facts, read_header):
        try:
            also(str(path))
        except MammogramError as error:
            _check_about(error, line_start(path))
    read_view(path)


def _mask(path: Path) -> None:
    try:
        LoadLabeld("label")({"label": str(path)})
    except MammogramError as error:
        _check_about(error, line_start(path))
    read_annotation(path, shape=SHAPE)


def _operating(path: Path) -> None:
    try:
        choose_threshold(path, method="segmentor", fp_per_cm2=0.5)
    except MammogramError as error:
        _check_about(error, line_start(path), *OPTIONS)
    choose_threshold(path, method="segmentor")


def _records(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(path, Path(folder) / path.name)
        try:
            load_records(folder)
        except MammogramError as error:
            raise MammogramError(str(error).replace(folder, str(path.parent))) from error


def _findings(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x_findings.json"
        shutil.copyfile(path, file)
        find_findings(Path(folder))
        try:
            read_view_maps(file)
        except MammogramError as error:
            raise MammogramError(str(error).replace(str(file), str(path))) from error


def _journal(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(path, Path(folder) / "views_read.jsonl")
        Journal.open(Path(folder))


def _manifest(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(path, Path(folder) / MANIFEST)
        read_history(Path(folder))


def _patients(path: Path) -> None:
    assign_patients([Case(case="a", patient="a", image="a.dcm", mask=None)], path)


def _listed(name: str, list_data_set: Callable[[str], object], *others: str) -> Callable[[Path], None]:
    """A data set whose tables are all this file."""

    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for table in (name, *others):
                shutil.copyfile(path, Path(folder) / table)
            try:
                list_data_set(folder)
            except MammogramError as error:
                _check_about(error, folder)
                raise MammogramError(f"{line_start(path)}{str(error).split(': ', 1)[1]}") from error

    return read


READERS: dict[str, Callable[[Path], None]] = {
    "dicom": _dicom,
    "flat": read_view,
    "nifti": read_view,
    "mask": _mask,
    "datalist": lambda path: [str(item["image"]) for item in negatives_of(path)] and None,
    "operating": _operating,
    "settings": lambda path: tuned_settings(path) and None,
    "record": _records,
    "findings": _findings,
    "journal": _journal,
    "manifest": _manifest,
    "patients": _patients,
    "exams": lambda path: _read_table(path) and None,
    "rsna": _listed("train.csv", list_rsna),
    "vindr": _listed("breast-level_annotations.csv", list_vindr, "finding_annotations.csv", "metadata.csv"),
    "mias": _listed("Info.txt", list_mini_mias),
}


def attempt(reader: str, path: Path) -> str:
    """Read a file.

    Returns:
        "" if it was read, else the line that refused it.

    Raises:
        AssertionError: if the line is none: more than one, unprintable, or about something else than the file.
        Exception: any other that a reader lets through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[reader](path)
    except MammogramError as error:
        line = str(error)
        assert line.startswith((line_start(path), *OPTIONS)), line[:300]
        assert line.isprintable()
        assert len(line) < 1500
        assert "SECRET" not in line
        return line
    return ""

"""One view of a data set: read once, noted in a journal, and put into place with its pixel size in the file."""

import io
import json
import shutil
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..functional.breast import breast_mask
from .dicom_file import parse_dicom, quiet_pydicom
from .errors import MammogramError, MammogramWarning, refuse
from .files import parse_json
from .flat_files import read_flat_image
from .mammogram_reader import MammogramReader, sniff
from .view import SUFFIXES, View, plain_affine
from .whole_files import write_whole

# Raise when a file would be judged otherwise than before.
READING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What became of reading a file.

    Attributes:
        error: the line of a file that cannot be used; then nothing else is told.
        shape: rows and columns.
        spacing_mm: row and column, in the breast.
        stated: the file states this pixel size itself.
        is_dicom: or another format.
        view_position: see `View`.
        laterality: see `View`.
        manufacturer: see `View`.
        remarks: see `View`.
    """

    error: str = ""
    shape: tuple[int, int] = (0, 0)
    spacing_mm: tuple[float, float] = (0.0, 0.0)
    stated: bool = True
    is_dicom: bool = True
    view_position: str = ""
    laterality: str = ""
    manufacturer: str = ""
    remarks: str = ""


@dataclass
class Journal:
    """Readings of this run and earlier ones, the newest of every file; kept in OUT/views_read.jsonl.

    Attributes:
        path: the file, one JSON line per reading.
        readings: what a reading depends on, and what it said, by file.
    """

    path: Path
    readings: dict[str, tuple[list[Any], Reading]] = field(default_factory=dict)

    @classmethod
    def open(cls, out: Path) -> "Journal":
        """The journal of an output folder; the folder is made if missing.

        Raises:
            MammogramError: if the folder holds files but no journal, so is not ours.
        """
        journal = cls(out / "views_read.jsonl")
        if not journal.path.exists():
            if out.exists() and not (out.is_dir() and not any(out.iterdir())):
                raise refuse(out, "Expected an empty folder or one from an earlier run, got another; choose a new one")
            out.mkdir(parents=True, exist_ok=True)
            journal.path.touch()
        for line in journal.path.read_text(errors="replace").splitlines():
            try:
                name, depends, reading = parse_json(line)
                pairs = {key: tuple(reading[key]) for key in ("shape", "spacing_mm")}
                journal.readings[name] = depends, Reading(**(reading | pairs))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # cut short when a run was stopped
        return journal

    def add(self, path: Path, depends: list[Any], reading: Reading) -> None:
        """Note a reading."""
        self.readings[str(path)] = depends, reading
        with self.path.open("a") as file:
            # The line feed goes in front, so that a line that was cut short spoils no other.
            file.write("\n" + json.dumps([str(path), depends, asdict(reading)]))


def read_once(path: Path, spacing_mm: float | None, journal: Journal) -> Reading:
    """Read a file, or what the journal says of it.

    Args:
        path: the view.
        spacing_mm: pixel size if the file states none; None if nobody knows.
        journal: takes a new reading.

    Raises:
        MammogramError: if the view cannot be used.
    """
    depends = _depends(path, spacing_mm)
    known = journal.readings.get(str(path))
    if known is not None and known[0] == depends:
        reading = known[1]
    else:
        try:
            reading = _judged(path, *read_any(path, spacing_mm))
        except MammogramError as error:
            reading = Reading(error=str(error))
        journal.add(path, depends, reading)
    if reading.error:
        raise MammogramError(reading.error)
    return reading


def read_any(path: Path, spacing_mm: float | None) -> tuple[View, bool]:
    """A view with the pixel size that its file states, else with the given one.

    Returns:
        The view, and whether its file states the pixel size.

    Raises:
        MammogramError: if it cannot be read, or nobody knows its pixel size.
    """
    try:
        return _read(path, None), True
    except MammogramError as error:
        if spacing_mm is None or "pixel spacing" not in str(error):
            raise
    return _read(path, (spacing_mm, spacing_mm)), False


def _read(path: Path, spacing_mm: tuple[float, float] | None) -> View:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MammogramWarning)  # its text is in the remarks
        if path.suffix.lower() == ".pgm" and path.is_file():
            return read_flat_image(path, spacing_mm=spacing_mm, kind="pgm")
        return MammogramReader(spacing_mm=spacing_mm).view(path)


def _judged(path: Path, view: View, stated: bool) -> Reading:
    """The reading of a view, if it shows a breast without an implant."""
    if "breast implant" in view.remarks:
        raise refuse(path, "Expected a breast without an implant, got BreastImplantPresent YES; leave the view out")
    try:
        breast_mask(view.pixels, spacing_mm=view.spacing_mm)
    except ValueError as error:
        raise refuse(path, str(error)) from error
    return Reading(
        shape=(view.pixels.shape[0], view.pixels.shape[1]),
        spacing_mm=view.spacing_mm,
        stated=stated,
        is_dicom=path.suffix.lower() != ".pgm" and sniff(path) == "dicom",
        view_position=view.view_position,
        laterality=view.laterality,
        manufacturer=view.manufacturer,
        remarks=view.remarks,
    )


def place_view(path: Path, stem: Path, reading: Reading) -> Path:
    """Put a view into a folder under a new name: a link, or a copy that states the pixel size if the file does not.

    Args:
        path: the view.
        stem: folder and name without suffix.
        reading: of the view.

    Returns:
        The file.

    Raises:
        MammogramError: if it cannot be read again.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if reading.stated:
        known = next((suffix for suffix in (".nii.gz", *SUFFIXES) if path.name.lower().endswith(suffix)), ".dcm")
        return _linked(path, stem.with_name(stem.name + known))
    target = stem.with_name(stem.name + (".dcm" if reading.is_dicom else ".nii.gz"))
    if not _is_copy(target, path, reading):
        write = _write_dicom if reading.is_dicom else _write_nifti
        write_whole(target, lambda temporary: write(path, reading, temporary))
    return target


def _linked(path: Path, target: Path) -> Path:
    target.unlink(missing_ok=True)
    try:
        target.symlink_to(path.resolve())
    except OSError:  # systems and file systems without links
        shutil.copyfile(path, target)
    return target


def _is_copy(target: Path, path: Path, reading: Reading) -> bool:
    """Whether an earlier run has written this copy, with this pixel size."""
    if target.is_symlink() or not target.is_file() or target.stat().st_mtime_ns < path.stat().st_mtime_ns:
        return False
    try:
        spacing_mm = MammogramReader().view(target).spacing_mm
    except MammogramError:
        return False
    return bool(np.allclose(spacing_mm, reading.spacing_mm))


def _write_dicom(path: Path, reading: Reading, target: Path) -> None:
    """Copy a DICOM file, pixels as they are compressed, with PixelSpacing."""
    with quiet_pydicom(path):
        dataset = parse_dicom(path, pixels=True)
        # It would go before PixelSpacing, and is not to be trusted here.
        dataset.pop("ImagerPixelSpacing", None)
        dataset.PixelSpacing = list(reading.spacing_mm)
        encoded = io.BytesIO()
        dataset.save_as(encoded)  # into memory: a full disk is not the file's fault
    target.write_bytes(encoded.getbuffer())


def _write_nifti(path: Path, reading: Reading, target: Path) -> None:
    pixels = _read(path, reading.spacing_mm).pixels
    whole = np.array_equal(pixels, np.clip(np.round(pixels), 0, np.iinfo(np.uint16).max))
    stored = pixels.astype(np.uint16 if whole else np.float32)
    image = nib.Nifti1Image(stored[:, :, None], plain_affine(reading.spacing_mm))
    nib.save(image, target)


def _depends(path: Path, spacing_mm: float | None) -> list[Any]:
    """What a reading depends on, as JSON holds it."""
    state = [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else []
    return [READING_VERSION, spacing_mm, *state]

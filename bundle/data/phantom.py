"""Phantoms as files: For Presentation mammograms (DICOM) with a label beside each."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from tqdm import tqdm

from ..functional.phantom import PhantomParameters, PhantomView, render_phantom, sample_phantom
from .whole_files import write_whole

MG_FOR_PRESENTATION = UID("1.2.840.10008.5.1.4.1.1.1.2")
IMPLEMENTATION_UID = UID("2.25.302043790172249692526321623266752743501")
PHANTOM_VERSION = 4  # raise when the same parameters render differently: files of the old kind are then made anew
SEED_RANGES = {"train": (0, 100_000), "tune": (100_000, 200_000), "test": (200_000, 2**31)}


def phantom_seed(split: str, n: int) -> int:
    """Seed of phantom n of a split: train 0-99,999, tune 100,000-199,999, test 200,000 and above.

    Args:
        split: "train", "tune" or "test".
        n: Number within the split, >= 0.

    Raises:
        ValueError: If the split is unknown or n is outside its range.
    """
    if split not in SEED_RANGES:
        raise ValueError(f"Expected a split among {', '.join(SEED_RANGES)}, got {split!r}; pass one of these.")
    first, stop = SEED_RANGES[split]
    if not 0 <= n < stop - first:
        raise ValueError(f"Expected 0 <= n < {stop - first} in split {split}, got {n}; take a smaller number.")
    return first + n


def _digest(*values: object) -> str:
    """Short name of these values and of PHANTOM_VERSION, the same on every machine."""
    return hashlib.sha256(json.dumps([PHANTOM_VERSION, *values]).encode()).hexdigest()[:10]


def _view_digest(parameters: PhantomParameters) -> str:
    """Short name of a phantom by what is exact in it; drawn floats may differ in their last bit between machines."""
    puncta = sum(len(cluster.puncta) for cluster in parameters.clusters)
    size = parameters.rows, parameters.columns, round(parameters.spacing_mm, 6)
    return _digest(
        parameters.field_seed, parameters.view, parameters.laterality, parameters.tissue.density, size, puncta
    )


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _describe_patient_and_study(dataset: Dataset, *, seed: int, digest: str) -> None:
    """Patient, study and series of a phantom; UIDs follow from the seed and the parameters."""
    entropy = ["mcgenref phantom", str(seed), digest]
    dataset.PatientName, dataset.PatientID = f"Phantom^{seed}", f"PHANTOM{seed}"
    dataset.PatientBirthDate, dataset.PatientSex = "", "F"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.ContentTime = dataset.AcquisitionTime = "000000"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = str(seed), "1", "1"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*entropy, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*entropy, "series"])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*entropy, "image"])
    dataset.Modality, dataset.Manufacturer = "MG", "Phantom"
    dataset.ManufacturerModelName, dataset.DeviceSerialNumber = "mcgenref phantom", "0"
    dataset.SoftwareVersions = str(PHANTOM_VERSION)


def _describe_acquisition(dataset: Dataset, *, parameters: PhantomParameters) -> None:
    """View, side and geometry: what a reader needs to turn pixels into millimetres."""
    side, view = parameters.laterality, parameters.view
    dataset.ImageLaterality, dataset.ViewPosition, dataset.OrganExposed = side, view, "BREAST"
    dataset.BodyPartExamined = "BREAST"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    other = "L" if side == "R" else "R"
    dataset.PatientOrientation = ["P" if side == "R" else "A", other if view == "CC" else f"F{other}"]
    dataset.ImagerPixelSpacing = [f"{parameters.spacing_mm:.6g}"] * 2
    dataset.PositionerType, dataset.DetectorType = "MAMMOGRAPHIC", "DIRECT"
    dataset.EstimatedRadiographicMagnificationFactor = "1"
    dataset.BodyPartThickness = f"{parameters.shape.thickness_mm:.1f}"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.BreastImplantPresent, dataset.PartialView = "NO", "NO"
    meaning = ("R-10242", "cranio-caudal") if view == "CC" else ("R-10226", "medio-lateral oblique")
    dataset.ViewCodeSequence = [_code(meaning[0], "SRT", meaning[1])]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.AnatomicRegionSequence = [_code("T-04000", "SRT", "Breast")]
    dataset.AcquisitionContextSequence = []


def _describe_pixels(dataset: Dataset, image: NDArray[np.uint16]) -> None:
    """The pixel module, 12 bits in 16, MONOCHROME2, a window over the whole range."""
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"
    dataset.PixelData = np.ascontiguousarray(image, dtype="<u2").tobytes()


def phantom_dataset(view: PhantomView, *, seed: int) -> FileDataset:
    """One phantom as a Digital Mammography X-Ray Image - For Presentation object.

    Args:
        view: A rendered phantom.
        seed: Number in the patient's name and in the UIDs.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MG_FOR_PRESENTATION
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet, dataset.SOPClassUID = "ISO_IR 100", MG_FOR_PRESENTATION
    _describe_patient_and_study(dataset, seed=seed, digest=_view_digest(view.parameters))
    _describe_acquisition(dataset, parameters=view.parameters)
    _describe_pixels(dataset, view.image)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def write_phantom_dicom(path: str | Path, view: PhantomView, *, seed: int = 0) -> Path:
    """Write a phantom as DICOM, atomically.

    Args:
        path: File to write; folders are made.
        view: A rendered phantom.
        seed: Number in the patient's name and in the UIDs.
    """
    dataset = phantom_dataset(view, seed=seed)
    # pydicom 3 renamed the option that asks for a complete file.
    renamed = "enforce_file_format" in inspect.signature(dcmwrite).parameters
    complete = {"enforce_file_format": True} if renamed else {"write_like_original": False}
    write_whole(Path(path), lambda temporary: dcmwrite(str(temporary), dataset, **complete))
    return Path(path)


def write_phantom_label(path: str | Path, label: NDArray[np.uint8]) -> Path:
    """Write a label as an 8-bit grey PNG with the values 0, 1 and 2, atomically."""
    write_whole(Path(path), lambda temporary: Image.fromarray(label).save(str(temporary), format="PNG"))
    return Path(path)


def phantom_datalist(
    directory: str | Path,
    *,
    count: int,
    first_seed: int,
    spacing_mm: float = 0.1,
    calcified: bool = True,
    height_mm: float = 240.0,
    width_mm: float = 180.0,
    view: str | None = None,
    density: str | None = None,
    progress: bool | None = None,
) -> list[dict[str, str]]:
    """Write the phantoms that are missing in a folder and list them all.

    An interrupted run continues where it stopped. Other parameters give other file names, so nothing stale is reused.

    Args:
        directory: Folder for the files; made if missing.
        count: Number of phantoms, with the seeds first_seed to first_seed + count - 1.
        first_seed: See `phantom_seed`.
        spacing_mm: Pixel side.
        calcified: Whether there are calcifications.
        height_mm: Detector height; a small one gives a small, quickly made breast.
        width_mm: Detector width.
        view: "CC", "MLO" or None to draw one.
        density: BI-RADS density or None to draw one.
        progress: Show a progress bar; None shows it if more than 2 are made.

    Returns:
        [{"image": ".../phantom_000001_0123456789.dcm", "label": ".../phantom_000001_0123456789_label.png"}, ...].

    Raises:
        ValueError: If count is negative or a parameter is outside its range.
    """
    if count < 0 or first_seed < 0:
        raise ValueError(
            f"Expected count >= 0 and first_seed >= 0, got {count} and {first_seed}; pass both non-negative."
        )
    size = [round(value, 6) for value in (spacing_mm, height_mm, width_mm)]
    name = _digest(*size, calcified, view, density)
    files, missing = [], []
    for seed in range(first_seed, first_seed + count):
        stem = Path(directory) / f"phantom_{seed:06d}_{name}"
        image, label = stem.with_suffix(".dcm"), stem.with_name(f"{stem.name}_label.png")
        files.append({"image": str(image), "label": str(label)})
        if not (image.exists() and label.exists()):
            missing.append((seed, image, label))
    hidden = len(missing) <= 2 if progress is None else not progress
    for seed, image, label in tqdm(missing, desc="phantoms", disable=hidden):
        parameters = sample_phantom(
            np.random.default_rng(seed), spacing_mm=spacing_mm, calcified=calcified, height_mm=height_mm,
            width_mm=width_mm, view=view, density=density,
        )  # fmt: skip
        rendered = render_phantom(parameters)
        write_phantom_label(label, rendered.label)
        write_phantom_dicom(image, rendered, seed=seed)
    return files

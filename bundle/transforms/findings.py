"""Writes what inference found: probability map, mask, pictures and a JSON of findings per view."""

import hashlib
import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, SaveImaged
from numpy.typing import NDArray
from PIL import Image

from .. import __version__
from ..functional.findings import METHODS, find_objects, finding_mask, findings_report
from ..functional.objects import region_area_cm2
from ..functional.uncertainty import UncertaintyMaps
from .overlay import overlay_picture, zoom_picture

SUFFIXES = ("probability.nii.gz", "mask.png", "overlay.png", "zoom.png", "findings.json")
SPREAD = "spread.nii.gz"
MAX_STEM_LENGTH = 100


class SaveFindingsd(SaveImaged):
    """Writes STEM_probability.nii.gz, STEM_mask.png, STEM_overlay.png, STEM_zoom.png and STEM_findings.json per view.

    STEM is the image's file name without its suffix. Every file appears at once and whole, the JSON last. A second
    image of the same name from another folder gets a short hash behind its stem. NIfTI counts columns first, so the
    map is written transposed, with the affine under which viewers show it upright. There is no STEM_zoom.png without
    findings. Where the spread over members is known, findings have it, and STEM_spread.nii.gz maps the standard
    deviation of the probability, rounded to 0.0001.

    Args:
        keys: prediction, float (1, rows, columns): logits, or probabilities with `sigmoid=False`.
        image_key: windowed view in [-1, 1], same shape, whose meta holds spacing_mm and filename_or_obj.
        output_dir: made if it does not exist.
        threshold: probability at which a pixel belongs to a finding, (0, 1].
        method: one of `METHODS`, for the report.
        sigmoid: whether predictions are logits.
        breast_key: bool (1, rows, columns); where the image is above -1 if the data has no such key.
        label_key: truth (1, rows, columns), outlined in the enlarged crops when given and there.
        pictures: write the overlay and the enlarged crops.
        uncertainty: whoever made the prediction, an inferer: its `last_uncertainty`, if it has one, is the spread over
            the members of this one view.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        image_key: str = "image",
        output_dir: str | os.PathLike[str],
        threshold: float = 0.5,
        method: str = "segmentor",
        sigmoid: bool = True,
        breast_key: str = "breast",
        label_key: str | None = None,
        pictures: bool = True,
        uncertainty: Any = None,
        allow_missing_keys: bool = False,
    ) -> None:
        # The base class is how hosts such as MONAI Label know what to leave out; nothing else of it is used.
        MapTransform.__init__(self, keys, allow_missing_keys)
        if method not in METHODS:
            raise ValueError(f"Expected a method among {', '.join(METHODS)}, got {method!r}")
        if not 0 < threshold <= 1:
            raise ValueError(f"Expected a threshold in (0, 1], got {threshold:g}")
        self.image_key = image_key
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.method = method
        self.sigmoid = sigmoid
        self.breast_key = breast_key
        self.label_key = label_key
        self.pictures = pictures
        self.uncertainty = uncertainty

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files and return the data unchanged.

        Raises:
            ValueError: when prediction, image and spread differ in shape, or the image has no spacing.
        """
        for key in self.key_iterator(dict(data)):
            self._save(data, data[key])
        return dict(data)

    def _save(self, data: Mapping[Hashable, Any], pred: Any) -> None:
        image, meta = _plane(data[self.image_key]), getattr(data[self.image_key], "meta", {})
        probs = _plane(torch.sigmoid(torch.as_tensor(pred).float()) if self.sigmoid else pred).astype(np.float32)
        if probs.shape != image.shape:
            raise ValueError(f"Expected a prediction in the shape of its image {image.shape}, got {probs.shape}")
        source, spacing = str(meta.get("filename_or_obj", "image")), _spacing(meta)
        breast = _plane(data[self.breast_key]).astype(bool) if self.breast_key in data else image > -1
        mask = finding_mask(probs, threshold=self.threshold, breast=breast)
        spread = _spread_of_view(self.uncertainty)
        report = findings_report(
            find_objects(probs, threshold=self.threshold, spacing_mm=spacing, breast=breast, uncertainty=spread),
            image_name=Path(source).name,
            shape=image.shape,
            spacing_mm=spacing,
            method=self.method,
            threshold=self.threshold,
            breast_area_cm2=region_area_cm2(breast, spacing_mm=spacing),
            created_by=f"mcgenref {__version__}",
            view_position=str(meta.get("view_position", "")),
            laterality=str(meta.get("laterality", "")),
        )
        truth = _plane(data[self.label_key]) == 1 if self.label_key is not None and self.label_key in data else None
        self.output_dir.mkdir(parents=True, exist_ok=True)
        identity = hashlib.sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:8]
        paths = _output_paths(self.output_dir, source, identity)
        affine = _nifti_affine(data[self.image_key], spacing)
        _write_nifti(paths["probability.nii.gz"], probs, affine)
        _write_nifti(paths[SPREAD], None if spread is None else spread.pixel_sd.round(4), affine)
        _write_png(paths["mask.png"], mask.astype(np.uint8) * 255)
        if self.pictures:
            _write_png(paths["overlay.png"], overlay_picture(image, report))
            _write_png(paths["zoom.png"], zoom_picture(image, mask, report, truth=truth))
        told = {
            "source_id": identity,
            "warnings": [remark for remark in str(meta.get("remarks", "")).split(", ") if remark],
        }
        with _whole_file(paths["findings.json"]) as path:
            path.write_text(json.dumps({**report, **told}, indent=1), encoding="utf-8")


def _spread_of_view(source: Any) -> UncertaintyMaps | None:
    """What an inferer knows of the one view that it has just seen."""
    maps: UncertaintyMaps | None = getattr(source, "last_uncertainty", None)
    if maps is None:
        return None
    if len(maps.pixel_sd) != 1:
        raise ValueError(f"Expected the spread of one view, got {len(maps.pixel_sd)}; take a batch_size of 1")
    return maps.view(0)


def _plane(array: Any) -> NDArray:
    """(1, rows, columns) of any kind as a numpy array (rows, columns)."""
    plane = torch.as_tensor(array).detach().cpu().numpy()
    if plane.ndim != 3 or plane.shape[0] != 1:
        raise ValueError(f"Expected one channel of shape (1, rows, columns), got {plane.shape}")
    return plane[0]


def _spacing(meta: Mapping[str, Any]) -> tuple[float, float]:
    if "spacing_mm" not in meta:
        raise ValueError("Expected spacing_mm in the image's meta, got none; read the view with its pixel spacing")
    row, column = np.asarray(meta["spacing_mm"], np.float64).ravel()
    return float(row), float(column)


def _nifti_affine(image: Any, spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Affine of the transposed map: the image's own, so that both overlay, or else diag(-column, -row, 1, 1)."""
    plain = np.diag([-spacing[1], -spacing[0], 1.0, 1.0])
    affine = np.asarray(getattr(image, "affine", plain[:, [1, 0, 2, 3]]), np.float64)
    if affine.shape != (4, 4) or not np.allclose(np.linalg.norm(affine[:3, :2], axis=0), spacing, rtol=1e-3):
        return plain
    return affine[:, [1, 0, 2, 3]]


def _output_paths(folder: Path, source: str, identity: str) -> dict[str, Path]:
    """One path per kind of file; the hash is added where the plain name holds another image's findings."""
    name = re.sub(r"\.(nii\.gz|[A-Za-z][A-Za-z0-9]{0,4})$", "", Path(source).name)
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:MAX_STEM_LENGTH] or "image"
    taken = folder / f"{stem}_findings.json"
    if taken.exists() and _source_of(taken) != identity:
        stem = f"{stem}-{identity}"
    return {suffix: folder / f"{stem}_{suffix}" for suffix in (*SUFFIXES, SPREAD)}


def _source_of(findings: Path) -> str:
    try:
        return str(json.loads(findings.read_text(encoding="utf-8")).get("source_id", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """A temporary path of the same suffix, renamed to the real one when everything is written."""
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_nifti(path: Path, probs: NDArray[np.float32] | None, affine: NDArray[np.float64]) -> None:
    """Write a map; None removes what an earlier run left."""
    if probs is None:
        path.unlink(missing_ok=True)
        return
    with _whole_file(path) as temporary:
        volume = nib.Nifti1Image(probs.T[..., None], affine)
        volume.header.set_xyzt_units("mm")
        nib.save(volume, temporary)


def _write_png(path: Path, picture: NDArray[np.uint8] | None) -> None:
    """Write a grey or RGB picture; None removes what an earlier run left."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    with _whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary)

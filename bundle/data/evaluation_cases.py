"""The cases of an evaluation: everything that can be wrong with their files is found before any of them is scored."""

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .annotations import as_points, read_annotation, spacings_agree
from .errors import MammogramError, MammogramWarning, refuse, root_mammogram_error
from .mammogram_reader import MammogramReader, sniff
from .pairing import Case, assign_patients, pair_cases
from .records import load_record, record_path, save_record
from .view import override_spacing
from .whole_files import write_whole

REGIONS = ("breast", "image")
ROI_PREFIX = "roi:"
View = dict[str, Any]


class EvaluationCases:
    """Views with their truth, and the records of what was already scored.

    Nothing is opened before `check`.

    One table needs one kind of truth: if a view has points, masks of the others become the centroids of their objects.
    Views with outlines of clusters alone go into a data set of their own, NAME/outlines, unless all that are not clean
    are such.

    Args:
        images: folder of views.
        masks: folder of masks, see `pair_cases`.
        output_dir: records go to OUTPUT_DIR/records, predicted masks to OUTPUT_DIR/predictions.
        transform: reading, breast mask and window of {"image": path}: `image` (1, rows, columns) with `spacing_mm` in
            its metadata, and `breast` of the same shape.
        region: "breast", "image" or "roi:FOLDER": where figures are counted.
        mask_format: "auto", "png", "nifti" or "inbreast".
        missing_is_clean: a view without a mask is clean.
        points_as_pixels: see `annotation_of_rois`.
        patients: CSV with the columns image and patient.
        spacing_mm: pixel size that the transform gives to files that do not state one, mm.
        name: of the data set, in the records.
        reading: JSON-able options of the transform, on which records depend as on the files.

    Attributes:
        cases: filled by `check`.
        patients_from: where the patients come from, in words; filled by `check`.
        outdated: one line per record that could not be used again.
    """

    def __init__(
        self,
        images: str | PathLike[str],
        masks: str | PathLike[str],
        output_dir: str | PathLike[str],
        transform: Callable[[Mapping[str, Any]], dict],
        *,
        region: str = "breast",
        mask_format: str = "auto",
        missing_is_clean: bool = False,
        points_as_pixels: bool = False,
        patients: str | PathLike[str] | None = None,
        spacing_mm: float | Sequence[float] | None = None,
        name: str = "evaluation",
        reading: Mapping[str, Any] | None = None,
    ) -> None:
        self.images, self.masks, self.transform = str(images), str(masks), transform
        self.region, self.mask_format, self.missing_is_clean = str(region), mask_format, missing_is_clean
        self.points_as_pixels, self.patients = points_as_pixels, patients
        self.spacing_mm, self.name, self.reading = spacing_mm, name, dict(reading or {})
        self.records_dir = Path(output_dir) / "records"
        self.cases: list[Case] = []
        self.patients_from = ""
        self.outdated: list[str] = []
        self._kinds: dict[str, str] = {}

    def check(self) -> list[str]:
        """Pair the files and read each once.

        Returns:
            One line per problem of pairing, patients, regions, files, sizes or spacings; empty if all is well.
        """
        try:
            cases, problems = pair_cases(
                self.images,
                self.masks,
                mask_format=self.mask_format,
                missing_is_clean=self.missing_is_clean,
                roi_dir=self._roi_dir(),
            )
            cases, self.patients_from, more = assign_patients(cases, self.patients)
        except MammogramError as error:
            return [str(error)]
        problems += more
        for case in tqdm(cases, desc="Checking", unit="view"):
            data, wrong = self._read(case)
            problems += wrong
            if not wrong:
                self._kinds[case.case] = "clean" if data["annotation"].clean else data["annotation"].kind
        self.cases = cases
        return problems

    def summary(self) -> str:
        """What was found, in words."""
        kinds = Counter(self._kinds.values())
        patients = len({case.patient for case in self.cases})
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        mixed = "; masks are scored as points" if kinds["points"] and kinds["mask"] else ""
        return (
            f"{len(self.cases)} views of {patients} patients ({self.patients_from}); truth: {found}{mixed}; "
            f"region: {self.region_name()}"
        )

    def __iter__(self) -> Iterator[Case]:
        """The cases, unread."""
        return iter(self.cases)

    def load(self, case: Case) -> View:
        """Read a case.

        Returns:
            What the transform gives, `spacing_mm`, `annotation` (an `Annotation`), `region` (bool (rows, columns), None
            for the whole image) and `dataset`.

        Raises:
            MammogramError: if a file is not as it should be.
        """
        data, problems = self._read(case)
        if problems:
            raise MammogramError(problems[0])
        if self._common_kind() == "points" and data["annotation"].kind == "mask":
            data["annotation"] = as_points(data["annotation"])
        if self._common_kind() == "outlines":
            data["annotation"] = replace(data["annotation"], kind="outlines")
        return {**data, "dataset": self.dataset(case)}

    def dataset(self, case: Case) -> str:
        """Name of the data set of a case in the records."""
        apart = self._kinds.get(case.case) == "outlines" and self._common_kind() != "outlines"
        return f"{self.name}/outlines" if apart else self.name

    def _common_kind(self) -> str:
        """Kind of truth that the views share, those with outlines in a set of their own aside."""
        kinds = set(self._kinds.values()) - {"clean"}
        return "points" if "points" in kinds else "outlines" if kinds == {"outlines"} else "mask"

    def region_name(self) -> str:
        """Word for the records: breast, image or roi."""
        return self.region if self.region in REGIONS else "roi"

    def recorded(self, case: Case, system: str, settings: str) -> dict[str, Any] | None:
        """The record of an earlier run with these settings on these files, or None."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record = load_record(
                self.records_dir,
                system=system,
                dataset=self.dataset(case),
                case=case.case,
                settings=self._settings(case, settings),
            )
        self.outdated += [str(w.message) for w in caught if issubclass(w.category, MammogramWarning)]
        return record

    def save(self, case: Case, record: Mapping[str, Any], settings: str) -> None:
        """Keep a record; it appears whole."""
        save_record(self.records_dir, record, settings=self._settings(case, settings))

    def save_prediction(self, case: Case, system: str, pred: NDArray[np.bool_]) -> None:
        """Keep a mask (rows, columns) as PNG with 0 and 255; it appears whole."""
        picture = Image.fromarray(np.where(pred, np.uint8(255), np.uint8(0)))
        write_whole(self._prediction_path(case, system), picture.save)

    def prediction(self, case: Case, system: str) -> NDArray[np.bool_] | None:
        """The kept mask, or None if there is none."""
        path = self._prediction_path(case, system)
        return np.asarray(Image.open(path)) > 0 if path.exists() else None

    def _prediction_path(self, case: Case, system: str) -> Path:
        folder = self.records_dir.with_name("predictions")
        return record_path(folder, system=system, dataset=self.dataset(case), case=case.case).with_suffix(".png")

    def _settings(self, case: Case, settings: str) -> str:
        """Settings with all that the record of a case depends on: its patient, its files and how they are read."""
        truth = f"{self.region_name()} {self._common_kind()} {self.points_as_pixels}"
        reading = json.dumps(self.reading, sort_keys=True)
        digest = hashlib.sha256(f"{settings} {case.patient} {truth} {reading}".encode(errors="surrogateescape"))
        for path in (case.image, case.mask, case.roi):
            digest.update(b"none" if path is None else hashlib.sha256(Path(path).read_bytes()).digest())
        return digest.hexdigest()

    def _roi_dir(self) -> str | None:
        if self.region in REGIONS:
            return None
        if not self.region.startswith(ROI_PREFIX) or self.region == ROI_PREFIX:
            raise refuse("--region", f"Expected breast, image or roi:FOLDER, got {self.region!r}")
        return self.region.removeprefix(ROI_PREFIX)

    def _read(self, case: Case) -> tuple[View, list[str]]:
        """A case and what is wrong with each of its files."""
        data: View = {}
        problems: list[str] = []
        try:
            data = self.transform({"image": case.image})
            data["spacing_mm"] = tuple(float(side) for side in data["image"].meta["spacing_mm"])
            self._check_spacing(case)
        except (RuntimeError, ValueError) as error:
            refusal = root_mammogram_error(error)
            if refusal is None:
                raise
            problems.append(str(refusal))
        if "spacing_mm" not in data:
            return data, problems
        shape = tuple(data["image"].shape[-2:])
        try:
            data["annotation"] = read_annotation(
                case.mask, shape=shape, spacing_mm=data["spacing_mm"], points_as_pixels=self.points_as_pixels
            )
        except MammogramError as error:
            problems.append(str(error))
        try:
            data["region"] = self._region(case, data, shape)
        except MammogramError as error:
            problems.append(str(error))
        return data, problems

    def _region(self, case: Case, data: View, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        if self.region == "breast":
            return np.asarray(data["breast"])[0].astype(bool)
        if case.roi is None:
            return None
        region = read_annotation(case.roi, shape=shape, spacing_mm=data["spacing_mm"]).label > 0
        if not region.any():
            raise refuse(case.roi, "Expected a region of at least 1 px, got an empty mask; leave the view out")
        return region

    def _check_spacing(self, case: Case) -> None:
        """A spacing that the user gives must not contradict the file's own."""
        given = override_spacing(self.spacing_mm)
        if given is None or sniff(case.image) == "flat":
            return
        try:
            stated = MammogramReader(convert_raw=True, voi=None).view(case.image).spacing_mm
        except MammogramError:
            return  # The file states none that could be used.
        if not spacings_agree(given, stated):
            said, meant = (f"{pair[0]:.4g} x {pair[1]:.4g} mm" for pair in (stated, given))
            reason = f"Expected the file's own pixel spacing {said}, got {meant}"
            raise refuse(case.image, f"{reason}; leave out --spacing-mm or correct the file")

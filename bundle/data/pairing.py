"""Which mask belongs to which view, and which views to which patient; what does not fit is listed, not raised."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from .annotations import MASK_FORMATS, MASK_SUFFIXES
from .errors import refuse
from .files import read_csv, rows_by_column
from .find import find_mammograms
from .inbreast import inbreast_names
from .view import SUFFIXES

NAME_ENDINGS = ("_mask", "_label", "_seg")
"""What a mask's name may have behind the name of its view."""
PATIENT_COLUMNS = ("image", "patient")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One view to evaluate.

    Attributes:
        case: name of the view's file without suffix, with its folders in front if that is needed to tell views apart.
        patient: views of one patient are drawn together in a bootstrap.
        image: path of the view.
        mask: path of its truth; None if the view is clean without a file that says so.
        roi: path of the mask of its region, if there are such.
    """

    case: str
    patient: str
    image: str
    mask: str | None
    roi: str | None = None


def pair_cases(
    images: str | PathLike[str],
    masks: str | PathLike[str],
    *,
    mask_format: str = "auto",
    missing_is_clean: bool = False,
    roi_dir: str | PathLike[str] | None = None,
) -> tuple[list[Case], list[str]]:
    """Find the mask of every view.

    A mask fits a view if its name without suffix is the view's, or the view's with _mask, _label or _seg; an XML file
    also if it is named by the number that the view's name begins with. Of several in different folders the one in the
    folder that corresponds to the view's is taken. The folders may be one and the same, or one inside the other; in one
    and the same, masks are the files with those endings, and XML.

    Args:
        images: folder of views.
        masks: folder of masks.
        mask_format: "auto", "png", "nifti" or "inbreast": which files of the folder count.
        missing_is_clean: a view without a mask is clean; otherwise it is a problem.
        roi_dir: folder of masks of the regions to evaluate in.

    Returns:
        The cases in the order of the views' paths, each as its own patient, and one line per problem.

    Raises:
        MammogramError: if a folder does not exist or holds no view, or the format is unknown.
    """
    if mask_format not in MASK_FORMATS:
        raise refuse("--format", f"Expected one of {', '.join(MASK_FORMATS)}, got {mask_format!r}")
    folders = [Path(folder) for folder in (masks, roi_dir) if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            raise refuse(folder, "Expected an existing folder of masks, found none; check the path")
    views = _views(Path(images), folders)
    found, problems = _fit(views, Path(images), Path(masks), mask_format, optional=missing_is_clean)
    rois: list[str | None] = [None] * len(views)
    if roi_dir is not None:
        rois, more = _fit(views, Path(images), Path(roi_dir), "auto", optional=False)
        problems += more
    names = _case_names(views, Path(images))
    cases = [
        Case(case=name, patient=name, image=str(view), mask=mask, roi=roi)
        for name, view, mask, roi in zip(names, views, found, rois, strict=True)
    ]
    return cases, problems


def assign_patients(
    cases: Sequence[Case], table: str | PathLike[str] | None = None
) -> tuple[list[Case], str, list[str]]:
    """Say which patient each view is of.

    Args:
        cases: from `pair_cases`.
        table: CSV with the columns image (file name with or without suffix, or the case's name) and patient. Without
            it, the second field of INbreast's file names; if not all names are such, every view is a patient.

    Returns:
        The cases, where the patients come from in words, and one line per problem.

    Raises:
        MammogramError: if the table cannot be read.
    """
    if table is None:
        names = [inbreast_names(_stem(Path(case.image))) for case in cases]
        known = [replace(case, patient=name[1]) for case, name in zip(cases, names, strict=True) if name]
        return (
            (known, "INbreast's file names", []) if len(known) == len(cases) else (list(cases), "each view its own", [])
        )
    patients, problems = _read_patients(table)
    assigned = []
    for case in cases:
        image = Path(case.image)
        patient = next((patients[key] for key in (case.case, image.name, _stem(image)) if key in patients), None)
        if patient is None:
            problems.append(str(refuse(image, f"Expected a row for this view in {table}, found none; add it")))
        assigned.append(replace(case, patient=patient or case.patient))
    return assigned, str(Path(table).name), problems


def _read_patients(table: str | PathLike[str]) -> tuple[dict[str, str], list[str]]:
    patients: dict[str, str] = {}
    problems = []
    for number, row in rows_by_column(read_csv(table, skip_space=True)):
        image, patient = (row.get(column, "") for column in PATIENT_COLUMNS)
        if not (image and patient):
            problems.append(
                str(refuse(table, f"Expected columns image and patient, line {number} lacks one; complete it"))
            )
        elif patients.setdefault(image, patient) != patient:
            problems.append(
                str(refuse(table, f"Expected one patient for {image}, line {number} names another; correct it"))
            )
    return patients, problems


def _views(images: Path, mask_folders: Sequence[Path]) -> list[Path]:
    """Views of a folder without the masks that lie in or below it."""
    views = [Path(item["image"]) for item in find_mammograms(images)]
    for folder in mask_folders:
        if _same(images, folder):
            views = [view for view in views if not _plain(view).endswith(NAME_ENDINGS)]
        elif _inside(folder, images):
            views = [view for view in views if not _inside(view, folder)]
    if not views:
        raise refuse(images, "Expected a folder of views, found masks alone; check --images and --masks")
    return views


def _masks(masks: Path, images: Path, mask_format: str) -> list[Path]:
    """Masks of a folder without the views that lie in or below it."""
    suffixes = tuple(s for kind, group in MASK_SUFFIXES.items() if mask_format in ("auto", kind) for s in group)
    found = [path for path in _files(masks) if path.name.lower().endswith(suffixes)]
    if _same(images, masks):
        return [path for path in found if _plain(path).endswith(NAME_ENDINGS) or path.suffix.lower() == ".xml"]
    return [path for path in found if not (_inside(images, masks) and _inside(path, images))]


def _files(folder: Path) -> Iterator[Path]:
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _fit(
    views: Sequence[Path], images: Path, masks: Path, mask_format: str, *, optional: bool
) -> tuple[list[str | None], list[str]]:
    """One mask per view, and what does not come out even."""
    available = _masks(masks, images, mask_format)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in available:
        by_name[_plain(path)].append(path)
    found: list[str | None] = []
    problems = []
    for view in views:
        candidates = _candidates(view, by_name)
        beside = [path for path in candidates if path.parent.relative_to(masks) == view.parent.relative_to(images)]
        chosen = beside if len(beside) == 1 else candidates
        found.append(str(chosen[0]) if len(chosen) == 1 else None)
        if len(chosen) > 1:
            names = ", ".join(str(path) for path in chosen)
            problems.append(
                str(refuse(view, f"Expected one mask, found {len(chosen)} ({names}); leave one, or say --format"))
            )
        elif not chosen and not optional:
            hint = "add one (empty for a clean view), or say --missing-is-clean"
            problems.append(str(refuse(view, f"Expected a mask of this name in {masks}, found none; {hint}")))
    uses = Counter(path for path in found if path)
    fitting = {str(path) for view in views for path in _candidates(view, by_name)}
    problems += [
        str(refuse(path, f"Expected one view for this mask, found {count}; rename them"))
        for path, count in uses.items()
        if count > 1
    ]
    problems += [
        str(refuse(path, f"Expected a view for this mask in {images}, found none; remove it or add the view"))
        for path in map(str, available)
        if path not in fitting
    ]
    return found, problems


def _candidates(view: Path, by_name: dict[str, list[Path]]) -> list[Path]:
    stem = _stem(view)
    candidates = [path for ending in ("", *NAME_ENDINGS) for path in by_name.get(stem + ending, [])]
    number = inbreast_names(stem)
    xml = by_name.get(number[0], []) if number else []
    # A view is not its own mask.
    return [path for path in [*candidates, *(path for path in xml if path.suffix.lower() == ".xml")] if path != view]


def _case_names(views: Sequence[Path], images: Path) -> list[str]:
    counts = Counter(_stem(view) for view in views)
    return [
        _stem(view) if counts[_stem(view)] == 1 else view.relative_to(images).with_name(_stem(view)).as_posix()
        for view in views
    ]


def _stem(path: Path) -> str:
    """Name without a suffix that is known: DICOM files are often named by numbers with dots."""
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]


def _plain(mask: Path) -> str:
    return mask.stem if mask.suffix.lower() == ".xml" else _stem(mask)


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def _inside(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents

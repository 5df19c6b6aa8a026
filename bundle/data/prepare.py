"""A listed data set becomes a MONAI datalist: every view is read once, its truth written, what cannot be used told."""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .annotations import annotation_of_rois
from .datalist import UNKNOWN, ListedView, Listing, Truth, assign_splits, draw_patients, rule_of, write_datalist
from .errors import MammogramError, refuse
from .inbreast import Rois, write_rois
from .limits import MAX_NAME_BYTES
from .prepare_report import report_of, write_report
from .prepare_tables import short_word
from .prepare_views import Journal, Reading, place_view, read_once
from .whole_files import write_whole

VIEWS, TRUTH = "views", "truth"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet takes a cell that begins so for a formula, and patients.csv has a cell with the name of every view."""
NAME_RULE = "Expected a name of at most 200 bytes that begins with none of = + - @ and has no / and no .."
Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may choose.

    Attributes:
        seed: of the splits and of the drawn patients.
        spacing_mm: pixel size of files that state none; goes before the data set's own assumption.
        machine_spacings_mm: the same by the data set's code of the detector; goes before `spacing_mm`.
        max_patients: number of patients to draw; None for all.
    """

    seed: int = 0
    spacing_mm: float | None = None
    machine_spacings_mm: Mapping[str, float] | None = None
    max_patients: int | None = None

    def spacing_of(self, view: ListedView) -> float | None:
        """Pixel size of a view whose file states none, mm."""
        by_machine = (self.machine_spacings_mm or {}).get(view.machine)
        return by_machine or self.spacing_mm or view.spacing_mm


def prepare_dataset(listing: Listing, output_dir: str | Path, options: Options | None = None) -> dict[str, Any]:
    """Write OUT/datalist.json, the views and truths it names, OUT/patients.csv and OUT/report.md and .json.

    Args:
        listing: from an adapter; what cannot be read is added to its `skipped`.
        output_dir: OUT, empty or from an earlier run, whose views are not read again.
        options: defaults where None.

    Returns:
        The report, as in report.json.

    Raises:
        MammogramError: if OUT holds other files, or no view can be used.
    """
    options, out = options or Options(), Path(output_dir)
    journal = Journal.open(out)
    views = _unique(listing)
    if options.max_patients is not None:
        views = draw_patients(views, count=options.max_patients, seed=options.seed)
    splits, crossing = assign_splits(views, seed=options.seed, shares=listing.shares)
    if crossing:
        listing.notes.append(f"{len(crossing)} patients are in the data set's training and test sets; here in test.")
    items = []
    print(price(views))
    for view in tqdm(views, desc="Reading views", unit="view"):
        try:
            items.append(_prepared(view, splits[view.patient], out, options.spacing_of(view), journal))
        except MammogramError as error:
            listing.skip(view.name, rule_of(str(error)), str(error), refused=True)
    _prune(out, items)
    report = report_of(listing, items, seed=options.seed)
    write_report(out, report)
    if not items:
        raise refuse(out, f"Expected views that can be used, found none of {len(views)}; report.md here says why")
    _write_patients(out / "patients.csv", items)
    header = {key: report[key] for key in ("name", "split_name", "seed")}
    write_datalist(out / "datalist.json", [item | {"dataset": listing.dataset} for item in items], header)
    return report


def price(views: Sequence[ListedView]) -> str:
    """What reading will cost, in words."""
    sizes = sum(view.image.stat().st_size for view in views if view.image.is_file())
    patients = len({view.patient for view in views})
    return (
        f"{len(views)} views of {patients} patients, {sizes / 1e9:.1f} GB, to read once, about a second each; "
        "stopped, the same command goes on"
    )


def _unique(listing: Listing) -> list[ListedView]:
    """Views of different names; of several, the first."""
    views: dict[str, ListedView] = {}
    for view in listing.views:
        if not is_plain_name(view.name):
            line = str(refuse(view.image, f"{NAME_RULE}, got another; rename it"))
            listing.skip(view.name, rule_of(line), line, refused=True)
        elif view.name in views:
            listing.skip(view.name, "listed twice")
        else:
            views[view.name] = view
    return list(views.values())


def is_plain_name(name: str) -> bool:
    """Whether a file of this name lies in its folder, and the name is no formula; tables name what they like."""
    return (
        name not in ("", ".", "..")
        and not name.startswith(FORMULA_STARTS)
        and not re.search(r"[/\\\x00]", name)
        and len(os.fsencode(name)) <= MAX_NAME_BYTES
    )


def _prepared(view: ListedView, split: str, out: Path, spacing_mm: float | None, journal: Journal) -> Item:
    """The item of one view, its files written.

    Raises:
        MammogramError: if the view or its truth cannot be used.
    """
    reading = read_once(view.image, spacing_mm, journal)
    if view.shape is not None and reading.shape != view.shape:
        rule = f"Expected the {view.shape[0]} x {view.shape[1]} px that the data set states"
        raise refuse(view.image, f"{rule}, got {reading.shape[0]} x {reading.shape[1]}; leave the view out")
    truth: Truth = np.zeros(reading.shape, np.uint8) if view.truth is None else view.truth(reading.shape)
    kind, path, empty = _write_truth(out / TRUTH / split / view.name, truth, reading.shape)
    image = place_view(view.image, out / VIEWS / split / view.name, reading)
    return {
        "image": image.relative_to(out).as_posix(),
        kind: path.relative_to(out).as_posix(),
        "negative": empty,
        "patient": view.patient,
        "spacing_mm": list(reading.spacing_mm),
        **_described(view, reading),
        "split": split,
    }


def _described(view: ListedView, reading: Reading) -> dict[str, str | bool]:
    """What the data set says of a view, else what its header says."""
    words = {
        "view": view.view or reading.view_position,
        "laterality": view.laterality or reading.laterality,
        "vendor": view.vendor or reading.manufacturer,
        "density": view.density,
        "machine": view.machine,
    }
    said = {key: short_word(value) for key, value in words.items()} | {"remarks": reading.remarks}
    return {key: value or UNKNOWN for key, value in said.items()} | {"spacing_stated": reading.stated}


def _write_truth(stem: Path, truth: Truth, shape: tuple[int, int]) -> tuple[str, Path, bool]:
    """Write a label as PNG (0, 1, 2), or points and outlines as INbreast's XML; outlines never become pixels.

    Returns:
        "label", "points" or "outlines"; the file; and whether it says that there is nothing.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    kind, label = "label", truth
    if isinstance(truth, Rois):
        annotation = annotation_of_rois(truth, shape=shape)
        kind, label = ("label" if annotation.kind == "mask" else annotation.kind), annotation.label
        if kind != "label":
            path = stem.with_name(f"{stem.name}.xml")
            write_whole(path, lambda temporary: write_rois(temporary, truth))
            return kind, path, False
    pixels: NDArray[np.uint8] = np.asarray(label, np.uint8)
    path = stem.with_name(f"{stem.name}.png")
    write_whole(path, Image.fromarray(pixels).save)
    return kind, path, not pixels.any()


def _prune(out: Path, items: Sequence[Item]) -> None:
    """Remove what an earlier run with other options wrote: evaluation takes every file of these folders."""
    kept = {out / item[key] for item in items for key in ("image", "label", "points", "outlines") if key in item}
    for path in _written(out):
        if path not in kept:
            path.unlink()


def _written(out: Path) -> Iterator[Path]:
    for folder in (VIEWS, TRUTH):
        yield from (path for path in (out / folder).rglob("*") if path.is_symlink() or path.is_file())


def _write_patients(path: Path, items: Sequence[Item]) -> None:
    """The table that `python -m scripts.evaluate --patients` takes."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "patient"))
        writer.writerows((Path(item["image"]).name, item["patient"]) for item in items)

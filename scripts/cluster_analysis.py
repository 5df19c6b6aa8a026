"""Kinds of clusters: `python -m scripts.cluster_analysis FINDINGS_JSON... --output-dir OUT`.

Takes the findings that `python -m scripts.segment` wrote, a folder of them or single files. See docs/clusters.md.
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bundle.baselines.clusters import (
    KINDS,
    PERMUTATIONS,
    STEEPNESS,
    Homogeneity,
    fit_kinds,
    fit_part,
    homogeneity_test,
    optics_clusters,
)
from bundle.data.whole_files import write_whole
from bundle.functional.cluster_features import FEATURES, cluster_features
from bundle.functional.cluster_words import distribution_word
from bundle.functional.clusters import DISTANCE_MM, ISOLATED, MIN_COUNT
from scripts.command import one_line_errors

PLACE = ("centroid_row_mm", "centroid_column_mm")
COLUMNS = ("image", "patient", "cluster", "part", "kind", "distribution", "labels", *PLACE, *FEATURES)


class Labels(NamedTuple):
    """Labels and patient of each image; no labels where the table has none."""

    labels: dict[str, tuple[str, ...]]
    patients: dict[str, str]


def read_reports(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Findings of each file, and of each *_findings.json in each folder.

    Raises:
        ValueError: on a file of something else, or two views of one image name.
    """
    files = [file for path in paths for file in (sorted(path.glob("[!.]*_findings.json")) if path.is_dir() else [path])]
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for file, report in zip(files, reports, strict=True):
        if not (isinstance(report, dict) and {"image", "findings"} <= set(report)):
            raise ValueError(f"Expected findings as python -m scripts.segment writes them, got {file.name}")
    twice = [name for name, count in Counter(report["image"] for report in reports).items() if count > 1]
    if twice or not reports:
        raise ValueError(f"Expected findings of images of different names, got {twice or 'none'}; rename the images")
    return reports


def read_labels(path: Path | None, images: Sequence[str], *, label: str, patient: str) -> Labels:
    """Labels of the images from a CSV with the columns "image" (with or without suffix), `label`, and maybe `patient`.

    Several labels of one image are separated by a semicolon.

    Args:
        path: None if there is no table: each image is its own patient.
        images: names of the images.
        label: name of that column,
        patient: and of this.

    Raises:
        ValueError: if a column or every image is missing.
    """
    if path is None:
        return Labels({image: () for image in images}, {image: image for image in images})
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"image", label} <= set(rows[0]):
        raise ValueError(
            f"Expected a table with the columns image and {label}, got {list(rows[0]) if rows else 'none'}"
        )
    of_image = {row["image"]: row for row in rows}
    known = {image: of_image.get(image, of_image.get(Path(image).stem)) for image in images}
    if not any(known.values()):
        raise ValueError(f"Expected images of the findings in {path.name}, got none; {images[0]} is the first of them")
    words = {image: tuple(filter(None, map(str.strip, row[label].split(";")))) if row else ()
             for image, row in known.items()}  # fmt: skip
    return Labels(words, {image: (row or {}).get(patient) or image for image, row in known.items()})


def cluster_rows(report: Mapping[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Place, word and features of each cluster of a view."""
    positions = np.array([finding["position_mm"] for finding in report["findings"]], np.float64).reshape(-1, 2)
    diameters = np.array([finding["diameter_mm"] for finding in report["findings"]], np.float64)
    rows: list[dict[str, Any]] = []
    numbers = _grouping(report, positions, arguments)
    for number in np.unique(numbers[numbers != ISOLATED]):
        members = numbers == number
        rows.append(
            {
                "image": report["image"],
                "cluster": len(rows) + 1,
                "distribution": distribution_word(positions[members]),
                **dict(zip(PLACE, positions[members].mean(axis=0).tolist(), strict=True)),
                **cluster_features(positions[members], diameters[members]),
            }
        )
    return rows


def _grouping(report: Mapping[str, Any], positions: NDArray, arguments: argparse.Namespace) -> NDArray[np.int64]:
    if arguments.grouping == "findings":
        given = (finding["cluster"] for finding in report["findings"])
        return np.array([ISOLATED if number is None else number for number in given], np.int64)
    return optics_clusters(
        positions,
        min_count=arguments.min_count,
        max_distance_mm=arguments.max_distance_mm,
        steepness=arguments.steepness,
    )


def tested(rows: Sequence[Mapping[str, Any]], labels: Labels, arguments: argparse.Namespace) -> dict[str, Homogeneity]:
    """Homogeneity of kinds where they were made, of the same kinds held out, and of the words held out."""
    made, other = ([row for row in rows if row["part"] == part and row["labels"]] for part in ("fit", "held out"))
    tests = {
        "kinds, fit": (made, "kind"),
        "kinds, held out": (other, "kind"),
        "words, held out": (other, "distribution"),
    }
    return {
        name: homogeneity_test(
            [row[column] for row in part],
            [row["image"] for row in part],
            labels.labels,
            patients=labels.patients,
            rng=np.random.default_rng(arguments.seed),
            permutations=arguments.permutations,
        )
        for name, (part, column) in tqdm(tests.items(), desc="Permutations", unit="test")
    }


def analyse(arguments: argparse.Namespace) -> None:
    """Write OUT/clusters.csv and, with labels, OUT/homogeneity.json."""
    reports = read_reports(arguments.findings)
    images = [report["image"] for report in reports]
    labels = read_labels(arguments.labels, images, label=arguments.label, patient=arguments.patient)
    rows = [row for report in tqdm(reports, desc="Clusters", unit="view") for row in cluster_rows(report, arguments)]
    print(f"{len(rows)} clusters in {len({row['image'] for row in rows})} of {len(reports)} views")
    rng = np.random.default_rng(arguments.seed)
    clustered = {row["image"]: labels.patients[row["image"]] for row in rows}
    fit = fit_part(clustered, rng=rng, share=arguments.fit_share) if arguments.labels else frozenset(clustered)
    rows = _with_kinds(rows, labels, fit, kinds=arguments.kinds, rng=rng)
    write_whole(arguments.output_dir / "clusters.csv", lambda path: _write_csv(path, rows))
    if arguments.labels:
        results = tested(rows, labels, arguments)
        text = json.dumps({name: result._asdict() for name, result in results.items()}, indent=1)
        write_whole(arguments.output_dir / "homogeneity.json", lambda path: path.write_text(text + "\n"))
        print("\n".join(result.told(name) for name, result in results.items()))


def _with_kinds(
    rows: list[dict[str, Any]], labels: Labels, fit: frozenset[str], *, kinds: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    table = np.array([[row[name] for name in FEATURES] for row in rows], np.float64).reshape(-1, len(FEATURES))
    in_fit = np.array([row["image"] in fit for row in rows], bool)
    numbers = fit_kinds(table[in_fit], rng=rng, kinds=kinds).predict(table)
    return [
        {
            **row,
            "patient": labels.patients[row["image"]],
            "labels": ";".join(labels.labels[row["image"]]),
            "part": "fit" if inside else "held out",
            "kind": int(number) + 1,
        }
        for row, number, inside in zip(rows, numbers, in_fit, strict=True)
    ]


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.cluster_analysis", description=__doc__)
    parser.add_argument("findings", nargs="+", type=Path, help="*_findings.json, or folders of them")
    parser.add_argument("--output-dir", type=Path, default=Path("output"), help="(default: %(default)s)")
    parser.add_argument("--labels", type=Path, help="CSV with the columns image, a label, and maybe the patient")
    parser.add_argument("--label", default="distribution", help="that column (default: %(default)s)")
    parser.add_argument("--patient", default="patient", help="that column (default: %(default)s)")
    parser.add_argument("--fit-share", type=float, default=0.5, help="of patients, with labels (default: %(default)s)")
    parser.add_argument("--grouping", choices=("optics", "findings"), default="optics",
                        help="OPTICS, or the clusters that the findings have (default: %(default)s)")  # fmt: skip
    parser.add_argument("--min-count", type=int, default=MIN_COUNT, help="of OPTICS (default: %(default)s)")
    parser.add_argument("--max-distance-mm", type=float, default=DISTANCE_MM, help="of OPTICS (default: %(default)s)")
    parser.add_argument("--steepness", type=float, default=STEEPNESS, help="xi of OPTICS (default: %(default)s)")
    parser.add_argument("--kinds", type=int, default=KINDS, help="k of k-means (default: %(default)s)")
    parser.add_argument("--permutations", type=int, default=PERMUTATIONS, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of parts, k-means and permutations (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Analyse clusters."""
    arguments = parse(argv)
    with one_line_errors():
        analyse(arguments)


if __name__ == "__main__":
    main()

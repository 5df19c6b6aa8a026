"""The fidelity report: figures of the synthesis as JSON, pictures as PNG, and one page that holds everything."""

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import norm

from ..functional.fidelity import sample_distance
from ..functional.fidelity_pairs import PairMeasures, joined
from ..functional.fingerprint import SPECTRUM_BINS
from ..functional.injection import InjectionRanges
from .fidelity_checks import (
    NOTHING,
    Check,
    checks_table,
    published_checks,
)
from .fidelity_plots import BLOB_FIELDS, blob_plot, distribution_plot, spectra
from .fidelity_renderer import DIFFERS, PASS, renderer_rows, renderer_table
from .figures import png
from .fingerprint import AUC_LIMIT, Fingerprint, classify_pairs
from .page import Picture, Section, render_page
from .tables import Cell, Table, number

PAGE = "fidelity.html"
FIGURES = "fidelity.json"
FEWEST_PAIRS = 20
TOP_SHIFTS = 6


def write_fidelity(
    folder: str | PathLike[str],
    measures: Sequence[PairMeasures],
    sheets: Mapping[str, Figure],
    *,
    ranges: InjectionRanges,
    facts: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Any]:
    """Write fidelity.html, fidelity.json and the pictures as PNG.

    Args:
        folder: made if it does not exist.
        measures: of all pairs.
        sheets: contact sheets by caption.
        ranges: as trained with.
        facts: printed at the top, e.g. command, views, seed.
        seed: of the classifiers and the bootstrap.

    Returns:
        The figures that fidelity.json holds.
    """
    checks = published_checks(measures, ranges)
    renderer, distances = renderer_rows(), blob_distances(measures)
    spectrum, prints = spectrum_difference(measures), fingerprints(measures, seed=seed)
    figures = {
        "facts": dict(facts),
        "published": [vars(check) for check in checks],
        "renderer": renderer,
        "blob_distances": distances,
        "spectrum": spectrum,
        "fingerprint": {name: _print_figures(found) for name, found in prints.items()},
    }
    sections = [
        Section("Verdicts", _verdict_text(checks, renderer, prints)),
        Section(
            "Puncta",
            "",
            [checks_table(checks)],
            [Picture("Distributions of drawn and measured puncta", png(distribution_plot(measures)))],
        ),
        Section("Renderer", RENDERER_TEXT, [renderer_table(renderer)]),
        Section(
            "Blobs and spectrum",
            BLOB_TEXT,
            [_distance_table(distances), _spectrum_table(spectrum)],
            [Picture("HDoG blobs, and the radial spectrum with the puncta covered", png(blob_plot(measures)))],
        ),
        Section("Fingerprint", FINGERPRINT_TEXT, _fingerprint_tables(prints)),
        Section("Contact sheets", "", (), [Picture(name, png(sheet)) for name, sheet in sheets.items()]),
    ]
    _write(Path(folder), sections, figures, facts)
    return figures


RENDERER_TEXT = (
    "Spheres drawn by the training renderer and by a reference that is eight times finer than the pixels, with an "
    "exact kernel; over nine places within the pixel. All ratios must lie within 5 % of one."
)
BLOB_TEXT = (
    "Blobs of HDoG at its published threshold. The twin of a patch is drawn with the same numbers but has no puncta; "
    "what lies beside puncta must not differ from it. Kolmogorov-Smirnov distance from 0 to 1; Wasserstein distance in "
    "deviations of the second sample."
)
FINGERPRINT_TEXT = (
    f"Puncta are covered with a margin in the injected patch and, by the same mask, in its twin. Classifiers of "
    f"texture are cross-validated by view, so that both patches of a pair lie in one fold; their AUC must be at most "
    f"{AUC_LIMIT:g}. The control is a trace on purpose: fine noise of the injected patches 10 % stronger, before the "
    f"detector. Backgrounds differ far more than that, so a classifier of a few hundred patches hardly sees it; the "
    f"shift within pairs, which share all else, does: it gives the AUC of the best linear classifier, and is listed in "
    f"deviations of the feature among clean patches."
)


def blob_distances(measures: Sequence[PairMeasures]) -> list[dict[str, Any]]:
    """Distances between kinds of blobs, in scale, contrast and roundness; with how many there are."""
    kinds = {
        name: joined([getattr(m, name) for m in measures])
        for name in ("plain_blobs", "screened_blobs", "clean_blobs", "beside", "at_puncta")
    }
    compared = (
        ("beside puncta, to the twin", "beside", "clean_blobs"),
        ("twin, to the views as they are", "clean_blobs", "plain_blobs"),
        ("at puncta, to the views as they are", "at_puncta", "plain_blobs"),
        ("at puncta, to spots that screening found", "at_puncta", "screened_blobs"),
    )
    rows = []
    for name, first, second in compared:
        row: dict[str, Any] = {"compared": name, "n": len(kinds[first][1]), "n_second": len(kinds[second][1])}
        for field in BLOB_FIELDS:
            row[field] = sample_distance(getattr(kinds[first], field), getattr(kinds[second], field))._asdict()
        rows.append(row)
    return rows


def spectrum_difference(measures: Sequence[PairMeasures]) -> list[dict[str, float]]:
    """Ring by ring: frequency, mean difference of injected patch and twin in dB, and the distances of their values."""
    injected, clean = spectra(measures)
    if not len(clean):
        return []
    rows = []
    for n in range(SPECTRUM_BINS):
        distance = sample_distance(injected[:, n], clean[:, n])
        difference = float((injected[:, n] - clean[:, n]).mean())
        frequency = 0.5 * (n + 0.5) / SPECTRUM_BINS
        rows.append({"cycles_per_px": frequency, "difference_db": difference, **distance._asdict()})
    return rows


def fingerprints(measures: Sequence[PairMeasures], *, seed: int) -> dict[str, Fingerprint]:
    """The test, and its control with a trace on purpose; nothing with fewer than two views or too few pairs."""
    kept = [m for m in measures if m.features is not None]
    views = [m.view for m in kept]
    if len(set(views)) < 2 or len(kept) < FEWEST_PAIRS:
        return {}
    injected, clean, control = zip(*(m.features for m in kept if m.features is not None), strict=True)
    return {
        "injected patches": classify_pairs(injected, clean, views, seed=seed),
        "control: fine noise 10 % stronger": classify_pairs(control, clean, views, seed=seed),
    }


def _verdict_text(
    checks: Sequence[Check], renderer: Sequence[Mapping[str, float]], prints: Mapping[str, Fingerprint]
) -> str:
    names = "; ".join(check.quantity for check in checks if check.verdict == DIFFERS)
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in (PASS, DIFFERS, NOTHING)}
    worst = max(max(abs(row["least"] - 1), abs(row["largest"] - 1)) for row in renderer)
    text = (
        f"Published figures: {counts[PASS]} pass, {counts[DIFFERS]} differ ({names}), {counts[NOTHING]} without one. "
    )
    text += f"Renderer: within {worst:.1%} of the reference, {'pass' if worst <= 0.05 else 'differs'} at 5 %. "
    if not prints:
        return text + "Fingerprint: not tested, too few pairs or views."
    found, control = prints.values()
    verdict = "pass" if found.worst <= AUC_LIMIT else "differs"
    return text + (
        f"Fingerprint: AUC {found.worst:.3f}, {verdict} at {AUC_LIMIT:g}; the control has {control.worst:.3f}."
    )


def _distance_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("Blobs", "n", "n of the second", *(f"{field}: {kind}" for field in BLOB_FIELDS for kind in ("KS", "W")))
    cells = []
    for row in rows:
        values = [row[field][kind] for field in BLOB_FIELDS for kind in ("ks", "wasserstein")]
        counts = [Cell(str(row[key]), row[key]) for key in ("n", "n_second")]
        cells.append((Cell(row["compared"], row["compared"]), *counts, *(Cell(number(v), v) for v in values)))
    return Table("Distances of blobs", columns, tuple(cells))


def _spectrum_table(rows: Sequence[Mapping[str, float]]) -> Table:
    names = ("cycles_per_px", "difference_db", "ks", "wasserstein")
    cells = [tuple(Cell(f"{row[name]:.4f}", row[name]) for name in names) for row in rows]
    columns = ("Cycles per pixel", "Injected less twin (dB)", "KS", "W")
    return Table("Radial spectrum, puncta covered", columns, tuple(cells))


def _fingerprint_tables(prints: Mapping[str, Fingerprint]) -> list[Table]:
    rows = []
    for test, found in prints.items():
        for name, (value, low, high) in found.auc.items():
            verdict = PASS if value <= AUC_LIMIT else DIFFERS
            texts = (
                test,
                name,
                f"{value:.3f} [{low:.3f}, {high:.3f}]",
                verdict,
                f"{found.pairs} of {found.views} views",
            )
            rows.append(tuple(Cell(text, text) for text in texts))
    tables = [
        Table(
            "AUC with 95 % intervals of resampled views", ("Test", "Classifier", "AUC", "Verdict", "Pairs"), tuple(rows)
        )
    ]
    for test, found in prints.items():
        largest = sorted(found.shift.items(), key=lambda item: -abs(item[1]))[:TOP_SHIFTS]
        cells = [(Cell(n, n), Cell(f"{s:+.4f}", s), Cell(f"{_auc_of(s):.3f}", _auc_of(s))) for n, s in largest]
        columns = ("Feature", "Shift (deviations)", "AUC it allows")
        tables.append(Table(f"Largest shifts within pairs: {test}", columns, tuple(cells)))
    return tables


def _auc_of(shift: float) -> float:
    """AUC of two Gaussians of unit deviation that far apart."""
    return float(norm.cdf(abs(shift) / math.sqrt(2)))


def _print_figures(found: Fingerprint) -> dict[str, Any]:
    return {"auc": dict(found.auc), "shift": dict(found.shift), "pairs": found.pairs, "views": found.views}


def _write(folder: Path, sections: Sequence[Section], figures: Mapping[str, Any], facts: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture for section in sections for picture in section.pictures]
    for n, picture in enumerate(pictures, start=1):
        name = "_".join("".join(c if c.isalnum() else " " for c in picture.caption).lower().split()[:4])
        (folder / f"{n:02d}_{name}.png").write_bytes(picture.png)
    (folder / FIGURES).write_text(json.dumps(_strict(figures), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(render_page("Fidelity of the synthesis", facts, sections), encoding="utf-8")


def _strict(value: Any) -> Any:
    """With null for nan and infinity: JSON knows neither."""
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

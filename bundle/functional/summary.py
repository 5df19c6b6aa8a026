"""From case records to the table that is printed: one row per dataset and system, every figure with its interval."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .case_statistics import CASE_METRICS, METRICS, case_values, froc_curve, is_clean, pooled_statistics, strata_edges
from .confusion import summarise_cases
from .statistics import (
    LEVEL,
    N_RESAMPLES,
    Estimate,
    Pooled,
    Resamples,
    bootstrap,
    bootstrap_difference,
    draw_resamples,
    holm,
    patient_values,
    wilcoxon_p,
)

Record = Mapping[str, Any]
Row = dict[str, Any]


def summarise(
    records: Sequence[Record],
    *,
    rng: np.random.Generator,
    reference: str | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
) -> list[Row]:
    """Summarise records of any number of datasets and systems, in any order.

    Patients are resampled once per dataset, within those with and those without calcifications, for all its systems.
    A dataset's figures depend on the generator and on its own records alone.

    Args:
        records: see `bundle.functional.case_record`.
        rng: the only source of randomness.
        reference: system that every other one of a dataset is compared with, on the cases of both.
        n_resamples: number of bootstrap resamples.
        level: coverage of the intervals.

    Returns:
        Rows sorted by dataset and system: `dataset, system, region, annotation, n_cases, n_clean, n_patients,
        n_objects`, `threshold` [lowest, highest], `fp_views` ("clean" or "all"), `strata_edges`, `level, n_resamples,
        notes`, `figures` (by metric: `value, low, high, n_patients`, and `sd, n_cases` of means over cases),
        `reference`, and `differences` to it (by metric: `value, low, high, n_patients, p, p_holm`, corrected over
        the systems).

    Raises:
        ValueError: on records that do not belong together, or an unknown reference.
    """
    _check_reference(records, reference)
    seed = int(rng.integers(2**63))
    rows = []
    for _, members in _grouped(records, "dataset"):
        resamples, clean_axis = _resample(members, seed, n_resamples)
        edges = strata_edges(_one_per_case(members))
        systems = dict(_grouped(members, "system"))
        shared = {"edges": edges, "clean_axis": clean_axis}
        differences = _differences(systems, reference, resamples, level, shared) if reference in systems else {}
        for system, cases in systems.items():
            figures = _figures(cases, resamples, level, shared)
            rows.append(
                {
                    **_description(cases, n_expected=len(_one_per_case(members))),
                    "fp_views": "clean" if clean_axis else "all",
                    "strata_edges": {name: list(pair) for name, pair in edges.items()},
                    "level": level,
                    "n_resamples": n_resamples,
                    "figures": figures,
                    "reference": reference if system in differences else None,
                    "differences": differences.get(system, {}),
                }
            )
    return rows


def froc_bands(
    records: Sequence[Record],
    rates: ArrayLike,
    *,
    rng: np.random.Generator,
    unit: str = "object",
    per: str = "cm2",
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
) -> list[Row]:
    """FROC curves with pointwise intervals, one row per dataset and system.

    Args:
        records: as in `summarise`.
        rates: (points,), false positives per cm2 or per image.
        rng: the only source of randomness.
        unit: "object" or "cluster".
        per: "cm2" or "image".
        n_resamples: as in `summarise`.
        level: as in `summarise`.

    Returns:
        Rows of `dataset, system, unit, per, fp_views, rates, tpr, low, high`, the last four lists of numbers.
    """
    seed = int(rng.integers(2**63))
    rows = []
    for dataset, members in _grouped(records, "dataset"):
        resamples, clean_axis = _resample(members, seed, n_resamples)
        for system, cases in _grouped(members, "system"):
            pooled = froc_curve(cases, rates, clean_axis=clean_axis, unit=unit, per=per)
            curve = bootstrap(pooled, _patients(cases), resamples, level=level)
            where = {"dataset": dataset, "system": system, "unit": unit, "per": per}
            points = {"rates": np.ravel(rates), "tpr": curve.value, "low": curve.low, "high": curve.high}
            listed = {name: np.asarray(values, np.float64).tolist() for name, values in points.items()}
            rows.append({**where, "fp_views": "clean" if clean_axis else "all", **listed})
    return rows


def _figures(cases: list[Record], resamples: Resamples, level: float, shared: Mapping[str, Any]) -> dict[str, Row]:
    pooled, patients, values = pooled_statistics(cases, **shared), _patients(cases), case_values(cases)
    figures = {name: _numbers(bootstrap(pooled[name], patients, resamples, level=level)) for name in METRICS}
    for name in CASE_METRICS:
        summary = summarise_cases(values[name])
        figures[name] |= {"sd": summary.sd, "n_cases": summary.n_cases}
    return figures


def _differences(
    systems: Mapping[str, list[Record]],
    reference: str | None,
    resamples: Resamples,
    level: float,
    shared: Mapping[str, Any],
) -> dict[str, dict[str, Row]]:
    """Per system and metric, the difference to the reference on the cases of both."""
    against = {record["case"]: record for record in systems[reference or ""]}
    table = {}
    for system, cases in systems.items():
        both = [record for record in cases if record["case"] in against]
        if system != reference and both:
            pair = (pooled_statistics(both, **shared), pooled_statistics([against[r["case"]] for r in both], **shared))
            table[system] = {
                name: _difference(pair[0][name], pair[1][name], _patients(both), resamples, level) for name in METRICS
            }
    for name in METRICS:
        adjusted = holm([figures[name]["p"] for figures in table.values()])
        for figures, p_holm in zip(table.values(), adjusted.tolist(), strict=True):
            figures[name]["p_holm"] = p_holm
    return table


def _difference(first: Pooled, second: Pooled, patients: list[str], resamples: Resamples, level: float) -> Row:
    estimate = bootstrap_difference(first, second, patients, resamples, level=level)
    p = wilcoxon_p(patient_values(first, patients), patient_values(second, patients))
    return {**_numbers(estimate), "p": p}


def _numbers(estimate: Estimate) -> Row:
    values = {"value": float(estimate.value), "low": float(estimate.low), "high": float(estimate.high)}
    return {**values, "n_patients": estimate.n_patients}


def _description(cases: list[Record], *, n_expected: int) -> Row:
    """What the figures of a row rest on."""
    patients = set(_patients(cases))
    thresholds = [float(record["threshold"]) for record in cases]
    notes = []
    if len(patients) < 2:
        notes.append("one patient: no intervals")
    if len(cases) < n_expected:
        notes.append(f"{len(cases)} of {n_expected} cases")
    return {
        **{key: cases[0][key] for key in ("dataset", "system", "region", "annotation")},
        "threshold": [min(thresholds), max(thresholds)],
        "n_cases": len(cases),
        "n_clean": sum(is_clean(record) for record in cases),
        "n_patients": len(patients),
        "n_objects": sum(len(record["objects"]) for record in cases),
        "notes": notes,
    }


def _resample(members: list[Record], seed: int, n_resamples: int) -> tuple[Resamples, bool]:
    """Resamples of a dataset's patients, and whether it has clean cases to count false positives on."""
    patients = _patients(members)
    calcified = {record["patient"] for record in members if not is_clean(record)}
    rng = np.random.default_rng([seed, zlib.crc32(members[0]["dataset"].encode())])
    strata = [patient in calcified for patient in patients]
    return draw_resamples(patients, rng=rng, strata=strata, n_resamples=n_resamples), any(map(is_clean, members))


def _grouped(records: Sequence[Record], key: str) -> list[tuple[str, list[Record]]]:
    """Checked records by dataset or system, in an order that does not depend on the one given."""
    ordered = sorted(records, key=lambda record: (record[key], record["system"], record["patient"], record["case"]))
    groups = [(name, list(members)) for name, members in groupby(ordered, key=lambda record: record[key])]
    if key == "dataset":
        for name, members in groups:
            _check_dataset(name, members)
    return groups


def _one_per_case(members: list[Record]) -> list[Record]:
    return list({record["case"]: record for record in members}.values())


def _patients(records: Sequence[Record]) -> list[str]:
    return [str(record["patient"]) for record in records]


def _check_reference(records: Sequence[Record], reference: str | None) -> None:
    systems = sorted({record["system"] for record in records})
    if not records:
        raise ValueError("Expected at least one case record, got none; score a case first")
    if reference is not None and reference not in systems:
        raise ValueError(f"Expected a reference among {', '.join(systems)}, got {reference!r}; choose one of them")


def _check_dataset(dataset: str, members: list[Record]) -> None:
    """Refuse what would make the figures of one table incomparable."""
    keys = [(record["system"], record["case"]) for record in members]
    twice = next((key for key, following in pairwise(keys) if key == following), None)
    if twice:
        raise ValueError(f"Expected one record per case, got two of {twice[1]!r} by {twice[0]!r}; pass each once")
    for key in ("region", "annotation"):
        found = sorted({record[key] for record in members})
        if len(found) > 1:
            raise ValueError(f"Expected one {key} in {dataset!r}, got {' and '.join(found)}; name the datasets apart")
    truth: dict[str, tuple[str, int, float]] = {}
    for record in members:
        same = (record["patient"], len(record["objects"]), round(record["area_cm2"], 6))
        if truth.setdefault(record["case"], same) != same:
            raise ValueError(
                f"Expected one patient, truth and region for case {record['case']!r} of {dataset!r}, got others for "
                f"{record['system']!r}; score it again"
            )
    for system, cases in groupby(members, key=lambda record: record["system"]):
        if len({tuple(record["froc"]["thresholds"]) for record in cases}) > 1:
            raise ValueError(
                f"Expected one list of FROC thresholds for {system!r} in {dataset!r}, got several; use one"
            )

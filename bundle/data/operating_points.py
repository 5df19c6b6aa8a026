"""The file of measured operating points, models/operating_points.json, or one of a site's own."""

from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from ..functional.evidence import EvidenceSettings
from ..functional.operating_point import operating_threshold
from .errors import MammogramError, refuse
from .files import read_json

DEFAULT_THRESHOLD = 0.5


def choose_threshold(
    table_path: str | PathLike[str], *, method: str, threshold: float | None = None, fp_per_cm2: float | None = None
) -> float:
    """Threshold of an inference run.

    Args:
        table_path: JSON table, see `bundle.functional.operating_point`.
        method: one of `bundle.functional.findings.METHODS`.
        threshold: probability that counts as a finding, in (0, 1); if neither is given the method's `best_threshold` in
            the table, as a calibration for a site puts it there, or else 0.5.
        fp_per_cm2: wanted false positives per cm2 of clean tissue instead.

    Raises:
        MammogramError: if both are given, the threshold is out of range, the table is missing or damaged, or the rate
            was not measured.
    """
    if threshold is not None and fp_per_cm2 is not None:
        raise refuse("--threshold", "Expected a threshold or a rate, got both; leave out --threshold or --fp-per-cm2")
    path = Path(table_path)
    if fp_per_cm2 is None:
        chosen = _best_threshold(path, method) if threshold is None else float(threshold)
        if not 0 < chosen < 1:
            raise refuse("--threshold", f"Expected a probability above 0 and below 1, got {chosen:g}")
        return chosen
    if not path.is_file():
        raise refuse(path, "Expected the table of operating points, found none; give --threshold instead")
    try:
        return operating_threshold(_read(path), method, fp_per_cm2=float(fp_per_cm2))
    except MammogramError:
        raise
    except (ValueError, OverflowError) as error:
        raise refuse("--fp-per-cm2", str(error)) from error
    except (TypeError, KeyError) as error:
        raise refuse(path, f"Expected thresholds with their rates for {method!r}, got others; measure again") from error


def company_settings(table_path: str | PathLike[str]) -> EvidenceSettings:
    """Weights of the method "company" in a table of operating points.

    Args:
        table_path: JSON table with `settings` in its row "company", as `settings_row` makes them.

    Raises:
        MammogramError: if the table or the settings are missing or damaged.
    """
    path = Path(table_path)
    wanted = 'Expected the weights of "company"'
    row = _read(path).get("company")
    settings = row.get("settings") if isinstance(row, dict) else None
    if not isinstance(settings, dict):
        raise refuse(path, f"{wanted}, found none; calibrate with --systems company, or choose another --method")
    try:
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in settings.values()):
            raise ValueError("not all are numbers")
        weights = EvidenceSettings(**settings)
    except (TypeError, ValueError) as error:
        raise refuse(path, f"{wanted}, got others ({error}); calibrate again") from error
    if weights.weight_score or weights.weight_spread:
        raise refuse(path, f"{wanted}, got a weight of the generator's score, which it does not call; calibrate again")
    return weights


def settings_row(settings: EvidenceSettings) -> dict[str, Any]:
    """What differs from the defaults, JSON-ready."""
    default = asdict(EvidenceSettings())
    return {name: value for name, value in asdict(settings).items() if value != default[name]}


def _best_threshold(path: Path, method: str) -> float:
    """The threshold that a table recommends; 0.5 without a table or a recommendation."""
    row = _read(path).get(method) if path.is_file() else None
    best = row.get("best_threshold", DEFAULT_THRESHOLD) if isinstance(row, dict) else DEFAULT_THRESHOLD
    if isinstance(best, bool) or not isinstance(best, (int, float)) or not 0 < best < 1:
        raise refuse(path, f"Expected a best_threshold above 0 and below 1 for {method!r}, got another; measure again")
    return float(best)


def _read(path: Path) -> dict[str, Any]:
    table = read_json(path, what="a table of operating points (JSON)")
    if not isinstance(table, dict):
        raise refuse(path, "Expected a table of operating points by method, got another file; make it anew")
    return table

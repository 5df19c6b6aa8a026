"""What the results of a cohort depend on, for its manifest: a run that goes on with other settings is refused."""

import hashlib
from pathlib import Path
from typing import Any

from bundle import __version__
from scripts.cohort_worker import WorkerSettings
from scripts.shipped import ROOT

IDS = (
    "method", "preset", "overrides", "threshold", "fp_per_cm2", "operating_points", "spacing_mm", "voi", "convert_raw",
    "trace",
)  # fmt: skip
WEIGHTS = ("model.pt", "generator_ema.pt", "operating_points.json")


def result_settings(settings: WorkerSettings, device: str) -> dict[str, Any]:
    """Options, version, device, threads on a CPU, and hashes of the weights and the table of thresholds.

    Args:
        settings: of the workers.
        device: cpu or cuda.
    """
    chosen = {name: settings.options[name] for name in IDS if settings.options.get(name) is not None}
    if table := chosen.get("operating_points"):
        chosen["operating_points"] = _digest(Path(table))
    files = {name: _digest(ROOT / "models" / name) for name in WEIGHTS if (ROOT / "models" / name).is_file()}
    return {**chosen, "version": __version__, "device": device, "threads": settings.threads, **files}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

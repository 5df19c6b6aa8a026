"""What a cohort will cost, measured on a few of its views in this process, before anything is begun."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from tqdm import tqdm

from bundle.data.errors import MammogramError
from scripts.cohort_worker import WorkerSettings
from scripts.segment_view import ViewSegmenter
from scripts.threads import threads_of

MEASURED_VIEWS = 3


class Measured(NamedTuple):
    """Means over the views that were measured.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of the processor.
        size: of the results, bytes.
        views: their number.
    """

    seconds: float
    cpu_seconds: float
    size: float
    views: int


def price(paths: Sequence[str], settings: WorkerSettings, workers: int) -> str:
    """Hours and gigabytes in words, from views spread evenly over the cohort; pages and DICOM objects come on top.

    Args:
        paths: of all views that lie on disk.
        settings: of the workers.
        workers: how many there will be.

    Raises:
        ValueError: if none of the views can be measured.
    """
    if not paths:
        raise ValueError("Expected files for an estimate, got an archive; fetch a few and price those")
    chosen = sorted({round(i * (len(paths) - 1) / max(MEASURED_VIEWS - 1, 1)) for i in range(MEASURED_VIEWS)})
    seconds, cpu_seconds, sizes, reason = [], [], [], ""
    with tempfile.TemporaryDirectory() as folder, threads_of(settings.threads):
        segment = ViewSegmenter({**settings.options, "output_dir": folder})
        for index in tqdm(chosen, desc="Measuring", unit="view"):
            started, started_cpu = time.perf_counter(), time.process_time()
            try:
                segment(paths[index])
            except MammogramError as error:
                reason = str(error)
                continue
            seconds.append(time.perf_counter() - started)
            cpu_seconds.append(time.process_time() - started_cpu)
            sizes.append(sum(path.stat().st_size for path in Path(folder).iterdir()))
            for path in Path(folder).iterdir():
                path.unlink()
    if not seconds:
        raise ValueError(f"Expected a view that can be measured, got: {reason}")
    return _told(len(paths), Measured(mean(seconds), mean(cpu_seconds), mean(sizes), len(seconds)), workers, settings)


def _told(count: int, view: Measured, workers: int, settings: WorkerSettings) -> str:
    hours = count * view.seconds / 3600
    folder = Path(settings.folder)
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    return (
        f"{count} views; of each {view.seconds:.1f} s by the clock, {view.cpu_seconds:.1f} s of the processor, "
        f"{view.size / 1e6:.1f} MB (mean of {view.views}; threads: {settings.threads}): {hours:.1f} hours of one "
        f"worker, {hours / workers:.1f} of {workers} if there is a core for each thread; {count * view.size / 1e9:.1f} "
        f"GB of {free / 1e9:.0f} GB free; pages and DICOM objects not counted"
    )

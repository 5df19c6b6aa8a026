"""What a cohort will cost, measured on a few of its views in this process, before anything is begun."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from bundle.data.errors import MammogramError
from scripts.cohort_worker import WorkerSettings
from scripts.segment_view import ViewSegmenter

MEASURED_VIEWS = 3


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
    seconds, sizes, reason = [], [], ""
    with tempfile.TemporaryDirectory() as folder, _threads(settings.threads):
        segment = ViewSegmenter({**settings.options, "output_dir": folder})
        for index in tqdm(chosen, desc="Measuring", unit="view"):
            started = time.perf_counter()
            try:
                segment(paths[index])
            except MammogramError as error:
                reason = str(error)
                continue
            seconds.append(time.perf_counter() - started)
            sizes.append(sum(path.stat().st_size for path in Path(folder).iterdir()))
            for path in Path(folder).iterdir():
                path.unlink()
    if not seconds:
        raise ValueError(f"Expected a view that can be measured, got: {reason}")
    return _told(len(paths), sum(seconds) / len(seconds), sum(sizes) / len(sizes), len(seconds), workers, settings)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _told(count: int, seconds: float, size: float, measured: int, workers: int, settings: WorkerSettings) -> str:
    hours = count * seconds / 3600
    free = shutil.disk_usage(
        next(p for p in [Path(settings.folder), *Path(settings.folder).parents] if p.exists())
    ).free
    return (
        f"{count} views, {seconds:.1f} s and {size / 1e6:.1f} MB each (mean of {measured} measured, {settings.threads} "
        f"threads): {hours:.1f} hours of one worker, {hours / workers:.1f} of {workers} if there is a core for each "
        f"thread; {count * size / 1e9:.1f} GB of {free / 1e9:.0f} GB free; pages and DICOM objects not counted"
    )

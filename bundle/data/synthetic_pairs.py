"""Training samples that are numbered: sample n depends on (seed, n) alone, whichever worker, rank or run makes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, Randomizable
from numpy.typing import NDArray
from torch.utils.data import Dataset, DistributedSampler
from tqdm import tqdm

from .errors import root_mammogram_error
from .kept_on_disk import KeptOnDisk

MAX_SEED = 2**32


class SyntheticPairDataset(Dataset):
    """Views held in memory or on disk, from which random transforms make one training pair per sample number.

    A view that cannot be read is told and left out.

    Args:
        data: one dict per view, {"image": path, ...}; "weight" is its relative frequency (1 if absent).
        load: transform of a view, run once: reading, breast mask, window.
        transform: random transforms of a sample: crop, injection, detector.
        samples_per_epoch: length of an epoch; sample numbers may run beyond it.
        seed: start of all randomness.
        cache_dir: folder in which loaded views are kept, for more of them than memory holds; "" holds them in memory.
            Samples are the same.
        cache_settings: options of `load`; others make other files in `cache_dir`.

    Raises:
        ValueError: if there is no view.
        MammogramError: if none of them can be read.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        load: Callable[[Mapping[str, Any]], dict],
        transform: Callable[[dict], dict],
        *,
        samples_per_epoch: int,
        seed: int = 0,
        cache_dir: str = "",
        cache_settings: Any = (),
    ) -> None:
        if not data:
            raise ValueError("Expected at least one training view, got none; check --dataset_dir")
        self.load = KeptOnDisk(load, cache_dir, cache_settings) if cache_dir else None
        self.views, weights = self._read(data, self.load or load)
        self.shares = weights / weights.sum()
        self.transform = transform if isinstance(transform, Randomizable) else Compose([transform])
        self.samples_per_epoch, self.seed = samples_per_epoch, seed

    def _read(
        self, data: Sequence[Mapping[str, Any]], load: Callable[[Mapping[str, Any]], dict]
    ) -> tuple[list[Mapping[str, Any]], NDArray[np.float64]]:
        """Views, or items of views kept on disk, of all that can be read, and their weights."""
        views: list[Mapping[str, Any]] = []
        weights: list[float] = []
        refusal: Exception | None = None
        for item in tqdm(data, desc="Reading views", unit="view"):
            try:
                view = load(item)
            except (RuntimeError, ValueError) as error:
                if (refusal := root_mammogram_error(error)) is None:
                    raise
                tqdm.write(f"left out: {refusal}")
                continue
            # Of those on disk only the item stays: maps of thousands of files are more than a process may hold.
            views.append(item if self.load else view)
            weights.append(float(item.get("weight", 1.0)))
        if refusal is not None and not views:
            raise refusal
        return views, np.array(weights)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self.samples_per_epoch

    def __getitem__(self, index: int) -> dict:
        """Sample number `index`, of any epoch."""
        rng = np.random.default_rng([self.seed, index])
        view = self.views[int(rng.choice(len(self.views), p=self.shares))]
        view = self.load(view) if self.load else view
        self.transform.set_random_state(seed=int(rng.integers(MAX_SEED)))
        return self.transform(view)


class SampleNumberSampler(DistributedSampler):
    """Sample numbers in order: epoch e goes through (e - 1) N ... e N - 1, dealt out over the ranks.

    MONAI's trainers tell the epoch to any DistributedSampler, so a resumed run draws the samples that come next.

    Args:
        dataset: a dataset of N samples per epoch that takes any sample number.
    """

    def __init__(self, dataset: Dataset) -> None:
        rank, ranks = _rank_of_ranks()
        super().__init__(dataset, num_replicas=ranks, rank=rank, shuffle=False, drop_last=True)

    def __iter__(self) -> Iterator[int]:
        """Sample numbers of this rank."""
        first = max(self.epoch - 1, 0) * len(self.dataset)  # type: ignore[arg-type]
        return iter(range(first + self.rank, first + self.num_samples * self.num_replicas, self.num_replicas))


def batch_size_of_rank(batch_size: int) -> int:
    """This process's part of a batch, so that all parts together are the batch of one process.

    Args:
        batch_size: of all processes together.

    Returns:
        The batch size of one of them.

    Raises:
        ValueError: if the batch cannot be dealt out evenly.
    """
    _, ranks = _rank_of_ranks()
    if batch_size % ranks:
        raise ValueError(
            f"Expected a batch_size that is a multiple of the {ranks} processes, got {batch_size}; change one"
        )
    return batch_size // ranks


def _rank_of_ranks() -> tuple[int, int]:
    """Number of this process and how many there are."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()

"""Training samples that are numbered: sample n depends on (seed, n) alone, whichever worker, rank or run makes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, Randomizable
from torch.utils.data import Dataset, DistributedSampler
from tqdm import tqdm

MAX_SEED = 2**32


class SyntheticPairDataset(Dataset):
    """Views held in memory, from which random transforms make one training pair per sample number.

    Args:
        data: one dict per view, {"image": path, ...}; "weight" is its relative frequency (1 if absent).
        load: transform of a view, run once: reading, breast mask, window.
        transform: random transforms of a sample: crop, injection, detector.
        samples_per_epoch: length of an epoch; sample numbers may run beyond it.
        seed: start of all randomness.

    Raises:
        ValueError: if there is no view.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        load: Callable[[Mapping[str, Any]], dict],
        transform: Callable[[dict], dict],
        *,
        samples_per_epoch: int,
        seed: int = 0,
    ) -> None:
        if not data:
            raise ValueError("Expected at least one training view, got none; check --dataset_dir")
        self.views = [load(item) for item in tqdm(data, desc="Reading views", unit="view")]
        weights = np.array([float(item.get("weight", 1.0)) for item in data])
        self.shares = weights / weights.sum()
        self.transform = transform if isinstance(transform, Randomizable) else Compose([transform])
        self.samples_per_epoch, self.seed = samples_per_epoch, seed

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self.samples_per_epoch

    def __getitem__(self, index: int) -> dict:
        """Sample number `index`, of any epoch."""
        rng = np.random.default_rng([self.seed, index])
        view = self.views[int(rng.choice(len(self.views), p=self.shares))]
        self.transform.set_random_state(seed=int(rng.integers(MAX_SEED)))
        return self.transform(view)


class SampleNumberSampler(DistributedSampler):
    """Sample numbers in order: epoch e goes through (e - 1) N ... e N - 1, dealt out over the ranks.

    MONAI's trainers tell the epoch to any DistributedSampler, so a resumed run draws the samples that come next.

    Args:
        dataset: a dataset of N samples per epoch that takes any sample number.
    """

    def __init__(self, dataset: Dataset) -> None:
        ready = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if ready else 0
        world = torch.distributed.get_world_size() if ready else 1
        super().__init__(dataset, num_replicas=world, rank=rank, shuffle=False, drop_last=True)

    def __iter__(self) -> Iterator[int]:
        """Sample numbers of this rank."""
        first = max(self.epoch - 1, 0) * len(self.dataset)  # type: ignore[arg-type]
        return iter(range(first + self.rank, first + self.num_samples * self.num_replicas, self.num_replicas))

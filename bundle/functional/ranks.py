"""Sums over the processes of a distributed training."""

import torch
from torch import Tensor, distributed


def sum_over_ranks(*sums: Tensor) -> tuple[Tensor, ...]:
    """Scalars of this process, summed over all processes, with gradient.

    A loss that is a ratio of sums is then that of the whole batch on every rank, whatever each has of it. The
    gradient of the sum over ranks of that loss goes back to each, so that `DistributedDataParallel`, which averages,
    ends with the gradient of one process. Where nothing needs a gradient, as in validation, or there is one process,
    the sums come back as they are: ranks that validate need not wait for each other.

    Args:
        *sums: scalars of one dtype.

    Returns:
        As many scalars.
    """
    if not _several_ranks() or not any(each.requires_grad for each in sums):
        return sums
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(torch.stack(sums)).unbind()


def _several_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1

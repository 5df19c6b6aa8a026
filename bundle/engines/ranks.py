"""A training over several processes, as `torchrun` starts them."""

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def device_of_rank() -> torch.device:
    """The device of this process, which is also made the current one: its own GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", distributed.get_node_local_rank())
    torch.cuda.set_device(device)
    return device


def over_ranks(network: nn.Module) -> DistributedDataParallel:
    """The network with gradients that are averaged over all processes.

    The parameters are those of `network`: what holds on to it, as optimiser, running average and checkpoints do, sees
    them trained and knows nothing of other processes.
    """
    device = next(network.parameters()).device
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)

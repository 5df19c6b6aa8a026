"""Several processes that each have a part of a batch find the loss and the gradient of the whole."""

from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from bundle.functional.ranks import sum_over_ranks
from bundle.losses import DiceFocalTverskyLoss, FlowMatchingLoss

RANKS = 2


def test_sums_without_a_group_come_back_as_they_are() -> None:
    value = torch.tensor(1.0, requires_grad=True)
    assert sum_over_ranks(value)[0] is value


def test_sums_of_one_process_come_back_as_they_are(tmp_path: Path) -> None:
    distributed.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    try:
        sums = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0)
        assert all(after is before for after, before in zip(sum_over_ranks(*sums), sums, strict=True))
    finally:
        distributed.destroy_process_group()


def _cases() -> dict[str, tuple[nn.Module, torch.Tensor, torch.Tensor]]:
    """Losses, inputs and targets; all positives and most of the weight lie in the half of the second rank."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 1, 16, 16, generator=generator)
    label = torch.zeros(4, 1, 16, 16, dtype=torch.uint8)
    label[3, :, 4:7, 5:9], label[1, :, :2] = 1, 2
    weight = torch.ones(4, 1, 16, 16)
    weight[2:] = 30
    target = torch.cat([torch.randn(4, 1, 16, 16, generator=generator), weight], dim=1)
    return {
        "overlap": (DiceFocalTverskyLoss(), inputs, label),
        "objects": (DiceFocalTverskyLoss(lambda_objects=1.0), inputs, label),
        "flow": (FlowMatchingLoss(), inputs, target),
    }


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 1, 3, padding=1))


def _gradients(network: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in network.parameters() if p.grad is not None]


def _train_a_half(rank: int, folder: str) -> None:
    """What each of the processes does: loss and gradients of its half, and its own loss without gradient."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    found = {}
    for name, (loss, inputs, target) in _cases().items():
        network, half = _network(), slice(2 * rank, 2 * rank + 2)
        wrapped = DistributedDataParallel(network)
        value = loss(wrapped(inputs[half]), target[half])
        value.backward()
        with torch.no_grad():
            validated = loss(network(inputs[half]), target[half])
        found[name] = (value.detach(), _gradients(network), validated)
    torch.save(found, f"{folder}/rank_{rank}.pt")
    distributed.destroy_process_group()


def test_two_ranks_have_the_loss_and_the_gradient_of_one_process(tmp_path: Path) -> None:
    multiprocessing.spawn(_train_a_half, (str(tmp_path),), nprocs=RANKS)
    for name, (loss, inputs, target) in _cases().items():
        network = _network()
        value = loss(network(inputs), target)
        value.backward()
        for rank in range(RANKS):
            found, gradients, validated = torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True)[name]
            torch.testing.assert_close(found, value.detach())
            for gradient, expected in zip(gradients, _gradients(network), strict=True):
                torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)
            # Halves differ, so a mean over ranks of each one's own loss would be another.
            half = slice(2 * rank, 2 * rank + 2)
            torch.testing.assert_close(validated, loss(network(inputs[half]), target[half]).detach())
            assert abs(validated - value) > 1e-3 * abs(value)

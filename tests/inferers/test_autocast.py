import torch

from bundle.inferers import AutocastInferer


def test_float32_is_the_plain_network() -> None:
    network = torch.nn.Conv2d(1, 1, 3)
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(AutocastInferer("float32")(x, network), network(x))


def test_reduced_precision_runs_inside_and_float32_comes_out() -> None:
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        out = torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3))
        seen.append(out.dtype)
        return out

    out = AutocastInferer("bfloat16")(torch.randn(1, 1, 8, 8), network)
    assert seen == [torch.bfloat16]
    assert out.dtype == torch.float32

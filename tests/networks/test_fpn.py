import sys

import pytest
import torch

from bundle.networks import FeaturePyramidRegressor
from bundle.networks.fpn import inception_v4


def small() -> FeaturePyramidRegressor:
    torch.manual_seed(0)
    return FeaturePyramidRegressor("resnet10", pyramid_channels=16, head_channels=8).eval()


@pytest.mark.parametrize("shape", [(64, 64), (96, 64), (70, 90)])
def test_the_output_has_the_size_of_the_image(shape: tuple[int, int]) -> None:
    with torch.no_grad():
        assert small()(torch.zeros(2, 1, *shape)).shape == (2, 1, *shape)


def test_encoder_levels_are_a_4th_to_a_32nd_of_the_size() -> None:
    sides = [feature.shape[-1] for feature in small().encoder(torch.zeros(1, 1, 128, 128))[-4:]]
    assert sides == [32, 16, 8, 4]


@pytest.mark.parametrize("level", range(4))
def test_every_level_reaches_the_output(level: int) -> None:
    network, image = small(), torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = network(image)
        for parameter in network.heads[level].parameters():
            parameter.zero_()
        assert not torch.allclose(network(image), before)


def test_whole_channels_are_dropped_in_training_alone() -> None:
    network, image = small(), torch.rand(16, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
    network.dropout.train()
    with torch.no_grad():
        assert not torch.equal(network(image), network(image))


def test_a_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match="install timm"):
        inception_v4()


def test_inception_levels_lie_on_each_other() -> None:
    pytest.importorskip("timm")
    encoder, channels = inception_v4()
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(1, 1, 128, 128))
    shapes = [(feature.shape[1], feature.shape[-1]) for feature in features]
    assert shapes == list(zip(channels, (32, 16, 8, 4), strict=True))

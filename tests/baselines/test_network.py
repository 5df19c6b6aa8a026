import pytest
import torch
from monai.inferers import Inferer

from bundle.baselines import NetworkInferer
from bundle.inferers import WindowedInferer


def view() -> torch.Tensor:
    image = torch.rand(1, 1, 70, 90, generator=torch.Generator().manual_seed(0)) - 0.9
    image[..., 80:] = -1
    return image


def contrast(windows: torch.Tensor) -> torch.Tensor:
    return 5 * windows


def test_at_one_half_it_is_the_windowed_network() -> None:
    inferer = NetworkInferer(contrast, windowed=WindowedInferer(32))
    assert isinstance(inferer, Inferer)
    torch.testing.assert_close(inferer(view()), WindowedInferer(32)(view(), contrast))


def test_a_probability_at_the_threshold_becomes_one_half() -> None:
    # sigmoid(-2) = 0.1192
    inferer = NetworkInferer(lambda w: torch.full_like(w, -2.0), threshold=0.1192, windowed=WindowedInferer(32))
    logits = inferer(view())
    assert torch.sigmoid(logits[0, 0, 10, 10]).item() == pytest.approx(0.5, abs=1e-3)


def test_the_network_of_the_call_goes_first() -> None:
    inferer = NetworkInferer(contrast, windowed=WindowedInferer(32))
    torch.testing.assert_close(inferer(view(), torch.neg), WindowedInferer(32)(view(), torch.neg))


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="Expected a network"):
        NetworkInferer()(view())
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        NetworkInferer(threshold=1.0)

import pytest
import torch

from bundle.baselines import DifferenceOfGaussiansInferer, NetworkInferer, SignalRefinedInferer, TopHatInferer
from bundle.inferers import WindowedInferer

SPACING = (0.1, 0.1)
SIGNALS = [TopHatInferer(margin_mm=0.5), DifferenceOfGaussiansInferer(margin_mm=0.5)]


def view() -> torch.Tensor:
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.6
    image[0, 0, 20, 20] = image[0, 0, 50, 50] = 0.5
    return image


def upper_half(windows: torch.Tensor) -> torch.Tensor:
    logits = torch.full_like(windows, -8.0)
    logits[..., :32, :] = 8.0
    return logits


@pytest.mark.parametrize("signal", SIGNALS, ids=["SP2", "SP1"])
def test_a_spot_stays_where_the_segmentor_agrees(signal: object) -> None:
    segmentor = NetworkInferer(upper_half, windowed=WindowedInferer(64))
    refined = SignalRefinedInferer(segmentor, signal, threshold=0.5, pool_px=16)
    probs = torch.sigmoid(refined(view(), spacing_mm=SPACING))[0, 0]
    alone = torch.sigmoid(signal(view(), spacing_mm=SPACING))[0, 0]
    assert alone[20, 20] > 0.5
    assert alone[50, 50] > 0.5
    assert probs[20, 20] == pytest.approx(alone[20, 20].item(), abs=1e-2)
    assert probs[50, 50] < 0.01


@pytest.mark.parametrize("signal", SIGNALS, ids=["SP2", "SP1"])
def test_zeros_of_the_signal_stay_zero_however_sure_the_segmentor(signal: object) -> None:
    sure = NetworkInferer(lambda windows: torch.full_like(windows, 12.0), windowed=WindowedInferer(64))
    logits = SignalRefinedInferer(sure, signal, threshold=0.5)(view(), spacing_mm=SPACING)
    nothing = signal(view(), spacing_mm=SPACING) == -12
    assert nothing.any()
    assert (logits[nothing] == -12).all()


def test_the_product_at_the_threshold_is_a_probability_of_one_half() -> None:
    half = NetworkInferer(torch.zeros_like, windowed=WindowedInferer(64))
    signal = TopHatInferer(margin_mm=0.5)
    at = torch.sigmoid(signal(view(), spacing_mm=SPACING))[0, 0, 20, 20].item() / 2
    logits = SignalRefinedInferer(half, signal, threshold=at)(view(), spacing_mm=SPACING)
    assert torch.sigmoid(logits[0, 0, 20, 20]).item() == pytest.approx(0.5, abs=1e-4)


def test_a_threshold_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        SignalRefinedInferer(NetworkInferer(), TopHatInferer(), threshold=0.0)

import numpy as np
import pytest
import torch

from bundle.baselines import ContextSensitiveInferer
from bundle.functional.csd import csd_score
from bundle.networks import ContextSensitiveNetwork

SPACING = (0.07, 0.07)


def view() -> torch.Tensor:
    image = np.random.default_rng(0).normal(-0.3, 0.02, (120, 140))
    image[40:43, 50:53] += 0.5
    image[80:83, 100:103] += 0.3
    return torch.tensor(image, dtype=torch.float32)[None, None]


def brightness(patches: torch.Tensor) -> torch.Tensor:
    """Log-odds of 4 times the brightness above -0.1."""
    odds = 4 * (patches[:, 0, 47, 47] + 0.1)
    return torch.stack([torch.zeros_like(odds), odds], dim=1)


def inferer(**options: object) -> ContextSensitiveInferer:
    return ContextSensitiveInferer(brightness, margin_mm=0.5, **options)


def test_the_logit_of_a_disc_is_the_networks() -> None:
    image = view()
    logits = inferer()(image, spacing_mm=SPACING)[0, 0]
    assert logits[41, 51].item() == pytest.approx(4 * (image[0, 0, 41, 51].item() + 0.1), abs=1e-4)
    assert (logits[torch.from_numpy(_outside_discs(image))] == -12).all()


def _outside_discs(image: torch.Tensor) -> np.ndarray:
    return (
        csd_score(
            image[0, 0].numpy(), spacing_mm=SPACING, classify=lambda _, places: np.ones(len(places)), margin_mm=0.5
        )
        == 0
    )


def test_a_probability_at_the_threshold_becomes_one_half() -> None:
    # Where the network says sigmoid(l), the threshold is that.
    level = torch.sigmoid(inferer()(view(), spacing_mm=SPACING)[0, 0, 81, 101]).item()
    logits = inferer(threshold=level)(view(), spacing_mm=SPACING)
    assert torch.sigmoid(logits[0, 0, 81, 101]).item() == pytest.approx(0.5, abs=1e-4)
    assert logits[0, 0, 41, 51] > 0


def test_discs_of_sigma_lie_inside_those_of_the_whole_blob() -> None:
    narrow, wide = (inferer(radius=r)(view(), spacing_mm=SPACING) > -12 for r in (1.0, 2**0.5))
    assert (wide | ~narrow).all()
    assert narrow.sum() < 0.6 * wide.sum()


def test_batches_change_nothing() -> None:
    torch.manual_seed(0)
    network = ContextSensitiveNetwork(4).eval()
    results = [
        ContextSensitiveInferer(network, batch_size=n, margin_mm=0.5)(view(), spacing_mm=SPACING) for n in (2, 64)
    ]
    torch.testing.assert_close(*results)


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="Expected a network"):
        ContextSensitiveInferer()(view(), spacing_mm=SPACING)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        ContextSensitiveInferer(threshold=0.0)

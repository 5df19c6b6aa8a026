import numpy as np
import torch

from bundle.baselines import CiecholewskiInferer
from bundle.functional.ciecholewski import ciecholewski_score

SPACING = (0.07, 0.07)


def view(seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    image = rng.normal(-0.3, 0.01, (80, 90))
    image[40:45, 50:56] += 0.4
    image[20:24, 30:34] += 0.2
    return torch.tensor(image, dtype=torch.float32)[None, None]


def test_the_default_threshold_is_the_published_residue() -> None:
    image = view()
    score = ciecholewski_score(image[0, 0].numpy(), spacing_mm=SPACING)
    probs = torch.sigmoid(CiecholewskiInferer()(image, spacing_mm=SPACING))[0, 0].numpy()
    np.testing.assert_array_equal(probs >= 0.5, score >= np.float32(10 / 256))
    # The noise may cost an object its corners.
    assert (probs >= 0.5)[40:45, 50:56].mean() > 0.9


def test_a_higher_threshold_keeps_the_brighter_object() -> None:
    probs = torch.sigmoid(CiecholewskiInferer(threshold=0.13)(view(), spacing_mm=SPACING))[0, 0]
    assert probs[42, 53] >= 0.5 > probs[22, 32]

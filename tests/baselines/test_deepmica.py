import numpy as np
import torch
from monai.data import MetaTensor

from bundle.baselines import DeepMicaInferer, NetworkInferer
from bundle.functional.clahe import clahe
from bundle.inferers import WindowedInferer
from bundle.transforms import Clahed


def view(seed: int = 0) -> torch.Tensor:
    image = 0.3 * torch.randn(2, 1, 64, 80, generator=torch.Generator().manual_seed(seed)) - 0.4
    image = image.clamp(-0.99, 1)
    image[..., 70:] = -1
    return image


def gain(windows: torch.Tensor) -> torch.Tensor:
    return 3 * windows


def test_the_network_sees_equalised_views() -> None:
    windowed = WindowedInferer(32)
    equal = np.stack([clahe(image, tile_px=32, gamma=1.5) for image in view()[:, 0].numpy()])[:, None]
    plain = NetworkInferer(gain, windowed=windowed)(torch.from_numpy(equal))
    torch.testing.assert_close(DeepMicaInferer(gain, windowed=windowed, tile_px=32, gamma=1.5)(view()), plain)


def test_a_patch_of_training_is_what_a_window_of_that_size_shows() -> None:
    image = view()[:1, :, :, :64]
    (seen,) = [Clahed(tile_px=64)({"image": image[0]})["image"]]
    shown: list[torch.Tensor] = []
    DeepMicaInferer(lambda w: shown.append(w) or w, windowed=WindowedInferer(64), tile_px=64)(image)
    torch.testing.assert_close(shown[0][0], seen)


def test_metadata_stays() -> None:
    result = DeepMicaInferer(gain, windowed=WindowedInferer(32))(MetaTensor(view(), meta={"spacing_mm": (0.1, 0.1)}))
    assert result.meta["spacing_mm"] == (0.1, 0.1)

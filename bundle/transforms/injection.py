"""Random transforms of synthetic pairs: each draws parameters, then calls a deterministic function."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import zoom

from ..functional.detector import add_noise, apply_detector, sample_detector
from ..functional.hard_negatives import add_hard_negatives
from ..functional.injection import (
    IGNORE,
    MICROCALCIFICATION,
    InjectionRanges,
    inject,
    sample_injection,
    tissue_density,
)


def _to_array(image: Any) -> np.ndarray:
    """(1, rows, columns) tensor or array to a (rows, columns) float32 array."""
    return np.asarray(image, np.float32)[0]


def _generator(transform: RandomizableTransform) -> np.random.Generator:
    return np.random.default_rng(transform.R.randint(2**31, size=4))


class RandBreastCropd(RandomizableTransform, MapTransform):
    """A square patch from inside the breast at a drawn pixel size, with a drawn flip and quarter turn.

    Args:
        image_key: (1, rows, columns) view in [-1, 1], -1 outside the breast; its meta holds `spacing_mm`.
        window_px: side of the patch.
        scale: range of the patch's pixel size over the view's.
        least_tissue: share of the patch that lies in the breast; the best of ten draws is taken if none reaches it.
        ignore_key: (1, rows, columns) bool mask of the view that is cut out with it, where the view has one.

    The patch's pixel size is stored under `spacing_mm`; everything else is dropped, so that patches of any view
    collate.
    """

    def __init__(
        self,
        image_key: str = "image",
        *,
        window_px: int = 256,
        scale: tuple[float, float] = (0.75, 1.4),
        least_tissue: float = 0.3,
        ignore_key: str = "ignore",
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.window_px, self.scale, self.least_tissue = window_px, scale, least_tissue
        self.ignore_key = ignore_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        rng = _generator(self)
        view = data[self.keys[0]]
        spacing = float(view.meta["spacing_mm"][0])
        side = max(8, round(self.window_px * float(np.exp(rng.uniform(*np.log(self.scale))))))
        top, left = self._place(np.asarray(view)[0], side, rng)
        quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5

        def turned(patch: np.ndarray) -> torch.Tensor:
            patch = np.rot90(patch, quarters)
            return torch.from_numpy(np.ascontiguousarray(patch[:, ::-1] if mirrored else patch))[None]

        patch = _cut(np.asarray(view)[0], top, left, side, outside=-1)
        out = {self.keys[0]: turned(self._resized(patch, side)), "spacing_mm": spacing * side / self.window_px}
        if self.ignore_key in data:
            ignore = _cut(np.asarray(data[self.ignore_key])[0], top, left, side, outside=0)
            place = (np.arange(self.window_px) + 0.5) * side / self.window_px
            out[self.ignore_key] = turned(ignore[np.ix_(place.astype(int), place.astype(int))])
        return out

    def _resized(self, patch: np.ndarray, side: int) -> np.ndarray:
        """The patch at `window_px`, -1 exactly where the breast is not."""
        if side == self.window_px:
            return patch.astype(np.float32)
        factor = self.window_px / side
        outside = zoom((patch <= -1).astype(np.float32), factor, order=1) > 0.5
        smooth = zoom(patch, factor, order=1 if side > self.window_px else 3)
        return np.where(outside, -1, np.clip(smooth, -1, 1)).astype(np.float32)

    def _place(self, view: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int]:
        """Corner of the first of ten random crops with enough tissue, or of the one with the most."""
        best, most = (0, 0), -1.0
        for _ in range(10):
            top, left = (int(rng.integers(0, max(size - side, 0) + 1)) for size in view.shape)
            tissue = float((view[top : top + side : 4, left : left + side : 4] > -1).sum()) * 16 / side**2
            if tissue > most:
                best, most = (top, left), tissue
            if tissue >= self.least_tissue:
                break
        return best


def _cut(view: np.ndarray, top: int, left: int, side: int, *, outside: float) -> np.ndarray:
    """A square of a view; what reaches beyond it is `outside`."""
    patch = view[top : top + side, left : left + side]
    missing = [(0, side - size) for size in patch.shape]
    return np.pad(patch, missing, constant_values=outside) if any(after for _, after in missing) else patch


class RandInjectMicrocalcificationsd(RandomizableTransform, MapTransform):
    """Inject microcalcifications and hard negatives into a patch (eq. 2), and make its label.

    Args:
        image_key: (1, rows, columns) in [-1, 1].
        label_key: where the label goes: (1, rows, columns) uint8, 0 background, 1 microcalcification, 2 ignore.
        ranges: overrides of `InjectionRanges` by name.
        hard_negatives: probability of each kind of hard negative; {} for none.
        ignore_key: bool mask of places that are neither positive nor negative, where the data has one; it goes into the
            label.
        density_aware: clusters lie in bright tissue more often than in dark.
        ignore_faint: puncta below the visibility floor are "ignore"; otherwise they are microcalcifications too.
        parameters_key: where the drawn `Injection` goes, so that the sample can be replayed; None to leave it out.

    The pixel size is `data["spacing_mm"]`.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        *,
        ranges: Mapping[str, Any] | None = None,
        hard_negatives: Mapping[str, float] | None = None,
        ignore_key: str = "ignore",
        density_aware: bool = True,
        ignore_faint: bool = True,
        parameters_key: str | None = None,
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, 1.0)
        self.label_key, self.parameters_key = label_key, parameters_key
        drawn: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in (ranges or {}).items()}
        self.ranges = InjectionRanges(**drawn)
        self.hard_negatives = dict(hard_negatives or {})
        self.ignore_key, self.density_aware, self.ignore_faint = ignore_key, density_aware, ignore_faint

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        rng = _generator(self)
        spacing_mm = float(out["spacing_mm"])
        background = _to_array(out[self.keys[0]])
        injection = sample_injection(
            rng,
            extent_mm=(background.shape[0] * spacing_mm, background.shape[1] * spacing_mm),
            ranges=self.ranges,
            density=tissue_density(background) if self.density_aware else None,
        )
        background = add_hard_negatives(background, rng, spacing_mm=spacing_mm, shares=self.hard_negatives)
        image, label = inject(background, injection, spacing_mm=spacing_mm)
        if not self.ignore_faint:
            label[label == IGNORE] = MICROCALCIFICATION
        if self.ignore_key in out:
            label[np.asarray(out.pop(self.ignore_key))[0] & (label != MICROCALCIFICATION)] = IGNORE
        out[self.keys[0]], out[self.label_key] = torch.from_numpy(image)[None], torch.from_numpy(label)[None]
        if self.parameters_key is not None:
            out[self.parameters_key] = injection
        return out


class RandQuantumNoised(RandomizableTransform, MapTransform):
    """Add noise to a patch before the injection, so that the puncta's contrast-to-noise ratio knows of it.

    Args:
        image_key: (1, rows, columns) in [-1, 1].
        prob: share of the patches that get noise.
        sigma: log-uniform range of its standard deviation, in units of the [-1, 1] window.
        correlation_px: range of the correlation between neighbouring pixels.
    """

    def __init__(
        self,
        image_key: str = "image",
        *,
        prob: float = 0.6,
        sigma: tuple[float, float] = (0.003, 0.04),
        correlation_px: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, prob)
        self.sigma, self.correlation_px = sigma, correlation_px

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        rng = _generator(self)
        if rng.random() < self.prob:
            sigma, correlation = (
                float(np.exp(rng.uniform(*np.log(self.sigma)))),
                float(rng.uniform(*self.correlation_px)),
            )
            noisy = add_noise(_to_array(out[self.keys[0]]), rng, sigma=sigma, correlation_px=correlation)
            out[self.keys[0]] = torch.from_numpy(noisy)[None]
        return out


class RandDetectord(RandomizableTransform, MapTransform):
    """Degrade a patch as another detector and display would: MTF, gamma, window, bit depth, JPEG.

    Args:
        image_key: (1, rows, columns) in [-1, 1].
        prob: share of the patches that are degraded.
    """

    def __init__(self, image_key: str = "image", *, prob: float = 0.9) -> None:
        MapTransform.__init__(self, [image_key])
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        rng = _generator(self)
        if rng.random() < self.prob:
            degraded = apply_detector(_to_array(out[self.keys[0]]), sample_detector(rng), rng)
            out[self.keys[0]] = torch.from_numpy(degraded)[None]
        return out

"""The seed operator A, one for training masks and for probabilities at test time, and its training degradation."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import skeletonize
from torch import Tensor
from torch.nn import functional as F

from .edges import gaussian_smooth
from .noise import coordinate_hash

MODES = ("maxima", "points", "skeleton")
# Fine smoothing finds the punctum, broad smoothing finds the middle of what is flat after the fine one.
_FINE_SIGMA_PX, _BROAD_SIGMA_PX, _BROAD_WEIGHT = 1.0, 3.0, 0.25
# Coarser than float32's rounding, so that equal scores stay equal on every device.
_SCORE_LEVELS = 4096.0
# Reach of the broad smoothing.
_MARGIN_PX = 9


def _running_max(values: Tensor, size: int, axis: int) -> Tensor:
    """Maximum over `size` neighbours from each place on, by doubling: log2(size) passes, faster than pooling."""
    covered = 1
    while covered < size:
        shift = min(covered, size - covered)
        length = values.shape[axis] - shift
        values = torch.maximum(values.narrow(axis, 0, length), values.narrow(axis, shift, length))
        covered += shift
    return values


def _window_max(values: Tensor, radius_px: int) -> Tensor:
    """Maximum over the square of (2 radius + 1) pixels around each pixel; nothing lies beyond the border."""
    size = 2 * radius_px + 1
    padded = F.pad(values, (radius_px,) * 4, value=-1.0)
    return _running_max(_running_max(padded, size, -1), size, -2)


def _priority(probs: Tensor, mode: str, random_state: int, *, top: int, left: int) -> Tensor:
    """Rank of each pixel as a seed, whole numbers in float64 and no two alike within one image."""
    rows, columns = probs.shape[-2:]
    if mode == "points":
        bits = coordinate_hash(rows, columns, key=(random_state,), top=top, left=left, device=probs.device)
        level = (bits & (int(_SCORE_LEVELS) - 1)).to(torch.float64).expand(probs.shape)
    else:
        smooth = gaussian_smooth(probs, _FINE_SIGMA_PX) + _BROAD_WEIGHT * gaussian_smooth(probs, _BROAD_SIGMA_PX)
        level = torch.round(smooth * _SCORE_LEVELS).to(torch.float64)
    index = torch.arange(rows * columns, dtype=torch.float64, device=probs.device).view(1, 1, rows, columns)
    return level * (rows * columns) + (rows * columns - 1 - index)


def _survivors(priority: Tensor, candidates: Tensor, nms_px: int) -> Tensor:
    """Candidates with the highest priority within `nms_px`; no two priorities are equal."""
    masked = torch.where(candidates, priority, -1.0)
    return candidates & (masked == _window_max(masked, nms_px))


def _skeletons(mask: Tensor) -> Tensor:
    """Thinned components, image by image (on the CPU)."""
    thin = [skeletonize(plane) for plane in mask[:, 0].cpu().numpy()]
    return torch.from_numpy(np.stack(thin))[:, None].to(mask.device)


@torch.no_grad()
def seed_map(
    probs_or_mask: Tensor,
    *,
    threshold: float = 0.5,
    nms_px: int = 3,
    mode: str = "maxima",
    second_threshold: float | None = None,
    cluster_radius_px: int = 71,
    random_state: int = 0,
) -> Tensor:
    """Seeds s = A(y) of a mask, or s = A(p) of a probability map: the same operator in training and at test time.

    - "maxima": local maxima of the smoothed input among pixels at or above the threshold. Smoothing (sigma 1 px, plus a
      quarter of sigma 3 px) moves the maximum of a binary component, or of a saturated one, to its middle.
    - "points": points at random places (fixed by `random_state` and the pixel's place) of what is above the threshold.
    - "skeleton": what is above the threshold, thinned to lines.

    Tie rule: scores are rounded to 1/4096; of equal scores within `nms_px` the lowest row-major index wins, so a convex
    plateau gives one seed. A concave plateau larger than `nms_px` may give several.

    Args:
        probs_or_mask: (B, 1, rows, columns), probabilities in [0, 1] or a 0/1 mask of any dtype.
        threshold: pixels below it never are seeds (apart from the second tier).
        nms_px: non-maximum suppression: no two seeds within this many rows and columns of each other, "skeleton" apart.
        mode: "maxima", "points" or "skeleton".
        second_threshold: second tier: maxima between it and `threshold` that lie within `cluster_radius_px` rows and
            columns of a first-tier seed become seeds too. None leaves the tier out.
        cluster_radius_px: reach of the second tier; 71 px is 5 mm at 0.07 mm.
        random_state: picks the places of "points".

    Returns:
        (B, 1, rows, columns) float32 of 0 and 1, without gradient.

    Raises:
        ValueError: unknown mode, wrong shape, or a threshold out of range.
    """
    _check(probs_or_mask, threshold, nms_px, mode, second_threshold)
    probs = probs_or_mask.detach().float()
    found = torch.zeros_like(probs)
    box = _bounding_box(probs >= (threshold if second_threshold is None else second_threshold))
    if box is None:
        return found
    probs = probs[box]
    candidates = probs >= threshold
    if mode == "skeleton":
        found[box] = _skeletons(candidates).float()
        return found
    priority = _priority(probs, mode, random_state, top=box[2].start, left=box[3].start)
    seeds = _survivors(priority, candidates, nms_px)
    if second_threshold is not None:
        # The first tier outranks the second, so a second tier never displaces a seed.
        rank = priority + candidates * (priority.max() + 1.0)
        near = _window_max(seeds.float(), cluster_radius_px) > 0
        seeds = seeds | (_survivors(rank, probs >= second_threshold, nms_px) & ~candidates & near)
    found[box] = seeds.float()
    return found


def _bounding_box(candidates: Tensor) -> tuple[slice, ...] | None:
    """Where a batch has candidates, with room for the smoothing (whole views are mostly empty); None without any."""
    spans = []
    for axis, others in ((2, (0, 1, 3)), (3, (0, 1, 2))):
        places = candidates.any(dim=others).nonzero()
        if len(places) == 0:
            return None
        first, last = int(places[0]) - _MARGIN_PX, int(places[-1]) + 1 + _MARGIN_PX
        spans.append(slice(max(0, first), min(candidates.shape[axis], last)))
    return slice(None), slice(None), spans[0], spans[1]


def _check(probs: Tensor, threshold: float, nms_px: int, mode: str, second_threshold: float | None) -> None:
    """Refuse what the operator cannot mean."""
    if mode not in MODES:
        raise ValueError(f"Expected a seed mode among {MODES}, got {mode!r}; choose one of them")
    if probs.ndim != 4 or probs.shape[1] != 1:
        raise ValueError(
            f"Expected a map of shape (B, 1, rows, columns), got {tuple(probs.shape)}; add the missing axes"
        )
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"Expected a seed threshold in (0, 1], got {threshold}; 0.5 is the training value")
    if nms_px < 0:
        raise ValueError(f"Expected a suppression radius of 0 px or more, got {nms_px}; 3 is the training value")
    if second_threshold is not None and not 0.0 < second_threshold < threshold:
        raise ValueError(
            f"Expected a second tier between 0 and the threshold {threshold}, got {second_threshold}; 0.2 is usual"
        )


def degrade_seeds(
    seeds: np.ndarray,
    components: np.ndarray,
    generator: np.random.Generator,
    *,
    max_drop: float = 0.5,
    jitter_px: int = 1,
    max_false: int = 2,
) -> np.ndarray:
    """Make training seeds as incomplete and as wrong as a segmentor's, so that the generator learns to complete.

    Whole components lose their seeds, each with a probability drawn once from U(0, max_drop); the others move by up to
    `jitter_px`; 0 to `max_false` seeds are added outside all components.

    Args:
        seeds: (rows, columns) of 0 and 1.
        components: (rows, columns), a 0/1 mask or an integer label map, a number each; seeds on 0 stand alone.
        generator: the only source of randomness.
        max_drop: upper end of the drop probability, in [0, 1].
        jitter_px: largest move along rows and along columns.
        max_false: largest number of false seeds.

    Returns:
        (rows, columns) float32 of 0 and 1.

    Raises:
        ValueError: max_drop outside [0, 1], or shapes that differ.
    """
    if not 0.0 <= max_drop <= 1.0:
        raise ValueError(f"Expected max_drop in [0, 1], got {max_drop}; 0.5 is the training value")
    if seeds.shape != components.shape:
        raise ValueError(
            f"Expected seeds and components of one shape, got {seeds.shape} and {components.shape}; crop both alike"
        )
    labels = components.astype(np.int64)
    if labels.max(initial=0) <= 1:
        labels = ndimage.label(labels, structure=np.ones((3, 3)))[0].astype(np.int64)
    places = np.argwhere(seeds > 0)
    kept = places[_keep(labels[tuple(places.T)], generator, max_drop)]
    kept = kept + generator.integers(-jitter_px, jitter_px + 1, size=kept.shape)
    kept = np.clip(kept, 0, np.array(seeds.shape) - 1)
    false = _false_places(labels == 0, generator, max_false)
    degraded = np.zeros(seeds.shape, dtype=np.float32)
    degraded[tuple(np.concatenate([kept, false]).T)] = 1.0
    return degraded


def _keep(owners: np.ndarray, generator: np.random.Generator, max_drop: float) -> np.ndarray:
    """Which seeds stay: one decision per component, and one per seed that has none."""
    alone = owners == 0
    owners = np.where(alone, -1 - np.arange(len(owners)), owners)
    unique, group = np.unique(owners, return_inverse=True)
    drop_rate = generator.uniform(0.0, max_drop)
    return (generator.random(len(unique)) >= drop_rate)[group]


def _false_places(free: np.ndarray, generator: np.random.Generator, max_false: int) -> np.ndarray:
    """Places of 0 to `max_false` false seeds outside all components, (N, 2)."""
    count = int(generator.integers(0, max_false + 1))
    candidates = np.flatnonzero(free)
    if count == 0 or len(candidates) == 0:
        return np.empty((0, 2), dtype=np.int64)
    chosen = generator.choice(candidates, size=min(count, len(candidates)), replace=False)
    return np.stack(np.unravel_index(chosen, free.shape), axis=1)

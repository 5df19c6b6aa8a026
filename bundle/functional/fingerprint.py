"""Does an injection leave traces beside the puncta? Covering of the puncta, features of texture, AUC by rank.

A network could learn the trace of an injection (smoothed noise, a changed spectrum, an edge of a pasted tile) instead
of calcifications. Puncta are therefore covered, in the injected patch and in its clean twin alike, and what is left is
described by numbers that a classifier may look at.
"""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import rankdata

from .puncta import Array

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

BAND_SIGMAS_PX = (0.0, 0.8, 1.6, 3.2, 6.4)
GRADIENT_EDGES = (0.25, 0.5, 1.0, 2.0, 4.0)
SPECTRUM_BINS = 16
RING_PX = 12
COVER_SIGMA_PX = 2.0
RIDGE = 0.05
# Keeps logarithms finite where a patch is flat; far below the step of 14 bits.
LEAST = 1e-6


def puncta_cover(label: NDArray[np.integer], *, spacing_mm: float, margin_mm: float) -> Mask:
    """Labelled pixels and all within a margin of them, bool (rows, columns)."""
    labelled = np.asarray(label) != 0
    return distance_transform_edt(~labelled) * spacing_mm <= margin_mm if labelled.any() else labelled


def cover(image: Array, mask: Mask) -> Array:
    """Paint over a mask: each pixel takes the nearest one outside it, then the painted part is smoothed.

    Args:
        image: (rows, columns).
        mask: bool (rows, columns); not everything.
    """
    if not mask.any():
        return image
    nearest = distance_transform_edt(mask, return_distances=False, return_indices=True)
    painted = image[tuple(nearest)]
    return np.where(mask, gaussian_filter(painted, COVER_SIGMA_PX), painted).astype(np.float32)


def radial_spectrum(image: Array, *, bins: int = SPECTRUM_BINS) -> Values:
    """Mean logarithm of the power in rings of frequency from 0 to 0.5 cycles per pixel, (bins,).

    Args:
        image: (rows, columns); its mean is taken off and its borders are faded out.
        bins: number of rings of equal width.
    """
    window = np.outer(*(np.hanning(size) for size in image.shape))
    power = np.abs(np.fft.rfft2((image - image.mean()) * window)) ** 2 / float((window**2).sum())
    rows, columns = np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1])[None, :]
    ring = (np.hypot(rows, columns) / 0.5 * bins).astype(int).ravel()
    kept = ring < bins
    logs = np.log(power.ravel()[kept] + LEAST**2)
    return np.bincount(ring[kept], weights=logs, minlength=bins) / np.bincount(ring[kept], minlength=bins)


def texture_features(image: Array, mask: Mask) -> dict[str, float]:
    """Describe a patch by its texture outside a mask.

    Statistics of band-passed values, the same near the mask over elsewhere, the histogram of the gradient relative to
    its median, the radial spectrum of the covered patch, mean and flatness.

    Args:
        image: (rows, columns), in [-1, 1], -1 outside the breast.
        mask: bool (rows, columns), what is not to be looked at.
    """
    outside = image <= -1
    covered = cover(image, mask | outside)
    seen = ~(mask | outside)
    ring = seen & (distance_transform_edt(~mask) <= RING_PX) if mask.any() else seen
    near = ring if ring.any() else seen
    features = {"mean": float(covered[seen].mean()), "near mean": float(covered[near].mean() - covered[seen].mean())}
    smooth = [covered if sigma == 0 else gaussian_filter(covered, sigma) for sigma in BAND_SIGMAS_PX]
    for n, (fine, coarse) in enumerate(pairwise(smooth)):
        band = fine - coarse
        features |= _band_statistics(band[seen], f"band {n}")
        features[f"near band {n}"] = math.log((band[near].std() + LEAST) / (band[seen].std() + LEAST))
    features |= _gradient_histogram(covered, seen)
    features |= {f"spectrum {n}": float(value) for n, value in enumerate(radial_spectrum(covered))}
    pairs = seen[:, 1:] & seen[:, :-1]
    features["flat"] = float(np.mean(covered[:, 1:][pairs] == covered[:, :-1][pairs]))
    return features


def _band_statistics(values: NDArray[np.floating], name: str) -> dict[str, float]:
    centred = values.astype(np.float64) - values.mean()
    deviation = float(centred.std()) + LEAST
    scaled = centred / deviation
    squared = scaled * scaled
    return {
        f"{name} deviation": math.log(deviation),
        f"{name} skewness": float(np.mean(scaled * squared)),
        f"{name} kurtosis": math.log(float(np.mean(squared * squared)) + LEAST),
    }


def _gradient_histogram(image: Array, seen: Mask) -> dict[str, float]:
    size = np.hypot(*np.gradient(image))[seen]
    shares = [float(np.mean(size > edge * (np.median(size) + LEAST))) for edge in GRADIENT_EDGES]
    return {f"gradient > {edge:g}": share for edge, share in zip(GRADIENT_EDGES, shares, strict=True)}


def auc(scores: Values, positive: Mask) -> float:
    """Area under the ROC curve by ranks: how often a positive scores above a negative, ties half; nan without both."""
    n_positive = int(np.count_nonzero(positive))
    n_negative = len(positive) - n_positive
    if not (n_positive and n_negative):
        return math.nan
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def bootstrap_auc(
    scores: Values,
    positive: Mask,
    groups: NDArray[np.integer],
    *,
    rng: np.random.Generator,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """AUC with the percentile interval of resampled groups, e.g. views.

    Args:
        scores: (n,).
        positive: bool (n,).
        groups: int (n,).
        rng: source of randomness.
        n_resamples: number of resamples.
        level: of the interval.

    Returns:
        AUC, low, high.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = []
    for _ in range(n_resamples):
        chosen = np.concatenate([members[n] for n in rng.integers(len(members), size=len(members))])
        drawn.append(auc(scores[chosen], positive[chosen]))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return auc(scores, positive), float(low), float(high)


def paired_shift(injected: Values, clean: Values) -> Values:
    """Mean difference of each feature within pairs, in deviations of that feature among clean patches.

    Far more sensitive than any classifier of single patches, since pairs share their background: what a shift of s
    allows a classifier that sees this feature alone is an AUC of about Phi(s / sqrt(2)).

    Args:
        injected: (pairs, features).
        clean: (pairs, features).

    Returns:
        (features,); 0 for a feature that never varies.
    """
    spread = clean.std(axis=0)
    difference = (injected - clean).mean(axis=0)
    return np.divide(difference, spread, out=np.zeros_like(difference), where=spread > LEAST)


def paired_auc(injected: Values, clean: Values, *, ridge: float = RIDGE) -> float:
    """AUC that a linear classifier of single patches reaches with any number of them, from the shift within pairs.

    For Gaussian features of covariance C that are shifted by s, the best linear classifier has
    AUC = Phi(D / sqrt(2)), D^2 = s^T C^-1 s. Since both patches of a pair share their background, s is known far better
    than from training a classifier on as many patches.

    Args:
        injected: (pairs, features).
        clean: (pairs, features).
        ridge: added to the diagonal of the correlations, which a few hundred pairs do not determine.
    """
    shift, spread = paired_shift(injected, clean), clean.std(axis=0)
    varies = spread > LEAST
    scaled = (clean[:, varies] - clean[:, varies].mean(axis=0)) / spread[varies]
    correlation = scaled.T @ scaled / len(scaled) + ridge * np.eye(scaled.shape[1])
    squared = float(shift[varies] @ np.linalg.solve(correlation, shift[varies]))
    return 0.5 * math.erfc(-math.sqrt(squared) / 2)

"""Unsupervised kinds of clusters, after HDoGReg's section V-C: OPTICS, k-means, and how well the kinds fit labels.

Homogeneity is 1 - H(label | kind) / H(label) (Rosenberg and Hirschberg 2007): 1 if every kind holds one label, and
above 0 by chance alone, the more so the fewer clusters there are. Hence a permutation test, and kinds that are made on
one part of the patients and judged on another: the paper's h = 0.074 is the best of 100 random settings, chosen on the
data that it is reported for.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import entropy
from sklearn.cluster import OPTICS, KMeans
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ..functional.clusters import DISTANCE_MM, ISOLATED, MIN_COUNT

KINDS = 5
STEEPNESS = 0.05
PERMUTATIONS = 999
# Equal up to the rounding of sums of logarithms.
ROUNDING = 1e-12


class Homogeneity(NamedTuple):
    """How well kinds of clusters fit labels of images.

    Attributes:
        value: homogeneity, 0 to 1.
        chance: its mean over permuted labels.
        p: share of permutations, the data's own included, that reach the value.
        clusters: how many clusters were judged,
        images: of how many images.
    """

    value: float
    chance: float
    p: float
    clusters: int
    images: int

    def told(self, name: str) -> str:
        """In words, of what is called `name`."""
        return (
            f"{name}: homogeneity {self.value:.3f}, by chance {self.chance:.3f}, p {self.p:.3f} "
            f"({self.clusters} clusters, {self.images} views)"
        )


def optics_clusters(
    positions_mm: ArrayLike,
    *,
    min_count: int = MIN_COUNT,
    max_distance_mm: float = DISTANCE_MM,
    steepness: float = STEEPNESS,
) -> NDArray[np.int64]:
    """Group findings by OPTICS (Ankerst et al. 1999) with xi extraction; unlike a radius, it splits by density.

    Args:
        positions_mm: (n, 2), row and column.
        min_count: findings that make a dense place, and a cluster, at least 2.
        max_distance_mm: no finding is reached from further away, > 0.
        steepness: xi, the relative fall of density at a cluster's border, 0 to 1.

    Returns:
        int (n,): number of the cluster, -1 if in none.
    """
    positions = np.asarray(positions_mm, np.float64).reshape(-1, 2)
    if min_count < 2 or not max_distance_mm > 0:
        raise ValueError(
            f"Expected at least 2 findings per cluster within > 0 mm, got {min_count} within {max_distance_mm:g} mm"
        )
    if len(positions) < min_count:
        return np.full(len(positions), ISOLATED)
    optics = OPTICS(min_samples=min_count, max_eps=max_distance_mm, xi=steepness)
    # Coincident findings have reachability 0, whose ratios scikit-learn takes; it warns where nothing is dense.
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All reachability values are inf")
        return optics.fit(positions).labels_.astype(np.int64)


def fit_kinds(features: ArrayLike, *, rng: np.random.Generator, kinds: int = KINDS) -> Pipeline:
    """Fit z-score and k-means; `predict` of the result gives other clusters the nearest kind, in the fit's z-scores.

    Args:
        features: (clusters, features).
        rng: source of the first centres, of ten starts.
        kinds: k.

    Raises:
        ValueError: with fewer different clusters than kinds.
    """
    table = np.asarray(features, np.float64)
    different = len(np.unique(table, axis=0))
    if different < kinds:
        raise ValueError(
            f"Expected at least {kinds} different clusters for {kinds} kinds, got {different}; lower --kinds"
        )
    means = KMeans(n_clusters=kinds, n_init=10, random_state=int(rng.integers(2**31)))
    return make_pipeline(StandardScaler(), means).fit(table)


def fit_part(patients: Mapping[str, str], *, rng: np.random.Generator, share: float = 0.5) -> frozenset[str]:
    """Choose the images to fit on, all or none of a patient's, about `share` of the patients.

    Args:
        patients: patient of each image.
        rng: source of randomness.
        share: above 0 and below 1.

    Raises:
        ValueError: with fewer than two patients or a share of nobody or everybody.
    """
    names = sorted(set(patients.values()))
    if len(names) < 2 or not 0 < share < 1:
        raise ValueError(
            f"Expected two patients or more and a share between 0 and 1, got {len(names)} and {share:g}; add views"
        )
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    chosen = {names[index] for index in rng.permutation(len(names))[:count]}
    return frozenset(image for image, patient in patients.items() if patient in chosen)


def homogeneity_test(
    kinds: Sequence[object],
    images: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    *,
    patients: Mapping[str, str],
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> Homogeneity:
    """Homogeneity of the clusters' kinds with the labels of their images, and its p-value.

    As in the paper, a cluster counts once for each label of its image. Clusters of an image share its labels, and
    images of a patient are alike, so neither may be permuted freely: patients exchange the labels of their images, with
    patients of as many images.

    Args:
        kinds: (clusters,).
        images: (clusters,), the image of each.
        labels: one or more labels of each image.
        patients: patient of each image; the image itself where nothing is known.
        rng: source of the permutations.
        permutations: how many, at least 1.

    Raises:
        ValueError: unless there are two different labels among the images.
    """
    names = sorted(set(images))
    if len({label for name in names for label in labels[name]}) < 2:
        raise ValueError(
            "Expected two different labels or more among the judged views, got fewer, where homogeneity says nothing; "
            "add views or pass another --seed"
        )
    value = _homogeneity(kinds, images, labels)
    drawn = [_homogeneity(kinds, images, _permuted(names, labels, patients, rng)) for _ in range(permutations)]
    reached = sum(one >= value - ROUNDING for one in drawn)
    return Homogeneity(
        value, math.fsum(drawn) / permutations, (1 + reached) / (1 + permutations), len(images), len(names)
    )


def _homogeneity(kinds: Sequence[object], images: Sequence[str], labels: Mapping[str, Sequence[str]]) -> float:
    pairs = [(label, str(kind)) for kind, image in zip(kinds, images, strict=True) for label in labels[image]]
    (label_names, row), (kind_names, column) = (
        np.unique(side, return_inverse=True) for side in zip(*pairs, strict=True)
    )
    size = (len(label_names), len(kind_names))
    table = np.bincount(row * size[1] + column, minlength=size[0] * size[1]).reshape(size)
    # scikit-learn's own homogeneity_score checks its input for ten times as long as it counts.
    return float(mutual_info_score(None, None, contingency=table) / entropy(table.sum(axis=1)))


def _permuted(
    names: Sequence[str], labels: Mapping[str, Sequence[str]], patients: Mapping[str, str], rng: np.random.Generator
) -> dict[str, Sequence[str]]:
    """Labels of the images after patients of as many images have exchanged theirs."""
    of_patient: dict[str, list[str]] = defaultdict(list)
    for name in names:
        of_patient[patients[name]].append(name)
    alike: dict[int, list[list[str]]] = defaultdict(list)
    for members in of_patient.values():
        alike[len(members)].append(members)
    permuted: dict[str, Sequence[str]] = {}
    for blocks in alike.values():
        for taker, giver in zip(blocks, rng.permutation(len(blocks)), strict=True):
            permuted.update(zip(taker, (labels[name] for name in blocks[giver]), strict=True))
    return permuted

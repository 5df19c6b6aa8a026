"""Can injected patches be told from clean ones with the puncta covered? Classifiers cross-validated by view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ..functional.fingerprint import bootstrap_auc, paired_auc, paired_shift

# Above this AUC an injection leaves a trace that a network could learn instead of calcifications.
AUC_LIMIT = 0.55
MAX_FOLDS = 10
CLASSIFIERS = ("logistic regression", "gradient boosting")
PAIRED = "linear limit, from shifts within pairs"
N_RESAMPLES = 200


@dataclass(frozen=True)
class Fingerprint:
    """Outcome of the test.

    Attributes:
        auc: (AUC, low, high) by classifier and, as `PAIRED`, of `paired_auc`; 95 % intervals of resampled views.
        shift: mean difference within pairs by feature, in deviations among clean patches.
        pairs: number of pairs.
        views: number of views that they come from.
    """

    auc: Mapping[str, tuple[float, float, float]]
    shift: Mapping[str, float]
    pairs: int
    views: int

    @property
    def worst(self) -> float:
        """The larger AUC: the test passes when it is at most `AUC_LIMIT`."""
        return max(value for value, *_ in self.auc.values())


def classify_pairs(
    injected: Sequence[Mapping[str, float]],
    clean: Sequence[Mapping[str, float]],
    views: Sequence[str],
    *,
    seed: int = 0,
) -> Fingerprint:
    """Classify patches one by one; both patches of a pair, and all of a view, lie in the same fold.

    Args:
        injected: texture features of each injected patch, puncta covered.
        clean: of its twin without puncta, covered by the same mask.
        views: the view that each pair comes from, at least two different ones.
        seed: of the classifiers and the bootstrap.

    Raises:
        ValueError: with fewer than two views.
    """
    names, groups = np.unique(views, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"Expected pairs from at least 2 views, got {len(names)}; add views")
    first, second = (np.array([list(row.values()) for row in rows], np.float64) for rows in (injected, clean))
    positive = np.repeat([True, False], len(first))
    both, of_view = np.concatenate([first, second]), np.tile(groups, 2)
    folds = GroupKFold(n_splits=min(MAX_FOLDS, len(names)))
    found = {}
    for name, model in _models(seed).items():
        # So little data is classified fastest by one thread, and then the figures do not depend on how many there are.
        with threadpool_limits(limits=1):
            scores = cross_val_predict(model, both, positive, groups=of_view, cv=folds, method="decision_function")
        found[name] = bootstrap_auc(scores, positive, of_view, rng=np.random.default_rng(seed))
    found[PAIRED] = _paired(first, second, groups, np.random.default_rng(seed))
    shift: NDArray[np.float64] = paired_shift(first, second)
    return Fingerprint(found, dict(zip(clean[0], shift.tolist(), strict=True)), len(first), len(names))


def _paired(
    injected: NDArray[np.float64], clean: NDArray[np.float64], groups: NDArray[np.integer], rng: np.random.Generator
) -> tuple[float, float, float]:
    """`paired_auc` with the interval of resampled views."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = []
    for _ in range(N_RESAMPLES):
        chosen = np.concatenate([members[n] for n in rng.integers(len(members), size=len(members))])
        drawn.append(paired_auc(injected[chosen], clean[chosen]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return paired_auc(injected, clean), float(low), float(high)


def _models(seed: int) -> dict[str, object]:
    boosting = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, min_samples_leaf=10, random_state=seed)
    models = (make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)), boosting)
    return dict(zip(CLASSIFIERS, models, strict=True))

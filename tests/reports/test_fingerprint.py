"""The fingerprint test passes where there is no trace, and fails where there is one."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.functional.fingerprint import puncta_cover, texture_features
from bundle.reports.fingerprint import AUC_LIMIT, CLASSIFIERS, PAIRED, Fingerprint, classify_pairs

SIDE_PX = 64
VIEWS, PER_VIEW = 6, 12
Trace = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _features(trace: Trace) -> tuple[list[dict[str, float]], list[dict[str, float]], list[str]]:
    """Pairs of tissue-like patches of several views; the injected one has a bright spot, and the trace."""
    rng = np.random.default_rng(0)
    injected, clean, views = [], [], []
    for view in range(VIEWS):
        for _ in range(PER_VIEW):
            tissue = gaussian_filter(rng.normal(0, 1.0, (SIDE_PX, SIDE_PX)), 4) + 0.03 * rng.normal(
                size=(SIDE_PX, SIDE_PX)
            )
            plain = (0.3 * tissue - 0.1 * view / VIEWS).astype(np.float32)
            spot = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
            row, column = rng.integers(12, SIDE_PX - 12, 2)
            spot[row : row + 3, column : column + 3] = 1
            mask = puncta_cover(spot, spacing_mm=0.07, margin_mm=0.3)
            injected.append(texture_features(trace(plain, mask) + np.float32(0.5) * spot, mask))
            clean.append(texture_features(plain, mask))
            views.append(f"view {view}")
    return injected, clean, views


def _none(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image


def _stronger_noise(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return (image + 0.1 * (image - gaussian_filter(image, 1.0))).astype(np.float32)


def _smoothed_surroundings(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """As a pasted tile would have."""
    near = gaussian_filter(mask.astype(np.float32), 3.0) > 0.05
    return np.where(near, gaussian_filter(image, 0.6), image).astype(np.float32)


def _test(trace: Trace) -> Fingerprint:
    return classify_pairs(*_features(trace))


def test_puncta_alone_leave_no_trace() -> None:
    found = _test(_none)
    assert found.worst <= AUC_LIMIT
    assert found.auc[PAIRED][0] == 0.5
    assert not any(found.shift.values())


@pytest.mark.parametrize("trace", [_stronger_noise, _smoothed_surroundings])
def test_a_trace_on_purpose_is_found(trace: Trace) -> None:
    found = _test(trace)
    assert found.worst > 0.7
    assert found.auc[CLASSIFIERS[0]][1] > AUC_LIMIT
    assert found.auc[PAIRED][0] > 0.7


def test_counts_are_those_of_pairs_and_views() -> None:
    found = _test(_none)
    assert (found.pairs, found.views) == (VIEWS * PER_VIEW, VIEWS)
    assert set(found.auc) == {*CLASSIFIERS, PAIRED}


def test_a_trait_of_views_is_no_trace() -> None:
    """Views differ by far, pairs do not: whoever let a view straddle the folds would see no difference either."""
    injected, clean, views = _features(_none)
    for row, other, view in zip(injected, clean, views, strict=True):
        row["view"] = other["view"] = float(view[-1])
    assert classify_pairs(injected, clean, views).worst <= AUC_LIMIT


def test_one_view_cannot_be_cross_validated() -> None:
    injected, clean, views = _features(_none)
    with pytest.raises(ValueError, match="at least 2 views"):
        classify_pairs(injected[:PER_VIEW], clean[:PER_VIEW], views[:PER_VIEW])

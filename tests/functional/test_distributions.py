import numpy as np
import pytest
from scipy.spatial.distance import pdist

from bundle.functional.distributions import DISTRIBUTIONS, sample_offsets_mm


def _drawn(distribution: str, *, count: int = 40, draws: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [sample_offsets_mm(rng, distribution, count=count) for _ in range(draws)]


def _axes(offsets: np.ndarray) -> float:
    """Ratio of the standard deviations along the two principal axes."""
    values = np.linalg.svd(offsets - offsets.mean(axis=0), compute_uv=False)
    return float(values[0] / values[1])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_there_are_as_many_members_as_asked_for(distribution: str) -> None:
    assert sample_offsets_mm(np.random.default_rng(1), distribution, count=7).shape == (7, 2)


def test_extents_grow_from_grouped_to_diffuse() -> None:
    extent = {name: np.median([pdist(o).max() for o in _drawn(name)]) for name in DISTRIBUTIONS}
    assert extent["grouped"] < 20 <= extent["regional"] < extent["diffuse"]
    assert extent["linear"] <= 22


def test_linear_is_the_most_elongated() -> None:
    ratio = {name: np.median([_axes(o) for o in _drawn(name)]) for name in DISTRIBUTIONS}
    assert ratio["linear"] > max(value for name, value in ratio.items() if name != "linear")
    assert ratio["regional"] < 1.5


def test_segmental_narrows_towards_one_end() -> None:
    """Across a wedge the members spread in proportion to the distance from its tip, along the principal axis."""
    wider = []
    for offsets in _drawn("segmental", count=200):
        centred = offsets - offsets.mean(axis=0)
        along, across = (centred @ np.linalg.svd(centred, full_matrices=False)[2].T).T
        ends = [across[along > np.quantile(along, 0.75)].std(), across[along < np.quantile(along, 0.25)].std()]
        wider.append(max(ends) / min(ends))
    assert np.median(wider) > 1.5


def test_unknown_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="distribution among"):
        sample_offsets_mm(np.random.default_rng(0), "scattered", count=3)

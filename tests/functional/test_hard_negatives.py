import numpy as np
import pytest

from bundle.functional.hard_negatives import HARD_NEGATIVES, add_hard_negatives

SPACING = 0.07


def _background() -> np.ndarray:
    background = np.random.default_rng(0).normal(0.0, 0.05, (96, 96)).astype(np.float32)
    background[:, :20] = -1.0
    return background


def test_no_kind_is_identity() -> None:
    background = _background()
    np.testing.assert_array_equal(
        add_hard_negatives(background, np.random.default_rng(0), spacing_mm=SPACING, shares={}), background
    )


@pytest.mark.parametrize("kind", sorted(HARD_NEGATIVES))
def test_each_kind_changes_the_breast_and_nothing_else(kind: str) -> None:
    background = _background()
    changed = [
        add_hard_negatives(background, np.random.default_rng(seed), spacing_mm=SPACING, shares={kind: 1.0})
        for seed in range(8)
    ]
    assert any((image != background).any() for image in changed)
    for image in changed:
        np.testing.assert_array_equal(image[:, :20], background[:, :20])
        assert np.abs(image).max() <= 1.0
        assert np.isfinite(image).all()


def test_switching_one_kind_off_leaves_the_others() -> None:
    both = {"blob": 1.0, "dust": 1.0}
    background = _background()
    blob, full = (
        add_hard_negatives(background, np.random.default_rng(4), spacing_mm=SPACING, shares=shares)
        for shares in ({"blob": 1.0}, both)
    )
    assert 0 < (blob != full).sum() < 20


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="hard negatives from"):
        add_hard_negatives(_background(), np.random.default_rng(0), spacing_mm=SPACING, shares={"clouds": 1.0})


def test_dead_pixels_stay_inside_the_breast() -> None:
    dark = np.full((96, 96), -0.99, np.float32)
    for seed in range(10):
        dusty = add_hard_negatives(dark, np.random.default_rng(seed), spacing_mm=SPACING, shares={"dust": 1.0})
        assert (dusty > -1).all()


def test_strands_of_a_bundle_run_side_by_side() -> None:
    # The structure tensor's larger share of energy lies across the bundle; crossing fibres have no such direction.
    def coherence(kind: str) -> float:
        found = []
        for seed in range(12):
            added = HARD_NEGATIVES[kind]((256, 256), np.random.default_rng(seed), SPACING)
            rows, columns = np.gradient(added)
            tensor = np.array([[(rows**2).sum(), (rows * columns).sum()], [0, (columns**2).sum()]])
            low, high = np.linalg.eigvalsh(tensor, UPLO="U")
            found.append((high - low) / max(high + low, 1e-9))
        return float(np.median(found))

    assert coherence("strands") > max(0.7, coherence("fibres") + 0.1)

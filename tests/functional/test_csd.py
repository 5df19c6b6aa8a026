import numpy as np
import pytest
from skimage.feature import blob_dog

from bundle.functional.csd import (
    BLOB_RADIUS,
    csd_score,
    cut_patches,
    disc_map,
    find_candidates,
    training_candidates,
)

SPACING = (0.07, 0.07)


def view(seed: int = 0, shape: tuple[int, int] = (120, 140)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.normal(-0.3, 0.02, shape)
    rows, columns = np.indices(shape)
    for row, column in ((40, 50), (80, 100), (20, 110)):
        image += 0.5 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 1.8**2))
    return image.astype(np.float32)


def brightness(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return 2 + image[tuple(positions.T)]


def test_candidates_are_the_blobs_of_scikit_image_at_the_published_scales() -> None:
    positions, sigmas_px = find_candidates(view(), np.ones((120, 140), bool), spacing_mm=SPACING)
    theirs = blob_dog((view() + 1) / 2, min_sigma=1.6, max_sigma=2.0, threshold=0.01, overlap=0.0)
    ours = np.column_stack([positions, sigmas_px])
    np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], rtol=1e-6)
    assert [40, 50] in positions.tolist()


def test_doubling_the_pixel_size_halves_sigma_in_pixels() -> None:
    kept = np.ones((120, 140), bool)
    fine, coarse = (find_candidates(view(), kept, spacing_mm=(s, s))[1] for s in (0.07, 0.14))
    assert coarse.min() == pytest.approx(fine.min() / 2)


def test_dark_blobs_are_no_candidates() -> None:
    # The printed sign of the difference of Gaussians would find these and miss the bright ones.
    positions, _ = find_candidates(-0.6 - view(), np.ones((120, 140), bool), spacing_mm=SPACING)
    assert [40, 50] not in positions.tolist()


def test_a_disc_of_sigma_fills_half_of_a_blob() -> None:
    centre, sigma = np.array([[60, 60]]), np.array([20.0])
    areas = [disc_map(centre, r * sigma, np.ones(1), shape=(121, 121)).sum() for r in (1.0, BLOB_RADIUS)]
    assert areas[0] / areas[1] == pytest.approx(0.5, abs=0.01)
    assert areas[1] == pytest.approx(2 * np.pi * 20**2, rel=0.01)


def test_a_disc_has_its_radius_where_a_blob_has_its_edge() -> None:
    # A disc of radius R responds most at sigma = R / sqrt(2) (Laplacian of a Gaussian, closed form).
    radius, shape = 14.0, (121, 121)
    rows, columns = np.indices(shape) - 60
    image = np.where(rows**2 + columns**2 <= radius**2, 0.2, -0.4).astype(np.float32)
    ratio = 1.02
    found = blob_dog((image + 1) / 2, min_sigma=6, max_sigma=14, sigma_ratio=ratio, threshold=0.01)
    # A difference of two Gaussians stands for the scale between them.
    assert BLOB_RADIUS * found[0, 2] * np.sqrt(ratio) == pytest.approx(radius, rel=0.03)


def test_overlapping_discs_show_the_larger_score() -> None:
    drawn = disc_map(np.array([[5, 5], [5, 7]]), np.array([2.0, 2.0]), np.array([0.4, 0.9]), shape=(11, 13))
    assert drawn[5, 6] == np.float32(0.9)
    assert drawn[5, 3] == np.float32(0.4)
    assert drawn[0, 0] == 0


def test_discs_by_hand_and_at_the_border() -> None:
    drawn = disc_map(np.array([[0, 0], [6, 6]]), np.array([1.0, 1.5]), np.array([1.0, 2.0]), shape=(8, 8))
    expected = np.zeros((8, 8))
    expected[0, 0] = expected[0, 1] = expected[1, 0] = 1
    expected[5:8, 5:8] = 2
    np.testing.assert_array_equal(drawn, expected)


def test_patches_have_their_pixel_in_the_middle_and_air_beyond_the_image() -> None:
    image = view()
    positions = np.array([[40, 50], [0, 139]])
    patches = cut_patches(image, positions, side_px=5)
    assert patches[:, 2, 2].tolist() == image[tuple(positions.T)].tolist()
    assert (patches[1, :2] == -1).all()
    assert (patches[1, :, 3:] == -1).all()
    with pytest.raises(ValueError, match="odd side"):
        cut_patches(image, positions, side_px=4)


def test_scores_lie_at_the_candidates_inside_the_margin() -> None:
    image = view()
    image[:, 115:] = -1
    score = csd_score(image, spacing_mm=SPACING, classify=brightness, margin_mm=2.0)
    assert score[40, 50] == pytest.approx(2 + image[40, 50])
    # 2 mm are 28 pixels, and (80, 100) is 15 pixels from the skin.
    assert score[80, 100] == 0


def test_a_view_without_a_candidate_has_no_score() -> None:
    assert not csd_score(np.full((50, 50), -0.3), spacing_mm=SPACING, classify=brightness).any()


def test_training_candidates_know_their_class() -> None:
    label = np.zeros((120, 140), np.uint8)
    label[39:42, 49:52] = 1
    label[78:83, 98:103] = 2
    positions, classes = training_candidates(view(), label, spacing_mm=SPACING)
    found = dict(zip(map(tuple, positions.tolist()), classes.tolist(), strict=True))
    assert (found[40, 50], found[20, 110]) == (1, 0)
    assert (80, 100) not in found

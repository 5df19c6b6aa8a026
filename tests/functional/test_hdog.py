import numpy as np
import pytest
from skimage.feature import blob_dog

from bundle.functional.hdog import dog_stack, find_blobs, hdog_score, hessian_mask, scales_mm

SPACING = (0.07, 0.07)
SHAPE = (90, 110)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def blob(row: float, column: float, *, sigma_px: float = 1.5, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * sigma_px**2))


def score(image: np.ndarray, **options: object) -> np.ndarray:
    return hdog_score(image, spacing_mm=SPACING, margin_mm=0.0, **{"hessian_threshold": 0.0, **options})


def test_published_scales_are_those_of_scikit_image() -> None:
    # blob_dog: k = int(log(max / min) / log(ratio) + 1) layers between k + 1 scales.
    np.testing.assert_allclose(scales_mm(1.18, 3.1, ratio=1.6), [1.18, 1.888, 3.0208, 4.83328])
    np.testing.assert_allclose(scales_mm(2.0, 2.0, ratio=1.5), [2.0, 3.0])


def test_blobs_are_those_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0.4, 0.02, SHAPE) + blob(30, 40) + blob(60, 80, sigma_px=3.0)
    stack = dog_stack(
        image.astype(np.float32),
        np.ones(SHAPE, bool),
        sigmas_mm=scales_mm(0.0826, 0.217, ratio=1.6),
        spacing_mm=SPACING,
    )
    ours = find_blobs(stack)
    ours = ours[stack[tuple(ours.T)] > 0.006]
    # Our averages leave out what lies beyond the image, theirs repeat its edge.
    inner = (ours[:, 1] >= 20) & (ours[:, 1] < 70) & (ours[:, 2] >= 20) & (ours[:, 2] < 90)
    theirs = blob_dog(image, min_sigma=1.18, max_sigma=3.1, sigma_ratio=1.6, threshold=0.006, overlap=1.0)
    theirs = theirs[(theirs[:, 0] >= 20) & (theirs[:, 0] < 70) & (theirs[:, 1] >= 20) & (theirs[:, 1] < 90)]
    scales = 1.18 * 1.6 ** ours[inner, 0]
    assert len(theirs) > 20
    assert sorted(map(tuple, np.round(theirs, 6))) == sorted(
        (float(row), float(column), round(float(sigma), 6))
        for (_, row, column), sigma in zip(ours[inner], scales, strict=True)
    )


def test_response_of_a_gaussian_has_its_closed_form() -> None:
    # Eq. 4: sigma_n / (sigma_n+1 - sigma_n) = 1 / 0.6; on [0, 1] half the amplitude that it has on [-1, 1].
    sigma, amplitude = 2.5, 0.5
    inner, outer = 1.18 * 1.6 ** np.arange(3), 1.18 * 1.6 ** np.arange(1, 4)
    expected = amplitude / 2 * sigma**2 * (1 / (sigma**2 + inner**2) - 1 / (sigma**2 + outer**2)) / 0.6
    result = score(blob(45, 55, sigma_px=sigma, amplitude=amplitude))
    assert result[45, 55] == pytest.approx(expected.max(), rel=5e-3)
    assert result.max() == result[45, 55]


def test_object_ends_where_the_response_stops_curving_down() -> None:
    # Below h_thr = 0 an object is where the Hessian is negative definite. For a wide blob the response is the
    # Laplacian of Gaussian, (2 - u) exp(-u / 2) with u = r^2 / s^2; its second radial derivative is
    # (-4 + 7u - u^2) exp(-u / 2) / s^2 up to a factor, which turns positive at u = (7 - sqrt(33)) / 2.
    sigma = 6.0
    result = score(blob(45, 55, sigma_px=sigma), sigma_min_mm=0.14, sigma_max_mm=0.14, ratio=1.05)
    total = np.sqrt(sigma**2 + 2.0**2)
    edge_px = total * np.sqrt((7 - np.sqrt(33)) / 2)
    radius = np.sqrt(np.count_nonzero(result == result.max()) / np.pi)
    assert radius == pytest.approx(edge_px, rel=0.06)


def test_level_set_is_the_segmentation_at_that_threshold() -> None:
    # Slow twin of the published order: threshold first, then blobs, then the object of each.
    from scipy import ndimage

    image = np.random.default_rng(1).normal(-0.2, 0.06, SHAPE) + blob(30, 40) + blob(50, 60, sigma_px=2.5)
    sigmas = scales_mm(0.0826, 0.217, ratio=1.6)
    stack = dog_stack(((image + 1) / 2).astype(np.float32), np.ones(SHAPE, bool), sigmas_mm=sigmas, spacing_mm=SPACING)
    result = score(image, hessian_threshold=0.1)
    for threshold in (0.006, 0.02, 0.08):
        expected = np.zeros(SHAPE, bool)
        for scale, row, column in find_blobs(np.where(stack >= threshold, stack, 0)):
            mask = hessian_mask(stack[scale], spacing_mm=SPACING, threshold=0.1)
            label_map, _ = ndimage.label(mask, structure=np.ones((3, 3)))
            if mask[row, column]:
                expected |= label_map == label_map[row, column]
        np.testing.assert_array_equal(result >= threshold, expected)
        assert expected.any()


def _quadric(down: float, across: float, mixed: float) -> bool:
    rows, columns = np.mgrid[-3:4, -3:4].astype(float)
    layer = down / 2 * rows**2 + across / 2 * columns**2 + mixed * rows * columns
    return bool(hessian_mask(layer, spacing_mm=(1.0, 1.0), threshold=0.3)[3, 3])


def test_eq_6_takes_blobs_and_tubes_and_leaves_strong_saddles() -> None:
    assert _quadric(-1.0, -2.0, 0.0)  # negative definite
    assert _quadric(-1.0, -1.0, 0.9)
    assert _quadric(-2.0, 0.3, 0.0)  # det / tr^2 = -0.6 / 2.89 = -0.21
    assert not _quadric(-2.0, 0.5, 0.0)  # -1 / 2.25 = -0.44
    assert not _quadric(1.0, 2.0, 0.0)
    assert not _quadric(1.0, -0.5, 0.0)


def test_threshold_of_zero_leaves_tubes_out() -> None:
    ridge = np.exp(-((ROWS - 45) ** 2) / (2 * 1.5**2)) * (0.4 + 0.002 * COLUMNS) - 0.5
    slope = np.count_nonzero(score(ridge, hessian_threshold=1.4) > 0.05)
    assert slope > 100
    assert np.count_nonzero(score(ridge, hessian_threshold=0.0) > 0.05) < slope / 2


def test_overlap_is_the_share_of_the_smaller_disc() -> None:
    # Blobs at scales 1 and 1.6^4 px, 10 px apart, with discs of radius sqrt(2) sigma.
    image = blob(45, 55, sigma_px=8.0, amplitude=0.5) + blob(55, 55, sigma_px=0.8, amplitude=0.3) - 0.5
    small, large = np.sqrt(2) * 0.07, np.sqrt(2) * 0.07 * 1.6**4
    points = np.random.default_rng(0).uniform(-small, small, (20000, 2))
    points = points[np.hypot(*points.T) < small]
    share = np.mean(np.hypot(points[:, 0] + 10 * 0.07, points[:, 1]) < large)
    options = {"sigma_min_mm": 0.07, "sigma_max_mm": 0.56}
    kept = score(image, overlap=share + 0.03, **options)
    dropped = score(image, overlap=share - 0.03, **options)
    assert kept[55, 55] == pytest.approx(0.05, abs=0.01)
    assert dropped[55, 55] < 0.2 * kept[55, 55]
    assert dropped[45, 55] == kept[45, 55] > 0.09


def test_blobs_apart_are_kept_whatever_the_overlap() -> None:
    image = blob(45, 30) + blob(45, 80) - 0.5
    positive = score(image, overlap=0.0) > 0.05
    np.testing.assert_array_equal(positive, score(image, overlap=1.0) > 0.05)
    assert positive[45, [30, 80]].all()


def test_what_touches_the_skin_margin_only_does_not_leak_inside() -> None:
    # A bright strand from the skin inwards ends in a spot within the margin.
    image = np.full(SHAPE, -0.5)
    image[:, 90:] = -1.0
    bright = image + np.where(COLUMNS < 90, blob(45, 85, amplitude=1.0), 0)
    margin_mm = 10 * SPACING[0]
    inside = hdog_score(bright, spacing_mm=SPACING, margin_mm=margin_mm)
    assert inside[:, 80:].max() == 0
    assert inside.max() < 0.05 * hdog_score(bright, spacing_mm=SPACING, margin_mm=0.0).max()


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ValueError, match="ratio > 1"):
        score(np.zeros(SHAPE), ratio=1.0)
    with pytest.raises(ValueError, match="smallest <= largest"):
        score(np.zeros(SHAPE), sigma_min_mm=0.3, sigma_max_mm=0.2)
    with pytest.raises(ValueError, match="overlap in"):
        score(np.zeros(SHAPE), overlap=1.5)
    with pytest.raises(ValueError, match="h_thr >= 0"):
        score(np.zeros(SHAPE), hessian_threshold=-0.1)

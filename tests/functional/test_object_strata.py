import math

import numpy as np
import pytest

from bundle.functional.object_strata import (
    HIGH_PASS_MM,
    RING_MM,
    Visibility,
    diameter_mm,
    measure_visibility,
)
from bundle.functional.objects import find_reference

SPACING = (0.1, 0.1)
SHAPE = (90, 100)


def measure(image: np.ndarray, label: np.ndarray, **options: object) -> Visibility:
    reference = find_reference(label, **{"spacing_mm": SPACING, **options})  # type: ignore[arg-type]
    return measure_visibility(image, label, reference)


def square(row: int, column: int, side: int = 3, value: int = 1) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[row : row + side, column : column + side] = value
    return label


def noise(seed: int, sigma: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, SHAPE)


def test_densities_of_constant_areas_are_their_values() -> None:
    label = square(40, 50)
    image = np.where(label == 1, 0.6, -0.25)
    seen = measure(image, label)
    assert seen.interior.tolist() == pytest.approx([0.6])
    assert seen.exterior.tolist() == pytest.approx([-0.25])
    # No noise, no ratio.
    assert np.isnan(seen.cnr).all()


def test_ratio_is_the_contrast_over_the_noise_that_was_put_in() -> None:
    label = square(40, 50, 1)
    ratios = []
    for seed in range(40):
        image = noise(seed)
        image[40, 50] = 0.4
        ratios.append(measure(image, label).cnr[0])
    # The mean of about 100 pixels takes 1 % of the noise away.
    assert np.mean(ratios) == pytest.approx(0.4 / 0.05, rel=0.02)


def test_slow_background_is_no_noise() -> None:
    rows, columns = np.indices(SHAPE)
    image, label = noise(0), square(40, 50, 1)
    image[40, 50] = 0.3
    tilted = image + 0.004 * (rows - 40) - 0.003 * (columns - 50)
    assert measure(tilted, label).cnr[0] == pytest.approx(measure(image, label).cnr[0], rel=0.1)


def test_brightness_and_contrast_of_the_window_do_not_matter() -> None:
    label = square(40, 50)
    image = noise(1) + 0.2 * label
    assert measure(0.5 * image - 0.3, label).cnr == pytest.approx(measure(image, label).cnr)


def test_measurements_are_those_of_a_slow_twin() -> None:
    """Everything in plain loops over pixels, from the definition."""
    spacing = (0.12, 0.1)
    label = square(40, 50) + square(44, 57, 2) + square(35, 44, 2, value=2)
    image, region = noise(2) + 0.3 * (label > 0), np.ones(SHAPE, bool)
    region[:, 58:] = False
    image[38:41, 41:43] = -1
    label[region == 0] = 0

    def gap(first: tuple[int, int], others: list[tuple[int, int]]) -> float:
        return min(math.hypot((first[0] - r) * spacing[0], (first[1] - c) * spacing[1]) for r, c in others)

    labelled = list(zip(*np.nonzero(label), strict=True))
    own = [place for place in labelled if label[place] == 1 and place[0] < 43 and place[1] < 53]
    nearby = [(r, c) for r in range(20, 70) for c in range(20, 80) if region[r, c] and image[r, c] > -1]
    background = {place for place in nearby if gap(place, labelled) >= RING_MM[0]}
    ring = [place for place in background if gap(place, own) <= RING_MM[1]]
    half = [round(HIGH_PASS_MM / side) for side in spacing]
    high = []
    for r, c in ring:
        rows = range(r - half[0] // 2, r - half[0] // 2 + half[0])
        columns = range(c - half[1] // 2, c - half[1] // 2 + half[1])
        around = [image[i, j] for i in rows for j in columns if (i, j) in background]
        high.append(image[r, c] - np.mean(around))
    values = [image[place] for place in ring]
    seen = measure(image, label, region=region, spacing_mm=spacing)
    inside = [image[place] for place in own]
    assert len(seen.cnr) == 2
    assert seen.cnr[0] == pytest.approx((max(inside) - np.median(values)) / np.std(high))
    assert seen.interior[0] == pytest.approx(np.mean(inside))
    assert seen.exterior[0] == pytest.approx(np.mean(values))


def test_neighbours_and_ignored_objects_are_no_background() -> None:
    alone = square(40, 50)
    crowd = alone + square(40, 56) + square(46, 50, 3, value=2)
    image = noise(3) + 0.2 * alone
    bright = image + 0.7 * (crowd != alone)
    assert measure(bright, crowd).cnr[0] == pytest.approx(measure(image, alone).cnr[0], rel=0.2)
    assert measure(bright, crowd).exterior[0] == pytest.approx(measure(image, alone).exterior[0], abs=0.02)


def test_object_at_the_corner_of_the_image_is_measured() -> None:
    label = square(0, 0)
    image = noise(4) + 0.3 * label
    assert measure(image, label).cnr[0] > 3


def test_without_background_only_the_interior_is_known() -> None:
    whole = np.ones(SHAPE, np.uint8)
    seen = measure(np.full(SHAPE, 0.2), whole)
    assert seen.interior.tolist() == pytest.approx([0.2])
    assert np.isnan([seen.cnr[0], seen.exterior[0]]).all()


def test_no_objects_have_no_measurements() -> None:
    assert [len(values) for values in measure(noise(5), np.zeros(SHAPE, np.uint8))] == [0, 0, 0]


def test_disc_of_that_diameter_has_the_area_of_the_pixels() -> None:
    diameter = diameter_mm([1, 9], spacing_mm=(0.05, 0.1))
    assert (math.pi * diameter**2 / 4).tolist() == pytest.approx([0.005, 0.045])


def test_differing_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure(np.zeros((3, 3)), square(40, 50))

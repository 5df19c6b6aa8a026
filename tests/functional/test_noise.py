import math

import numpy as np
import pytest
from scipy import stats

from bundle.functional.noise import coordinate_hash, coordinate_noise

MASK = (1 << 64) - 1


def _splitmix(value: int) -> int:
    """Reference in plain whole numbers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def _slow_hash(row: int, column: int, key: tuple[int, ...]) -> int:
    state = 0
    for part in key:
        state = _splitmix(state ^ (part & MASK))
    counter = ((row & 0xFFFFFFFF) << 32) | (column & 0xFFFFFFFF)
    return _splitmix(_splitmix(counter ^ state))


def _noise(**options: int) -> np.ndarray:
    chosen = {"seed": 1, "refine_iter": 2, "draw": 3} | options
    rows, columns = chosen.pop("rows", 512), chosen.pop("columns", 512)
    return coordinate_noise(rows, columns, **chosen).numpy()


def test_splitmix_reference_holds_its_published_first_output() -> None:
    assert _splitmix(0) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("key", [(), (0,), (7, 3, 1), (-5, 2**40)])
def test_hash_equals_its_slow_twin(key: tuple[int, ...]) -> None:
    bits = coordinate_hash(3, 4, key=key, top=-1, left=70000)
    expected = [[_slow_hash(row, column, key) for column in range(70000, 70004)] for row in range(-1, 2)]
    assert [[value & MASK for value in line] for line in bits.tolist()] == expected


def test_noise_is_box_muller_of_the_hash() -> None:
    bits = _slow_hash(5, 9, (1, 2, 3))
    u, v = ((bits >> 32) + 0.5) / 2**32, (bits & 0xFFFFFFFF) / 2**32
    expected = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
    assert _noise(rows=1, columns=1, top=5, left=9)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_a_pixel_has_one_value_whatever_the_window() -> None:
    image = _noise(rows=300, columns=280)
    window = _noise(rows=128, columns=100, top=37, left=111)
    np.testing.assert_array_equal(window, image[37:165, 111:211])


@pytest.mark.parametrize("change", [{"seed": 2}, {"refine_iter": 3}, {"draw": 4}, {"seed": 2, "refine_iter": 1}])
def test_streams_are_uncorrelated(change: dict[str, int]) -> None:
    one, other = _noise().ravel(), _noise(**change).ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 5.0 / math.sqrt(one.size)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_noise_is_standard_gaussian(seed: int) -> None:
    values = _noise(seed=seed).astype(np.float64).ravel()
    spread = 1.0 / math.sqrt(values.size)
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 5.0 * spread
    assert abs(values.var() - 1.0) < 5.0 * math.sqrt(2.0) * spread
    assert abs(stats.kurtosis(values)) < 5.0 * math.sqrt(24.0) * spread
    assert stats.kstest(values, "norm").pvalue > 1e-3


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (1, 1), (-1, 1), (0, 64), (8, 0), (256, 0), (0, 256)])
def test_neighbours_are_uncorrelated(rows: int, columns: int) -> None:
    values = _noise(seed=0, refine_iter=0, draw=0)
    shifted = _noise(seed=0, refine_iter=0, draw=0, top=rows, left=columns)
    assert abs((values * shifted).mean()) < 5.0 / math.sqrt(values.size)
    assert abs((values**2 * shifted**2).mean() - 1.0) < 5.0 * math.sqrt(8.0) / math.sqrt(values.size)

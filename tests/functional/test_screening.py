import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.functional.screening import screen_background

SPACING = (0.07, 0.07)


def _view(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    view = gaussian_filter(rng.normal(0, 1, (400, 300)), 6) * 2 + rng.normal(0, 0.02, (400, 300))
    view = np.clip(view, -0.95, 0.95).astype(np.float32)
    view[:, :20] = -1.0
    return view


def _with_spot(view: np.ndarray, place: tuple[int, int], *, radius_px: float, height: float) -> np.ndarray:
    rows, columns = np.ogrid[: view.shape[0], : view.shape[1]]
    spot = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= radius_px**2
    return np.clip(view + height * gaussian_filter(spot.astype(np.float32), 0.7), -1, 1).astype(np.float32)


def test_nothing_is_found_in_texture() -> None:
    assert screen_background(_view(), spacing_mm=SPACING).n_spots == 0


@pytest.mark.parametrize("radius_px", [1.5, 3.0])
def test_a_bright_spot_is_left_out_and_little_else(radius_px: float) -> None:
    found = screen_background(_with_spot(_view(), (200, 150), radius_px=radius_px, height=0.6), spacing_mm=SPACING)
    assert found.n_spots == 1
    assert found.ignore[200, 150]
    rows, columns = np.nonzero(found.ignore)
    assert np.hypot(rows - 200, columns - 150).max() * 0.07 < 1.0
    assert found.share == pytest.approx(found.ignore.sum() / (400 * 280))


def test_faint_spots_large_blobs_and_lines_pass() -> None:
    faint = _with_spot(_view(), (200, 150), radius_px=2, height=0.03)
    blob = _with_spot(_view(), (200, 150), radius_px=15, height=0.5)
    line = _view()
    line[200:202, 60:250] += 0.4
    for view in (faint, blob, line):
        assert screen_background(view, spacing_mm=SPACING).n_spots == 0


def test_a_lower_peak_finds_no_less() -> None:
    view = _with_spot(_with_spot(_view(), (100, 150), radius_px=2, height=0.6), (300, 150), radius_px=2, height=0.2)
    counts = [screen_background(view, spacing_mm=SPACING, min_peak=peak).n_spots for peak in (30.0, 7.0, 5.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_finding_turns_with_the_view() -> None:
    view = _with_spot(_view(), (200, 150), radius_px=2, height=0.6)
    first = screen_background(view, spacing_mm=SPACING).ignore
    second = screen_background(np.ascontiguousarray(np.rot90(view)), spacing_mm=SPACING).ignore
    np.testing.assert_array_equal(np.rot90(first), second)

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from bundle.functional.findings import find_objects, findings_report
from bundle.transforms.overlay import (
    CLUSTERED_COLOUR,
    ISOLATED_COLOUR,
    TRUTH_COLOUR,
    Panel,
    overlay_picture,
    zoom_picture,
)

SPACING = (0.1, 0.1)
CLUSTER = [(100 + 6 * index, 60 + 3 * index) for index in range(6)]


def scene(*spots: tuple[int, int], shape: tuple[int, int] = (300, 200)) -> tuple[np.ndarray, np.ndarray, dict]:
    image = np.full(shape, -0.2, np.float32)
    probs = np.zeros(shape)
    for row, column in spots:
        probs[row - 1 : row + 2, column - 1 : column + 2] = 0.9
    findings = find_objects(probs, threshold=0.5, spacing_mm=SPACING)
    report = findings_report(
        findings, image_name="x", shape=shape, spacing_mm=SPACING, method="segmentor", threshold=0.5,
        breast_area_cm2=1.0, created_by="t",
    )  # fmt: skip
    return image, probs >= 0.5, report


def near(picture: np.ndarray, colour: str, tolerance: int = 60) -> np.ndarray:
    wanted = 255 * np.array(to_rgb(colour))
    return np.abs(picture.astype(int) - wanted).max(axis=2) < tolerance


def test_pixel_centres_stay_in_the_middle_of_their_enlarged_pixel() -> None:
    panel = Panel(np.array([100.0, 50.0]), np.array([4.0, 4.0]))
    assert panel.place([[0, 0], [2, 3]]).tolist() == [[51.5, 101.5], [63.5, 109.5]]


def test_circle_surrounds_its_finding() -> None:
    image, _, report = scene((150, 120))
    picture = overlay_picture(image, report)
    bare = overlay_picture(image, {**report, "findings": []})
    rows, columns = np.nonzero((picture != bare).any(axis=2))
    # Both pictures are alike but for the circle; its centre is the finding's place on the right panel.
    panel_columns = (picture.shape[1] - 16) // 2
    scale = panel_columns / 200
    top = (picture.shape[0] - 300 * scale) / 2
    assert (rows.min() + rows.max()) / 2 == pytest.approx(top + 150.5 * scale, abs=2)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(panel_columns + 16 + 120.5 * scale, abs=2)


def test_clustered_and_single_findings_differ_in_colour() -> None:
    image, _, single = scene((150, 120))
    _, _, clustered = scene(*CLUSTER)
    legend_only = overlay_picture(image, {**single, "findings": []})
    for report, colour in ((single, ISOLATED_COLOUR), (clustered, CLUSTERED_COLOUR)):
        assert near(overlay_picture(image, report), colour).sum() > near(legend_only, colour).sum() + 10


def test_large_views_are_reduced_and_small_ones_enlarged() -> None:
    image, _, report = scene((150, 120))
    assert overlay_picture(image, report, max_rows=250).shape[0] < 250 + 2 * 80
    assert 700 < overlay_picture(image, report).shape[0] < 900


def test_pixels_are_drawn_square_in_mm() -> None:
    image, _, report = scene((150, 120))
    tall = overlay_picture(image, {**report, "spacing_mm": [0.2, 0.1]})
    wide = overlay_picture(image, {**report, "spacing_mm": [0.1, 0.2]})
    assert (tall.shape[1] - 16) / (wide.shape[1] - 16) == pytest.approx(1 / 4, rel=0.02)


def test_air_around_the_breast_is_cut_off() -> None:
    image, _, report = scene((150, 120))
    air = np.full_like(image, -1.0)
    air[:, :100] = image[:, :100]
    assert overlay_picture(air, report).shape[1] < 0.8 * overlay_picture(image, report).shape[1]


def test_view_that_is_all_air_still_gives_a_picture() -> None:
    image, _, report = scene()
    assert overlay_picture(np.full_like(image, -1.0), report).ndim == 3


def test_zoom_without_findings_is_nothing() -> None:
    image, mask, report = scene()
    assert zoom_picture(image, mask, report) is None


def test_zoom_shows_clusters_before_single_findings_and_no_more_than_asked() -> None:
    image, mask, report = scene(*CLUSTER, (280, 180))
    one, none = zoom_picture(image, mask, report), zoom_picture(*scene((280, 180)))
    assert one is not None
    assert none is not None
    assert one.shape == none.shape
    image, mask, report = scene((20, 20), (20, 180), (280, 20), (280, 180))
    heights = [
        picture.shape[0] for n in (1, 2, 3) if (picture := zoom_picture(image, mask, report, max_crops=n)) is not None
    ]
    assert heights[1] - heights[0] == heights[2] - heights[1] > 600


def test_truth_is_outlined_when_given() -> None:
    image, mask, report = scene(*CLUSTER)
    truth = np.zeros_like(mask)
    truth[110:120, 100:110] = True
    plain, outlined = zoom_picture(image, mask, report), zoom_picture(image, mask, report, truth=truth)
    assert plain is not None
    assert outlined is not None
    assert not near(plain, TRUTH_COLOUR).any()
    assert near(outlined, TRUTH_COLOUR).sum() > 100


@pytest.mark.parametrize("spot", [(1, 1), (298, 198), (1, 198)])
def test_findings_in_the_corners_are_drawn(spot: tuple[int, int]) -> None:
    image, mask, report = scene(spot)
    assert near(overlay_picture(image, report), ISOLATED_COLOUR).any()
    zoom = zoom_picture(image, mask, report)
    assert zoom is not None
    assert near(zoom, CLUSTERED_COLOUR).any()

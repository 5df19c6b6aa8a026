"""The fidelity report from hand-made pairs: files, verdicts, and what each figure says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.functional.fidelity_pairs import Pair, PairMeasures, measure_pair, stronger_noise
from bundle.functional.injection import InjectionRanges, inject, sample_injection
from bundle.reports.fidelity import FIGURES, PAGE, blob_distances, spectrum_difference, write_fidelity
from bundle.reports.fidelity_checks import checks_table, published_checks
from bundle.reports.fidelity_renderer import DIFFERS, PASS, RENDER_LIMIT, renderer_rows, renderer_table
from bundle.reports.fidelity_sheets import patch_sheet, screened_spots, shape_sheet, spot_sheet

SIDE_PX, SPACING_MM = 128, 0.07


def _background(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(0, 1, (SIDE_PX, SIDE_PX)), 6) + 0.02 * rng.normal(size=(SIDE_PX, SIDE_PX))
    return (texture - 0.3).astype(np.float32)


def _pair(seed: int, *, empty_share: float = 0.0) -> Pair:
    """A pair without a detector, so the twin is the background itself."""
    background = _background(seed)
    ranges = InjectionRanges(empty_share=empty_share, puncta=(4, 10))
    extent = (SIDE_PX * SPACING_MM,) * 2
    injection = sample_injection(np.random.default_rng(seed), extent_mm=extent, ranges=ranges)
    image, label = inject(background, injection, spacing_mm=SPACING_MM)
    screened = np.zeros((SIDE_PX, SIDE_PX), bool)
    screened[60:66, 60:66] = True
    return Pair(
        view=f"view {seed % 3}",
        spacing_mm=SPACING_MM,
        plain=background,
        before=background,
        injected=image,
        image=image,
        clean=background,
        control=stronger_noise(image),
        label=label,
        screened=screened,
        injection=injection,
    )


@pytest.fixture(scope="module")
def measures() -> list[PairMeasures]:
    return [measure_pair(_pair(seed, empty_share=float(seed % 5 == 4))) for seed in range(30)]


def test_without_puncta_there_is_nothing_of_them() -> None:
    measured = measure_pair(_pair(4, empty_share=1.0))
    assert measured.features is None
    assert measured.objects == measured.positive_share == len(measured.cnr) == len(measured.at_puncta.contrast) == 0
    assert math.isnan(measured.in_cluster)


def test_screened_spots_are_no_objects_of_the_injection() -> None:
    pair = _pair(4, empty_share=1.0)
    pair.label[pair.screened] = 2
    measured = measure_pair(pair)
    assert measured.objects == 0
    assert measured.features is None


def test_stronger_noise_keeps_the_breast() -> None:
    image = np.full((40, 40), -1, np.float32)
    image[:, 20:] = np.random.default_rng(0).normal(-0.9, 0.1, (40, 20)).clip(-0.999, 1)
    louder = stronger_noise(image)
    np.testing.assert_array_equal(louder > -1, image > -1)
    fine = image - gaussian_filter(image, 1.0)
    inside = louder[:, 24:] - image[:, 24:]
    free = louder[:, 24:] > -0.99
    np.testing.assert_allclose(inside[free], 0.1 * fine[:, 24:][free], atol=1e-6)


def test_every_check_has_a_verdict_and_a_published_one_its_source(measures: list[PairMeasures]) -> None:
    checks = published_checks(measures, InjectionRanges())
    assert {check.verdict for check in checks} == {PASS, DIFFERS, "-"}
    assert all(check.source for check in checks if check.verdict != "-")
    assert len(checks_table(checks).cells) == len(checks) > 15


def test_contrast_by_thickness_is_that_of_the_published_spheres(measures: list[PairMeasures]) -> None:
    checks = [c for c in published_checks(measures, InjectionRanges()) if c.quantity.startswith("primary contrast")]
    assert [check.verdict for check in checks] == [PASS] * 4


def test_blur_beyond_the_published_detector_differs(measures: list[PairMeasures]) -> None:
    for blur, verdict in (((0.025, 0.065), PASS), ((0.1, 0.2), DIFFERS)):
        checks = published_checks(measures, InjectionRanges(blur_sigma_mm=blur))
        assert {check.verdict for check in checks if check.quantity.startswith("MTF")} == {verdict}


def test_renderer_ratios_are_near_one_and_judged_by_the_worst_place() -> None:
    rows = renderer_rows()
    table = renderer_table(rows)
    for row, cells in zip(rows, table.cells, strict=True):
        assert row["least"] <= row["mean"] <= row["largest"]
        assert row["mean"] == pytest.approx(1, abs=0.1)
        fits = max(abs(row["least"] - 1), abs(row["largest"] - 1)) <= RENDER_LIMIT
        assert cells[-1].text == (PASS if fits else DIFFERS)


def test_blobs_beside_puncta_are_those_of_the_twin(measures: list[PairMeasures]) -> None:
    beside, _, at_puncta, _ = blob_distances(measures)
    assert beside["contrast"]["ks"] < 0.05 < at_puncta["contrast"]["ks"]


def test_spectrum_without_a_trace_does_not_differ(measures: list[PairMeasures]) -> None:
    rows = spectrum_difference(measures)
    assert max(abs(row["difference_db"]) for row in rows) < 0.05
    assert all(0 < row["cycles_per_px"] < 0.5 for row in rows)


def test_report_holds_page_figures_and_pictures(measures: list[PairMeasures], tmp_path: Path) -> None:
    background = _background(0)
    sheets = {
        "Shapes <b>": shape_sheet(background, spacing_mm=SPACING_MM, rng=np.random.default_rng(0)),
        "Patches": patch_sheet([_pair(0)]),
    }
    figures = write_fidelity(tmp_path, measures, sheets, ranges=InjectionRanges(), facts={"Seed": "0"})
    page = (tmp_path / PAGE).read_text()
    assert "Shapes &lt;b&gt;" in page
    assert page.count("<img") == len(list(tmp_path.glob("*.png"))) == 4
    assert "://" not in page
    assert "Fingerprint: AUC" in page
    kept = json.loads((tmp_path / FIGURES).read_text())
    assert list(kept) == list(figures)
    assert kept["fingerprint"]["injected patches"]["views"] == 3


def test_too_few_pairs_are_said_not_judged(measures: list[PairMeasures], tmp_path: Path) -> None:
    figures = write_fidelity(tmp_path, measures[:5], {}, ranges=InjectionRanges(), facts={})
    assert figures["fingerprint"] == {}
    assert "not tested" in (tmp_path / PAGE).read_text()


def test_a_spot_is_in_the_middle_of_its_crop() -> None:
    image, ignore = np.zeros((200, 200), np.float32), np.zeros((200, 200), bool)
    for row, column in ((100, 50), (3, 199)):
        image[row, column] = 1
        ignore[max(row - 2, 0) : row + 3, column - 2 : column + 3] = True
    spots = screened_spots(image, ignore, spacing_mm=SPACING_MM)
    assert len(spots) == 2
    for spot in spots:
        middle = np.array(spot.shape) // 2
        assert np.abs(np.argwhere(spot == 1)[0] - middle).max() <= 1
    assert len(spot_sheet(spots).axes) == 8

"""One view of the shift benchmark: the same bits from the same seed, a breast that the bundle's own mask finds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bundle.data.shift_benchmark import sample_parameters
from bundle.functional.benchmark_breast import FIELD_MM, SALT, Breast, stream, texture_field
from bundle.functional.benchmark_case import CaseParameters, RenderedCase, render_case, sample_calcifications
from bundle.functional.breast import breast_mask, windowed_view


@pytest.fixture(scope="module")
def parameters() -> CaseParameters:
    return replace(sample_parameters("test", 2, calcified=True), spacing_mm=0.1, mirrored=False)


@pytest.fixture(scope="module")
def rendered(parameters: CaseParameters) -> RenderedCase:
    return render_case(parameters)


def test_same_parameters_same_bits(parameters: CaseParameters, rendered: RenderedCase) -> None:
    again = render_case(parameters)
    np.testing.assert_array_equal(again.image, rendered.image)
    np.testing.assert_array_equal(again.label, rendered.label)
    assert again.truth == rendered.truth


def test_another_seed_is_another_view(parameters: CaseParameters, rendered: RenderedCase) -> None:
    other = render_case(replace(parameters, seed=parameters.seed + 1, breast=replace(parameters.breast, seed=1)))
    assert (other.image != rendered.image).mean() > 0.3


def test_size_and_depth(rendered: RenderedCase) -> None:
    assert rendered.image.shape == rendered.label.shape == (600, 450)
    assert rendered.image.dtype == np.uint16
    assert rendered.image.max() <= 4095
    assert rendered.spacing_mm == (0.1, 0.1)


def test_a_clean_view_is_the_calcified_one_without_its_calcifications(
    parameters: CaseParameters, rendered: RenderedCase
) -> None:
    clean = render_case(replace(parameters, distribution=None))
    assert clean.truth == ()
    assert not clean.label.any()
    changed = rendered.image.astype(int) - clean.image
    assert changed[rendered.label == 1].mean() > 50
    assert (changed != 0).mean() < 0.2
    assert np.abs(changed).max() == changed.max()


def test_every_visible_calcification_is_in_the_label_and_no_other(rendered: RenderedCase) -> None:
    assert {finding.visible for finding in rendered.truth} == {True, False}
    for finding in rendered.truth:
        row, column = round(finding.row_px), round(finding.column_px)
        near = rendered.label[row - 1 : row + 2, column - 1 : column + 2]
        # The middle of a bent cast may lie beside it.
        if finding.kind != "cast":
            assert (1 if finding.visible else 2) in near


def test_calcifications_lie_in_the_breast(parameters: CaseParameters) -> None:
    outline = parameters.breast.outline
    for one in sample_calcifications(parameters):
        assert outline.distance_mm(one.row_mm, one.column_mm) > 3.0
        assert 1.0 < one.row_mm < FIELD_MM[0] - 1.0


def test_the_bundles_mask_and_window_fit(parameters: CaseParameters, rendered: RenderedCase) -> None:
    breast = parameters.breast.outline.map_mm((600, 450), 0.1) > 0
    mask = breast_mask(rendered.image.astype(np.float32), spacing_mm=rendered.spacing_mm)
    assert (mask & breast).sum() / (mask | breast).sum() > 0.98
    view = windowed_view(rendered.image.astype(np.float32), mask, spacing_mm=rendered.spacing_mm)
    assert 0.25 < np.diff(np.percentile(view[mask], [10, 90])).item() < 1.5
    assert (view[mask] > 0.99).mean() < 0.001


def test_mirroring_moves_the_truth_with_the_picture(parameters: CaseParameters, rendered: RenderedCase) -> None:
    mirrored = render_case(replace(parameters, mirrored=True))
    np.testing.assert_array_equal(mirrored.image, rendered.image[:, ::-1])
    for one, other in zip(rendered.truth, mirrored.truth, strict=True):
        assert (other.row_px, other.column_px) == (one.row_px, 449 - one.column_px)


def test_another_pixel_size_shows_the_same_breast(parameters: CaseParameters, rendered: RenderedCase) -> None:
    fine = render_case(replace(parameters, spacing_mm=0.05))
    averaged = fine.image.reshape(600, 2, 450, 2).mean(axis=(1, 3))
    # Noise differs: compared behind a blur of 0.3 mm.
    views = [gaussian_filter(view.astype(float), 3.0).ravel() for view in (averaged, rendered.image)]
    assert np.corrcoef(*views)[0, 1] > 0.99
    places = [[(finding.row_px + 0.5) * case.spacing_mm[0] for finding in case.truth] for case in (rendered, fine)]
    np.testing.assert_allclose(*places)


def test_a_quarter_of_the_dose_lowers_contrast_to_noise(parameters: CaseParameters, rendered: RenderedCase) -> None:
    exposure = replace(parameters.exposure, quanta_per_mm2=parameters.exposure.quanta_per_mm2 / 4)
    low = render_case(replace(parameters, exposure=exposure))
    ratios = [one.cnr / other.cnr for one, other in zip(rendered.truth, low.truth, strict=True)]
    assert 1.3 < np.median(ratios) < 2.2


def test_streams_of_a_seed_are_apart_and_none_is_a_plain_seed() -> None:
    drawn = {
        name: stream(5, name).integers(2**62) for name in ("curves", "gland", "noise", "calcifications", "parameters")
    }
    plain = {np.random.default_rng(seed).integers(2**62) for seed in (5, SALT, [SALT, 5])}
    assert len({*drawn.values(), *plain}) == len(drawn) + len(plain)


def test_an_unknown_texture_is_named(parameters: CaseParameters) -> None:
    breast: Breast = replace(parameters.breast, texture="marble")
    with pytest.raises(ValueError, match="lumps or compartments"):
        texture_field(breast, (60, 45))

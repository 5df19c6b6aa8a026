from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from skimage.measure import grid_points_in_poly

from bundle.data import MammogramError
from bundle.data.annotations import annotation_of_rois, as_points, filled, label_of_values, read_annotation
from bundle.data.inbreast import Rois
from tests.data.inbreast_files import POINT, POLYGON, write_inbreast

SHAPE = (80, 96)
SPACING = (0.1, 0.07)
NO_POINTS = np.zeros((0, 2))


def _label() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[10:13, 40:45], label[70, 3] = 1, 2
    return label


def _nifti(path: Path, label: np.ndarray, spacing: tuple[float, float]) -> Path:
    """As the project itself writes maps: columns first."""
    affine = np.diag([-spacing[1], -spacing[0], 1, 1])
    nib.save(nib.Nifti1Image(label.T[..., None], affine), path)
    return path


def _rois(polygons: tuple = (), points: np.ndarray = NO_POINTS, clusters: tuple = ()) -> Rois:
    return Rois(polygons=polygons, points=points, clusters=clusters, others={})


SQUARE = np.array([[20.0, 30.0], [20.0, 36.0], [24.0, 36.0], [24.0, 30.0]])


def test_png_and_nifti_give_the_same_label(tmp_path: Path) -> None:
    Image.fromarray(_label()).save(tmp_path / "a.png")
    _nifti(tmp_path / "a.nii.gz", _label(), SPACING)
    for name in ("a.png", "a.nii.gz"):
        annotation = read_annotation(tmp_path / name, shape=SHAPE, spacing_mm=SPACING)
        assert annotation.kind == "mask"
        np.testing.assert_array_equal(annotation.label, _label())
        assert annotation.label.dtype == np.uint8


def test_a_mask_of_complex_numbers_is_refused_as_a_view_would_be(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(3j * _label().T[..., None].astype(np.complex64), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(MammogramError, match=r"a\.nii: Expected real grey values, got complex64"):
        read_annotation(tmp_path / "a.nii", shape=SHAPE)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
def test_values_0_1_2_are_kept_and_255_is_1(dtype: type) -> None:
    np.testing.assert_array_equal(label_of_values(np.array([[0, 1]], dtype), path="a"), [[0, 1]])
    if dtype is not bool:
        np.testing.assert_array_equal(label_of_values(np.array([[0, 1, 2]], dtype), path="a"), [[0, 1, 2]])
        np.testing.assert_array_equal(label_of_values(np.array([[0, 255]], dtype), path="a"), [[0, 1]])


@pytest.mark.parametrize("values", [[0, 3], [0, 1, 255], [0, 128, 255], [0, 0.5], [-1, 0]])
def test_other_values_are_refused(values: list[float]) -> None:
    with pytest.raises(MammogramError, match="0/1, 0/255 or 0/1/2"):
        label_of_values(np.array([values]), path="a")


def test_one_bit_and_grey_rgb_masks_are_read_and_colours_are_not(tmp_path: Path) -> None:
    mask = _label() == 1
    Image.fromarray(mask).save(tmp_path / "bit.png")
    rgb = np.repeat((255 * mask).astype(np.uint8)[..., None], 3, axis=2)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    for name in ("bit.png", "rgb.png"):
        np.testing.assert_array_equal(read_annotation(tmp_path / name, shape=SHAPE).label, mask)
    rgb[..., 0] = 255
    Image.fromarray(rgb).save(tmp_path / "red.png")
    with pytest.raises(MammogramError, match="got colour"):
        read_annotation(tmp_path / "red.png", shape=SHAPE)


def test_an_empty_mask_and_no_mask_are_clean(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "a.png")
    _nifti(tmp_path / "a.nii", np.zeros(SHAPE, np.uint8), SPACING)
    write_inbreast(tmp_path / "a.xml", [("Mass", POLYGON, [(1, 1), (9, 1), (9, 9)])])
    for path in (tmp_path / "a.png", tmp_path / "a.nii", tmp_path / "a.xml", None):
        annotation = read_annotation(path, shape=SHAPE, spacing_mm=SPACING)
        assert annotation.clean
        assert annotation.label.shape == SHAPE
        assert annotation.kind == "mask"


def test_ignored_pixels_alone_are_clean(tmp_path: Path) -> None:
    Image.fromarray(np.where(_label() == 2, np.uint8(2), np.uint8(0))).save(tmp_path / "a.png")
    assert read_annotation(tmp_path / "a.png", shape=SHAPE).clean


def test_another_size_is_refused_and_a_turned_one_is_told(tmp_path: Path) -> None:
    for shape, hint in ((SHAPE[::-1], "transpose it"), ((SHAPE[0] + 1, SHAPE[1]), "save it at the size")):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "a.png")
        with pytest.raises(MammogramError, match=f"{shape[0]} x {shape[1]}; {hint}"):
            read_annotation(tmp_path / "a.png", shape=SHAPE)


def test_a_spacing_that_contradicts_the_view_is_refused(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "a.nii", _label(), (0.1, 0.085))
    with pytest.raises(MammogramError, match=r"0\.1 x 0\.07 mm, got 0\.1 x 0\.085 mm"):
        read_annotation(path, shape=SHAPE, spacing_mm=SPACING)
    assert not read_annotation(path, shape=SHAPE).clean


def test_a_spacing_that_nobody_set_contradicts_nothing(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "a.nii", _label(), (1.0, 1.0))
    np.testing.assert_array_equal(read_annotation(path, shape=SHAPE, spacing_mm=SPACING).label, _label())


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz", "a.xml"])
@pytest.mark.parametrize("content", [b"", b"text"])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MammogramError, match="Expected") as error:
        read_annotation(tmp_path / name, shape=SHAPE)
    assert len(str(error.value).splitlines()) == 1


def test_filling_agrees_with_an_independent_test_of_pixel_centres(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    # Off the grid, so that no centre lies on an edge.
    star = np.array([40.13, 50.37]) + np.outer(rng.uniform(8, 20, 12), [1, 1]) * np.c_[np.sin(angles), np.cos(angles)]
    np.testing.assert_array_equal(filled([star], SHAPE).astype(bool), grid_points_in_poly(SHAPE, star))


def test_a_polygon_too_small_for_a_pixel_centre_keeps_one_pixel() -> None:
    tiny = np.array([[20.1, 30.6], [20.1, 30.8], [20.3, 30.7]])
    assert np.argwhere(filled([tiny], SHAPE)).tolist() == [[20, 31]]


def test_polygons_alone_are_a_mask() -> None:
    annotation = annotation_of_rois(_rois((SQUARE,)), shape=SHAPE)
    assert annotation.kind == "mask"
    assert np.argwhere(annotation.label).mean(axis=0).tolist() == [22.0, 33.0]
    assert len(annotation.points_px) == 0


def test_a_single_point_turns_the_polygons_of_its_view_into_points() -> None:
    annotation = annotation_of_rois(_rois((SQUARE,), np.array([[5.5, 6.25]])), shape=SHAPE)
    assert annotation.kind == "points"
    assert annotation.points_px.tolist() == [[5.5, 6.25], [22.0, 33.0]]
    assert not annotation.label.any()


def test_points_as_pixels_are_a_mask_of_both() -> None:
    annotation = annotation_of_rois(_rois((SQUARE,), np.array([[5.5, 6.25]])), shape=SHAPE, points_as_pixels=True)
    expected = filled([SQUARE], SHAPE)
    expected[6, 6] = 1
    assert annotation.kind == "mask"
    np.testing.assert_array_equal(annotation.label, expected)


def test_outlines_of_clusters_count_only_where_no_calcification_is_marked() -> None:
    alone = annotation_of_rois(_rois(clusters=(SQUARE,)), shape=SHAPE)
    assert (alone.kind, len(alone.outlines_px), alone.clean) == ("outlines", 1, False)
    beside = annotation_of_rois(_rois((SQUARE,), clusters=(SQUARE * 2,)), shape=SHAPE)
    assert (beside.kind, beside.outlines_px) == ("mask", ())


def test_regions_outside_the_view_are_refused_but_a_trembling_hand_is_not(tmp_path: Path) -> None:
    inside = write_inbreast(tmp_path / "in.xml", [("Calcification", POINT, [(SHAPE[1] + 3, -4)])])
    assert read_annotation(inside, shape=SHAPE).points_px.tolist() == [[0, SHAPE[1] - 1]]
    # The axes in the wrong order: column 20, row 95 of a view with 80 rows.
    outside = write_inbreast(tmp_path / "out.xml", [("Calcification", POINT, [(20, 95)])])
    with pytest.raises(MammogramError, match="row 95, column 20"):
        read_annotation(outside, shape=SHAPE)


def test_objects_become_their_centroids_and_ignored_pixels_stay() -> None:
    label = _label()
    label[50, 60] = 1
    points = as_points(annotation_of_rois(_rois(), shape=SHAPE))
    assert points.points_px.shape == (0, 2)
    annotation = as_points(type(points)(kind="mask", label=label))
    assert annotation.kind == "points"
    assert annotation.points_px.tolist() == [[11.0, 42.0], [50.0, 60.0]]
    np.testing.assert_array_equal(annotation.label, np.where(label == 2, 2, 0))

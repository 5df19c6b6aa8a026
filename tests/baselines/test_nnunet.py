from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.baselines.nnunet import NnUNetInferer
from bundle.baselines.nnunet_files import (
    CHANNEL,
    ENDING,
    case_name,
    commands,
    dataset_folder,
    read_probability,
    write_dataset_json,
    write_image,
    write_label,
)
from bundle.data import MammogramError

SPACING = (0.07, 0.09)


def view() -> np.ndarray:
    plane = np.random.default_rng(0).uniform(-0.9, 0.8, (40, 30)).astype(np.float32)
    plane[:, 20:] = -1
    return plane


def predicted(folder: Path, probs: np.ndarray, *, soft: bool = True) -> None:
    """As `nnUNetv2_predict` writes it."""
    folder.mkdir(exist_ok=True)
    if soft:
        np.savez_compressed(folder / f"{case_name(view())}.npz", probabilities=np.stack([1 - probs, probs])[:, None])
    hard = nib.Nifti1Image((probs >= 0.5).astype(np.uint8).T[..., None], np.eye(4))
    nib.save(hard, folder / f"{case_name(view())}{ENDING}")


def probs() -> np.ndarray:
    return np.random.default_rng(1).uniform(0.01, 0.99, (40, 30)).astype(np.float32)


def test_written_values_and_spacing_are_read_back_in_their_axes(tmp_path: Path) -> None:
    image = nib.load(write_image(tmp_path, "case", view(), spacing_mm=SPACING))
    assert image.shape == (30, 40, 1)
    np.testing.assert_allclose(image.header.get_zooms()[:2], SPACING[::-1])
    assert np.array_equal(np.asarray(image.dataobj)[..., 0].T, view())
    assert (tmp_path / f"case{CHANNEL}{ENDING}").exists()


def test_itk_sees_rows_and_columns_where_they_are(tmp_path: Path) -> None:
    itk = pytest.importorskip("itk")
    path = write_image(tmp_path, "case", view(), spacing_mm=SPACING)
    image = itk.imread(str(path))
    assert np.array_equal(itk.array_from_image(image)[0], view())
    np.testing.assert_allclose(list(itk.spacing(image))[:2], SPACING[::-1], rtol=1e-6)


def test_one_file_is_written_the_same_twice(tmp_path: Path) -> None:
    first = write_image(tmp_path / "a", "case", view(), spacing_mm=SPACING).read_bytes()
    assert first == write_image(tmp_path / "b", "case", view(), spacing_mm=SPACING).read_bytes()


def test_names_follow_from_pixels_and_shape() -> None:
    other = view()
    other[3, 3] += 1e-3
    assert case_name(view()) == case_name(view().copy())
    assert len({case_name(view()), case_name(other), case_name(view().reshape(30, 40))}) == 3


def test_other_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0, 1 and 2"):
        write_label(tmp_path, "case", np.full((4, 4), 255), spacing_mm=SPACING)


def test_cases_without_image_or_label_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(MammogramError, match="found none"):
        write_dataset_json(tmp_path)
    for name in ("a", "b"):
        write_image(tmp_path / "imagesTr", name, view(), spacing_mm=SPACING)
    write_label(tmp_path / "labelsTr", "b", np.zeros((40, 30), np.uint8), spacing_mm=SPACING)
    write_label(tmp_path / "labelsTr", "c", np.zeros((40, 30), np.uint8), spacing_mm=SPACING)
    assert write_dataset_json(tmp_path) == 1


def test_a_data_set_number_has_three_digits() -> None:
    assert dataset_folder(Path("raw"), 7).name == "Dataset007_Microcalcifications"
    with pytest.raises(ValueError, match="1 to 999"):
        dataset_folder(Path("raw"), 1000)


def test_commands_are_in_order_and_for_one_data_set() -> None:
    lines = commands(Path("d") / "raw", 501, inputs=Path("in"), predictions=Path("out"), folds=[0, 1])
    assert [line.split()[0] for line in lines] == [
        "export", "nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_train", "nnUNetv2_predict"
    ]  # fmt: skip
    assert all("501" in line for line in lines[1:])
    assert "--save_probabilities" in lines[-1]


def test_probabilities_come_back_as_logits(tmp_path: Path) -> None:
    predicted(tmp_path, probs())
    logits = NnUNetInferer(tmp_path)(torch.from_numpy(view())[None, None])[0, 0]
    breast = view() > -1
    np.testing.assert_allclose(torch.sigmoid(logits).numpy()[breast], probs()[breast], atol=1e-6)
    assert (logits.numpy()[~breast] == -12).all()


def test_the_threshold_becomes_one_half(tmp_path: Path) -> None:
    predicted(tmp_path, np.full((40, 30), 0.2))
    logits = NnUNetInferer(tmp_path, threshold=0.2)(torch.from_numpy(view())[None, None])
    assert torch.sigmoid(logits[0, 0, 5, 5]).item() == pytest.approx(0.5, abs=1e-6)


def test_a_segmentation_alone_gives_sure_logits(tmp_path: Path) -> None:
    predicted(tmp_path, probs(), soft=False)
    logits = NnUNetInferer(tmp_path)(torch.from_numpy(view())[None, None])[0, 0].numpy()
    breast = view() > -1
    assert np.array_equal(logits[breast] == 12, probs()[breast] >= 0.5)
    assert set(np.unique(logits)) == {-12.0, 12.0}


def test_a_view_without_a_prediction_is_written_to_be_predicted(tmp_path: Path) -> None:
    inferer = NnUNetInferer(tmp_path / "out", inputs=tmp_path / "in")
    image = MetaTensor(torch.from_numpy(view())[None, None], meta={"spacing_mm": np.array(SPACING)})
    with pytest.raises(MammogramError, match="run nnUNetv2_predict"):
        inferer(image)
    (path,) = (tmp_path / "in").iterdir()
    assert path.name == f"{case_name(view())}{CHANNEL}{ENDING}"
    assert np.array_equal(np.asarray(nib.load(path).dataobj)[..., 0].T, view())
    predicted(tmp_path / "out", probs())
    assert inferer(image).meta["spacing_mm"][0] == SPACING[0]


def test_the_prediction_of_another_view_is_never_taken(tmp_path: Path) -> None:
    predicted(tmp_path, probs())
    other = torch.from_numpy(view())[None, None].clone()
    other[0, 0, 0, 0] += 0.01
    with pytest.raises(MammogramError, match="found none"):
        NnUNetInferer(tmp_path)(other)


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_a_damaged_prediction_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(MammogramError, match="another file"):
        read_probability(tmp_path, "x", shape=(4, 4))


def test_a_prediction_of_another_size_is_named(tmp_path: Path) -> None:
    predicted(tmp_path, probs())
    with pytest.raises(MammogramError, match="40, 30"):
        read_probability(tmp_path, case_name(view()), shape=(30, 40))


def test_a_threshold_out_of_range_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        NnUNetInferer(tmp_path, threshold=1.0)

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.transforms import RandLabelledCropd


def view(shape: tuple[int, int] = (90, 70)) -> dict:
    rows, columns = np.indices(shape)
    image = (rows * 1000 + columns) / 1e6
    image[:, 60:] = -1
    label = np.zeros(shape, np.uint8)
    label[40, 30] = 1
    label[5, 5] = 2
    meta = {"spacing_mm": np.array([0.07, 0.07])}
    return {
        "image": MetaTensor(torch.tensor(image, dtype=torch.float32)[None], meta=meta),
        "label": torch.from_numpy(label)[None],
        "breast": torch.ones(1, *shape),
    }


def drawn(count: int, data: dict | None = None, **options: float) -> list[dict]:
    transform = RandLabelledCropd(**{"window_px": 32, **options}).set_random_state(seed=0)
    return [transform(view() if data is None else data) for _ in range(count)]


def test_image_and_label_are_cut_turned_and_mirrored_alike() -> None:
    for sample in drawn(20, positive_share=1.0):
        assert sample["image"].shape == sample["label"].shape == (1, 32, 32)
        # The brightness names the pixel that was cut.
        assert sample["image"][sample["label"] == 1].tolist() == [pytest.approx(0.04003)]


def test_all_four_turns_and_both_sides_occur() -> None:
    corners = {tuple(torch.sign(torch.diff(s["image"][0, 0, :2])).tolist()) for s in drawn(40, positive_share=1.0)}
    assert len(corners) == 2
    steps = {round(float(s["image"][0, 10, 11] - s["image"][0, 10, 10]), 6) for s in drawn(60, positive_share=1.0)}
    assert {0.001, -0.001, 1e-6, -1e-6} <= steps


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.65, 0.65)])
def test_the_share_of_positive_patches(share: float, expected: float) -> None:
    # A patch around any pixel of the breast may hold the calcification too, by chance.
    found = np.mean([bool((sample["label"] == 1).any()) for sample in drawn(150, positive_share=share)])
    assert expected - 0.08 <= found <= min(1.0, expected + 0.2)


def test_a_clean_view_gives_patches_of_the_breast() -> None:
    clean = view()
    clean["label"] = torch.zeros_like(clean["label"])
    assert all((sample["image"] > -1).any() for sample in drawn(20, clean))


def test_a_view_smaller_than_the_patch_is_continued_by_air() -> None:
    small = view()
    small["image"], small["label"] = small["image"][:, 30:50, 20:44], small["label"][:, 30:50, 20:44]
    (sample,) = drawn(1, small, window_px=32)
    assert int((sample["image"] == -1).sum()) >= 32 * 32 - 20 * 24


def test_only_what_collates_is_left() -> None:
    (sample,) = drawn(1)
    assert set(sample) == {"image", "label", "spacing_mm"}
    assert type(sample["image"]) is torch.Tensor
    assert sample["spacing_mm"] == pytest.approx(0.07)


def test_a_view_without_a_breast_is_named() -> None:
    empty = view()
    empty["image"] = MetaTensor(torch.full((1, 90, 70), -1.0), meta={"spacing_mm": np.array([0.07, 0.07])})
    empty["label"] = torch.zeros_like(empty["label"])
    with pytest.raises(ValueError, match="with a breast"):
        drawn(1, empty)

import numpy as np
import torch
from monai.data import DataLoader
from torch.utils.data import Dataset

from bundle.transforms import RandCandidatesd


def pair(seed: int = 0, side: int = 200) -> dict:
    rng = np.random.default_rng(seed)
    image = rng.normal(-0.3, 0.02, (side, side)).astype(np.float32)
    label = np.zeros((side, side), np.uint8)
    for row, column in rng.integers(60, side - 60, (6, 2)):
        image[row - 1 : row + 2, column - 1 : column + 2] += 0.5
        label[row - 1 : row + 2, column - 1 : column + 2] = 1
    return {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None], "spacing_mm": 0.07}


def drawn(data: dict, **options: int) -> list[dict]:
    return RandCandidatesd(**options).set_random_state(seed=0)(data)


def test_half_of_the_patches_are_centred_on_microcalcifications() -> None:
    samples = drawn(pair(), count=8)
    assert [int(sample["label"]) for sample in samples] == [1, 1, 1, 1, 0, 0, 0, 0]
    assert all(sample["image"].shape == (1, 95, 95) for sample in samples)
    assert all(sample["image"][0, 46:49, 46:49].max() > 0 for sample in samples[:4])


def test_no_patch_reaches_beyond_the_image() -> None:
    assert all((sample["image"] > -1).all() for sample in drawn(pair(1), count=40))


def test_a_pair_without_candidates_gives_random_negatives() -> None:
    data = pair()
    data["image"] = torch.full_like(data["image"], -0.3)
    data["label"] = torch.zeros_like(data["label"])
    samples = drawn(data, count=5)
    assert [int(sample["label"]) for sample in samples] == [0] * 5


def test_an_image_smaller_than_a_patch_is_continued_by_air() -> None:
    whole = pair()
    samples = drawn({**whole, "image": whole["image"][:, 60:124, 60:124], "label": whole["label"][:, 60:124, 60:124]})
    assert len(samples) == 8
    assert any((sample["image"] == -1).any() for sample in samples)


def test_the_same_seed_draws_the_same_patches() -> None:
    first, second = drawn(pair()), drawn(pair())
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, second, strict=True))


def test_patches_of_several_pairs_make_one_batch() -> None:
    class Pairs(Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> list[dict]:
            return drawn(pair(index), count=4)

    (batch,) = DataLoader(Pairs(), batch_size=2)
    assert batch["image"].shape == (8, 1, 95, 95)
    assert batch["label"].shape == (8,)
    assert batch["label"].dtype == torch.int64

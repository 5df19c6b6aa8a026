import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose

from bundle.data.synthetic_pairs import SampleNumberSampler, SyntheticPairDataset
from bundle.transforms import (
    RandBreastCropd,
    RandDetectord,
    RandFlowStated,
    RandInjectMicrocalcificationsd,
    RandQuantumNoised,
)

WINDOW_PX = 32


def _load(item: dict) -> dict:
    image = torch.from_numpy(np.random.default_rng(item["view"]).normal(0, 0.1, (1, 80, 70)).astype(np.float32))
    image[..., :20] = -1
    return {"image": MetaTensor(image, meta={"spacing_mm": np.array([0.07, 0.07])})}


def _dataset(*, seed: int = 0, samples: int = 8) -> SyntheticPairDataset:
    transform = Compose(
        [
            RandBreastCropd(window_px=WINDOW_PX),
            RandQuantumNoised(),
            RandInjectMicrocalcificationsd(hard_negatives={"fibres": 0.5, "dust": 0.5}),
            RandDetectord(),
            RandFlowStated(),
        ]
    )
    return SyntheticPairDataset([{"view": 0}, {"view": 1}], _load, transform, samples_per_epoch=samples, seed=seed)


def _equal(first: dict, second: dict) -> bool:
    return all(
        torch.equal(torch.as_tensor(first[k]), torch.as_tensor(second[k]))
        for k in ("image", "label", "velocity", "t", "condition")
    )


def test_sample_depends_on_seed_and_number_alone() -> None:
    dataset = _dataset()
    once = dataset[5]
    for number in (3, 1, 7):
        dataset[number]
    assert _equal(dataset[5], once)
    assert _equal(_dataset()[5], once)
    assert not _equal(_dataset(seed=1)[5], once)
    assert not _equal(dataset[6], once)


def test_worker_count_does_not_change_the_batches() -> None:
    batches = []
    for workers in (0, 2):
        dataset = _dataset()
        loader = DataLoader(dataset, batch_size=4, sampler=SampleNumberSampler(dataset), num_workers=workers)
        batches.append([batch["image"] for batch in loader])
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))


def test_epochs_go_on_through_the_sample_numbers() -> None:
    sampler = SampleNumberSampler(_dataset(samples=6))
    sampler.set_epoch(1)
    assert list(sampler) == [0, 1, 2, 3, 4, 5]
    sampler.set_epoch(3)
    assert list(sampler) == [12, 13, 14, 15, 16, 17]


def test_patch_is_a_window_in_its_range_with_its_label() -> None:
    for number in range(20):
        sample = _dataset()[number]
        assert sample["label"].shape == (1, WINDOW_PX, WINDOW_PX)
        assert set(torch.unique(sample["label"]).tolist()) <= {0, 1, 2}
        assert 0.07 * 0.75 * 0.9 <= sample["spacing_mm"] <= 0.07 * 1.4 * 1.1


def test_flow_state_and_velocity_give_back_the_image() -> None:
    """x = m_t + (1 - t)(x - z), eqs. 4 and 5."""
    crop = _load({"view": 0})["image"][:, :WINDOW_PX, 20 : 20 + WINDOW_PX]
    out = RandFlowStated().set_random_state(0)(
        {"image": crop, "label": torch.zeros(1, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)}
    )
    torch.testing.assert_close(
        torch.as_tensor(out["image"] + (1 - out["t"]) * out["velocity"][:1]), torch.as_tensor(crop), atol=1e-5, rtol=0
    )


def test_pixels_near_given_seeds_weigh_more() -> None:
    label = torch.zeros(1, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)
    label[0, 15, 15] = 1
    sample = {"image": torch.zeros(1, WINDOW_PX, WINDOW_PX), "label": label}
    out = RandFlowStated(seed_weight=5.0, complete_share=1.0).set_random_state(0)(sample)
    assert out["condition"][0].sum() == 1
    assert out["velocity"][1].sum() == WINDOW_PX**2 + 81 * 4.0


def test_weight_falls_towards_the_data_and_not_to_zero() -> None:
    label = torch.zeros(1, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)
    for number in range(5):
        out = RandFlowStated(time_sigma=0.1, complete_share=1.0).set_random_state(number)(
            {"image": torch.zeros(1, WINDOW_PX, WINDOW_PX), "label": label}
        )
        weight = out["velocity"][1, 0, 0]
        torch.testing.assert_close(weight, ((1 - out["t"]) ** 2 + 0.01).sqrt())


def test_dropped_seeds_weigh_nothing() -> None:
    """The weight follows from the condition alone, or the generator would learn to invent puncta."""
    label = torch.zeros(1, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)
    label[0, 15, 15] = 1
    sample = {"image": torch.zeros(1, WINDOW_PX, WINDOW_PX), "label": label}
    drawn = [
        RandFlowStated(complete_share=0.0, max_drop=1.0, max_false=0).set_random_state(n)(sample) for n in range(20)
    ]
    dropped = [out for out in drawn if out["condition"][0].sum() == 0]
    assert dropped
    assert all((out["velocity"][1] == 1).all() for out in dropped)


def test_complete_seeds_are_declared_and_lie_on_the_mask() -> None:
    label = torch.zeros(1, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)
    label[0, 4:7, 4:7], label[0, 20:22, 20:22] = 1, 1
    image = torch.zeros(1, WINDOW_PX, WINDOW_PX)
    complete = RandFlowStated(complete_share=1.0).set_random_state(0)({"image": image, "label": label})["condition"]
    assert (complete[1] == 1).all()
    assert complete[0].sum() == 2
    declared = [
        RandFlowStated(complete_share=0.0, max_drop=1.0).set_random_state(n)({"image": image, "label": label})[
            "condition"
        ]
        for n in range(20)
    ]
    assert all((c[1] == 0).all() for c in declared)
    assert len({float(c[0].sum()) for c in declared}) > 1


def test_no_view_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one training view"):
        SyntheticPairDataset([], _load, Compose([]), samples_per_epoch=1)

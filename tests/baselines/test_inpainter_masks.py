import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.baselines.inpainter_masks import RandBlindSpotsd, random_box, random_boxes_and_curves, random_curve
from bundle.baselines.inpainter_training import InpaintingLoss, inpainter_panels


def patch(side: int = 64) -> torch.Tensor:
    image = torch.rand(1, side, side, generator=torch.Generator().manual_seed(3)) * 0.5 - 0.4
    image[..., :10] = -1
    return image


def drawn(seed: int = 0, **options: object) -> dict:
    transform = RandBlindSpotsd(**options)  # type: ignore[arg-type]
    transform.set_random_state(seed=seed)
    return transform({"image": patch(), "spacing_mm": 0.07})


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_at_least_the_share_is_hidden_and_little_more(share: float) -> None:
    hidden = random_boxes_and_curves(np.random.default_rng(0), 256, share=share)
    assert share <= hidden.mean() < share + 96**2 / 256**2 + 0.1


def test_a_box_fills_its_bounding_box() -> None:
    for seed in range(20):
        hidden = random_box(np.random.default_rng(seed), 128)
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert hidden.sum() == len(rows) * len(columns)
        assert max(len(rows), len(columns)) <= 97


def test_a_curve_is_one_piece_or_leaves_the_window() -> None:
    whole = 0
    for seed in range(20):
        hidden = random_curve(np.random.default_rng(seed), 512)
        pieces = ndimage.label(hidden, np.ones((3, 3)))[1]
        whole += pieces == 1
        # A calcification of a millimetre, 14 px of 0.07 mm, is narrower than the widest.
        assert not hidden.any() or hidden.sum() >= 12
    assert whole >= 15


def test_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        random_boxes_and_curves(np.random.default_rng(0), 64, share=1.0)


@pytest.mark.parametrize("grid_share", [0.0, 1.0])
def test_target_and_weights_follow_from_what_is_hidden(grid_share: float) -> None:
    sample = drawn(grid_share=grid_share, seen_weight=0.1)
    image, hidden = sample["image"]
    target, weight = sample["label"]
    assert torch.equal(image, patch()[0])
    assert torch.equal(target, image)
    air = image <= -1
    assert hidden.any()
    assert not hidden[air].any()
    assert not weight[air].any()
    assert (weight[hidden == 1] == 1).all()
    torch.testing.assert_close(weight[(hidden == 0) & ~air], torch.full_like(weight[(hidden == 0) & ~air], 0.1))


def test_suspicious_spots_have_no_weight() -> None:
    ignore = torch.zeros(1, 64, 64, dtype=torch.bool)
    ignore[0, 30:40, 30:40] = True
    transform = RandBlindSpotsd()
    transform.set_random_state(seed=1)
    sample = transform({"image": patch(), "ignore": ignore})
    assert "ignore" not in sample
    assert not sample["label"][1][ignore[0]].any()
    assert sample["label"][1].any()


def test_one_seed_draws_one_sample() -> None:
    assert torch.equal(drawn(5)["image"], drawn(5)["image"])
    assert not torch.equal(drawn(5)["image"], drawn(6)["image"])


def test_the_loss_by_hand() -> None:
    target = torch.tensor([[[[0.5, 0.0, -1.0]], [[1.0, 0.1, 0.0]]]])
    pred = torch.tensor([[[[0.3, 1.0, 7.0]]]])
    assert InpaintingLoss()(pred, target).item() == pytest.approx((0.2 + 0.1) / 1.1)


def test_nothing_with_weight_costs_nothing() -> None:
    target = torch.cat([torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)], dim=1)
    assert InpaintingLoss()(torch.zeros(1, 1, 4, 4), target) == 0


def test_shapes_of_the_loss_are_checked() -> None:
    with pytest.raises(ValueError, match="target"):
        InpaintingLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))


def test_pictures_show_the_prediction_where_it_is_hidden_alone() -> None:
    sample = drawn()
    output = {"image": sample["image"][None], "pred": torch.full((1, 1, 64, 64), 0.9)}
    (row,) = inpainter_panels(output, output)
    hidden = sample["image"][1].numpy() > 0
    assert (row[1].plane[hidden] == np.float32(0.9)).all()
    assert np.array_equal(row[1].plane[~hidden], patch()[0].numpy()[~hidden])

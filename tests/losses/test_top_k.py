import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from bundle.losses import TopKCrossEntropyLoss


def batch(seed: int = 0, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 1, 12, 10, generator=generator)
    label = (torch.rand(count, 1, 12, 10, generator=generator) < 0.1).to(torch.uint8)
    return logits, label


def test_by_hand() -> None:
    logits = torch.tensor([[[[2.0, -1.0, 0.5, 3.0, -4.0, 1.0]]]])
    label = torch.tensor([[[[1, 0, 0, 0, 0, 0]]]], dtype=torch.uint8)
    # The positive, and the three negatives with the largest logits.
    expected = (softplus(torch.tensor(-2.0)) + softplus(torch.tensor([3.0, 1.0, 0.5])).sum()) / 4
    torch.testing.assert_close(TopKCrossEntropyLoss()(logits, label), expected)


def test_it_is_the_slow_choice_pixel_by_pixel() -> None:
    logits, label = batch()
    chosen = []
    for image, truth in zip(logits, label, strict=True):
        pairs = list(zip(image.ravel(), truth.ravel().tolist(), strict=True))
        positive = [softplus(-logit) for logit, true in pairs if true]
        negative = sorted((softplus(logit) for logit, true in pairs if not true), reverse=True)
        chosen += positive + negative[: 3 * len(positive)]
    torch.testing.assert_close(TopKCrossEntropyLoss()(logits, label), torch.stack(chosen).mean())


def test_with_every_negative_it_is_the_plain_cross_entropy() -> None:
    logits, label = batch(1)
    loss = TopKCrossEntropyLoss(negatives_per_positive=1000)(logits, label)
    torch.testing.assert_close(loss, binary_cross_entropy_with_logits(logits, label.float()))


def test_only_chosen_pixels_have_a_gradient() -> None:
    logits, label = batch(2)
    logits.requires_grad_()
    TopKCrossEntropyLoss()(logits, label).backward()
    per_image = (logits.grad != 0).flatten(1).sum(dim=1)
    assert per_image.tolist() == (4 * label.flatten(1).sum(dim=1)).tolist()


def test_ignored_pixels_change_nothing() -> None:
    logits, label = batch(3)
    label[0, 0, :4] = 2
    other = logits.clone()
    other[0, 0, :4] = 30.0
    torch.testing.assert_close(TopKCrossEntropyLoss()(logits, label), TopKCrossEntropyLoss()(other, label))


def test_a_batch_without_positives_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = TopKCrossEntropyLoss()(logits, torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_different_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="one shape"):
        TopKCrossEntropyLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4))
